"""Write `market/closed_days.py` anew from the installed exchange_calendars.

Run `python -m tests.record_sessions` after an upgrade of exchange_calendars; git shows the change.
"""

from datetime import timedelta
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from market import closed_days
from market.sessions import TradingCalendar, calculated_calendar

_A_LINE = 18
_HEAD = '''"""Weekdays on which the Shanghai exchange did not trade, as exchange_calendars has them.

Written by `python -m tests.record_sessions`: change nothing here by hand.
"""

RECORDED_FROM = "{version}"
"""The version of exchange_calendars that says so; another one is asked itself."""

FIRST, LAST = "{first}", "{last}"

CLOSED = """
{closed}
"""
"""By year, as month and day."""
'''


def recorded(calendar: TradingCalendar) -> str:
    """The text of the module."""
    first, last = calendar.first_session, calendar.last_session
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    closed = [day for day in days if day.weekday() < 5 and not calendar.is_session(day)]
    by_year = {year: [*days] for year, days in groupby(closed, key=lambda day: day.year)}
    lines = [
        f"{year}: {' '.join(f'{day:%m%d}' for day in days[at : at + _A_LINE])}"
        for year, days in by_year.items()
        for at in range(0, len(days), _A_LINE)
    ]
    return _HEAD.format(
        version=version("exchange_calendars"), first=first, last=last, closed="\n".join(lines)
    )


if __name__ == "__main__":
    Path(closed_days.__file__).write_text(recorded(calculated_calendar()), encoding="utf-8")
