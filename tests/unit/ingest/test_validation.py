"""Bar invariants: what is let through, what is not, and what is said of it."""

from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pytest

from ingest.validation import bar_states, validate_bars
from market.bars import BarState, Dataset, bar_schema
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import bar_end, exchange_calendar

GOOD = {
    "symbol": "600519.SH",
    "session": date(2024, 1, 2),
    "end_at": bar_end(date(2024, 1, 2)),
    "open": 10.0,
    "high": 10.5,
    "low": 9.8,
    "close": 10.2,
    "volume": 100_000,
    "amount": 1_015_000.0,
    "turnover_rate": 1.0,
    "state": "final",
    "source": "test",
    "fetched_at": datetime(2024, 1, 3, tzinfo=UTC),
}


def bars(*changes: dict[str, object]) -> pa.Table:
    """Good bars with the given changes, one row each."""
    rows = [{**GOOD, **change} for change in changes]
    return pa.Table.from_pylist(rows, schema=bar_schema(Dataset.KLINE))


def reasons(*changes: dict[str, object], period: Period = Period.DAILY) -> dict[str, int]:
    """What validation says of good bars so changed."""
    return validate_bars(Dataset.KLINE, period, bars(*changes), exchange_calendar()).reasons


def test_a_good_bar_is_accepted_as_it_is() -> None:
    """Nothing is changed and nothing rejected."""
    verdict = validate_bars(Dataset.KLINE, Period.DAILY, bars({}), exchange_calendar())

    assert verdict.accepted.to_pylist() == bars({}).to_pylist()
    assert verdict.rejected.num_rows == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"low": 10.3}, "ohlc_order"),
        ({"high": 10.1}, "ohlc_order"),
        ({"open": 0.0, "low": 9.8}, "price_not_positive"),
        ({"close": float("nan")}, "price_not_positive"),
        ({"volume": -1}, "volume_or_amount_negative"),
        ({"amount": float("inf")}, "volume_or_amount_negative"),
        ({"volume": 1_000}, "lots_for_shares"),
        ({"volume": 10_000_000}, "shares_for_lots"),
        ({"session": date(2024, 1, 1), "end_at": bar_end(date(2024, 1, 1))}, "not_a_session"),
        ({"end_at": bar_end(date(2024, 1, 2)) - timedelta(minutes=1)}, "not_a_bar_end"),
        ({"end_at": bar_end(date(2024, 1, 3))}, "not_a_bar_end"),
    ],
)
def test_each_broken_invariant_is_named(change: dict[str, object], reason: str) -> None:
    """A row that breaks one invariant is rejected with that reason."""
    assert reason in reasons(change)


def test_a_row_given_twice_is_not_taken_as_good() -> None:
    """Which of two rows of one key is right cannot be told, so neither is accepted."""
    assert reasons({}, {"close": 10.1}) == {"duplicate": 2}


def test_one_bad_row_does_not_take_the_others_with_it() -> None:
    """The good rows beside a bad one are accepted."""
    other = {"session": date(2024, 1, 3), "end_at": bar_end(date(2024, 1, 3)), "low": 99.0}
    verdict = validate_bars(Dataset.KLINE, Period.DAILY, bars({}, other), exchange_calendar())

    assert verdict.accepted["session"].to_pylist() == [date(2024, 1, 2)]
    assert verdict.rejected["session"].to_pylist() == [date(2024, 1, 3)]


def test_rounding_to_whole_lots_passes_the_unit_check() -> None:
    """Eastmoney gives lots: a small volume may be off by up to a lot without being wrong."""
    assert reasons({"volume": 100, "amount": 1_510.0}) == {}


def test_a_bar_without_an_open_is_accepted_where_the_upstream_gives_none() -> None:
    """1m bars of past sessions carry no open; the rest of the bar is good."""
    end = bar_end(date(2024, 1, 2)).replace(hour=9, minute=31)
    assert reasons({"open": None, "end_at": end}, period=Period.M1) == {}


def test_the_opening_auction_is_a_bar_of_one_minute_klines_only() -> None:
    """09:30 is a bar end for 1m and for nothing else."""
    auction = bar_end(date(2024, 1, 2)).replace(hour=9, minute=30)

    assert reasons({"end_at": auction}, period=Period.M1) == {}
    assert reasons({"end_at": auction}, period=Period.M5) == {"not_a_bar_end": 1}


def test_no_bars_are_no_fault() -> None:
    """An empty table is accepted as it is."""
    empty = bar_schema(Dataset.KLINE).empty_table()
    verdict = validate_bars(Dataset.KLINE, Period.DAILY, empty, exchange_calendar())

    assert verdict.accepted.num_rows == 0
    assert verdict.reasons == {}


@pytest.mark.parametrize(
    ("asked", "end", "state"),
    [
        ("14:59:59", "15:00", BarState.PROVISIONAL),
        ("15:00:30", "15:00", BarState.PROVISIONAL),
        ("15:04:59", "15:00", BarState.PROVISIONAL),
        ("15:05:00", "15:00", BarState.FINAL),
        ("10:32:00", "10:30", BarState.FINAL),
        ("10:30:59", "10:30", BarState.PROVISIONAL),
        ("10:32:00", "10:35", BarState.PROVISIONAL),
    ],
)
def test_the_exchange_clock_decides_whether_a_bar_is_final(
    asked: str, end: str, state: BarState
) -> None:
    """A bar is final a minute after its end; the session's last at 15:05."""
    day = "2025-12-31"
    asked_at = datetime.fromisoformat(f"{day}T{asked}").replace(tzinfo=EXCHANGE_TZ)
    end_at = datetime.fromisoformat(f"{day}T{end}").replace(tzinfo=EXCHANGE_TZ)
    column = pa.chunked_array([pa.array([end_at], pa.timestamp("s", tz="Asia/Shanghai"))])

    assert bar_states(column, asked_at).to_pylist() == [state.value]


@pytest.mark.parametrize(
    ("asked", "end", "state"),
    [
        ("15:19:59", "15:00", BarState.PROVISIONAL),
        ("15:20:00", "15:00", BarState.FINAL),
        ("14:57:00", "14:55", BarState.FINAL),
        ("09:30:59", "09:30", BarState.PROVISIONAL),
        ("09:31:00", "09:30", BarState.FINAL),
    ],
)
def test_only_the_close_waits_for_the_settling_time(asked: str, end: str, state: BarState) -> None:
    """Set to 15:20: the closing bars wait, all others and the opening auction take a minute."""
    day = "2025-12-31"
    asked_at = datetime.fromisoformat(f"{day}T{asked}").replace(tzinfo=EXCHANGE_TZ)
    end_at = datetime.fromisoformat(f"{day}T{end}").replace(tzinfo=EXCHANGE_TZ)
    column = pa.chunked_array([pa.array([end_at], pa.timestamp("s", tz="Asia/Shanghai"))])

    assert bar_states(column, asked_at, time(15, 20)).to_pylist() == [state.value]


def test_yesterdays_close_is_final_in_the_morning() -> None:
    """The 15:05 rule is about the day that is asked on."""
    column = pa.chunked_array(
        [pa.array([bar_end(date(2025, 12, 30))], pa.timestamp("s", tz="Asia/Shanghai"))]
    )
    morning = datetime(2025, 12, 31, 9, 0, tzinfo=EXCHANGE_TZ)

    assert bar_states(column, morning).to_pylist() == [BarState.FINAL.value]
