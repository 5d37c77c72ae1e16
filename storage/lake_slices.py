"""A reader of the lake that keeps what it read, for a process that is asked again and again.

What is kept is a symbol's (or board's) bars of one partition, with the identity of the file they
were read from. A commit replaces a file by another one, so a slice holds for as long as its file is
the same; nothing has to be told, and nothing is ever stale by more than :data:`LOOK_EVERY_S`.
"""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from market.bars import Dataset, bar_schema
from market.periods import Period
from market.sessions import Window
from storage.lake import Lake, Partition

LOOK_EVERY_S = 0.25
"""The files of a period are looked at no more often."""

_LEAN = ("session", "end_at", "open", "high", "low", "close", "volume", "amount", "state")
_SHARE_OF_TIME = 20.0
_TOGETHER = 128

Identity = tuple[int, int, int]
"""A file's number, time and size: a replaced file differs in the first two."""


@dataclass(frozen=True, slots=True)
class _Files:
    """The partitions of a dataset and period as they were looked at.

    Attributes:
        until: Monotonic time until which it need not be looked again.
    """

    identities: dict[Partition, Identity]
    until: float


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    partition: Partition
    is_lean: bool


class LakeSlices:
    """Bars of one symbol or board at a time. Safe to share between threads.

    Args:
        lake: What is read.
        most_bytes: What may be kept; the longest unused goes first.
    """

    def __init__(self, lake: Lake, most_bytes: int) -> None:
        self._lake = lake
        self._most = most_bytes
        self._lock = threading.Lock()
        self._files: dict[tuple[Dataset, Period], _Files] = {}
        self._kept: OrderedDict[_Key, tuple[Identity, pa.Table]] = OrderedDict()
        self._bytes = 0
        self._turns: dict[Partition, threading.Lock] = {}

    @property
    def kept_bytes(self) -> int:
        """How much is kept."""
        return self._bytes

    def clear(self) -> None:
        """Forget what was read."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def read(
        self,
        dataset: Dataset,
        period: Period,
        *,
        names: Collection[str] | None = None,
        window: Window | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Bars of one symbol (or board) in a closed window, as :meth:`storage.lake.Lake.read`.

        Raises:
            ValueError: Not exactly one name is given.
            CorruptFileError: A partition is no readable Parquet file.
        """
        if names is None or len(names) != 1:
            raise ValueError("slices are of one symbol or board each")
        (name,) = names
        schema = bar_schema(dataset)
        wanted = list(columns or schema.names)
        lean = {dataset.key, *_LEAN}
        slices = self._slices(dataset, period, name, window, is_lean=lean.issuperset(wanted))
        if not slices:
            return schema.empty_table().select(wanted)
        bars = pa.concat_tables(slices)
        if window is not None:
            bars = self._within(bars, window)
        return bars.select(wanted).unify_dictionaries().combine_chunks()

    @staticmethod
    def _within(bars: pa.Table, window: Window) -> pa.Table:
        sessions = bars["session"]
        inside = pc.and_(
            pc.greater_equal(sessions, pa.scalar(window.start)),
            pc.less_equal(sessions, pa.scalar(window.end)),
        )
        return bars.filter(inside)

    def partitions(
        self, dataset: Dataset, period: Period, window: Window | None = None
    ) -> dict[Partition, Identity]:
        """The partitions that a window touches, ascending, with their files' identities."""
        with self._lock:
            files = self._files.get((dataset, period))
        if files is None or time.monotonic() >= files.until:
            files = self._look(dataset, period)
        if window is None:
            return files.identities
        return {
            partition: identity
            for partition, identity in files.identities.items()
            if _touches(partition, window)
        }

    def is_fresh(self, dataset: Dataset, period: Period) -> bool:
        """Whether the files of a period need not be looked at again yet."""
        files = self._files.get((dataset, period))
        return files is not None and time.monotonic() < files.until

    def version(self, dataset: Dataset, period: Period, window: Window | None = None) -> str:
        """A text that changes whenever a file that a window touches does."""
        files = self.partitions(dataset, period, window)
        told = ";".join(f"{each.name}:{identity}" for each, identity in files.items())
        return hashlib.sha256(told.encode()).hexdigest()[:24]

    def _look(self, dataset: Dataset, period: Period) -> _Files:
        began = time.monotonic()
        folder = self._lake.root / dataset.value / f"period={period.value}"
        found: dict[Partition, Identity] = {}
        try:
            names = sorted(entry.name for entry in os.scandir(folder))
        except FileNotFoundError:
            names = []
        for name in names:
            try:
                about = (folder / name / f"{dataset.value}.parquet").stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            partition = Partition(dataset, period, name.partition("=")[2])
            found[partition] = (about.st_ino, about.st_mtime_ns, about.st_size)
        now = time.monotonic()
        # Where there are very many files, looking must not become all that is done.
        files = _Files(found, now + max(LOOK_EVERY_S, _SHARE_OF_TIME * (now - began)))
        with self._lock:
            self._files[dataset, period] = files
        return files

    def _slices(
        self, dataset: Dataset, period: Period, name: str, window: Window | None, *, is_lean: bool
    ) -> list[pa.Table]:
        files = self.partitions(dataset, period, window)
        found: dict[Partition, pa.Table | None] = {
            each: self._get(_Key(name, each, is_lean), identity) for each, identity in files.items()
        }
        # Missing ones that follow each other are read in one go.
        for missing, run in groupby(found, key=lambda each: found[each] is None):
            if not missing:
                continue
            lacking = list(run)
            if len(lacking) == 1:
                identity = files[lacking[0]]
                found[lacking[0]] = self._renewed(name, lacking[0], identity, is_lean=is_lean)
            else:
                found |= self._read([name], lacking, files, is_lean=is_lean)[name]
        return [table for table in found.values() if table is not None and table.num_rows]

    def _renewed(
        self, name: str, partition: Partition, identity: Identity, *, is_lean: bool
    ) -> pa.Table:
        """A slice of a file that was replaced: whoever comes first reads those of others, too.

        All that were kept of it are of no use any more, and reading one costs nearly as much as
        reading them all.
        """
        key = _Key(name, partition, is_lean)
        with self._turn(partition):
            found = self._get(key, identity)
            if found is None:
                names = [name, *self._stale(key, identity)]
                read = self._read(names, [partition], {partition: identity}, is_lean=is_lean)
                found = read[name][partition]
        return found

    def _turn(self, partition: Partition) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault(partition, threading.Lock())

    def _stale(self, key: _Key, identity: Identity) -> list[str]:
        """Other names whose slices are of the file that was there before, the latest used first."""
        with self._lock:
            return [
                each.name
                for each, (known, _) in reversed(self._kept.items())
                if each.partition == key.partition
                and each.is_lean == key.is_lean
                and known != identity
                and each.name != key.name
            ][:_TOGETHER]

    def _read(
        self,
        names: list[str],
        run: list[Partition],
        files: Mapping[Partition, Identity],
        *,
        is_lean: bool,
    ) -> dict[str, dict[Partition, pa.Table]]:
        """Read slices of partitions that follow each other, and keep them."""
        first, last = run[0], run[-1]
        schema = bar_schema(first.dataset)
        bars = self._lake.read(
            first.dataset,
            first.period,
            names=names,
            window=Window(days_of(first).start, days_of(last).end),
            columns=[c for c in schema.names if not is_lean or c in (first.dataset.key, *_LEAN)],
        )
        found: dict[str, dict[Partition, pa.Table]] = {}
        for name in names:
            mine = bars
            if len(names) > 1:
                mine = bars.filter(pc.equal(bars[first.dataset.key].cast(pa.string()), name))
            found[name] = dict(_split(mine, run))
            for partition, part in found[name].items():
                self._put(_Key(name, partition, is_lean), files[partition], part)
        return found

    def _get(self, key: _Key, identity: Identity) -> pa.Table | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept[0] != identity:
                return None
            self._kept.move_to_end(key)
            return kept[1]

    def _put(self, key: _Key, identity: Identity, bars: pa.Table) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            if before is not None:
                self._bytes -= _size(before[1])
            self._kept[key] = (identity, bars)
            self._bytes += _size(bars)
            while self._bytes > self._most and self._kept:
                _, (_, gone) = self._kept.popitem(last=False)
                self._bytes -= _size(gone)


