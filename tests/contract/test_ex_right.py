"""Ex-rights in SQL and in the lake: append-only, corrected by newer records, on every database."""

import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, text

from market.adjustments import Adjustment, AdjustMethod, ExRight
from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from storage.adjusting import adjust
from storage.coverage import extend_coverage, read_coverage
from storage.database import Database
from storage.errors import CorruptFileError
from storage.ex_right import EX_RIGHT_FILE, EX_RIGHT_SCHEMA, ExRights, read_lake_ex_rights
from storage.ex_right_coverage import vouch
from storage.ex_right_tables import ex_right
from storage.lake import Lake
from storage.queries import klines
from storage.warehouse import Warehouse
from tests.fixtures.bars import bars_of, daily_bar

SESSIONS = exchange_calendar().sessions_in(Window(date(2024, 6, 3), date(2024, 6, 28)))
LONGI, MOUTAI = "601012.SH", "600519.SH"
SPLIT = ExRight(LONGI, SESSIONS[3], 20.0, bonus=1.0)
CASH = ExRight(LONGI, SESSIONS[8], 12.0, cash=0.5)
FOREIGN = ExRight(MOUTAI, SESSIONS[8], 1500.0, cash=24.0)


@pytest.fixture
def store(database: Database, tmp_path: Path) -> ExRights:
    """An empty store."""
    return ExRights(database, tmp_path / "lake")


def record(store: ExRights, events: list[ExRight], **more: Any) -> int:
    return store.record(events, source="test", run_id="run", **more)


def rows(database: Database) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(select(ex_right).order_by(ex_right.c.id)))


def test_recording_twice_adds_nothing_and_leaves_the_file_alone(
    store: ExRights, database: Database
) -> None:
    assert record(store, [SPLIT, CASH, FOREIGN]) == 3
    written = store.path.stat().st_mtime_ns

    assert record(store, [CASH, SPLIT], whole=[LONGI]) == 0

    assert store.read() == [FOREIGN, SPLIT, CASH]
    assert store.read([LONGI]) == [SPLIT, CASH]
    assert [(r.source, r.run_id) for r in rows(database)] == [("test", "run")] * 3
    assert store.path.stat().st_mtime_ns == written


def test_a_corrected_event_supersedes_and_the_old_one_stays(
    store: ExRights, database: Database
) -> None:
    """What was known at an earlier instant can be read for ever."""
    record(store, [SPLIT, CASH])
    then = datetime.fromtimestamp(rows(database)[-1].recorded_at, UTC)
    corrected = ExRight(LONGI, SESSIONS[8], 12.0, cash=0.6)
    time.sleep(0.01)  # SQLite's clock counts milliseconds

    assert record(store, [corrected]) == 1

    assert store.read([LONGI]) == [SPLIT, corrected]
    assert store.read([LONGI], as_of=then) == [SPLIT, CASH]
    assert [row.cash for row in rows(database)] == [0.0, 0.5, 0.6]


def test_an_event_that_a_whole_answer_lacks_is_withdrawn(
    store: ExRights, database: Database
) -> None:
    """By a newer record; other symbols, and symbols that were not asked for, keep theirs."""
    record(store, [SPLIT, CASH, FOREIGN])

    assert record(store, [SPLIT]) == 0
    assert store.read([LONGI]) == [SPLIT, CASH]
    assert record(store, [SPLIT], whole=[LONGI]) == 1
    assert record(store, [SPLIT], whole=[LONGI]) == 0

    assert store.read() == [FOREIGN, SPLIT]
    assert len(rows(database)) == 4
    assert read_lake_ex_rights(store.path.parents[1]) == [FOREIGN, SPLIT]
    assert record(store, [SPLIT, CASH]) == 1
    assert store.read([LONGI]) == [SPLIT, CASH]


def test_two_events_of_one_day_are_kept_as_one(store: ExRights, database: Database) -> None:
    more = ExRight(LONGI, SESSIONS[8], 12.0, bonus=0.2)
    record(store, [CASH, more])
    assert len(rows(database)) == 1
    assert store.read() == [ExRight(LONGI, SESSIONS[8], 12.0, cash=0.5, bonus=0.2)]


