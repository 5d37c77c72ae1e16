"""Lake and warehouse keep one contract: the same bars after any writes, on every database."""

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select, text

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from storage.as_of import AsOf, replaced_bars
from storage.database import Database
from storage.lake import Lake
from storage.tables import kline_revision
from storage.verification import verify
from storage.warehouse import Warehouse, WriteCount
from tests.fixtures.bars import FIRST_FETCH, bars_of, daily_bar

SESSIONS = exchange_calendar().sessions_in(Window(date(2024, 12, 23), date(2025, 1, 10)))
MOUTAI, PINGAN = "600519.SH", "000001.SZ"


class Stores:
    """Both stores, written together."""

    def __init__(self, database: Database, root: Path) -> None:
        self.warehouse, self.lake = Warehouse(database), Lake(root)

    def write(self, rows: list[dict[str, Any]], dataset: Dataset = Dataset.KLINE) -> WriteCount:
        """Write to both; both must say the same of it."""
        bars = bars_of(rows, dataset)
        parts = self.lake.write(dataset, Period.DAILY, bars)
        count = self.warehouse.write_bars(dataset, Period.DAILY, bars)
        assert sum(p.inserted for p in parts) == count.inserted
        assert sum(p.updated for p in parts) == count.updated
        assert sum(p.unchanged for p in parts) == count.unchanged
        assert sum(p.revised for p in parts) == count.revised
        return count

    def bars(self, **wanted: Any) -> pa.Table:
        """What both hold; they must hold the same, to the last bit, ``fetched_at`` included."""
        in_lake = self.lake.read(Dataset.KLINE, Period.DAILY, **wanted)
        in_sql = self.warehouse.read_bars(Dataset.KLINE, Period.DAILY, **wanted)
        assert in_lake.schema == in_sql.schema
        assert in_lake.to_pylist() == in_sql.to_pylist()
        return in_lake


@pytest.fixture
def stores(database: Database, tmp_path: Path) -> Stores:
    """Empty stores."""
    return Stores(database, tmp_path / "lake")


def test_bars_come_back_as_they_were_written(stores: Stores) -> None:
    """Every value survives to the last bit, sorted by key."""
    rows = [
        daily_bar(s, d, close=0.1 + 0.2 + i)
        for s in (MOUTAI, PINGAN)
        for i, d in enumerate(SESSIONS)
    ]

    assert stores.write(rows) == WriteCount(len(rows), 0, 0, 0)

    expected = sorted(rows, key=lambda row: (str(row["symbol"]), row["end_at"]))
    assert stores.bars().to_pylist() == bars_of(expected).to_pylist()


def test_writing_twice_changes_nothing(stores: Stores) -> None:
    """Not even the file."""
    rows = [daily_bar(MOUTAI, d) for d in SESSIONS]
    stores.write(rows)
    files = {p: p.stat().st_mtime_ns for p in stores.lake.root.rglob("*.parquet")}

    assert stores.write(rows) == WriteCount(0, 0, len(rows), 0)
    assert stores.write(
        [{**r, "fetched_at": daily_bar(MOUTAI, SESSIONS[0], fetch=5)["fetched_at"]} for r in rows]
    ).unchanged == len(rows)
    assert {p: p.stat().st_mtime_ns for p in stores.lake.root.rglob("*.parquet")} == files


def test_a_final_bar_replaces_a_provisional_one_and_never_the_other_way(stores: Stores) -> None:
    """The state ranks before the time of the fetch."""
    noon = daily_bar(MOUTAI, SESSIONS[0], close=9.0, state="provisional", fetch=3)
    close = daily_bar(MOUTAI, SESSIONS[0], close=10.0, fetch=2)

    stores.write([noon])
    assert stores.write([close]) == WriteCount(0, 1, 0, 0)
    assert stores.write([noon]) == WriteCount(0, 0, 1, 0)

    assert stores.bars()["close"].to_pylist() == [10.0]


