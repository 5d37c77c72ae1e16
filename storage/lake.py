"""The lake: bars as plain Parquet, one sorted file per partition, rewritten as a whole.

``kline/period=daily/year=2026/kline.parquet``, ``kline/period=5m/date=2026-11-23/kline.parquet``,
boards likewise under ``board_kline/``. The file *is* the partition: pandas, polars, DuckDB and
Spark read the folder as it lies.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from market.bars import Dataset, bar_schema
from market.periods import Period
from market.sessions import Window
from storage.aliases import Aliases, all_codes, bears_old_code, under_present_codes
from storage.errors import CorruptFileError, PartitionBusyError
from storage.files import (
    discard_leftovers,
    make_folder,
    move_file,
    replace_file,
    unwritable,
)
from storage.hashing import Content
from storage.keys import key_numbers
from storage.killpoints import KillPoint, reach
from storage.lake_manifest import LakeManifest
from storage.locking import LockHeldError, locked
from storage.merging import Merge, merge_bars
from storage.partition_file import (
    ROW_GROUP,
    CannotExtendError,
    PartitionFile,
    by_partition,
    extend_partition,
    write_partition,
)
from storage.side_by_side import each, side_by_side

_LOCKS = ".locks"


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One file of the lake: a year of daily bars, or a session of intraday ones."""

    dataset: Dataset
    period: Period
    name: str

    @property
    def path(self) -> Path:
        """Where it lies below the lake's root."""
        kind = "date" if self.period.is_intraday else "year"
        return (
            Path(self.dataset.value)
            / f"period={self.period.value}"
            / f"{kind}={self.name}"
            / f"{self.dataset.value}.parquet"
        )


@dataclass(frozen=True, slots=True)
class PartitionWrite:
    """What a write did to one partition. ``written`` is False if the file stayed as it was."""

    partition: Partition
    rows: int
    inserted: int
    updated: int
    unchanged: int
    revised: int
    written: bool


