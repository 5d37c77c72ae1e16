"""The sessions of a seeded market, numbered as the exchange's calendar numbers them.

A session's ordinal is its place in the whole recorded calendar (0 is 1990-12-19), so that random
numbers drawn for it do not depend on where a market's history starts.
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property, lru_cache

import numpy as np

from ingest.simulator.bars import Ints
from market.clock import EXCHANGE_TZ
from market.errors import CalendarRangeError
from market.sessions import AFTERNOON, MORNING, Window, exchange_calendar

QUOTES_RESET_AT = time(9, 15)
"""When the list of quotes forgets the previous session."""
AUCTION_AT = time(9, 25)
"""When the opening auction's price is known: the first bar of a session."""
_LIST_RESET_AT, _LAST_TICK_S = time(8), 3
ROWS_PER_SESSION = 241
"""1m rows of a session: the 09:30 auction, 09:31 … 11:30, 13:01 … 15:00."""

_AUCTION_ROWS = 1
_MORNING_ROWS = 121


@dataclass(frozen=True, slots=True)
class Moment:
    """How far the market has come at an instant.

    Attributes:
        ordinal: The latest session that has a bar.
        rows: How many of its 1m rows are whole, 1 to 241.
        fraction: How much of the next 1m row has passed, 0 to 1.
        day: The civil date.
        quotes_blank: Whether quotes are reset and the session's first price is not yet known.
    """

    ordinal: int
    rows: int
    fraction: float
    day: date
    quotes_blank: bool

    @property
    def is_over(self) -> bool:
        """Whether the latest session has ended."""
        return self.rows == ROWS_PER_SESSION


class Timeline:
    """All sessions of the exchange, by ordinal.

    Args:
        start: Bars begin at the first session on or after this day.

    Raises:
        CalendarRangeError: The calendar has no session from then on.
    """

    def __init__(self, start: date) -> None:
        calendar = exchange_calendar()
        whole = Window(calendar.first_session, calendar.last_session)
        self.sessions = calendar.sessions_in(whole)
        self.labels = tuple(session.isoformat() for session in self.sessions)
        self.first = self.on_or_after(calendar.session_on_or_after(start))
        self.last = len(self.sessions) - 1

    def on_or_after(self, day: date) -> int:
        """Ordinal of the first session not before a day; one past the last if there is none."""
        return bisect_left(self.sessions, day)

    @cached_property
    def months(self) -> Ints:
        """A number for each session that its calendar month shares."""
        return np.array([s.year * 12 + s.month for s in self.sessions], dtype=np.int64)

    @cached_property
    def weeks(self) -> Ints:
        """A number for each session that its week, Monday to Sunday, shares."""
        return np.array([(s.toordinal() - 1) // 7 for s in self.sessions], dtype=np.int64)

    def changed_at(self, moment: Moment) -> tuple[int, int]:
        """Unix seconds of the last change of quotes: of those that trade, and of those that do not.

        The upstream's list resets every quote at 08:00 of its session, recorded in July 2026.
        """
        session = self.sessions[moment.ordinal + 1 if moment.quotes_blank else moment.ordinal]
        reset = int(datetime.combine(session, _LIST_RESET_AT, tzinfo=EXCHANGE_TZ).timestamp())
        if moment.quotes_blank:
            return reset, reset
        hour, minute = map(int, minute_labels()[moment.rows - 1].split(":"))
        at = datetime.combine(session, time(hour, minute, _LAST_TICK_S), tzinfo=EXCHANGE_TZ)
        return int(at.timestamp() + 60 * moment.fraction), reset

    def moment(self, now: datetime) -> Moment:
        """How far the market has come.

        Raises:
            CalendarRangeError: The instant lies outside the recorded calendar.
        """
        local = now.astimezone(EXCHANGE_TZ)
        day, at = local.date(), local.time()
        if day < self.sessions[self.first]:
            raise CalendarRangeError(
                f"{day} is before {self.sessions[self.first]}, the simulated market's first session"
            )
        latest = exchange_calendar().session_on_or_before(day)
        ordinal = self.on_or_after(latest)
        if latest != day:
            return Moment(ordinal, ROWS_PER_SESSION, 0.0, day, quotes_blank=False)
        if at < AUCTION_AT:
            blank = at >= QUOTES_RESET_AT
            return Moment(ordinal - 1, ROWS_PER_SESSION, 0.0, day, quotes_blank=blank)
        rows, fraction = _progress(local)
        return Moment(ordinal, rows, fraction, day, quotes_blank=False)


def _progress(local: datetime) -> tuple[int, float]:
    at = local.time()
    if at < MORNING[0]:
        return _AUCTION_ROWS, 0.0
    if at < MORNING[1]:
        return _since(local, MORNING[0], _AUCTION_ROWS)
    if at < AFTERNOON[0]:
        return _MORNING_ROWS, 0.0
    if at < AFTERNOON[1]:
        return _since(local, AFTERNOON[0], _MORNING_ROWS)
    return ROWS_PER_SESSION, 0.0


def _since(local: datetime, opened: time, rows: int) -> tuple[int, float]:
    passed = (local - datetime.combine(local.date(), opened, tzinfo=EXCHANGE_TZ)).total_seconds()
    return rows + int(passed // 60), (passed % 60) / 60


@lru_cache(maxsize=1)
def minute_labels() -> tuple[str, ...]:
    """The 241 labels of a session's 1m rows, ``09:30`` to ``15:00``."""
    ends = [9 * 60 + 30, *range(9 * 60 + 31, 11 * 60 + 31), *range(13 * 60 + 1, 15 * 60 + 1)]
    return tuple(f"{minute // 60:02}:{minute % 60:02}" for minute in ends)