def test_a_provisional_bar_moves_with_every_fetch(stores: Stores) -> None:
    """The later of two provisional bars stands, in whatever order they arrive."""
    early = daily_bar(MOUTAI, SESSIONS[0], close=9.0, state="provisional", fetch=1)
    late = daily_bar(MOUTAI, SESSIONS[0], close=9.5, state="provisional", fetch=2)

    stores.write([late])
    assert stores.write([early]) == WriteCount(0, 0, 1, 0)

    assert stores.bars()["close"].to_pylist() == [9.5]


def test_a_final_bar_that_changes_is_kept_as_a_revision(stores: Stores, database: Database) -> None:
    """The old values are not lost."""
    stores.write([daily_bar(MOUTAI, SESSIONS[0], close=10.0)])

    assert stores.write([daily_bar(MOUTAI, SESSIONS[0], close=10.5, fetch=1)]).revised == 1

    with database.reading() as connection:
        old = connection.execute(select(kline_revision)).mappings().all()
    assert [(r["period"], r["close"], r["state"]) for r in old] == [("daily", 10.0, "final")]
    assert stores.bars()["close"].to_pylist() == [10.5]


def test_every_fetch_that_does_not_stand_is_kept_once(stores: Stores, database: Database) -> None:
    """In one write or in several, in time or too late; what agrees with what stands is not kept."""
    noon, two = (
        daily_bar(MOUTAI, SESSIONS[0], close=9.0 + n, state="provisional", fetch=n) for n in (1, 2)
    )
    close, again = (daily_bar(MOUTAI, SESSIONS[0], close=12.0, fetch=n) for n in (3, 4))

    stores.write([two, close, noon])
    stores.write([again, noon])
    stores.write([close, two])

    with database.reading() as connection:
        kept = connection.execute(select(kline_revision).order_by("fetched_at")).mappings().all()
    assert [(row["close"], row["state"]) for row in kept] == [
        (10.0, "provisional"),
        (11.0, "provisional"),
    ]
    assert stores.bars()["close"].to_pylist() == [12.0]


def test_a_bar_that_never_stood_is_not_among_those_that_gave_way(
    stores: Stores, database: Database
) -> None:
    """A provisional one fetched after the final one, by a machine whose clock is behind."""
    final = daily_bar(MOUTAI, SESSIONS[0], close=10.0, fetch=1)
    behind = daily_bar(MOUTAI, SESSIONS[0], close=9.0, state="provisional", fetch=2)
    stores.write([behind])
    stores.write([final])

    assert replaced_bars(stores.lake, database, Dataset.KLINE, Period.DAILY).num_rows == 0
    late = AsOf(stores.lake, database, FIRST_FETCH + timedelta(hours=3))
    assert late.read(Dataset.KLINE, Period.DAILY)["close"].to_pylist() == [10.0]


def test_bars_as_of_an_instant_are_those_fetched_by_then(
    stores: Stores, database: Database
) -> None:
    """That instant included; windows, names and columns select as they do of the present."""
    for fetch, (close, state) in enumerate(
        [(9.0, "provisional"), (10.0, "final"), (10.5, "final")]
    ):
        stores.write([daily_bar(s, d, close=close, state=state, fetch=fetch)
                      for s in (MOUTAI, PINGAN) for d in SESSIONS])  # fmt: skip
    day = Window(date(2024, 12, 31), date.max)

    for fetch, close in enumerate([9.0, 10.0, 10.5]):
        now = FIRST_FETCH + timedelta(hours=fetch)
        then = AsOf(stores.lake, database, now).read(
            Dataset.KLINE, Period.DAILY, names=[PINGAN], window=day, columns=["session", "close"]
        )
        assert then.column_names == ["session", "close"]
        assert then["session"].to_pylist() == [d for d in SESSIONS if d >= day.start]
        assert set(then["close"].to_pylist()) == {close}
    before = AsOf(stores.lake, database, FIRST_FETCH - timedelta(seconds=1))
    assert before.read(Dataset.KLINE, Period.DAILY).num_rows == 0
    replaced = replaced_bars(stores.lake, database, Dataset.KLINE, Period.DAILY, window=day)
    assert replaced.num_rows == 2 * 2 * sum(d >= day.start for d in SESSIONS)
    assert {row["replaced_at"] - row["fetched_at"] for row in replaced.to_pylist()} == {
        timedelta(hours=1)
    }


