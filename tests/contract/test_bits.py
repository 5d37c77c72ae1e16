"""Rot in the lake is told from rewriting, whatever byte it hits and whenever a writer died."""

import os
import shutil
import signal
import threading
from datetime import date, time
from pathlib import Path

import pyarrow as pa
import pytest

from market.adjustments import ExRight
from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, bar_end, exchange_calendar
from storage.bits import BitCheck, FileState
from storage.database import Database
from storage.ex_right import ExRights
from storage.hashing import hash_file
from storage.killpoints import KillPoint, arm
from storage.lake import Lake, Partition
from storage.lake_manifest import LakeManifest
from storage.manifest_tables import lake_file
from storage.minute_retention import drop_minutes, sql_minutes_from
from storage.snapshots import Snapshots
from storage.verification import find_lost, verify
from storage.warehouse import Warehouse
from tests.fixtures.bars import bars_of, daily_bar

MOUTAI = "600519.SH"
DAYS = exchange_calendar().sessions_in(Window(date(2024, 12, 23), date(2025, 1, 10)))
LATER = exchange_calendar().sessions_in(Window(date(2025, 12, 29), date(2025, 12, 31)))


class Stores:
    """Lake with its manifest, and SQL, of one installation."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.manifest = LakeManifest(lambda: database, folder / "lake")
        self.lake = Lake(folder / "lake", manifest=self.manifest)
        self.warehouse = Warehouse(self.database)

    def write(self, *days: date, close: float = 10.0, fetch: int = 0) -> None:
        """Daily bars into both."""
        bars = bars_of([daily_bar(MOUTAI, day, close=close, fetch=fetch) for day in days])
        self.lake.write(Dataset.KLINE, Period.DAILY, bars)
        self.warehouse.write_bars(Dataset.KLINE, Period.DAILY, bars)

    def write_minutes(self, *days: date) -> None:
        """A 5m bar a session into both."""
        bars = bars_of([daily_bar(MOUTAI, day, end_at=bar_end(day)) for day in days])
        self.lake.write(Dataset.KLINE, Period.M5, bars)
        self.warehouse.write_bars(Dataset.KLINE, Period.M5, bars)

    @property
    def checking(self) -> BitCheck:
        """What ``verify --bits`` works with."""
        since = sql_minutes_from(self.database)
        return BitCheck(self.lake, self.database, self.manifest, minutes_from=since)

    def states(self) -> dict[str, FileState]:
        """The state of each file."""
        return {check.path: check.state for check in self.checking.check()}

    def repair(self) -> list[str]:
        """Put right what is rotten or gone."""
        lost = (FileState.ROTTEN, FileState.GONE)
        checking = self.checking
        return [checking.repair(each) for each in checking.check() if each.state in lost]

    def file(self, name: str, period: Period = Period.DAILY) -> Path:
        """Where a partition lies."""
        return self.lake.root / Partition(Dataset.KLINE, period, name).path


YEAR_2024, YEAR_2025 = (
    Partition(Dataset.KLINE, Period.DAILY, year).path.as_posix() for year in ("2024", "2025")
)


@pytest.fixture
def stores(sqlite_database: Database, tmp_path: Path) -> Stores:
    """A symbol over a turn of the year in both stores."""
    stores = Stores(sqlite_database, tmp_path)
    stores.write(*DAYS)
    return stores


def rot(path: Path, at: int) -> None:
    """Change one bit as a disk does: the file's time stays."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def unchecked(path: Path) -> int:
    """A byte that no page checksum covers: of the name of the program that wrote the file."""
    return path.read_bytes().rindex(b"parquet-cpp-arrow")


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0], ids=lambda share: f"{share:.0%}")
def test_rot_in_any_byte_is_found_named_and_mended_from_sql(stores: Stores, share: float) -> None:
    """Also where the page checksums do not reach: the magic, the footer."""
    before = stores.lake.read(Dataset.KLINE, Period.DAILY).to_pylist()
    path = stores.file("2025")
    rot(path, round(share * (path.stat().st_size - 1)))

    (rotten,) = (check for check in stores.checking.check() if check.state is FileState.ROTTEN)
    assert rotten.path == YEAR_2025
    assert "its bytes changed though nobody rewrote it" in str(rotten.says)
    assert "`quantsync verify --bits --repair`" in str(rotten.remedy)
    (said,) = stores.repair()

    assert said.startswith(f"{sum(day.year == 2025 for day in DAYS)} bars written anew from SQL")
    assert stores.lake.read(Dataset.KLINE, Period.DAILY).to_pylist() == before
    assert set(stores.states().values()) == {FileState.SOUND}
    assert len(list(path.parent.glob(".kline.parquet.corrupt-*"))) == 1


