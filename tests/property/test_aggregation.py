"""Aggregating what is fetched gives what would be fetched aggregated, on any simulated market."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from functools import lru_cache

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.simulator.seeded.market import SeededMarket
from market.aggregation import Evidence, aggregate
from market.bars import VALUE_COLUMNS, Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import Window, exchange_calendar
from tests.fixtures.served import served_bars

KLT = {Period.M15: 15, Period.M30: 30, Period.M60: 60, Period.WEEKLY: 102, Period.MONTHLY: 103}
EXACT = ("session", "end_at", *(name for name in VALUE_COLUMNS if name != "turnover_rate"))
RATE_ROUNDING = 0.005
FIRST, LAST = datetime(2015, 3, 2, 9, 20), datetime(2026, 3, 13, 16, 0)  # noqa: DTZ001  (Shanghai)
INSTANTS = st.datetimes(FIRST, LAST).map(lambda at: at.replace(tzinfo=EXCHANGE_TZ, microsecond=0))


@lru_cache(maxsize=4)
def market(seed: int) -> SeededMarket:
    return SeededMarket(seed=seed, symbols=12)


def settled(session: date, now: datetime) -> bool:
    close = datetime(session.year, session.month, session.day, 15, 5, tzinfo=EXCHANGE_TZ)
    return now >= close


def expected_state(period: Period, bar: dict[str, object], now: datetime) -> str:
    """By the words of the rule, one bar at a time."""
    session, end_at = bar["session"], bar["end_at"]
    assert isinstance(session, date)
    assert isinstance(end_at, datetime)
    if period is Period.WEEKLY:
        last = session + timedelta(days=6 - session.weekday())
    elif period is Period.MONTHLY:
        last = (session.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    else:
        at_close = (end_at.hour, end_at.minute) == (15, 0)
        past = now >= end_at + timedelta(minutes=1)
        return "final" if past and (not at_close or settled(session, now)) else "provisional"
    return (
        "final" if settled(exchange_calendar().session_on_or_before(last), now) else "provisional"
    )


@pytest.mark.parametrize(
    "period",
    [
        pytest.param(each, marks=pytest.mark.lengthy) if each in (Period.M15, Period.M30) else each
        for each in KLT
    ],
)
@settings(max_examples=12)
@example(seed=3, now=datetime(2025, 10, 9, 9, 26, tzinfo=EXCHANGE_TZ))  # after eight days off
@example(seed=3, now=datetime(2025, 12, 31, 15, 5, tzinfo=EXCHANGE_TZ))  # a Wednesday ends the week
@example(seed=4, now=datetime(2025, 12, 30, 12, 10, tzinfo=EXCHANGE_TZ))  # at lunch
@given(seed=st.integers(1, 4), now=INSTANTS)
def test_aggregated_bars_equal_those_the_upstream_aggregates(
    period: Period, seed: int, now: datetime
) -> None:
    """Every symbol, suspended, new or delisted, at any instant; only rates are rounded sums."""
    klt = 5 if period.is_intraday else 101
    codes = market(seed).listing(now.date())
    parts = {code: served_bars(market(seed), code, klt, now) for code in codes}
    everything = [Window(date(1990, 12, 19), now.date())]
    covered = {symbol: everything for bars in parts.values() for symbol in set(names(bars))}

    together = pa.concat_tables(parts.values())
    found = aggregate(Dataset.KLINE, period, together, Evidence(now, covered=covered))

    mine = defaultdict(list)
    for row in found.to_pylist():
        mine[row["symbol"]].append(row)
    assert sum(map(len, mine.values())) > 0
    for code, bars in parts.items():
        theirs = served_bars(market(seed), code, KLT[period], now).to_pylist()
        ours = [row for symbol in set(names(bars)) for row in mine.pop(symbol)]
        assert [[r[n] for n in EXACT] for r in ours] == [[r[n] for n in EXACT] for r in theirs]
        for our, their in zip(ours, theirs, strict=True):
            rounding = RATE_ROUNDING * 25  # a month has at most 23 parts, and is rounded itself
            assert abs(our["turnover_rate"] - their["turnover_rate"]) < rounding
            assert our["state"] == expected_state(period, our, now), our
    assert not mine


def names(bars: pa.Table) -> list[str]:
    found: list[str] = bars["symbol"].to_pylist()
    return found
