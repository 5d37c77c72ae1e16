"""Remembers that an upstream cannot be reached, so that 5,000 symbols do not each find out."""

import threading
import time

from ingest.source import KnownUnreachableError

Outage = tuple[str, str | None]
"""Risk domain and the base URL its traffic is sent to."""


class Outages:
    """Remembers that an upstream cannot be reached, so that 5,000 symbols don't each wait.

    It cannot be connected to, or takes a connection and says nothing: after two such failures in a
    row, requests fail at once with the same reason for ``retry_after_s``.
    """

    def __init__(self, retry_after_s: float = 10.0) -> None:
        self._retry_after_s = retry_after_s
        self._lock = threading.Lock()
        self._down: dict[Outage, tuple[int, float, str]] = {}

    def check(self, outage: Outage) -> bool:
        """Whether the last request failed so; raises if the upstream is known to be unreachable."""
        with self._lock:
            failures, until, reason = self._down.get(outage, (0, 0.0, ""))
            if failures >= 2 and time.monotonic() < until:  # noqa: PLR2004  (once may be chance)
                raise KnownUnreachableError(reason, {"domain": outage[0]})
            return failures > 0

    def note(self, outage: Outage, reason: str) -> None:
        """The upstream could not be reached, or was silent."""
        with self._lock:
            failures = self._down.get(outage, (0, 0.0, ""))[0] + 1
            self._down[outage] = (failures, time.monotonic() + self._retry_after_s, reason)

    def clear(self, outage: Outage) -> None:
        """It has answered."""
        with self._lock:
            self._down.pop(outage, None)
