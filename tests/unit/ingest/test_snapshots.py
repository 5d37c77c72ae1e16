"""Two sweeps and the bar between them: each column, and what cannot be told."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from ingest.snapshots import SNAPSHOT_COLUMNS, bars_between
from market.clock import EXCHANGE_TZ
from market.quotes import QUOTES_SCHEMA

END = datetime(2025, 12, 31, 9, 40, tzinfo=EXCHANGE_TZ)
NAME = "600519.SH"
SCHEMA = pa.schema([QUOTES_SCHEMA.field(name) for name in SNAPSHOT_COLUMNS])
BEFORE = {
    "symbol": NAME, "open": 10.0, "high": 10.5, "low": 9.9, "close": 10.2, "volume": 1_000,
    "amount": 10_100.0,
}  # fmt: skip


def sweep(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def bar(earlier: pa.Table | None, later: pa.Table) -> dict[str, object]:
    made = bars_between(earlier, later, END, source="snapshot", fetched_at=datetime.now(UTC))
    assert (made.contradictions, made.unknown) == ((), ())
    (row,) = made.bars.to_pylist()
    assert (row["state"], row["source"], row["end_at"]) == ("provisional", "snapshot", END)
    return {name: row[name] for name in ("open", "high", "low", "close", "volume", "amount")}


def test_the_first_bar_is_the_session_so_far_with_the_auction_in_it() -> None:
    """Nothing is taken away."""
    assert bar(None, sweep(BEFORE)) == {k: v for k, v in BEFORE.items() if k != "symbol"}


@pytest.mark.parametrize(
    ("now", "high", "low"),
    [
        ({"close": 10.3}, 10.3, 10.2),
        ({"close": 10.1}, 10.2, 10.1),
        ({"close": 10.3, "high": 10.7}, 10.7, 10.2),
        ({"close": 10.3, "low": 9.8}, 10.3, 9.8),
    ],
    ids=["rose", "fell", "a new high of the session", "a new low of the session"],
)
def test_a_later_bar_is_the_difference(now: dict[str, float], high: float, low: float) -> None:
    """Volume and amount exactly; high and low as far as the session's show them."""
    later = BEFORE | {"volume": 1_700, "amount": 17_300.0} | now
    assert bar(sweep(BEFORE), sweep(later)) == {
        "open": 10.2, "high": high, "low": low, "close": now["close"], "volume": 700,
        "amount": 7_200.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("amount", "high", "low"),
    [(7_315_000.0, 10.45, 10.2), (7_035_000.0, 10.3, 10.05), (7_700_000.0, 10.5, 10.2)],
    ids=["dear", "cheap", "no dearer than the session's high"],
)
def test_an_average_price_proves_that_the_bar_reached_as_far(
    amount: float, high: float, low: float
) -> None:
    """10.45 and 10.05 of 700,000 shares, told in lots, where both samples lie between."""
    later = BEFORE | {"volume": 701_000, "amount": 10_100.0 + amount, "close": 10.3}
    made = bar(sweep(BEFORE), sweep(later))
    assert (made["high"], made["low"]) == (high, low)


def test_without_a_trade_the_bar_is_flat() -> None:
    """As the exchange's own bars are."""
    flat = bar(sweep(BEFORE), sweep(BEFORE))
    assert set(flat.values()) == {10.2, 0}


def test_a_symbol_that_had_not_traded_before_begins_with_the_sessions_open() -> None:
    """There is no earlier price of this session."""
    idle = dict.fromkeys(SNAPSHOT_COLUMNS) | {"symbol": NAME}
    assert bar(sweep(idle), sweep(BEFORE))["open"] == 10.0


@pytest.mark.parametrize(
    "now", [{"volume": 900}, {"amount": 10_000.0}, {"high": 10.4}, {"low": 10.0}], ids=str
)
def test_a_sweep_that_takes_something_back_makes_no_bar(now: dict[str, float]) -> None:
    """What was traded cannot become less."""
    later = sweep(BEFORE | {"volume": 1_700, "amount": 17_300.0} | now)
    made = bars_between(sweep(BEFORE), later, END, source="snapshot", fetched_at=datetime.now(UTC))
    assert (made.bars.num_rows, made.contradictions) == (0, (NAME,))


def test_a_symbol_that_the_sweep_before_did_not_name_is_told() -> None:
    """Its whole session so far is no bar of five minutes."""
    made = bars_between(
        sweep(BEFORE | {"symbol": "000001.SZ"}), sweep(BEFORE), END, source="snapshot",
        fetched_at=datetime.now(UTC),
    )  # fmt: skip
    assert (made.bars.num_rows, made.unknown) == (0, (NAME,))


def test_who_has_not_traded_has_no_bar() -> None:
    """And is no contradiction."""
    idle = dict.fromkeys(SNAPSHOT_COLUMNS) | {"symbol": NAME}
    made = bars_between(None, sweep(idle), END, source="snapshot", fetched_at=datetime.now(UTC))
    assert (made.bars.num_rows, made.contradictions, made.unknown) == (0, (), ())