class Lake:
    """Bars in Parquet below one folder. Safe for any number of threads and processes.

    Bars of stocks are read and written under the present codes of their symbols, also where a file
    still has them under an old one.

    Args:
        root: The lake's folder; made when first written.
        lock_wait_s: How long another writer of a partition is waited for.
        aliases: Gives the codes that are no longer borne, each with the present one.
        manifest: Where each file that is written is entered; None: nowhere.
    """

    def __init__(
        self,
        root: Path,
        *,
        lock_wait_s: float = 20.0,
        aliases: Callable[[], Aliases] = dict,
        manifest: LakeManifest | None = None,
    ) -> None:
        self.root = Path(root)
        self._lock_wait_s = lock_wait_s
        self._aliases = aliases
        self._manifest = manifest

    def write(
        self,
        dataset: Dataset,
        period: Period,
        bars: pa.Table,
        *,
        alive: Callable[[], None] = lambda: None,
    ) -> list[PartitionWrite]:
        """Merge bars into their partitions, by the rule of :mod:`storage.merging`.

        Idempotent: a second call changes nothing and rewrites nothing.

        Args:
            dataset: Whose bars.
            period: Length of the bars.
            bars: In the dataset's schema, in any order.
            alive: Called after each partition, and about once a second while another writer of a
                partition is waited for; what it raises ends the write there.

        Raises:
            CorruptFileError: A partition is no readable Parquet file; it was left as it is.
            UnwritableError: The folder cannot be written; what was there is not lost.
            PartitionBusyError: Another process has been writing a partition for too long.
            StorageError: The manifest cannot be written; writing again does so.
        """
        aliases = self._aliases() if dataset is Dataset.KLINE else {}
        bars = under_present_codes(bars, aliases)
        merges = [
            partial(self._merge, Partition(dataset, period, name), part, aliases)
            for name, part in by_partition(period, bars)
        ]
        return side_by_side(merges, alive)

    def _merge(
        self, partition: Partition, bars: pa.Table, aliases: Aliases, alive: Callable[[], None]
    ) -> PartitionWrite:
        path = self.root / partition.path
        with self._locked(partition, alive):
            if path.exists():
                merge, rows = self._merge_into(partition, bars, aliases)
            else:
                merge, rows = self._rewrite(partition, None, bars)
            if not merge.changed and self._manifest is not None:
                # A writer that died in between may have left the file without its entry.
                self._manifest.record_if_unknown(path)
        return PartitionWrite(
            partition=partition,
            rows=rows,
            inserted=merge.inserted,
            updated=merge.updated,
            unchanged=merge.unchanged,
            revised=merge.revised,
            written=merge.changed,
        )

    def _merge_into(
        self, partition: Partition, bars: pa.Table, aliases: Aliases
    ) -> tuple[Merge, int]:
        """Merge bars into a partition that has a file; and how many bars it has then."""
        path, dataset = self.root / partition.path, partition.dataset
        names = pc.unique(bars[dataset.key].cast(pa.string())).to_pylist()
        under_old_codes = not set(aliases.values()).isdisjoint(names)
        with _readable(path), PartitionFile(path, dataset.key) as held:
            rows, groups = held.rows, held.groups_with(names)
            some = len(groups) < len(held.groups) and not under_old_codes
            existing = held.read(bar_schema(dataset), groups if some else held.groups)
            follows = some and held.ends_before(min(names))
        if some:
            merge = merge_bars(dataset, existing, bars)
            if not merge.changed:
                return merge, rows
            if follows and self._extend(path, merge.bars):
                return merge, rows + merge.inserted
            existing = self._read_file(partition, bar_schema(dataset))
        return self._rewrite(partition, under_present_codes(existing, aliases), bars)

    def _rewrite(
        self, partition: Partition, existing: pa.Table | None, bars: pa.Table
    ) -> tuple[Merge, int]:
        """Merge bars with all that a partition has, and write that if it differs."""
        merge = merge_bars(partition.dataset, existing, bars)
        if merge.changed:
            path = self.root / partition.path
            self._replace(path, lambda to: write_partition(merge.bars, to))
        return merge, merge.bars.num_rows

    def _extend(self, path: Path, bars: pa.Table) -> bool:
        """Let bars follow those of a file, if they are many and its bytes are proven."""
        if self._manifest is None or bars.num_rows < ROW_GROUP // 2:
            return False  # many small row groups would be slow to read
        entry = self._manifest.entry(path)
        if entry is None or entry.content.size != path.stat().st_size:
            return False
        held = entry.content
        try:
            self._replace(path, lambda to: extend_partition(path, held, bars, to))
        except CannotExtendError:
            return False  # reading all of it tells what is wrong
        return True

    def _replace(self, path: Path, write: Callable[[Path], Content]) -> None:
        """Write a partition's file anew and enter it; only while its lock is held."""
        written: list[Content] = []
        discard_leftovers(path)
        replace_file(
            path,
            lambda temporary: written.append(write(temporary)),
            written=lambda: reach(KillPoint.PARTITION_WRITTEN),
        )
        reach(KillPoint.PARTITION_RENAMED)
        if self._manifest is not None:
            self._manifest.record(path, written[-1])

    def set_aside_if_corrupt(self, partition: Partition, *, known: bool = False) -> Path | None:
        """Move a partition's file out of the readers' sight if it is no readable Parquet file.

        Args:
            partition: Which one.
            known: It is known to hold other bytes than were written, readable or not.

        Returns:
            Where the file is kept now; None if it is readable, or if there is none.

        Raises:
            UnwritableError: The folder cannot be written; the file stays where it is.
        """
        path = self.root / partition.path
        with self._locked(partition):
            if not path.exists():
                return None
            if not known and self._is_readable(partition):
                return None
            # The leading dot keeps pandas, DuckDB and Spark from reading it with the folder.
            kept = path.with_name(f".{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
            move_file(path, kept)
            if self._manifest is not None:
                self._manifest.forget(path)
            return kept

    def _is_readable(self, partition: Partition) -> bool:
        try:
            self.read_partition(partition)
        except CorruptFileError:
            return False
        return True

    def has_lost(self, partition: Partition) -> bool:
        """Whether a partition without a file has had one: its folder or its lock is still there.

        Where the lake is gone with all its locks, it has had whatever is asked for.
        """
        path = self.root / partition.path
        if path.exists():
            return False
        locks = self.root / _LOCKS
        return (
            path.parent.exists() or (locks / _lock_name(partition)).exists() or not locks.exists()
        )

    @contextmanager
    def _locked(
        self, partition: Partition, alive: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Hold the partition's lock: unlocked rewriting by several writers loses rows silently."""
        folder = self.root / _LOCKS
        give_up_at = time.monotonic() + self._lock_wait_s
        with ExitStack() as held:
            while True:
                try:
                    make_folder(folder)
                    held.enter_context(locked(folder / _lock_name(partition), 1.0))
                    break
                except OSError as error:
                    raise unwritable(self.root, error) from error
                except LockHeldError as error:
                    if time.monotonic() > give_up_at:
                        raise PartitionBusyError(
                            f"{partition.path} has been written by {error} for "
                            f"{self._lock_wait_s:.0f} s: it is tried again; if that process hangs, "
                            "end it",
                            {"path": str(self.root / partition.path)},
                        ) from error
                alive()
            yield

    def read(
        self,
        dataset: Dataset,
        period: Period,
        *,
        names: Collection[str] | None = None,
        window: Window | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Bars of some symbols (or boards) in a closed window, sorted by key.

        Args:
            dataset: Whose bars.
            period: Length of the bars.
            names: Symbols or boards; None: all.
            window: Sessions; None: all.
            columns: Which columns, in this order; None: all.

        Raises:
            CorruptFileError: A partition is no readable Parquet file.
        """
        aliases = self._aliases() if dataset is Dataset.KLINE else {}
        if names is not None:
            names = all_codes(names, aliases)
        schema = bar_schema(dataset)
        if columns is not None:
            needed = {*columns, dataset.key, "end_at"}
            schema = pa.schema([field for field in schema if field.name in needed])
        tables = each(
            lambda partition: self._read_coded(partition, schema, names, window, aliases),
            (
                partition
                for partition in self.partitions(dataset, period)
                if window is None or _overlaps(partition, window)
            ),
        )
        if not tables:
            return schema.empty_table().select(columns or schema.names)
        bars = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
        if len(tables) > 1:
            (keys,) = key_numbers(dataset, bars)
            bars = bars.take(pa.array(np.argsort(keys, kind="stable")))
        return bars.select(columns or schema.names)

    def _read_coded(
        self,
        partition: Partition,
        schema: pa.Schema,
        names: Collection[str] | None,
        window: Window | None,
        aliases: Aliases,
    ) -> pa.Table:
        """Some columns of a file under present codes."""
        bars = self._read_file(partition, schema, names, window)
        if not bears_old_code(bars, aliases):
            return bars
        # Of two bars of one key the better one stands, which only whole rows can tell.
        whole = self._read_file(partition, bar_schema(partition.dataset), names, window)
        return under_present_codes(whole, aliases).select(schema.names)

    def recode(self, partition: Partition) -> bool:
        """Rewrite a partition of stock bars if it has any under a code that is no longer borne.

        Idempotent.

        Returns:
            Whether it was rewritten.

        Raises:
            CorruptFileError: It is no readable Parquet file; it was left as it is.
            UnwritableError: The folder cannot be written; what was there is not lost.
        """
        path, aliases = self.root / partition.path, self._aliases()
        key = pa.schema([bar_schema(partition.dataset).field(partition.dataset.key)])
        with self._locked(partition):
            if not bears_old_code(self._read_file(partition, key), aliases):
                return False
            whole = self._read_file(partition, bar_schema(partition.dataset))
            bars = under_present_codes(whole, aliases)
            self._replace(path, lambda to: write_partition(bars, to))
        return True

    def partitions(self, dataset: Dataset, period: Period) -> list[Partition]:
        """The partitions that exist, ascending."""
        folder = self.root / dataset.value / f"period={period.value}"
        files = folder.glob(f"*/{dataset.value}.parquet")
        return sorted(
            Partition(dataset, period, path.parent.name.split("=", 1)[1]) for path in files
        )

    def read_partition(self, partition: Partition) -> pa.Table:
        """All bars of a partition, sorted by key.

        Raises:
            CorruptFileError: It is no readable Parquet file.
        """
        bars = self._read_file(partition, bar_schema(partition.dataset))
        if partition.dataset is Dataset.KLINE:
            bars = under_present_codes(bars, self._aliases())
        return bars

    def _read_file(
        self,
        partition: Partition,
        schema: pa.Schema,
        names: Collection[str] | None = None,
        window: Window | None = None,
    ) -> pa.Table:
        path = self.root / partition.path
        if window is not None and _lies_within(partition, window):
            window = None
        with _readable(path), PartitionFile(path, partition.dataset.key) as file:
            groups = file.groups if names is None else file.groups_with(names)
            return file.read(schema, groups, names=names, window=window)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say of a file that cannot be read what to do about it."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise CorruptFileError(
            f"{path} is no readable Parquet file ({str(error).splitlines()[0]}): it was left "
            "as it is; `quantsync verify --repair` moves it aside and rebuilds it",
            {"path": str(path)},
        ) from error


def _lock_name(partition: Partition) -> str:
    return "_".join(partition.path.parent.parts) + ".lock"


def _overlaps(partition: Partition, window: Window) -> bool:
    if partition.period.is_intraday:
        return window.start.isoformat() <= partition.name <= window.end.isoformat()
    return window.start.year <= int(partition.name) <= window.end.year


def _lies_within(partition: Partition, window: Window) -> bool:
    if partition.period.is_intraday:
        return True  # it is one session, and overlaps
    year = int(partition.name)
    return window.start <= date(year, 1, 1) and date(year, 12, 31) <= window.end
