"""Recorded half-formed bars and the final ones of the same day, in both stores, on every database.

``TEST_MARKET_DATA`` names the folder of the whole recordings, of which excerpts are always read.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest.validation import bar_states, validate_bars
from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import Window, bar_end, exchange_calendar
from market.symbols import parse_symbol
from storage.as_of import AsOf, replaced_bars
from storage.database import Database
from storage.lake import Lake
from storage.queries import klines
from storage.warehouse import Warehouse, WriteCount
from tests.fixtures.bars import bars_of

EXCERPTS = Path(__file__).parents[1] / "data" / "partial_bars"
DAILY = (Dataset.KLINE, Period.DAILY)
COLUMNS = {"open": "开盘", "high": "最高", "low": "最低", "close": "收盘"}
VALUES = (*COLUMNS, "volume", "amount", "turnover_rate")
NOON, EVENING = time(12, 23), time(16, 0)

Row = dict[str, Any]


@pytest.fixture(params=["excerpt", "whole"])
def recording(request: pytest.FixtureRequest) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rows of noon and close of 2025-12-31, and of bars frozen in 2025 beside the final ones."""
    if request.param == "excerpt":
        files = EXCERPTS / "noon_vs_close_20251231.csv", EXCERPTS / "frozen_2025.csv"
    else:
        folder: Path = request.getfixturevalue("recorded_market") / "dirty"
        files = (
            folder / "partial_bar_20251231_noon_vs_close.csv",
            folder / "frozen_partial_bars_2025.csv",
        )
    noon, frozen = map(_rows, files)
    return noon, frozen


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as text:
        return list(csv.DictReader(text))


def bars(rows: list[dict[str, str]], suffix: str, clock: time, *, days_later: int = 0) -> pa.Table:
    """One side of a recording, as it would have been fetched at a time of its day."""
    return bars_of(list(_bars(rows, suffix, clock, days_later)))


def _bars(
    rows: list[dict[str, str]], suffix: str, clock: time, days_later: int
) -> Iterator[dict[str, object]]:
    calendar = exchange_calendar()
    for row in rows:
        session = date.fromisoformat(row["日期"])
        asked = datetime.combine(calendar.offset(session, days_later), clock, EXCHANGE_TZ)
        end = pa.chunked_array([pa.array([bar_end(session)], pa.timestamp("s", "Asia/Shanghai"))])
        rate = row.get(f"换手率{suffix}")
        yield {
            "symbol": str(parse_symbol(row["股票代码"])),
            "session": session,
            "end_at": bar_end(session),
            **{ours: float(row[theirs + suffix]) for ours, theirs in COLUMNS.items()},
            "volume": 100 * int(row[f"成交量{suffix}"]),
            "amount": float(row[f"成交额{suffix}"]),
            "turnover_rate": None if rate is None else float(rate),
            "state": bar_states(end, asked).to_pylist()[0],
            "source": "eastmoney",
            "fetched_at": asked.astimezone(UTC),
        }


class Stores:
    """Both stores, written together."""

    def __init__(self, database: Database, root: Path) -> None:
        self.database, self.lake = database, Lake(root)
        self.warehouse = Warehouse(database)

    def write(self, fetched: pa.Table) -> WriteCount:
        """Write what keeps every invariant, which must be all."""
        verdict = validate_bars(*DAILY, fetched, exchange_calendar())
        assert verdict.reasons == {}
        self.lake.write(*DAILY, verdict.accepted)
        return self.warehouse.write_bars(*DAILY, verdict.accepted)

    def held(self) -> list[Row]:
        """What both hold, which must be the same."""
        rows: list[Row] = self.lake.read(*DAILY).to_pylist()
        assert self.warehouse.read_bars(*DAILY).to_pylist() == rows
        return rows

    def replaced(self) -> list[Row]:
        """The bars that gave way."""
        rows: list[Row] = replaced_bars(self.lake, self.database, *DAILY).to_pylist()
        return rows


@pytest.fixture
def stores(database: Database, tmp_path: Path) -> Stores:
    """Empty stores."""
    return Stores(database, tmp_path / "lake")


def values(rows: list[Row]) -> dict[tuple[str, date], list[object]]:
    """The values of bars, by symbol and session."""
    return {(row["symbol"], row["session"]): [row[name] for name in VALUES] for row in rows}


