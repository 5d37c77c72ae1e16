"""Waiting for a store that is away: nothing is given up because a database restarts."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from storage.errors import StorageError

log = logging.getLogger(__name__)
_T = TypeVar("_T")
_LONGEST_PAUSE_S = 5.0


def patiently(
    call: Callable[[], _T],
    *,
    until: float,
    what: str,
    meanwhile: Callable[[], None] = lambda: None,
) -> _T:
    """Call until a store takes it; a fault that waiting does not cure is raised at once.

    Args:
        call: What needs the store. It may be repeated though it took effect: an answer can be lost
            with the connection.
        until: ``time.monotonic()`` instant after which the last fault is raised.
        what: What is waited for, for the log.
        meanwhile: Called between two tries; what it raises ends the wait.

    Raises:
        StorageError: It is not transient, or still there at ``until``.
    """
    pause = 0.2
    while True:
        try:
            return call()
        except StorageError as error:
            if not error.transient or time.monotonic() + pause > until:
                raise
            log.warning("%s waits: %s", what, error)
        meanwhile()
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)