def _size(bars: pa.Table) -> int:
    return int(bars.nbytes) + 512  # the objects around the buffers


def _split(bars: pa.Table, run: list[Partition]) -> Iterator[tuple[Partition, pa.Table]]:
    """Bars by partition, each in buffers of its own."""
    if len(run) == 1:
        yield run[0], _compact(bars)
        return
    sessions = bars["session"]
    for partition in run:
        days = days_of(partition)
        mine = pc.and_(
            pc.greater_equal(sessions, pa.scalar(days.start)),
            pc.less_equal(sessions, pa.scalar(days.end)),
        )
        yield partition, _compact(bars.filter(mine))


def _compact(bars: pa.Table) -> pa.Table:
    """The same without what the dictionaries hold of other symbols."""
    for at, field in enumerate(bars.schema):
        if pa.types.is_dictionary(field.type):
            plain = bars[field.name].cast(pa.string()).combine_chunks()
            bars = bars.set_column(at, field, plain.dictionary_encode().cast(field.type))
    return bars.combine_chunks()


def days_of(partition: Partition) -> Window:
    """The days of a partition: a session, or a year."""
    if partition.period.is_intraday:
        day = date.fromisoformat(partition.name)
        return Window(day, day)
    year = int(partition.name)
    return Window(date(year, 1, 1), date(year, 12, 31))


def _touches(partition: Partition, window: Window) -> bool:
    days = days_of(partition)
    return window.start <= days.end and days.start <= window.end
