"""The stack a command works with: the configured broker, or the embedded one for its duration."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.embedded import EmbeddedError, EmbeddedStack
from pipeline.settings import Settings, use_settings
from pipeline.upstreams import SIMULATOR

if TYPE_CHECKING:
    from pipeline.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Stack:
    """A broker that answers, and workers on it.

    Attributes:
        runtime: This process's runtime on the stack.
        upstream: The upstream for runs: as asked, or the URL of the simulator that was started.
        supervise: To be called about once a second while waiting.
        publish: Hands a wave of a run to the broker.
        resumed: Unfinished runs that go on.
    """

    runtime: "Runtime"
    upstream: str
    supervise: Callable[[], None]
    publish: Callable[[str, int], None]
    resumed: tuple[str, ...] = ()


def simulator_arguments(settings: Settings) -> list[str]:
    """How this installation's simulator is started."""
    return [
        "--seed", str(settings.simulator_seed),
        "--symbols", str(settings.simulator_symbols),
        "--now", settings.simulator_now,
        "--start", settings.history_daily_from.isoformat(),
    ]  # fmt: skip


def open_stores(settings: Settings) -> "Runtime":
    """A runtime whose database is there: a wrong DATABASE_URL is said before anything is begun.

    Raises:
        QuantsyncError: It is not to be had.
    """
    # Imports half a second's worth: the processes of the embedded stack start in that time.
    from pipeline.runtime import Runtime  # noqa: PLC0415

    runtime = Runtime(settings)
    _ = runtime.database
    return runtime


@contextmanager
def running_stack(settings: Settings, upstream: str) -> Iterator[Stack]:
    """A stack that works while the block runs.

    Without a configured broker the embedded stack is started (or an already running one of the
    same home is used) and runs that an earlier stop left unfinished go on.

    Raises:
        QuantsyncError: A store, the broker or a part of the embedded stack is not to be had.
    """
    if not settings.is_embedded:
        probe = open_stores(settings)
        from pipeline import publishing  # noqa: PLC0415
        from pipeline.broker import check_broker  # noqa: PLC0415
        from pipeline.reconcile import ReconcilerThread  # noqa: PLC0415

        check_broker()
        reconciler = ReconcilerThread(probe, publishing).start()
        try:
            with simulator_for(settings, upstream) as reached:
                yield Stack(probe, reached, lambda: None, publishing.publish_wave)
        finally:
            reconciler.stop()
        return
    arguments = simulator_arguments(settings) if upstream == SIMULATOR else None
    stores = partial(open_stores, settings)
    with EmbeddedStack(settings, simulator=arguments, meanwhile=stores) as embedded:
        own = settings.model_copy(update=embedded.overrides)
        use_settings(own)
        from pipeline.runtime import current_runtime  # noqa: PLC0415  (Celery: after the settings)
        from pipeline.supervising import supervised  # noqa: PLC0415

        with supervised(embedded, current_runtime()) as supervision:
            yield Stack(
                current_runtime(),
                upstream,
                supervision.look_after,
                supervision.publish,
                tuple(supervision.resumed),
            )


@contextmanager
def simulator_for(settings: Settings, upstream: str) -> Iterator[str]:
    """Start a simulator for the block where that is the upstream, and name its URL."""
    if upstream != SIMULATOR:
        yield upstream
        return
    with tempfile.TemporaryDirectory(prefix="quantsync-simulator-") as folder:
        ready = Path(folder) / "url"
        command = [sys.executable, "-m", "ingest.simulator", *simulator_arguments(settings)]
        process = subprocess.Popen([*command, "--ready-file", str(ready), "--die-with-parent"])  # noqa: S603
        try:
            deadline = time.monotonic() + 60
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise EmbeddedError("the market simulator did not start: see above")
                time.sleep(0.02)
            yield ready.read_text(encoding="utf-8").strip()
        finally:
            process.terminate()
            process.wait(10)
