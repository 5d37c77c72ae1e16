"""Days on which Shenzhen traded and Shanghai did not: weekends of its first years.

The published calendar is Shanghai's and has none of them. That they are real is shown by the bars:
two symbols or more trade on each, at prices of their own; every one of them continues the close
before it; and the change of the next weekday refers to the weekend's close. All are of Shenzhen
symbols. A Saturday of 1998 with a bar of one symbol, at a third of its price, is not among them.
"""

from collections.abc import Collection
from datetime import date

from market.errors import CalendarRangeError
from market.sessions import TradingCalendar

SHENZHEN_WEEKENDS: Collection[date] = frozenset(
    date(year, month, day)
    for year, month, days in (
        (1991, 4, (6, 13, 20)),
        (1991, 5, (4, 11, 18)),
        (1991, 6, (1, 8, 15, 22, 29)),
        (1991, 7, (6, 13, 20, 27)),
        (1991, 8, (3, 17, 24, 31)),
        (1991, 9, (7, 14, 21, 28, 29)),
        (1991, 10, (5, 12, 19, 26)),
        (1991, 11, (2, 9, 16, 23, 30)),
        (1991, 12, (7, 14, 21, 28)),
        (1992, 2, (1, 2)),
        (1992, 5, (3,)),
        (1992, 10, (4,)),
        (1992, 12, (20,)),
        (1993, 1, (3,)),
        (1993, 5, (1, 2)),
    )
    for day in days
)


def traded(calendar: TradingCalendar, day: date, *, shenzhen: bool) -> bool:
    """Whether the exchange of a symbol traded on a day; not on one outside the calendar.

    Args:
        calendar: The sessions that Shanghai and Shenzhen share.
        day: The day.
        shenzhen: Whether the symbol is listed there.
    """
    if shenzhen and day in SHENZHEN_WEEKENDS:
        return True
    try:
        return calendar.is_session(day)
    except CalendarRangeError:
        return False