def test_noon_bars_give_way_to_closing_ones_and_are_kept(
    stores: Stores, recording: tuple[list[dict[str, str]], list[dict[str, str]]]
) -> None:
    """Never is a noon value read as final; as of noon it is what was known. In either order."""
    rows, _ = recording
    noon, close = bars(rows, "_1223", NOON), bars(rows, "_close", EVENING)

    assert stores.write(noon) == WriteCount(len(rows), 0, 0, 0)
    assert {row["state"] for row in stores.held()} == {"provisional"}
    assert stores.write(close) == WriteCount(0, len(rows), 0, 0)
    assert stores.write(noon).unchanged == len(rows)  # a message that was delivered again

    held = stores.held()
    assert {row["state"] for row in held} == {"final"}
    assert values(held) == values(close.to_pylist())
    replaced = stores.replaced()
    assert {row["state"] for row in replaced} == {"provisional"}
    assert len(replaced) == len(rows)
    assert values(replaced) == values(noon.to_pylist())
    lunch = datetime(2025, 12, 31, 12, 30, tzinfo=EXCHANGE_TZ)
    assert values(AsOf(stores.lake, stores.database, lunch).read(*DAILY).to_pylist()) == values(
        noon.to_pylist()
    )


def test_a_noon_bar_that_comes_after_the_closing_one_is_kept_and_not_read(
    stores: Stores, recording: tuple[list[dict[str, str]], list[dict[str, str]]]
) -> None:
    """A worker that was slow: what stands and what is kept are the same as in the order of time."""
    rows, _ = recording
    noon, close = bars(rows, "_1223", NOON), bars(rows, "_close", EVENING)

    stores.write(close)
    assert stores.write(noon) == WriteCount(0, 0, len(rows), 0)

    assert values(stores.held()) == values(close.to_pylist())
    assert values(stores.replaced()) == values(noon.to_pylist())


def test_a_frozen_bar_is_replaced_when_the_final_one_arrives(
    stores: Stores, recording: tuple[list[dict[str, str]], list[dict[str, str]]]
) -> None:
    """Fetched while it was half formed and left so: the next session's fetch puts it right."""
    _, rows = recording
    frozen = bars(rows, "_frozen", NOON)
    final = bars(rows, "_final", EVENING, days_later=1)

    stores.write(frozen)
    assert {row["state"] for row in stores.held()} == {"provisional"}
    assert stores.write(final).updated == len(rows)

    assert values(stores.held()) == values(final.to_pylist())
    assert len(stores.replaced()) == len(rows)


def test_a_frozen_bar_that_claims_to_be_final_is_a_revision(
    stores: Stores, recording: tuple[list[dict[str, str]], list[dict[str, str]]]
) -> None:
    """Taken over from a store that knew no states: each one that differs is counted and kept."""
    _, rows = recording
    wrong = bars(rows, "_frozen", EVENING)
    final = bars(rows, "_final", EVENING, days_later=1)

    stores.write(wrong)
    assert {row["state"] for row in stores.held()} == {"final"}
    assert stores.write(final) == WriteCount(0, len(rows), 0, len(rows))

    assert values(stores.held()) == values(final.to_pylist())
    assert {row["state"] for row in stores.replaced()} == {"final"}


def test_a_week_with_a_noon_bar_in_it_is_provisional_until_the_close(
    stores: Stores, recording: tuple[list[dict[str, str]], list[dict[str, str]]]
) -> None:
    """Aggregated on read, so it moves with its parts; as of noon it is the noon's."""
    rows, _ = recording
    noon, close = bars(rows, "_1223", NOON), bars(rows, "_close", EVENING)
    stores.write(noon)
    stores.write(close)
    lunch = AsOf(stores.lake, stores.database, datetime(2025, 12, 31, 12, 30, tzinfo=EXCHANGE_TZ))
    day = Window(date(2025, 12, 31), date(2025, 12, 31))

    def weekly(reader: Any) -> list[Row]:
        found: list[Row] = klines(
            reader, "000001.SZ", Period.WEEKLY, window=day, columns=("close", "volume", "state")
        ).to_pylist()
        return found

    assert weekly(stores.lake) == [
        {"close": 11.41, "volume": 59_062_000, "state": "provisional"}  # Monday is not held
    ]
    assert weekly(lunch) == [{"close": 11.42, "volume": 32_923_700, "state": "provisional"}]
