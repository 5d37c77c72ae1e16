"""A small thing read from the database: kept for a moment, and longer while that is away."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from storage.errors import DatabaseUnreachableError, StorageError

log = logging.getLogger(__name__)

Value = TypeVar("Value")
_WAIT_S, _FIRST_WAIT_S = 2.0, 10.0


class Snapshot(Generic[Value]):
    """What was read last. Safe to share between threads.

    It is read in a thread of its own: a database may keep a connection and say nothing, and whoever
    asks meanwhile goes on with what was read before.

    Args:
        read: Reads it.
        fresh_s: It is not read again before.
        what: Its name, for the log.
    """

    def __init__(self, read: Callable[[], Value], fresh_s: float, what: str) -> None:
        self._read = read
        self._fresh_s = fresh_s
        self._what = what
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=what)
        self._reading: Future[None] | None = None
        self._began = 0.0
        self._until = 0.0
        self.value: Value | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether it need not be read again yet."""
        return time.monotonic() < self._until

    def get(self) -> Value:
        """The value, read again where that is due.

        Raises:
            StorageError: The database is away, and the value was never read.
        """
        if self.is_fresh and self.value is not None:
            return self.value
        with self._lock:
            if self._reading is None or self._reading.done():
                self._began = time.monotonic()
                self._reading = self._thread.submit(self._renew)
            reading = self._reading
        left = self._began + _WAIT_S - time.monotonic()
        try:
            reading.result(max(0.0, left) if self.value is not None else _FIRST_WAIT_S)
        except TimeoutError:
            log.warning("%s take long to be read", self._what)
        if self.value is None:
            raise DatabaseUnreachableError(
                f"{self._what} cannot be read: the database does not answer; check that it is up"
            )
        return self.value

    def _renew(self) -> None:
        try:
            self.value = self._read()
        except StorageError as error:
            if self.value is None:
                raise
            log.warning("%s that were read before are used on: %s", self._what, error)
        finally:
            self._until = time.monotonic() + self._fresh_s

    def close(self) -> None:
        """Read no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