def test_boards_are_told_as_of_an_instant_too(stores: Stores, database: Database) -> None:
    """Their revisions do not mix with those of symbols that have the same number."""
    boards = Dataset.BOARD_KLINE
    stores.write([daily_bar(MOUTAI, SESSIONS[0])])
    for fetch in (0, 1):
        close = 100.0 + fetch
        rows = [daily_bar("BK0477", SESSIONS[0], close=close, fetch=fetch, dataset=boards)]
        stores.write(rows, boards)

    then = AsOf(stores.lake, database, FIRST_FETCH)
    assert then.read(boards, Period.DAILY)["close"].to_pylist() == [100.0]
    assert then.read(Dataset.KLINE, Period.DAILY)["close"].to_pylist() == [10.0]


def test_a_missing_value_never_replaces_a_known_one(stores: Stores) -> None:
    """An open that is not given again stays; the rest of the bar moves on."""
    stores.write([daily_bar(MOUTAI, SESSIONS[0], open=10.05)])
    stores.write(
        [
            daily_bar(
                MOUTAI,
                SESSIONS[0],
                open=None,
                turnover_rate=None,
                volume=200_000,
                amount=2e6,
                fetch=1,
            )
        ]
    )

    row = stores.bars().to_pylist()[0]
    assert (row["open"], row["turnover_rate"], row["volume"]) == (10.05, 1.5, 200_000)
    same = daily_bar(
        MOUTAI, SESSIONS[0], open=None, turnover_rate=None, volume=200_000, amount=2e6, fetch=2
    )
    assert stores.write([same]).unchanged == 1


def test_a_window_and_names_select_bars(stores: Stores) -> None:
    """Both ends of a window belong to it; it may cross a year."""
    stores.write([daily_bar(s, d) for s in (MOUTAI, PINGAN) for d in SESSIONS])

    bars = stores.bars(names=[PINGAN], window=Window(date(2024, 12, 31), date(2025, 1, 2)))

    assert bars["session"].to_pylist() == [date(2024, 12, 31), date(2025, 1, 2)]
    assert set(bars["symbol"].to_pylist()) == {PINGAN}
    assert stores.bars(names=["300750.SZ"]).num_rows == 0
    asked = (Dataset.KLINE, Period.DAILY)
    some = [
        each(*asked, names=[PINGAN], columns=("close", "session"))
        for each in (stores.lake.read, stores.warehouse.read_bars)
    ]
    assert some[0].to_pylist() == some[1].to_pylist()
    assert some[0].column_names == some[1].column_names == ["close", "session"]


def test_new_symbols_come_beside_those_that_are_held(stores: Stores) -> None:
    """Some rows meet others, some cannot: all are counted and kept, unknown values unknown."""
    stores.write([daily_bar(MOUTAI, d) for d in SESSIONS[:2]])

    count = stores.write(
        [
            daily_bar(MOUTAI, SESSIONS[1], close=11.0, fetch=1),
            daily_bar(MOUTAI, SESSIONS[2]),
            daily_bar(PINGAN, SESSIONS[0], turnover_rate=None, open=None),
            daily_bar(PINGAN, SESSIONS[2]),
        ]
    )

    assert count == WriteCount(inserted=3, updated=1, unchanged=0, revised=1)
    assert stores.bars(names=[PINGAN])["turnover_rate"].to_pylist() == [None, 1.5]
    assert stores.bars().num_rows == 5


def test_a_kept_connection_that_the_server_has_closed_is_not_used_again(
    database: Database, tmp_path: Path
) -> None:
    """A server that restarted costs nobody an error."""
    stores = Stores(database, tmp_path / "lake")
    stores.write([daily_bar(MOUTAI, SESSIONS[0])])
    if not database.is_sqlite:
        kept = "FROM pg_stat_activity WHERE datname = current_database()"
        kept += " AND pid <> pg_backend_pid()"
        with database.reading() as connection:
            assert list(connection.scalars(text(f"SELECT state {kept}"))) == ["idle"]
            connection.execute(text(f"SELECT pg_terminate_backend(pid) {kept}"))

    assert stores.bars().num_rows == 1


