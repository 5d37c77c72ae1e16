"""What a worker process does beside its tasks: heal at its start, and show that it lives."""

import logging
import threading

from market.errors import QuantsyncError
from pipeline import publishing
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("no signs of life are shown: %s cannot be made (%s)", folder, error.strerror)
    else:
        beat_into(folder / f"{worker}.alive", runtime.settings.hang_after_s)
    threading.Thread(target=_heal, args=(runtime,), name="quantsync-heal", daemon=True).start()


def _heal(runtime: Runtime) -> None:
    try:
        reconcile(runtime, publishing)
    except QuantsyncError as error:
        log.warning("what is stuck could not be looked for; the reconciler comes again: %s", error)
