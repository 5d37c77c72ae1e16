"""What the schedule asks of an upstream again and again, held against what is permitted."""

import math
from collections.abc import Collection, Mapping, Sequence
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
BOARDS = 600
"""Concepts and industries, where no list was taken yet."""
NIGHT_S = 18 * 3600
"""Seconds from the close to the next session's first tick, a quarter of an hour left over."""
_EX_RIGHTS = 100
"""Requests of a day for ex-rights and for symbols that the list leaves in doubt, generously."""


class ScheduleTooDenseError(ConfigurationError):
    """The schedule needs more requests than its upstream permits."""


@dataclass(frozen=True, slots=True)
class SteadyNeed:
    """Requests of one tick, and what is permitted until the next one.

    Attributes:
        pages: Of the sweep.
        watched: Symbols fetched singly.
        permitted: By all windows together.
        live: Of those, what the live lane has even while the bulk lane waits.
        minutes: Between two ticks.
    """

    pages: int
    watched: int
    permitted: int
    live: int
    minutes: int = TICK_S // 60

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
                f"the {self.minutes}-minute sync needs {self.requests} requests a tick "
                f"({self.pages} for the symbol list and {self.watched} for WATCH_LIST), and the "
                f"budget permits {self.live} of {self.permitted} in {self.minutes} minutes beside "
                f"a backfill: shorten WATCH_LIST to {max(self.live - self.pages, 0)} symbols, or "
                "raise the budget",
                {"requests": self.requests, "permitted": self.live},
            )


@dataclass(frozen=True, slots=True)
class NightlyNeed:
    """Requests of the runs after the close, and what is permitted until the next session.

    Attributes:
        requests: By the name of the run.
        permitted: By all windows together.
    """

    requests: Mapping[str, int]
    permitted: int

    def check(self) -> None:
        """Refuse a schedule whose day has not ended when the next one begins.

        Raises:
            ScheduleTooDenseError: With the numbers.
        """
        total = sum(self.requests.values())
        if total > self.permitted:
            most = max(self.requests, key=self.requests.__getitem__)
            parts = ", ".join(f"{name} {number}" for name, number in self.requests.items())
            raise ScheduleTooDenseError(
                f"the runs after the close need {total} requests ({parts}), and the budget permits "
                f"{self.permitted} until the next session: raise it, or silence one of them, such "
                f"as SCHEDULE={most}=off",
                {"requests": total, "permitted": self.permitted},
            )


def nightly_need(
    runs: Collection[str],
    *,
    listed: int,
    boards: Mapping[str, int],
    members_by_page: bool,
    windows: Sequence[RateWindow],
) -> NightlyNeed:
    """The need of the runs after the close.

    Args:
        runs: Those that the schedule has.
        listed: Symbols on the list; 0: unknown, :data:`SYMBOLS` are assumed.
        boards: Boards that each run of boards asks for; 0: unknown, :data:`BOARDS` are assumed.
        members_by_page: Whether members cost the pages of every board, or one sweep.
        windows: What is permitted.
    """
    symbols = listed or SYMBOLS
    needs = {"stocks_daily": pages_of(symbols) + _EX_RIGHTS, "stocks_5m_final": symbols}
    for name, number in boards.items():
        count = number or BOARDS
        members = 2 * count if members_by_page else pages_of(symbols)
        needs[name] = pages_of(count) + members + count
    return NightlyNeed(
        {name: need for name, need in needs.items() if name in runs},
        permits_within(windows, NIGHT_S),
    )


def steady_need(
    listed: int, watched: int, windows: Sequence[RateWindow], tick_s: float = TICK_S
) -> SteadyNeed:
    """The need of the 5-minute sync.

    Args:
        listed: Symbols on the list; 0: unknown, :data:`SYMBOLS` are assumed.
        watched: Symbols of the watch-list.
        windows: What is permitted.
        tick_s: Seconds between two ticks, where the schedule was changed.
    """
    permitted = permits_within(windows, tick_s)
    live = permitted - permitted // BULK_SHARE
    return SteadyNeed(pages_of(listed or SYMBOLS), watched, permitted, live, round(tick_s / 60))


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
