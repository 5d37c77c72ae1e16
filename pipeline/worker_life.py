"""What a worker process does beside its tasks: heal at its start, and show that it lives."""

import logging
import threading
from functools import partial
from pathlib import Path

from market.errors import QuantsyncError
from pipeline import publishing
from pipeline.notifying import LIVES, READY, tell_systemd
from pipeline.pulse import beat_into
from pipeline.reconcile import reconcile
from pipeline.runtime import Runtime

log = logging.getLogger(__name__)


def begin(runtime: Runtime, worker: str) -> None:
    """Show signs of life from now on, and reconcile once, beside the tasks.

    Args:
        runtime: The stores.
        worker: The worker's name, ``quant@host``.
    """
    folder = runtime.settings.home / "workers"
    file: Path | None = folder / f"{worker}.alive"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("no file shows that it lives: %s cannot be made (%s)", folder, error.strerror)
        file = None
    tell_systemd(READY)
    beat_into(file, runtime.settings.hang_after_s, partial(tell_systemd, LIVES))
    threading.Thread(target=_heal, args=(runtime,), name="quantsync-heal", daemon=True).start()


def _heal(runtime: Runtime) -> None:
    try:
        reconcile(runtime, publishing)
    except QuantsyncError as error:
        log.warning("what is stuck could not be looked for; the reconciler comes again: %s", error)
