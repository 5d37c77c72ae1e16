"""The reader that keeps what it read gives what the lake gives, also after commits."""

import threading
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window
from storage import lake_slices
from storage.lake import Lake
from storage.lake_slices import LakeSlices
from tests.fixtures.bars import bars_of, daily_bar
from tests.fixtures.cli import wait_for

NAMES = ["600519.SH", "000001.SZ", "300750.SZ"]
DAYS = [date(year, month, 7) for year in (2023, 2024, 2025) for month in (3, 8, 11)]
DAILY = (Dataset.KLINE, Period.DAILY)


class Counting(Lake):
    """A lake that notes what is read of it, and can be held up."""

    reads: list[tuple[str, ...]]
    held: threading.Event

    def read(self, *what: object, **how: object) -> pa.Table:
        """Note it, and read."""
        assert self.held.wait(10)
        self.reads.append(tuple(how["names"]))  # type: ignore[arg-type]
        return super().read(*what, **how)  # type: ignore[arg-type]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Three symbols in three years; files are looked at anew each time."""
    monkeypatch.setattr(lake_slices, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(lake_slices, "STALE_S", 0.0)
    monkeypatch.setattr(lake_slices, "_SHARE_OF_TIME", 0.0)
    lake = Counting(tmp_path / "lake")
    lake.reads, lake.held = [], threading.Event()
    lake.held.set()
    rows = [daily_bar(name, day, close=10.0 + at) for at, name in enumerate(NAMES) for day in DAYS]
    lake.write(*DAILY, bars_of(rows))
    return lake


def same(slices: LakeSlices, lake: Lake, name: str, window: Window | None = None) -> None:
    for columns in (None, ("end_at", "close", "state")):
        how = {"names": [name], "window": window, "columns": columns}
        ours = slices.read(*DAILY, **how)  # type: ignore[arg-type]
        theirs = Lake.read(lake, *DAILY, **how)  # type: ignore[arg-type]
        assert ours.to_pylist() == theirs.to_pylist()
        assert ours.schema.equals(theirs.schema)


@pytest.mark.parametrize(
    "window", [None, Window(DAYS[2], DAYS[5]), Window(date(2030, 1, 1), date(2030, 2, 1))]
)
def test_it_gives_what_the_lake_gives(lake: Counting, window: Window | None) -> None:
    slices = LakeSlices(lake, 1 << 20)
    for name in (*NAMES, "600036.SH"):
        same(slices, lake, name, window)
        same(slices, lake, name, window)


def test_what_was_read_is_not_read_again_until_its_file_changes(lake: Counting) -> None:
    """Then the file alone, once for all whose bars were kept of it."""
    slices = LakeSlices(lake, 1 << 20)
    for _ in range(2):
        for name in NAMES:
            slices.read(*DAILY, names=[name])
    assert lake.reads == [(name,) for name in NAMES]
    before = slices.version(*DAILY)

    lake.write(*DAILY, bars_of([daily_bar(NAMES[0], date(2025, 12, 1), close=99.0)]))
    lake.reads.clear()
    assert slices.version(*DAILY) != before
    for name in NAMES:
        found = slices.read(*DAILY, names=[name])
        assert found.to_pylist() == Lake.read(lake, *DAILY, names=[name]).to_pylist()
    assert [sorted(names) for names in lake.reads] == [sorted(NAMES)]


def test_while_a_changed_file_is_read_what_was_there_before_is_shown(
    lake: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it, and whoever asks gets the bars and the version of one file."""
    monkeypatch.setattr(lake_slices, "STALE_S", 30.0)
    slices = LakeSlices(lake, 1 << 20)
    before = slices.read(*DAILY, names=[NAMES[0]])
    version = slices.version(*DAILY)
    lake.write(*DAILY, bars_of([daily_bar(NAMES[0], date(2025, 12, 1), close=99.0)]))
    lake.held.clear()
    lake.reads.clear()

    for _ in range(3):
        assert slices.read(*DAILY, names=[NAMES[0]]).equals(before)
        assert slices.version(*DAILY) == version
    lake.held.set()

    def is_shown() -> bool:
        return bool(slices.read(*DAILY, names=[NAMES[0]]).num_rows == len(DAYS) + 1)

    wait_for("the new file", is_shown, 5)
    assert slices.version(*DAILY) != version
    assert lake.reads == [(NAMES[0],)]


def test_many_threads_read_a_changed_file_once(lake: Counting) -> None:
    slices = LakeSlices(lake, 1 << 20)
    for name in NAMES:
        slices.read(*DAILY, names=[name])
    lake.write(*DAILY, bars_of([daily_bar(NAMES[0], date(2025, 12, 1), close=99.0)]))
    lake.reads.clear()
    threads = [
        threading.Thread(target=slices.read, args=DAILY, kwargs={"names": [name]})
        for name in NAMES * 4
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(lake.reads) == 1


def test_no_more_is_kept_than_was_allowed(lake: Counting) -> None:
    slices = LakeSlices(lake, 4000)
    for name in NAMES * 3:
        same(slices, lake, name)
        assert slices.kept_bytes <= 4000
    assert len(lake.reads) > len(NAMES)


def test_it_takes_one_name(lake: Counting) -> None:
    with pytest.raises(ValueError, match="one symbol or board"):
        LakeSlices(lake, 1).read(*DAILY, names=NAMES)
