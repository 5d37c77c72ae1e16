"""The lake: bars as plain Parquet, one sorted file per partition, rewritten as a whole.

``kline/period=daily/year=2026/kline.parquet``, ``kline/period=5m/date=2026-11-23/kline.parquet``,
boards likewise under ``board_kline/``. The file *is* the partition: pandas, polars, DuckDB and
Spark read the folder as it lies.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

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
from storage.hashing import Content, HashingFile
from storage.killpoints import KillPoint, reach
from storage.lake_manifest import LakeManifest
from storage.locking import LockHeldError, locked
from storage.merging import merge_bars

_LOCKS = ".locks"
_ROW_GROUP = 64 * 1024  # small enough that one symbol's bars need not wait for the others


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
        done = []
        if dataset is Dataset.KLINE:
            bars = under_present_codes(bars, self._aliases())
        for name, part in _parts(period, bars):
            done.append(self._merge(Partition(dataset, period, name), part, alive))
            alive()
        return done

    def _merge(
        self, partition: Partition, bars: pa.Table, alive: Callable[[], None]
    ) -> PartitionWrite:
        path = self.root / partition.path
        with self._locked(partition, alive):
            existing = self.read_partition(partition) if path.exists() else None
            merge = merge_bars(partition.dataset, existing, bars)
            if merge.changed:
                self._replace(path, merge.bars)
            elif self._manifest is not None:
                # A writer that died in between may have left the file without its entry.
                self._manifest.record_if_unknown(path)
        return PartitionWrite(
            partition=partition,
            rows=merge.bars.num_rows,
            inserted=merge.inserted,
            updated=merge.updated,
            unchanged=merge.unchanged,
            revised=merge.revised,
            written=merge.changed,
        )

    def _replace(self, path: Path, bars: pa.Table) -> None:
        """Write a partition's file anew and enter it; only while its lock is held."""
        written: list[Content] = []
        discard_leftovers(path)
        replace_file(
            path,
            lambda temporary: written.append(_write_parquet(bars, temporary)),
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
        filters = _filters(dataset, names, window)
        schema = bar_schema(dataset)
        if columns is not None:
            needed = {*columns, dataset.key, "end_at"}
            schema = pa.schema([field for field in schema if field.name in needed])
        tables = [
            self._read_coded(partition, schema, filters, aliases)
            for partition in self.partitions(dataset, period)
            if window is None or _overlaps(partition, window)
        ]
        if not tables:
            return schema.empty_table().select(columns or schema.names)
        bars = pa.concat_tables(tables).unify_dictionaries().cast(schema)
        if len(tables) > 1:
            order = pc.sort_indices(
                pa.table({"k": bars[dataset.key].cast(pa.string()), "e": bars["end_at"]}),
                sort_keys=[("k", "ascending"), ("e", "ascending")],
            )
            bars = bars.take(order)
        return bars.select(columns or schema.names).combine_chunks()

    def _read_coded(
        self,
        partition: Partition,
        schema: pa.Schema,
        filters: pc.Expression | None,
        aliases: Aliases,
    ) -> pa.Table:
        """Some columns of a file under present codes."""
        path = self.root / partition.path
        bars = self._read_file(path, schema, filters)
        if not bears_old_code(bars, aliases):
            return bars
        # Of two bars of one key the better one stands, which only whole rows can tell.
        whole = self._read_file(path, bar_schema(partition.dataset), filters)
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
            if not bears_old_code(self._read_file(path, key), aliases):
                return False
            bars = under_present_codes(
                self._read_file(path, bar_schema(partition.dataset)), aliases
            )
            self._replace(path, bars)
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
        bars = self._read_file(self.root / partition.path, bar_schema(partition.dataset))
        if partition.dataset is Dataset.KLINE:
            bars = under_present_codes(bars, self._aliases())
        return bars

    def _read_file(
        self, path: Path, schema: pa.Schema, filters: pc.Expression | None = None
    ) -> pa.Table:
        try:
            # Opened once: by its path it would be opened again for each part, and a commit that
            # replaces it in between would make it look corrupt.
            with pa.OSFile(str(path)) as file:
                table = pq.read_table(
                    file,
                    columns=schema.names,
                    filters=filters,
                    partitioning=None,
                    page_checksum_verification=True,
                )
            return table.select(schema.names).cast(schema)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise CorruptFileError(
                f"{path} is no readable Parquet file ({str(error).splitlines()[0]}): it was left "
                "as it is; `quantsync verify --repair` moves it aside and rebuilds it",
                {"path": str(path)},
            ) from error


def _lock_name(partition: Partition) -> str:
    return "_".join(partition.path.parent.parts) + ".lock"


def _write_parquet(bars: pa.Table, path: Path) -> Content:
    with HashingFile(path.open("wb")) as file:
        pq.write_table(
            bars,
            file,
            compression="zstd",
            compression_level=1,
            row_group_size=_ROW_GROUP,
            write_page_checksum=True,  # or a flipped bit would be read as a price
        )
        return file.content


def _parts(period: Period, bars: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    if not bars.num_rows:
        return
    if period.is_intraday:
        of_row = bars["session"].cast(pa.string())
    else:
        of_row = pc.year(bars["session"]).cast(pa.string())
    for name in sorted(pc.unique(of_row).to_pylist()):
        yield name, bars.filter(pc.equal(of_row, name))


def _filters(
    dataset: Dataset, names: Collection[str] | None, window: Window | None
) -> pc.Expression | None:
    parts = []
    if names is not None:
        parts.append(pc.field(dataset.key).isin(sorted(names)))
    if window is not None:
        parts.append(pc.field("session") >= pa.scalar(window.start))
        parts.append(pc.field("session") <= pa.scalar(window.end))
    combined = None
    for part in parts:
        combined = part if combined is None else combined & part
    return combined


def _overlaps(partition: Partition, window: Window) -> bool:
    if partition.period.is_intraday:
        return window.start.isoformat() <= partition.name <= window.end.isoformat()
    return window.start.year <= int(partition.name) <= window.end.year
