"""Signs of life: of each piece of work in this process, and of the process as a whole.

A thread cannot be killed and ignores Celery's time limits, so one that hangs for ever would hold
its place for ever. Work shows a pulse between requests and between partitions; a file is touched
every second while every piece of work has one. A supervisor that sees the file grow old kills the
process: whether one thread hangs, or all of it stands still.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_BEAT_S = 1.0
_work: dict[int, tuple[str, float]] = {}
_lock = threading.Lock()


@contextmanager
def working_on(what: str) -> Iterator[None]:
    """Count what this thread does as work that must show a pulse."""
    me = threading.get_ident()
    with _lock:
        _work[me] = (what, time.monotonic())
    try:
        yield
    finally:
        with _lock:
            _work.pop(me, None)


def pulse() -> None:
    """Show that this thread's work goes on."""
    me = threading.get_ident()
    with _lock:
        if me in _work:
            _work[me] = (_work[me][0], time.monotonic())


_LOOP = 0


def loop_pulse() -> None:
    """Show that the worker's main loop turns."""
    with _lock:
        _work[_LOOP] = ("the worker's main loop", time.monotonic())


def loop_rests() -> None:
    """The main loop waits for the broker: it need show no pulse until it turns again."""
    with _lock:
        _work.pop(_LOOP, None)


def hanging(after_s: float) -> list[str]:
    """Work that has shown no pulse for so long."""
    oldest = time.monotonic() - after_s
    with _lock:
        return [what for what, at in _work.values() if at < oldest]


def beat_into(
    file: Path | None, hang_after_s: float, lives: Callable[[], None]
) -> threading.Thread:
    """Show every second from now on that this process lives, but not while any work hangs.

    Args:
        file: It is touched: whoever watches this process looks at its age. None: no file is.
        hang_after_s: Work without a pulse for so long hangs.
        lives: Called each time, for whoever watches this process otherwise.
    """
    thread = threading.Thread(
        target=_beat, args=(file, hang_after_s, lives), name="quantsync-pulse", daemon=True
    )
    thread.start()
    return thread


def _beat(file: Path | None, hang_after_s: float, lives: Callable[[], None]) -> None:
    said: list[str] = []
    while True:
        stuck = hanging(hang_after_s)
        if stuck and stuck != said:
            log.error("no sign of life for %.0f s from %s", hang_after_s, ", ".join(stuck))
        said = stuck
        if not stuck:
            lives()
            _touch(file)
        time.sleep(_BEAT_S)


def _touch(file: Path | None) -> None:
    try:
        if file is not None:
            file.touch()
    except OSError as error:
        log.warning("the sign of life %s cannot be written: %s", file, error)
