"""The benchmarks of the stores walk every step; what they time here says nothing."""

from pathlib import Path

import pytest

from market.bars import Dataset
from market.periods import Period
from pipeline.bench.figures import Section
from pipeline.bench.reads import WHAT
from pipeline.bench.sections import Bench, measure
from storage.database import Database
from storage.lake import Lake
from storage.verification import verify
from storage.warehouse import Warehouse

SYMBOLS, SESSIONS, TICKS, PREFILLED = 40, 30, 6, 2
_PER_SESSION = 48


def quick(name: str, folder: Path) -> Section:
    """The tiny size of a benchmark; none of its steps left out."""
    pytest.importorskip("pgserver", reason="pgserver, which brings a PostgreSQL, is not installed")
    section = measure(name, Bench(folder, seed=7, quick=True, say=lambda _: None))
    assert section.missing == []
    assert all(each.value > 0 and each.reference > 0 for each in section.figures)
    return section


def test_the_storage_benchmark_fills_equal_stores_and_reads_them(tmp_path: Path) -> None:
    """Each figure's work counts what it wrote or read; what is left behind is looked at here."""
    section = quick("storage", tmp_path)

    names = [each.name for each in section.figures]
    for store in ("lake", "SQLite", "PostgreSQL"):
        wanted = {f"{store} backfill", f"{store}: the last 5-minute increment"}
        wanted |= {f"{store} backfill: peak memory"}
        wanted |= {f"{store}: that increment again, nothing changes"}
        wanted |= {f"{store}: {what}" for what in WHAT.values()}
        assert wanted < set(names)
    assert len(names) == len(set(names)) == 3 * 9

    lake = Lake(tmp_path / "embedded" / "lake")
    database = Database(f"sqlite:///{tmp_path / 'embedded' / 'quantsync.db'}")
    checks = verify(lake, Warehouse(database))
    database.dispose()
    assert [check.problem for check in checks if not check.equal] == []
    daily = lake.read(Dataset.KLINE, Period.DAILY, columns=["symbol"])
    assert daily.num_rows == SYMBOLS * SESSIONS
    minutes = lake.read(Dataset.KLINE, Period.M5, columns=["symbol"])
    assert minutes.num_rows == SYMBOLS * (PREFILLED * _PER_SESSION + TICKS)


def test_every_other_way_stores_all_bars(tmp_path: Path) -> None:
    """Files by symbol, to_sql, iterrows: each is counted after it was written."""
    names = [each.name for each in quick("peers", tmp_path).figures]

    assert names == [
        "one Parquet file per symbol",
        "SQLite: pandas to_sql",
        "SQLite: iterrows with ORM upserts",
        "PostgreSQL: pandas to_sql",
        "PostgreSQL: iterrows with ORM upserts",
    ]
