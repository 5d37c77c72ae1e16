"""Bars: one schema, sorted by key, and tables that do not fit are refused."""

from datetime import UTC, date, datetime, time

import pyarrow as pa
import pytest

from market.bars import BarState, Dataset, bar_schema, sorted_bars
from market.sessions import bar_end

SESSION = date(2026, 1, 5)


def table(**columns: list[object]) -> pa.Table:
    """Two bars, with some columns replaced."""
    return pa.table(
        {
            "symbol": ["600519.SH", "000001.SZ"],
            "session": [SESSION] * 2,
            "end_at": [bar_end(SESSION)] * 2,
            "open": [10.0, None],
            "high": [11.0, 11.0],
            "low": [9.0, 9.0],
            "close": [10.5, 10.5],
            "volume": [100, 200],
            "amount": [1e3, 2e3],
            "turnover_rate": [None, 0.1],
            "state": [BarState.FINAL, BarState.PROVISIONAL],
            "source": ["eastmoney"] * 2,
            "fetched_at": [datetime(2026, 1, 5, 8, tzinfo=UTC)] * 2,
        }
        | columns
    )


@pytest.mark.parametrize("dataset", list(Dataset))
def test_every_column_says_what_it_means(dataset: Dataset) -> None:
    schema = bar_schema(dataset)
    assert schema.names[0] == dataset.key
    assert all(field.metadata[b"meaning"] for field in schema)
    assert [f.name for f in schema if f.nullable] == ["open", "turnover_rate"]


def test_bars_come_out_in_the_schema_and_sorted_by_key() -> None:
    early = bar_end(SESSION, time(9, 35))
    bars = sorted_bars(Dataset.KLINE, pa.concat_tables([table(), table(end_at=[early] * 2)]))
    assert bars.schema.equals(bar_schema(Dataset.KLINE), check_metadata=True)
    assert list(zip(bars["symbol"].to_pylist(), bars["end_at"].to_pylist(), strict=True)) == [
        ("000001.SZ", early),
        ("000001.SZ", bar_end(SESSION)),
        ("600519.SH", early),
        ("600519.SH", bar_end(SESSION)),
    ]


def test_sorting_twice_and_extra_columns_change_nothing() -> None:
    once = sorted_bars(Dataset.KLINE, table(extra=[1, 2]))
    assert sorted_bars(Dataset.KLINE, once).equals(once)


def test_a_table_without_rows_is_a_table_of_bars() -> None:
    assert sorted_bars(Dataset.KLINE, bar_schema(Dataset.KLINE).empty_table()).num_rows == 0


def test_bars_of_boards_are_keyed_by_board() -> None:
    boards = table().rename_columns({"symbol": "board"})
    assert sorted_bars(Dataset.BOARD_KLINE, boards).schema.names[0] == "board"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"close": [None, 1.0]}, "close"),
        ({"volume": [100.5, 1.0]}, "truncated"),
        ({"end_at": [bar_end(SESSION).replace(microsecond=3)] * 2}, "lose data"),
        ({"end_at": [datetime(2026, 1, 5, 15)] * 2}, "no time zone"),  # noqa: DTZ001
    ],
)
def test_values_that_do_not_fit_are_refused(columns: dict[str, list[object]], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sorted_bars(Dataset.KLINE, table(**columns))


@pytest.mark.parametrize("column", ["symbol", "close", "fetched_at"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(ValueError, match=column):
        sorted_bars(Dataset.KLINE, table().drop_columns(column))
