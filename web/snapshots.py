"""A small thing read from the database: kept for a moment, and longer while that is away."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from storage.errors import StorageError

log = logging.getLogger(__name__)

Value = TypeVar("Value")


class Snapshot(Generic[Value]):
    """What was read last. Safe to share between threads; one of them reads, the others go on.

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
        # Where another thread reads, and may wait for a database, the last value does meanwhile.
        if not self._lock.acquire(blocking=self.value is None):
            assert self.value is not None
            return self.value
        try:
            if not self.is_fresh or self.value is None:
                self._renew()
        finally:
            self._lock.release()
        assert self.value is not None
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
