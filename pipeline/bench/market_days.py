"""The market that the benchmarks of the whole pipeline fetch: its sessions and instants."""

from datetime import date, datetime, time

from market.clock import EXCHANGE_TZ
from market.sessions import Window, exchange_calendar
from pipeline.bench.rendered import Wanted

TICK_DAY = date(2025, 12, 31)
OPENING, TICK = time(9, 35), time(9, 40)
"""Two neighbouring ticks: the second one's bars are the difference of both sweeps."""


def instant(day: date, at: time) -> datetime:
    """In Shanghai."""
    return datetime.combine(day, at, EXCHANGE_TZ)


def daily_window(sessions: int) -> Window:
    """So many sessions, up to the one before the day of the ticks."""
    calendar = exchange_calendar()
    last = calendar.offset(TICK_DAY, -1)
    return Window(calendar.offset(last, 1 - sessions), last)


def wanted(symbols: int, window: Window, seed: int, *, ticks: bool = False) -> Wanted:
    """Daily bars of a window, fetched in its last evening; and the ticks of the next morning.

    A list that ends at a full page is not believed where none is held, so there is one more symbol
    than is said.
    """
    instants = [instant(window.end, time(16))]
    if ticks:
        instants += [instant(TICK_DAY, OPENING), instant(TICK_DAY, TICK)]
    return Wanted(symbols + 1, tuple(instants), window, seed)