def test_writers_at_the_same_moment_record_each_event_once(
    store: ExRights, database: Database
) -> None:
    threads = [threading.Thread(target=record, args=(store, [SPLIT, CASH])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(database)) == 2


def test_the_lake_holds_what_is_valid_for_readers_without_the_database(store: ExRights) -> None:
    record(store, [SPLIT, CASH, FOREIGN])
    lake = store.path.parents[1]

    assert store.path == lake / EX_RIGHT_FILE
    table = pq.read_table(store.path)
    assert table.schema.equals(EX_RIGHT_SCHEMA)
    assert table["factor"].to_pylist() == [1500 / 1476, 2.0, 12 / 11.5]
    assert read_lake_ex_rights(lake, [LONGI]) == store.read([LONGI])
    assert read_lake_ex_rights(lake / "elsewhere") == []

    store.path.write_bytes(b"no parquet")
    with pytest.raises(CorruptFileError, match=r"ex_right\.parquet is no readable Parquet"):
        read_lake_ex_rights(lake)
    store.export()
    assert read_lake_ex_rights(lake) == [FOREIGN, SPLIT, CASH]


@pytest.mark.parametrize("adjustment", [Adjustment.QFQ, Adjustment.HFQ])
def test_sql_views_give_what_reading_in_python_gives(
    store: ExRights, database: Database, adjustment: Adjustment
) -> None:
    """To the last bit, before and after a correction; bars without events stay raw."""
    prices = [20.0 + i / 7 for i in range(len(SESSIONS))]
    bars = bars_of(
        [
            daily_bar(name, day, close=price)
            for name in (LONGI, MOUTAI, "000001.SZ")
            for day, price in zip(SESSIONS, prices, strict=True)
        ]
    )
    Warehouse(database).write_bars(Dataset.KLINE, Period.DAILY, bars)
    lake = Lake(store.path.parents[1])
    lake.write(Dataset.KLINE, Period.DAILY, bars)
    query = text(
        "SELECT symbol, session, open, high, low, close, volume FROM "
        f"v_kline_daily_{adjustment.value} ORDER BY symbol, session"
    )
    for events in ([SPLIT, CASH, FOREIGN], [ExRight(LONGI, SESSIONS[8], 12.0, cash=0.6)]):
        record(store, events)
        with database.reading() as connection:
            seen = [tuple(row)[2:] for row in connection.execute(query)]
        wanted = adjust(lake.read(Dataset.KLINE, Period.DAILY), store.read(), adjustment)
        columns = [wanted[name].to_pylist() for name in ("open", "high", "low", "close", "volume")]
        for mine, theirs in zip(seen, zip(*columns, strict=True), strict=True):
            assert mine == pytest.approx(theirs, rel=1e-14)
        assert len({row[3] for row in seen}) > len(prices)


def test_klines_are_adjusted_on_read_and_the_files_stay_as_they_are(store: ExRights) -> None:
    """The forward prices' anchor is the newest event, whatever window is read."""
    lake = Lake(store.path.parents[1])
    rows_ = [daily_bar(LONGI, day, close=20.0 if i < 3 else 10.0) for i, day in enumerate(SESSIONS)]
    lake.write(Dataset.KLINE, Period.DAILY, bars_of(rows_))
    files = {path: path.read_bytes() for path in lake.root.rglob("kline.parquet")}

    def read(**more: Any) -> list[float]:
        return klines(lake, LONGI, Period.DAILY, **more)["close"].to_pylist()  # type: ignore[no-any-return]

    before = read(adjust=Adjustment.QFQ)
    record(store, [SPLIT])
    window = Window(SESSIONS[0], SESSIONS[1])

    assert before == read() == [20.0] * 3 + [10.0] * (len(SESSIONS) - 3)
    assert read(adjust=Adjustment.QFQ) == [10.0] * len(SESSIONS)
    assert read(adjust=Adjustment.HFQ) == [20.0] * len(SESSIONS)
    assert read(adjust=Adjustment.QFQ, window=window) == [10.0, 10.0]
    assert read(adjust=Adjustment.QFQ, method=AdjustMethod.EASTMONEY, window=window) == [10, 10]
    assert read(adjust=Adjustment.QFQ, events=[]) == before
    names = klines(lake, LONGI, Period.DAILY, adjust=Adjustment.QFQ).column_names
    assert names == ["end_at", "open", "high", "low", "close", "volume", "amount"]
    assert {path: path.read_bytes() for path in lake.root.rglob("kline.parquet")} == files


def test_a_list_extends_what_is_known_and_makes_nothing_known_that_was_never_asked(
    database: Database,
) -> None:
    """Neither does it take back what is known further, nor touch the coverage of bars."""
    until = {LONGI: SESSIONS[3], MOUTAI: SESSIONS[9]}
    with database.writing() as connection:
        for name, last in until.items():
            for dataset, period in (("ex_right", "session"), ("kline", "daily")):
                proven = (SESSIONS[0], last)
                extend_coverage(connection, dataset, period, name, proven, "run")

    vouch(database, [LONGI, MOUTAI, "000001.SZ"], SESSIONS[5])

    known = read_coverage(database, "ex_right", "session")
    assert {n: c.ranges[-1].end for n, c in known.items()} == {
        LONGI: SESSIONS[5],
        MOUTAI: SESSIONS[9],
    }
    bars = read_coverage(database, "kline", "daily")
    assert {n: c.ranges[-1].end for n, c in bars.items()} == until
