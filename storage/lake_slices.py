"""A reader of the lake that keeps what it read, for a process that is asked again and again.

What is kept is a symbol's (or board's) bars of one partition, with the identity of the file they
were read from. A commit replaces a file by another one, so a slice holds for as long as its file is
the same, and nothing has to be told. The files are looked at a few times a second, in a thread: one
that was replaced is read there for all that were kept of it, and shown when that is done, so that
no reader waits for a commit. What is shown is at most about :data:`STALE_S` old.
"""

import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from market.bars import Dataset, bar_schema
from market.periods import Period
from market.sessions import Window
from storage.errors import StorageError
from storage.lake import Lake, Partition

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.25
"""The files of a period are looked at no more often."""
STALE_S = 1.0
"""A look that is older is waited for."""

_LEAN = ("session", "end_at", "open", "high", "low", "close", "volume", "amount", "state")
_SHARE_OF_TIME = 20.0
_TOGETHER = 128
_LOOKERS = 2

Identity = tuple[int, int, int]
"""A file's number, time and size: a replaced file differs in the first two."""
Series = tuple[Dataset, Period]


@dataclass(frozen=True, slots=True)
class _Files:
    """The partitions of a dataset and period as they are shown.

    Attributes:
        shown_at: Monotonic time.
        until: Monotonic time until which they need not be looked at again.
    """

    identities: dict[Partition, Identity]
    shown_at: float
    until: float


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    partition: Partition
    identity: Identity
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
        self._files: dict[Series, _Files] = {}
        self._looks: dict[Series, Future[None]] = {}
        self._lookers = ThreadPoolExecutor(_LOOKERS, thread_name_prefix="lake")
        self._kept: OrderedDict[_Key, pa.Table] = OrderedDict()
        self._bytes = 0

    @property
    def kept_bytes(self) -> int:
        """How much is kept."""
        return self._bytes

    def clear(self) -> None:
        """Forget what was read."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def close(self) -> None:
        """Look no more."""
        self._lookers.shutdown(wait=False, cancel_futures=True)

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
            bars = _within(bars, window)
        return bars.select(wanted).unify_dictionaries().combine_chunks()

    def partitions(
        self, dataset: Dataset, period: Period, window: Window | None = None
    ) -> dict[Partition, Identity]:
        """The partitions that a window touches, ascending, with their files' identities."""
        identities = self._shown((dataset, period)).identities
        if window is None:
            return identities
        return {each: mine for each, mine in identities.items() if _touches(each, window)}

    def version(self, dataset: Dataset, period: Period, window: Window | None = None) -> str:
        """A text that changes whenever a file that a window touches does."""
        files = self.partitions(dataset, period, window)
        told = ";".join(f"{each.name}:{identity}" for each, identity in files.items())
        return hashlib.sha256(told.encode()).hexdigest()[:24]

    def is_at_hand(self, dataset: Dataset, period: Period) -> bool:
        """Whether the partitions of a period are told without waiting for a look at them."""
        files = self._files.get((dataset, period))
        return files is not None and time.monotonic() < files.shown_at + STALE_S

    def _shown(self, series: Series) -> _Files:
        """The files, looked at again where that is due, and waited for only where it is late."""
        now = time.monotonic()
        with self._lock:
            files = self._files.get(series)
            if files is not None and now < files.until:
                return files
            look = self._looks.get(series)
            if look is None or look.done():
                look = self._looks[series] = self._lookers.submit(self._look, series)
        if files is not None and now < files.shown_at + STALE_S:
            return files
        look.result()
        return self._files[series]

    def _look(self, series: Series) -> None:
        began = time.monotonic()
        found = self._scan(series)
        took = time.monotonic() - began
        before = self._files.get(series)
        replaced = {
            each: identity
            for each, identity in found.items()
            if before is not None and before.identities.get(each, identity) != identity
        }
        for partition, identity in replaced.items():
            self._renew(partition, identity)
        now = time.monotonic()
        # Where there are very many files, looking must not become all that is done.
        files = _Files(found, now, now + max(LOOK_EVERY_S, _SHARE_OF_TIME * took))
        with self._lock:
            self._files[series] = files
            for key in [
                k for k in self._kept if replaced.get(k.partition, k.identity) != k.identity
            ]:
                self._bytes -= _size(self._kept.pop(key))

    def _scan(self, series: Series) -> dict[Partition, Identity]:
        dataset, period = series
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
        return found

    def _renew(self, partition: Partition, identity: Identity) -> None:
        """Read a file that was replaced, once, for the names that were asked for of it lately."""
        for is_lean in (True, False):
            with self._lock:
                names = [
                    key.name
                    for key in reversed(self._kept)
                    if key.partition == partition and key.is_lean == is_lean
                ]
            names = list(dict.fromkeys(names))[:_TOGETHER]
            if not names:
                continue
            try:
                self._read(names, [partition], {partition: identity}, is_lean=is_lean)
            except StorageError as error:
                log.warning("whoever asks for its bars is told: %s", error)

    def _slices(
        self, dataset: Dataset, period: Period, name: str, window: Window | None, *, is_lean: bool
    ) -> list[pa.Table]:
        files = self.partitions(dataset, period, window)
        found: dict[Partition, pa.Table | None] = {
            each: self._get(_Key(name, each, identity, is_lean)) for each, identity in files.items()
        }
        # Missing ones that follow each other are read in one go.
        for missing, run in groupby(found, key=lambda each: found[each] is None):
            if missing:
                found |= self._read([name], list(run), files, is_lean=is_lean)[name]
        return [table for table in found.values() if table is not None and table.num_rows]

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
        by_name = dict(_by_name(bars, first.dataset.key))
        found: dict[str, dict[Partition, pa.Table]] = {}
        for name in names:
            found[name] = dict(_split(by_name.get(name, bars.slice(0, 0)), run))
            for partition, part in found[name].items():
                self._put(_Key(name, partition, files[partition], is_lean), part)
        return found

    def _get(self, key: _Key) -> pa.Table | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
            return kept

    def _put(self, key: _Key, bars: pa.Table) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            if before is not None:
                self._bytes -= _size(before)
            self._kept[key] = bars
            self._bytes += _size(bars)
            while self._bytes > self._most and self._kept:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= _size(gone)


def _size(bars: pa.Table) -> int:
    return int(bars.nbytes) + 512  # the objects around the buffers


def _within(bars: pa.Table, window: Window) -> pa.Table:
    sessions = bars["session"]
    inside = pc.and_(
        pc.greater_equal(sessions, pa.scalar(window.start)),
        pc.less_equal(sessions, pa.scalar(window.end)),
    )
    return bars.filter(inside)


def _by_name(bars: pa.Table, key: str) -> Iterator[tuple[str, pa.Table]]:
    """The bars of each symbol, of bars that are sorted by symbol."""
    if not bars.num_rows:
        return
    runs = pc.run_end_encode(bars[key].cast(pa.string()).combine_chunks())
    begin = 0
    for name, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield name, bars.slice(begin, end - begin)
        begin = end


def _split(bars: pa.Table, run: list[Partition]) -> Iterator[tuple[Partition, pa.Table]]:
    """Bars of one symbol by partition, each in buffers of its own."""
    for partition in run:
        mine = bars if len(run) == 1 else _within(bars, days_of(partition))
        yield partition, _compact(mine)


def _compact(bars: pa.Table) -> pa.Table:
    """The same without what the dictionaries hold of other symbols, and no larger buffers."""
    bars = bars.take(pa.array(np.arange(bars.num_rows)))  # a slice would hold all that was read
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
