"""Periods: what they are called, how long they are, and which are fetched."""

import pytest

from market.errors import InvalidPeriodError
from market.periods import FETCHED_PERIODS, Period, parse_fetched_period, parse_period


@pytest.mark.parametrize(
    ("period", "minutes"),
    [
        *(("1m", 1), ("5m", 5), ("15m", 15), ("30m", 30), ("60m", 60)),
        *(("daily", None), ("weekly", None), ("monthly", None)),
    ],
)
def test_each_period_knows_its_minutes(period: str, minutes: int | None) -> None:
    read = parse_period(period)
    assert read.minutes == minutes
    assert read.is_intraday is (minutes is not None)


@pytest.mark.parametrize("text", ["daily", " Daily ", "DAILY"])
def test_case_and_spaces_of_a_period_do_not_matter(text: str) -> None:
    assert parse_period(text) is Period.DAILY


@pytest.mark.parametrize("text", ["", "5", "5 m", "1d", "2m", "hourly"])
def test_an_unknown_period_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(InvalidPeriodError, match="1m, 5m, 15m, 30m, 60m, daily, weekly, monthly"):
        parse_period(text)


def test_only_1m_5m_and_daily_are_fetched() -> None:
    assert [parse_fetched_period(p.value) for p in FETCHED_PERIODS] == ["1m", "5m", "daily"]


@pytest.mark.parametrize(
    ("derived", "origin"),
    [("15m", "5m"), ("30m", "5m"), ("60m", "5m"), ("weekly", "daily"), ("monthly", "daily")],
)
def test_a_derived_period_names_the_one_to_fetch(derived: str, origin: str) -> None:
    with pytest.raises(InvalidPeriodError, match=f"aggregated from {origin};") as refusal:
        parse_fetched_period(derived)
    assert refusal.value.context == {"period": derived}
