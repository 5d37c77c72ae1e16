"""The simulator's clock: it stands still where it was set, or runs on from there."""

import threading
import time
from datetime import UTC, datetime, timedelta

from market.clock import EXCHANGE_TZ

SNAPSHOT_S = 3
"""The upstream refreshes its quotes every three seconds; so does a running simulator."""


class MarketClock:
    """Gives the instant as of which everything is served, in Asia/Shanghai.

    Args:
        now: Where it stands; None follows the machine's clock.
    """

    def __init__(self, now: datetime | None) -> None:
        self._lock = threading.Lock()
        self.set(now)

    def set(self, now: datetime | None, *, ticking: bool | None = None) -> None:
        """Set it.

        Args:
            now: An aware instant; None for the machine's clock.
            ticking: Whether it runs on from there; by default only the machine's clock runs.
        """
        instant = datetime.now(UTC) if now is None else now
        if instant.tzinfo is None:
            raise ValueError("the simulator's clock needs an instant with a time zone")
        with self._lock:
            self._instant = instant.astimezone(EXCHANGE_TZ)
            self._is_ticking = now is None if ticking is None else ticking
            self._set_at = time.monotonic()

    @property
    def is_ticking(self) -> bool:
        """Whether it runs."""
        return self._is_ticking

    def now(self) -> datetime:
        """The instant in Asia/Shanghai; of a running clock, the latest multiple of 3 s."""
        with self._lock:
            if not self._is_ticking:
                return self._instant
            now = self._instant + timedelta(seconds=time.monotonic() - self._set_at)
        return now.replace(second=now.second // SNAPSHOT_S * SNAPSHOT_S, microsecond=0)