def test_a_rewrite_is_no_rot(stores: Stores) -> None:
    """A revision, a second write of the same, a recoding: each file stays as it was entered."""
    stores.write(DAYS[-1], close=11.0, fetch=9)
    stores.write(*DAYS)

    assert stores.states() == {YEAR_2024: FileState.SOUND, YEAR_2025: FileState.SOUND}


def test_a_writer_killed_before_it_entered_the_file_leaves_no_rot(stores: Stores) -> None:
    """The file is newer than its entry: it is held against SQL, and entered once they agree."""
    child = os.fork()
    if not child:
        try:
            arm(KillPoint.PARTITION_RENAMED.value, stores.lake.root / "killed")
            stores.write(DAYS[-1], close=11.0, fetch=9)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL

    (odd,) = (check for check in stores.checking.check() if check.path == YEAR_2025)
    assert odd.state is FileState.DIFFERS
    assert "rewritten without an entry, and it differs from SQL" in str(odd.says)
    stores.warehouse.write_bars(
        Dataset.KLINE, Period.DAILY, bars_of([daily_bar(MOUTAI, DAYS[-1], close=11.0, fetch=9)])
    )
    assert stores.states()[YEAR_2025] is FileState.ENTERED
    assert stores.states()[YEAR_2025] is FileState.SOUND


def test_a_file_that_is_rewritten_all_the_while_is_never_called_rotten(stores: Stores) -> None:
    """A look that comes between the file and its entry looks again."""
    over = threading.Event()

    def rewrite() -> None:
        for fetch in range(1, 30):
            stores.write(DAYS[-1], close=10.0 + fetch, fetch=fetch)
        over.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = set()
    while not over.is_set():
        seen |= set(stores.states().values())
    writer.join()

    assert seen
    assert FileState.ROTTEN not in seen
    assert set(stores.states().values()) == {FileState.SOUND}


def test_a_commit_that_is_repeated_enters_the_file_that_it_finds_written(stores: Stores) -> None:
    """It rewrites nothing, for the bars are there; the entry is not."""
    with stores.database.writing() as connection:
        connection.execute(lake_file.delete())

    stores.write(*DAYS)

    assert stores.states() == {YEAR_2024: FileState.SOUND, YEAR_2025: FileState.SOUND}


def test_files_of_before_the_manifest_are_entered_once_they_equal_sql(stores: Stores) -> None:
    with stores.database.writing() as connection:
        connection.execute(lake_file.delete())

    assert set(stores.states().values()) == {FileState.ENTERED}
    assert set(stores.states().values()) == {FileState.SOUND}


def test_rot_is_found_in_a_file_that_was_copied_since(stores: Stores) -> None:
    """A restored copy has another time, which the first look enters."""
    os.utime(stores.file("2025"))
    assert stores.states()[YEAR_2025] is FileState.SOUND

    rot(stores.file("2025"), unchecked(stores.file("2025")))

    assert stores.states()[YEAR_2025] is FileState.ROTTEN


def test_a_file_that_is_gone_is_named_and_comes_back(stores: Stores) -> None:
    stores.file("2024").unlink()

    assert stores.states()[YEAR_2024] is FileState.GONE
    stores.repair()
    assert stores.states()[YEAR_2024] is FileState.SOUND


def test_the_copy_of_the_ex_rights_and_sweeps_are_held_to_their_bytes_too(stores: Stores) -> None:
    stores.write(LATER[0])
    ex_rights = ExRights(stores.database, stores.lake.root)
    ex_rights.record([ExRight(MOUTAI, LATER[0], 10.0, cash=1.0)], source="test", run_id="run")
    snapshots = Snapshots(stores.lake.root, stores.manifest)
    for day in LATER:
        snapshots.write(day, time(9, 35), pa.table({"price": [1.0] * 100}))
    snapshots.forget(LATER[1])
    sweep = next(stores.lake.root.glob("snapshot/*/*.parquet"))
    assert set(stores.states().values()) == {FileState.SOUND}
    rot(ex_rights.path, 50)
    rot(sweep, 50)

    rotten = [name for name, state in stores.states().items() if state is FileState.ROTTEN]
    assert len(rotten) == 2
    stores.repair()

    assert set(stores.states().values()) == {FileState.SOUND}
    assert len(ex_rights.read()) == 1