def test_boards_have_a_store_of_their_own(stores: Stores) -> None:
    """Board klines do not mix with those of symbols."""
    rows = [daily_bar("BK0477", SESSIONS[0], close=49_553.72, dataset=Dataset.BOARD_KLINE)]
    stores.write(rows, Dataset.BOARD_KLINE)

    assert stores.bars().num_rows == 0
    assert stores.warehouse.read_bars(Dataset.BOARD_KLINE, Period.DAILY).to_pylist() == rows
    assert stores.lake.read(Dataset.BOARD_KLINE, Period.DAILY).to_pylist() == rows


def test_any_order_and_repetition_of_fetches_gives_the_same_store(
    database: Database, tmp_path: Path, seed: int
) -> None:
    """Overlapping fetches of one truth, shuffled and repeated: the same stand and are kept."""
    rng = random.Random(seed)
    fetches = []
    for number in range(12):
        first = rng.randrange(len(SESSIONS))
        span = SESSIONS[first : first + 6]
        done = {d: number > rng.randrange(4) or i < len(span) - 1 for i, d in enumerate(span)}
        fetches.append(
            [
                daily_bar(
                    MOUTAI,
                    d,
                    close=10.0 + SESSIONS.index(d) if done[d] else 9.0 + number,
                    state="final" if done[d] else "provisional",
                    fetch=number,
                )
                for d in span
            ]
        )
    held = []
    for turn in range(3):
        order = fetches * 2
        rng.shuffle(order)
        stores = Stores(database, tmp_path / f"lake{turn}")
        with database.writing() as connection:
            connection.execute(text("DELETE FROM kline_daily"))
            connection.execute(text("DELETE FROM kline_revision"))
        for rows in order:
            stores.write(rows)
        replaced = replaced_bars(stores.lake, database, Dataset.KLINE, Period.DAILY)
        assert replaced.num_rows > 0
        held.append([*stores.bars().to_pylist(), *replaced.to_pylist()])
    assert held[0] == held[1] == held[2]


def test_verify_finds_equal_stores_equal_and_names_the_partition_that_is_not(
    stores: Stores, database: Database
) -> None:
    """Counts and content are compared for each partition, both ways."""
    stores.write([daily_bar(s, d) for s in (MOUTAI, PINGAN) for d in SESSIONS])
    checks = verify(stores.lake, stores.warehouse)
    assert [(c.partition, c.equal) for c in checks] == [("2024", True), ("2025", True)]
    assert sum(c.lake_rows for c in checks) == 2 * len(SESSIONS)

    with database.writing() as connection:
        connection.execute(
            text("UPDATE kline_daily SET volume = volume + 1 WHERE session < '2025-01-01'")
        )
        connection.execute(text("DELETE FROM kline_daily WHERE session = '2025-01-02'"))
    problems = {c.partition: c.problem for c in verify(stores.lake, stores.warehouse)}

    assert "not the same ones" in str(problems["2024"])
    assert "bars in Parquet" in str(problems["2025"])


def test_verify_reports_a_corrupt_file_and_goes_on(stores: Stores) -> None:
    """One unreadable partition does not hide the state of the others."""
    stores.write([daily_bar(MOUTAI, d) for d in SESSIONS])
    broken = stores.lake.root / "kline/period=daily/year=2024/kline.parquet"
    broken.write_bytes(b"not parquet")

    checks = {c.partition: c for c in verify(stores.lake, stores.warehouse)}

    assert "no readable Parquet file" in str(checks["2024"].problem)
    assert checks["2025"].equal


def test_the_views_show_codes_and_shanghai_time(stores: Stores, database: Database) -> None:
    """People read symbols and clock time, not ids and epoch seconds."""
    stores.write([daily_bar(MOUTAI, SESSIONS[0])])
    with database.reading() as connection:
        row = connection.execute(text("SELECT symbol, end_at, close FROM v_kline_daily")).one()

    assert (row.symbol, str(row.end_at), row.close) == (MOUTAI, "2024-12-23 15:00:00", 10.0)
