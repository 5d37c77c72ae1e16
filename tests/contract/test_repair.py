"""Repair makes both stores the same again, asks no upstream, and lets nothing be forgotten."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import text

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, bar_end, exchange_calendar
from storage.coverage import Coverage, extend_coverage, forget_coverage, read_coverage
from storage.database import Database
from storage.lake import Lake, Partition
from storage.repair import PartitionRepair, repair_partition
from storage.verification import find_lost, verify
from storage.warehouse import Warehouse
from tests.fixtures.bars import bars_of, daily_bar

MOUTAI, PINGAN = "600519.SH", "000001.SZ"
SESSIONS = exchange_calendar().sessions_in(Window(date(2024, 12, 23), date(2025, 1, 10)))
MONDAY = date(2025, 12, 29)


class Stores:
    """Lake, warehouse and coverage of one installation."""

    def __init__(self, database: Database, root: Path) -> None:
        self.database, self.lake, self.warehouse = database, Lake(root), Warehouse(database)

    def write(self, rows: list[dict[str, Any]], period: Period = Period.DAILY) -> None:
        """Write to both, and call the sessions covered."""
        bars = bars_of(rows)
        self.lake.write(Dataset.KLINE, period, bars)
        self.warehouse.write_bars(Dataset.KLINE, period, bars)
        for name in sorted({str(row["symbol"]) for row in rows}):
            days = sorted(row["session"] for row in rows if row["symbol"] == name)
            with self.database.writing() as connection:
                extend_coverage(
                    connection, "kline", period.value, name, (days[0], days[-1]), "run1"
                )

    def repair(self) -> list[PartitionRepair]:
        """Repair whatever differs."""
        checks = verify(self.lake, self.warehouse)
        checks += find_lost(self.lake, self.warehouse, self.database)
        return [
            repair_partition(self.lake, self.warehouse, self.database, check)
            for check in checks
            if not check.equal
        ]

    def differing(self) -> list[str]:
        """Names of the partitions that differ or are lost."""
        checks = verify(self.lake, self.warehouse)
        checks += find_lost(self.lake, self.warehouse, self.database)
        return [check.partition for check in checks if not check.equal]

    def covered(self, period: Period = Period.DAILY) -> dict[str, Coverage]:
        """Coverage by symbol."""
        return read_coverage(self.database, "kline", period.value)

    def file(self, name: str, period: Period = Period.DAILY) -> Path:
        """Where a partition lies."""
        return self.lake.root / Partition(Dataset.KLINE, period, name).path


@pytest.fixture
def stores(database: Database, tmp_path: Path) -> Stores:
    """Two symbols over a turn of the year in both stores."""
    stores = Stores(database, tmp_path / "lake")
    stores.write([daily_bar(name, day) for name in (MOUTAI, PINGAN) for day in SESSIONS])
    return stores


def minutes(day: date) -> list[dict[str, Any]]:
    """A 5m bar of a session."""
    return [daily_bar(MOUTAI, day, end_at=bar_end(day))]


def test_a_corrupt_file_is_kept_out_of_sight_and_rebuilt_from_sql(stores: Stores) -> None:
    """The rebuilt file is the old one to the last bar; readers do not see the other."""
    file = stores.file("2025")
    before = stores.lake.read(Dataset.KLINE, Period.DAILY).to_pylist()
    file.write_bytes(b"rotten")

    (repair,) = stores.repair()

    assert (repair.partition, repair.into_sql, repair.problem) == ("2025", 0, None)
    assert repair.into_lake == sum(1 for row in before if row["session"].year == 2025)
    assert stores.lake.read(Dataset.KLINE, Period.DAILY).to_pylist() == before
    assert stores.differing() == []
    assert repair.kept is not None
    assert Path(repair.kept).read_bytes() == b"rotten"
    assert Path(repair.kept).name.startswith(".kline.parquet.corrupt-")
    assert len(pd.read_parquet(stores.lake.root / "kline/period=daily")) == len(before)
    assert stores.repair() == []


@pytest.mark.parametrize(
    "lose",
    [lambda file: file.unlink(), lambda file: (file.unlink(), file.parent.rmdir())],
    ids=["file", "folder"],
)
def test_a_file_that_is_gone_comes_back_from_sql_and_its_coverage_stays(
    stores: Stores, lose: Callable[[Path], object]
) -> None:
    """Nothing needs to be fetched for it."""
    covered = stores.covered()
    lose(stores.file("2024"))

    (repair,) = stores.repair()

    assert (repair.partition, repair.sessions, repair.problem) == ("2024", (), None)
    assert stores.differing() == []
    assert stores.covered() == covered


def test_bars_that_sql_lost_come_back_from_the_lake(stores: Stores) -> None:
    """A database that was moved away is filled again."""
    with stores.database.writing() as connection:
        connection.execute(text("DELETE FROM kline_daily"))

    repairs = stores.repair()

    assert sum(repair.into_sql for repair in repairs) == 2 * len(SESSIONS)
    assert sum(repair.into_lake for repair in repairs) == 0
    assert stores.differing() == []


def test_stores_that_each_know_more_end_with_what_both_know(stores: Stores) -> None:
    """The later fetch stands in both, whichever store has it."""
    newer = [daily_bar(MOUTAI, SESSIONS[0], close=11.0, fetch=1)]
    stores.lake.write(Dataset.KLINE, Period.DAILY, bars_of(newer))
    other = [daily_bar(PINGAN, SESSIONS[0], close=12.0, fetch=1)]
    stores.warehouse.write_bars(Dataset.KLINE, Period.DAILY, bars_of(other))

    (repair,) = stores.repair()

    assert (repair.into_lake, repair.into_sql, repair.problem) == (1, 1, None)
    assert stores.differing() == []
    closes = stores.lake.read(
        Dataset.KLINE, Period.DAILY, window=Window(SESSIONS[0], SESSIONS[0]), columns=["close"]
    )
    assert closes["close"].to_pylist() == [12.0, 11.0]


def test_what_the_merge_cannot_settle_is_said_and_will_be_fetched_again(stores: Stores) -> None:
    """Same instant, other values: only the upstream knows; the next fetch stands in both."""
    with stores.database.writing() as connection:
        connection.execute(
            text("UPDATE kline_daily SET volume = volume + 1 WHERE session = '2025-01-06'")
        )

    (repair,) = stores.repair()

    assert "not the same ones" in str(repair.problem)
    assert (repair.sessions, repair.series) == ((date(2025, 1, 6),), 2)
    missing = stores.covered()[MOUTAI].missing(
        Window(SESSIONS[0], SESSIONS[-1]), exchange_calendar()
    )
    assert missing == Window(date(2025, 1, 6), date(2025, 1, 6))
    stores.write([daily_bar(name, date(2025, 1, 6), fetch=9) for name in (MOUTAI, PINGAN)])
    assert stores.differing() == []


def test_minutes_that_neither_store_holds_lose_their_coverage(stores: Stores) -> None:
    """The file is moved away, SQL has dropped its bars: only then is a session fetched again."""
    days = exchange_calendar().sessions_in(Window(MONDAY, date(2025, 12, 31)))
    stores.write([row for day in days for row in minutes(day)], Period.M5)
    stores.warehouse.drop_minutes_before(date(2026, 1, 1))
    stores.file(days[1].isoformat(), Period.M5).rename(stores.lake.root / "moved")
    assert days[1].isoformat() in stores.differing()

    repairs = {repair.partition: repair for repair in stores.repair()}

    assert repairs[days[1].isoformat()].sessions == (days[1],)
    assert stores.covered(Period.M5)[MOUTAI].ranges == (
        Window(days[0], days[0]),
        Window(days[2], days[2]),
    )
    assert stores.differing() == []


def test_a_corrupt_file_of_minutes_that_sql_dropped_loses_its_coverage(stores: Stores) -> None:
    """Set aside at once with the coverage: a later look could not tell that it was ever there."""
    stores.write(minutes(MONDAY), Period.M5)
    stores.warehouse.drop_minutes_before(date(2026, 1, 1))
    stores.file(MONDAY.isoformat(), Period.M5).write_bytes(b"rotten")

    (repair,) = stores.repair()

    assert (repair.sessions, repair.problem, repair.into_lake) == ((MONDAY,), None, 0)
    assert stores.covered(Period.M5) == {}
    assert stores.differing() == []


def test_a_year_without_a_trade_is_not_taken_for_a_lost_one(stores: Stores) -> None:
    """Coverage of years before a listing needs no file."""
    with stores.database.writing() as connection:
        extend_coverage(
            connection, "kline", "daily", MOUTAI, (date(2020, 1, 2), SESSIONS[-1]), "run1"
        )

    assert stores.differing() == []
    assert stores.repair() == []


def test_a_lake_that_is_gone_whole_is_lost_where_sql_holds_nothing(stores: Stores) -> None:
    """Nothing is left that could show which files there were."""
    stores.write(minutes(MONDAY), Period.M5)
    stores.warehouse.drop_minutes_before(date(2026, 1, 1))
    stores.lake.root.rename(stores.lake.root.with_name("moved"))

    assert stores.differing() == ["2024", "2025", MONDAY.isoformat()]
    stores.repair()

    assert stores.differing() == []
    assert stores.covered(Period.M5) == {}


def test_forgotten_sessions_leave_the_rest_of_every_range(database: Database) -> None:
    """Ranges are cut at sessions; a range that loses all is gone; other periods stay."""
    with database.writing() as connection:
        for name, period, start, end in (
            (MOUTAI, "5m", SESSIONS[0], SESSIONS[-1]),
            (PINGAN, "5m", SESSIONS[2], SESSIONS[3]),
            (MOUTAI, "daily", SESSIONS[0], SESSIONS[-1]),
        ):
            extend_coverage(connection, "kline", period, name, (start, end), "run1")

    assert forget_coverage(database, "kline", "5m", [SESSIONS[2], SESSIONS[3], SESSIONS[5]]) == 2
    assert forget_coverage(database, "kline", "5m", [SESSIONS[2], SESSIONS[3], SESSIONS[5]]) == 0

    left = read_coverage(database, "kline", "5m")
    assert left.keys() == {MOUTAI}
    assert left[MOUTAI].ranges == (
        Window(SESSIONS[0], SESSIONS[1]),
        Window(SESSIONS[4], SESSIONS[4]),
        Window(SESSIONS[6], SESSIONS[-1]),
    )
    assert read_coverage(database, "kline", "daily")[MOUTAI].watermark == SESSIONS[-1]
