"""A partition to which later symbols are added: copied as it is, and never with its damage."""

from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from market.bars import Dataset
from market.periods import Period
from market.sessions import Window, exchange_calendar
from pipeline.bench.synthetic import Market, symbols
from storage.database import Database
from storage.errors import CorruptFileError
from storage.hashing import hash_file
from storage.lake import Lake, Partition, PartitionWrite
from storage.lake_manifest import LakeManifest
from storage.partition_file import PartitionFile

DAYS = exchange_calendar().sessions_in(Window(date(2025, 1, 1), date(2025, 12, 31)))
FIRST, MANY = 20, 145  # symbols; the second is more than half a row group
MARKET = Market(Period.DAILY, symbols(FIRST + MANY), DAYS, 1)
PLACE = Partition(Dataset.KLINE, Period.DAILY, "2025").path


class Growing:
    """A lake with its manifest, whose first symbols are written."""

    def __init__(self, database: Database, root: Path) -> None:
        self.manifest = LakeManifest(lambda: database, root)
        self.lake = Lake(root, manifest=self.manifest)
        self.path = root / PLACE
        self.write(0, FIRST)
        self.before = self.path.read_bytes()

    def write(self, start: int, stop: int) -> PartitionWrite:
        """Bars of some symbols."""
        (done,) = self.lake.write(Dataset.KLINE, Period.DAILY, MARKET.bars(start, stop))
        return done

    @property
    def grew(self) -> bool:
        """Whether what was there stands in the new file as it was."""
        body = self.before[: -int.from_bytes(self.before[-8:-4], "little") - 8]
        return self.path.read_bytes().startswith(body)


@pytest.fixture
def growing(sqlite_database: Database, tmp_path: Path) -> Growing:
    """A partition with its first symbols."""
    return Growing(sqlite_database, tmp_path / "lake")


def test_later_symbols_follow_what_is_held_without_decoding_it(growing: Growing) -> None:
    """The file is whole for every reader, and entered with the hash that it has."""
    done = growing.write(FIRST, FIRST + MANY)

    expected = MARKET.bars(0, FIRST + MANY)
    assert growing.grew
    assert (done.inserted, done.rows) == (MANY * len(DAYS), expected.num_rows)
    assert growing.lake.read(Dataset.KLINE, Period.DAILY).to_pylist() == expected.to_pylist()
    assert pq.read_metadata(growing.path).num_rows == expected.num_rows
    frame = pd.read_parquet(growing.path, columns=["symbol", "end_at", "close"])
    assert frame["close"].tolist() == expected["close"].to_pylist()
    entry = growing.manifest.entry(growing.path)
    assert entry is not None
    assert entry.content == hash_file(growing.path)
    assert not growing.write(FIRST, FIRST + MANY).written


def test_few_symbols_or_earlier_ones_are_merged_as_ever(growing: Growing) -> None:
    """Many small row groups would be slow to read; and a file is sorted."""
    growing.write(FIRST, FIRST + 2)

    assert not growing.grew
    assert pq.read_metadata(growing.path).num_row_groups == 1
    grown = growing.lake.read(Dataset.KLINE, Period.DAILY)
    assert grown.to_pylist() == MARKET.bars(0, FIRST + 2).to_pylist()


def test_a_flipped_bit_is_not_carried_into_the_new_file(growing: Growing) -> None:
    """Its hash would be entered as that of a good file."""
    damaged = bytearray(growing.before)
    damaged[len(damaged) // 2] ^= 1
    growing.path.write_bytes(damaged)

    with pytest.raises(CorruptFileError):
        growing.write(FIRST, FIRST + MANY)

    assert growing.path.read_bytes() == bytes(damaged)


def test_a_file_that_nothing_vouches_for_is_read_before_it_is_written(growing: Growing) -> None:
    """Its writer died before it entered it."""
    growing.manifest.forget(growing.path)

    growing.write(FIRST, FIRST + MANY)

    assert pq.read_metadata(growing.path).num_row_groups == 1
    grown = growing.lake.read(Dataset.KLINE, Period.DAILY)
    assert grown.num_rows == (FIRST + MANY) * len(DAYS)


def test_bars_under_an_old_code_meet_those_under_the_present_one(growing: Growing) -> None:
    """Though the file, by its own words, ends before the new code."""
    old, new = MARKET.names[0], MARKET.names[FIRST]
    aliased = Lake(growing.lake.root, aliases=lambda: {old: new}, manifest=growing.manifest)
    own = MARKET.bars(0, 1)
    renamed = own.set_column(
        0, own.schema.field(0), pa.array([new] * len(DAYS)).dictionary_encode()
    )
    others = MARKET.bars(FIRST + 1, FIRST + MANY)
    incoming = pa.concat_tables([renamed, others])

    (done,) = aliased.write(Dataset.KLINE, Period.DAILY, incoming)

    assert (done.inserted, done.unchanged) == (others.num_rows, len(DAYS))


def test_one_symbol_is_read_from_the_row_groups_that_can_hold_it(growing: Growing) -> None:
    """Of a file that is out of order, from all."""
    growing.write(FIRST, FIRST + MANY)
    with PartitionFile(growing.path, "symbol") as file:
        assert file.groups == [0, 1]
        assert file.groups_with([MARKET.names[0]]) == [0]
        assert file.groups_with([MARKET.names[FIRST], "999999.SH"]) == [1]
        assert file.groups_with(["999999.SH"]) == []
    bars = growing.lake.read(Dataset.KLINE, Period.DAILY)
    half = len(DAYS)
    mixed = pa.concat_tables([bars.slice(half), bars.slice(0, half)])
    pq.write_table(mixed, growing.path, row_group_size=half)
    with PartitionFile(growing.path, "symbol") as file:
        assert file.groups_with([MARKET.names[0]]) == file.groups
    (found,) = {
        growing.lake.read(Dataset.KLINE, Period.DAILY, names=[name]).num_rows
        for name in (MARKET.names[0], MARKET.names[-1])
    }
    assert found == len(DAYS)
