"""Sessions: the days the exchange trades, the bar ends within one, and windows of sessions."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from importlib.metadata import version
from typing import NoReturn

from market import closed_days
from market.clock import EXCHANGE_TZ, in_shanghai
from market.errors import CalendarRangeError, InvalidWindowError
from market.periods import Period

MORNING = (time(9, 30), time(11, 30))
AFTERNOON = (time(13, 0), time(15, 0))
SESSION_CLOSE = time(15, 0)
SETTLED_AT = time(15, 5)
"""When a session's bars no longer move: the close, plus the time the upstream takes to settle."""
_WEEK, _WEEKDAYS = 7, 5


@dataclass(frozen=True, slots=True)
class Window:
    """A closed range of civil dates; both ends belong to it."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise InvalidWindowError(
                f"the window {self.start} to {self.end} ends before it starts: swap --from and --to"
            )

    def __str__(self) -> str:
        return f"{self.start}..{self.end}"


class TradingCalendar:
    """Sessions of the Shanghai exchange, which SZ and BJ share, from 1990-12-19.

    Source: exchange_calendars ``XSHG``, equal to the exchange's published calendar; it ends with
    the last year whose holidays are announced, and every question beyond that is refused.

    Args:
        sessions: All sessions, ascending and unique.
    """

    def __init__(self, sessions: Sequence[date]) -> None:
        if not sessions:
            raise CalendarRangeError("a trading calendar needs at least one session")
        self._sessions = tuple(sessions)

    @property
    def first_session(self) -> date:
        """The earliest session recorded."""
        return self._sessions[0]

    @property
    def last_session(self) -> date:
        """The latest session recorded."""
        return self._sessions[-1]

    def is_session(self, day: date) -> bool:
        """Whether the exchange trades on a day.

        Raises:
            CalendarRangeError: The day is outside the recorded calendar.
        """
        self._check(day)
        at = bisect_left(self._sessions, day)
        return at < len(self._sessions) and self._sessions[at] == day

    def sessions_in(self, window: Window) -> tuple[date, ...]:
        """The sessions of a closed window, ascending; empty if it holds only days off.

        Raises:
            CalendarRangeError: The window reaches outside the recorded calendar.
        """
        self._check(window.start)
        self._check(window.end)
        low = bisect_left(self._sessions, window.start)
        return self._sessions[low : bisect_right(self._sessions, window.end)]

    def session_on_or_before(self, day: date) -> date:
        """The latest session not after a day.

        Raises:
            CalendarRangeError: The day is outside the recorded calendar.
        """
        self._check(day)
        return self._sessions[bisect_right(self._sessions, day) - 1]

    def session_on_or_after(self, day: date) -> date:
        """The earliest session not before a day.

        Raises:
            CalendarRangeError: There is none in the recorded calendar.
        """
        at = bisect_left(self._sessions, day)
        if at == len(self._sessions):
            self._beyond(day)
        return self._sessions[at]

    def offset(self, session: date, by: int) -> date:
        """The session ``by`` places after (or before, if negative) a session.

        Raises:
            CalendarRangeError: It lies outside the recorded calendar, or ``session`` is none.
        """
        at = bisect_left(self._sessions, session)
        if at == len(self._sessions) or self._sessions[at] != session:
            raise CalendarRangeError(f"{session} is not a session of the exchange")
        if at + by < 0:
            self._before(session + timedelta(days=by))
        if at + by >= len(self._sessions):
            self._beyond(session + timedelta(days=by))
        return self._sessions[at + by]

    def latest_started(self, now: datetime) -> date:
        """The latest session that had opened (09:30) at an instant."""
        local = in_shanghai(now)
        session = self.session_on_or_before(local.date())
        if session == local.date() and local.time() < MORNING[0]:
            return self.offset(session, -1)
        return session

    def latest_settled(self, now: datetime, settled_at: time = SETTLED_AT) -> date:
        """The latest session whose bars were final at an instant."""
        local = in_shanghai(now)
        session = self.session_on_or_before(local.date())
        if session == local.date() and local.time() < settled_at:
            return self.offset(session, -1)
        return session

    def _check(self, day: date) -> None:
        if day < self.first_session:
            self._before(day)
        # Days off after the last session of its year still belong to the recorded calendar.
        if day > self.last_session and day.year > self.last_session.year:
            self._beyond(day)

    def _before(self, day: date) -> NoReturn:
        raise CalendarRangeError(
            f"{day} is before {self.first_session}, the first session of the exchange: give "
            "that day or a later one"
        )

    def _beyond(self, day: date) -> NoReturn:
        raise CalendarRangeError(
            f"{day} is beyond {self.last_session}, the last session of the recorded trading "
            "calendar: upgrade exchange_calendars once the exchange has announced that year"
        )


@lru_cache(maxsize=1)
def exchange_calendar() -> TradingCalendar:
    """The calendar of the mainland exchanges (read once a process)."""
    # Recorded, it takes 7 ms; from exchange_calendars, which brings pandas, 0.4 s and 50 MiB.
    if version("exchange_calendars") == closed_days.RECORDED_FROM:
        return recorded_calendar()
    return calculated_calendar()


def recorded_calendar() -> TradingCalendar:
    """The calendar as it was recorded: every weekday on which the exchange was not closed."""
    closed = {
        date(int(year), int(day[:2]), int(day[2:]))
        for year, days in (line.split(": ") for line in closed_days.CLOSED.split("\n") if line)
        for day in days.split()
    }
    first, last = map(date.fromisoformat, (closed_days.FIRST, closed_days.LAST))
    weekdays = (
        day
        for ordinal in range(first.toordinal(), last.toordinal() + 1)
        if (ordinal - 1) % _WEEK < _WEEKDAYS and (day := date.fromordinal(ordinal)) not in closed
    )
    return TradingCalendar(tuple(weekdays))


def calculated_calendar() -> TradingCalendar:
    """The calendar as the installed exchange_calendars has it."""
    from exchange_calendars.exchange_calendar_xshg import XSHGExchangeCalendar  # noqa: PLC0415

    # Its default end may be today plus a year, in the middle of an announced year.
    calendar = XSHGExchangeCalendar(start="1990-12-19", end=XSHGExchangeCalendar.bound_max())
    return TradingCalendar([stamp.date() for stamp in calendar.sessions])


@lru_cache(maxsize=16)
def bar_end_times(period: Period) -> tuple[time, ...]:
    """Ends of an intraday period's bars within a full session.

    5m: 09:35 … 11:30, 13:05 … 15:00, 48 in all. 1m: 09:31 … 15:00, 240. Daily: 15:00.
    """
    if period.minutes is None:
        return (SESSION_CLOSE,)
    ends: list[time] = []
    for opens, closes in (MORNING, AFTERNOON):
        at = datetime.combine(date(2000, 1, 3), opens)
        last = datetime.combine(date(2000, 1, 3), closes)
        while (at := at + timedelta(minutes=period.minutes)) <= last:
            ends.append(at.time())
    return tuple(ends)


def bar_end(session: date, end: time = SESSION_CLOSE) -> datetime:
    """The instant a bar of a session ends, aware, in Asia/Shanghai."""
    return datetime.combine(session, end, tzinfo=EXCHANGE_TZ)