def test_minutes_that_left_sql_stay_in_the_lake_and_are_no_damage(stores: Stores) -> None:
    """Whatever the setting says later: the database knows from which session on it holds them."""
    stores.write_minutes(*LATER)
    before = stores.lake.read(Dataset.KLINE, Period.M5).to_pylist()

    assert drop_minutes(stores.lake, stores.database, LATER[2]) == (2, [])
    assert drop_minutes(stores.lake, stores.database, LATER[1]) == (0, [])

    assert stores.warehouse.sessions(Dataset.KLINE, Period.M5) == [LATER[2]]
    assert stores.lake.read(Dataset.KLINE, Period.M5).to_pylist() == before
    since = sql_minutes_from(stores.database)
    assert since == LATER[2]
    checks = verify(stores.lake, stores.warehouse, minutes_from=since)
    checks += find_lost(stores.lake, stores.warehouse, stores.database)
    assert all(check.equal for check in checks)
    assert set(stores.states().values()) == {FileState.SOUND}
    stores.file(LATER[0].isoformat(), Period.M5).write_bytes(b"rotten")
    checks = verify(stores.lake, stores.warehouse, minutes_from=since)
    assert [check.partition for check in checks if not check.equal] == [LATER[0].isoformat()]


def test_minutes_that_the_lake_does_not_hold_as_sql_does_stay_in_sql(stores: Stores) -> None:
    """SQL is their only good copy."""
    stores.write_minutes(*LATER)
    stores.file(LATER[1].isoformat(), Period.M5).unlink()

    dropped, refused = drop_minutes(stores.lake, stores.database, date(2026, 1, 1))

    assert dropped == 1
    assert refused[0].startswith(f"kline 5m bars from {LATER[1]} on stay in SQL: the lake has no")
    assert stores.warehouse.sessions(Dataset.KLINE, Period.M5) == [*LATER[1:]]


def test_rotten_minutes_that_left_sql_are_written_from_their_sound_pages(stores: Stores) -> None:
    """The footer's bytes that no page checksum covers are not worth a session's bars."""
    stores.write_minutes(LATER[0], LATER[2])
    before = stores.lake.read(Dataset.KLINE, Period.M5).to_pylist()
    drop_minutes(stores.lake, stores.database, LATER[2])
    path = stores.file(LATER[0].isoformat(), Period.M5)
    rot(path, unchecked(path))

    (said,) = stores.repair()

    assert said.startswith("written anew from its own pages")
    assert stores.lake.read(Dataset.KLINE, Period.M5).to_pylist() == before
    assert set(stores.states().values()) == {FileState.SOUND}


@pytest.mark.parametrize(
    "name",
    [
        "kline/period=daily/alien.parquet",
        "kline/period=daily/year=2025/copy.parquet",
        "kline/period=daily/year=25/kline.parquet",
        "kline/period=weekly/year=2025/kline.parquet",
        "snapshot/date=2025-12-31/2599.parquet",
        "alien.parquet",
    ],
)
def test_a_file_where_the_lake_never_writes_is_a_stray_and_not_entered(
    stores: Stores, name: str
) -> None:
    """Also one that was entered before; moved away, it is missed by nobody."""
    path = stores.lake.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(stores.file("2025"), path)
    for _ in range(2):
        (stray,) = (check for check in stores.checking.check() if check.path == name)
        assert stray.state is FileState.STRAY
        assert not stray.state.is_good
        assert "move it out of the lake" in str(stray.remedy)
    assert name not in {entry.path for entry in stores.manifest.entries()}
    stores.manifest.record(path, hash_file(path))
    assert stores.states()[name] is FileState.STRAY

    path.unlink()

    assert set(stores.states().values()) == {FileState.SOUND}
    assert name not in {entry.path for entry in stores.manifest.entries()}


def test_the_manifest_names_every_file_once(stores: Stores) -> None:
    """Times are the files' own, so that rot can be told."""
    stores.write(*DAYS, close=12.0, fetch=9)

    entries = {entry.path: entry.modified_ns for entry in stores.manifest.entries()}
    assert entries == {
        name: (stores.lake.root / name).stat().st_mtime_ns for name in (YEAR_2024, YEAR_2025)
    }
