"""What the schedule asks of an upstream again and again, held against what is permitted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ingest.rates import RateWindow
from market.errors import ConfigurationError

PAGE_ROWS = 100
"""Symbols on a page of the upstream's list."""
TICK_S = 300
"""Seconds between two ticks."""
BULK_SHARE = 4
"""While both lanes wait, one permit in so many is the bulk lane's."""
SYMBOLS = 5_500
"""Listed A shares, where no list was taken yet."""


class ScheduleTooDenseError(ConfigurationError):
    """The schedule needs more requests than its upstream permits."""


@dataclass(frozen=True, slots=True)
class SteadyNeed:
    """Requests of one tick, and what is permitted within its five minutes.

    Attributes:
        pages: Of the sweep.
        watched: Symbols fetched singly.
        permitted: By all windows together.
        live: Of those, what the live lane has even while the bulk lane waits.
    """

    pages: int
    watched: int
    permitted: int
    live: int

    @property
    def requests(self) -> int:
        """Of one tick."""
        return self.pages + self.watched

    def check(self) -> None:
        """Refuse a schedule that can never keep up.

        Raises:
            ScheduleTooDenseError: With the numbers.
        """
        if self.requests > self.live:
            raise ScheduleTooDenseError(
                f"the 5-minute sync needs {self.requests} requests a tick ({self.pages} for the "
                f"symbol list and {self.watched} for WATCH_LIST), and the budget "
                f"permits {self.live} of {self.permitted} in 5 minutes beside a backfill: shorten "
                f"WATCH_LIST to {max(self.live - self.pages, 0)} symbols, or raise the budget",
                {"requests": self.requests, "permitted": self.live},
            )


def steady_need(listed: int, watched: int, windows: Sequence[RateWindow]) -> SteadyNeed:
    """The need of the 5-minute sync.

    Args:
        listed: Symbols on the list; 0: unknown, :data:`SYMBOLS` are assumed.
        watched: Symbols of the watch-list.
        windows: What is permitted.
    """
    permitted = permits_within(windows, TICK_S)
    live = permitted - permitted // BULK_SHARE
    return SteadyNeed(pages_of(listed or SYMBOLS), watched, permitted, live)


def pages_of(rows: int) -> int:
    """Requests that a whole list costs."""
    return math.ceil(rows / PAGE_ROWS)


def permits_within(windows: Sequence[RateWindow], seconds: float) -> int:
    """Requests that all windows together permit in so many seconds, in the long run."""
    return int(min(w.count * seconds / w.seconds for w in windows))


def seconds_for(requests: int, windows: Sequence[RateWindow]) -> float:
    """How long so many requests take at least, each sent as soon as all windows permit it.

    The windows act together: after 180 requests in the first 180 s, ``180/300s`` permits no other
    one before second 300, and from there on ``1/1s`` holds anew.
    """
    sent: list[float] = []
    for at in range(requests):
        free = (sent[at - w.count] + w.seconds for w in windows if at >= w.count)
        sent.append(max(free, default=0.0))
    return sent[-1] if sent else 0.0
