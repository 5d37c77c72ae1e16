"""Weekends on which Shenzhen traded."""

from datetime import date

import pytest

from market.extra_sessions import SHENZHEN_WEEKENDS, traded
from market.sessions import exchange_calendar


def test_they_are_weekends_that_the_shared_calendar_does_not_have() -> None:
    """A weekday, or a day of the calendar, would be no extra session."""
    calendar = exchange_calendar()

    assert all(day.weekday() >= 5 for day in SHENZHEN_WEEKENDS)
    assert not any(calendar.is_session(day) for day in SHENZHEN_WEEKENDS)


@pytest.mark.parametrize(
    ("day", "shenzhen", "holds"),
    [
        (date(1993, 5, 2), True, True),
        (date(1993, 5, 2), False, False),
        (date(1998, 6, 20), True, False),
        (date(2024, 1, 2), False, True),
        (date(1980, 1, 2), True, False),
        (date(2999, 1, 2), True, False),
    ],
)
def test_a_day_is_traded_by_the_calendar_or_by_shenzhen_alone(
    day: date, *, shenzhen: bool, holds: bool
) -> None:
    """A day that no calendar has recorded is none."""
    assert traded(exchange_calendar(), day, shenzhen=shenzhen) is holds
