"""One file of the lake: read by the row groups that matter, and grown at its end.

Sorted by key, so the statistics of the row groups say which of them can hold a symbol, and bars
that come after all others need none of them written anew.
"""

import io
from bisect import bisect_left
from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from market.periods import Period
from market.sessions import Window
from storage.hashing import Content, HashingFile

ROW_GROUP = 64 * 1024  # small enough that one symbol's bars need not wait for the others
_PORTION = 1 << 20
_MAGIC = b"PAR1"
_FOOTER_END = 4 + len(_MAGIC)  # the footer's length, and the word that ends a file
_HARDLY_REPEATED = ("volume", "amount")  # a dictionary of them is thrown away when it is full


class PartitionFile:
    """A partition's file, opened to be read.

    Opened once: by its path it would be opened again for each part, and a commit that replaces it
    in between would make it look corrupt.

    Args:
        path: The file.
        key: The column whose text it is sorted by first.

    Raises:
        pa.ArrowException, OSError: It is no Parquet file, or cannot be read.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._file = pa.OSFile(str(path))
        try:
            self._parquet = pq.ParquetFile(self._file, page_checksum_verification=True)
        except BaseException:
            self._file.close()
            raise
        self._key = key
        self._ranges = _key_ranges(self._parquet.metadata, key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._parquet.close()
        self._file.close()

    @property
    def rows(self) -> int:
        """How many bars it holds."""
        return int(self._parquet.metadata.num_rows)

    @property
    def groups(self) -> list[int]:
        """All row groups."""
        return list(range(self._parquet.num_row_groups))

    def groups_with(self, names: Collection[str]) -> list[int]:
        """The row groups that may hold any of some symbols; all, if the file does not say."""
        if self._ranges is None:
            return self.groups
        ordered = sorted(names)
        found = []
        for group, (least, most) in enumerate(self._ranges):
            at = bisect_left(ordered, least)
            if at < len(ordered) and ordered[at] <= most:
                found.append(group)
        return found

    def ends_before(self, name: str) -> bool:
        """Whether all symbols that it holds are known to come before one."""
        return self._ranges is not None and all(most < name for _, most in self._ranges)

    def read(
        self,
        schema: pa.Schema,
        groups: list[int],
        *,
        names: Collection[str] | None = None,
        window: Window | None = None,
    ) -> pa.Table:
        """Bars of some row groups, in the file's order.

        Args:
            schema: The columns that are wanted, the key among them.
            groups: Which row groups.
            names: Only of these symbols; None: of all.
            window: Only of these sessions; None: of all.

        Raises:
            pa.ArrowException, OSError, KeyError, ValueError: A page is not what was written, a
                column lacks, or its values do not fit.
        """
        columns = [*schema.names, *({"session"} - set(schema.names) if window else ())]
        bars = self._parquet.read_row_groups(groups, columns=columns, use_threads=len(groups) > 1)
        wanted = None if names is None else _among(bars[self._key], set(names))
        if window is not None:
            days = bars["session"].cast(pa.int32()).to_numpy()
            first, last = (
                np.datetime64(day, "D").astype(int) for day in (window.start, window.end)
            )
            inside = (days >= first) & (days <= last)
            wanted = inside if wanted is None else wanted & inside
        bars = bars.select(schema.names)
        if wanted is not None and not wanted.all():
            bars = bars.filter(pa.array(wanted))
        return bars.cast(schema)


def by_partition(period: Period, bars: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Bars by the names of their partitions, ascending; each part in the order in which they came.

    One sort for all parts: a filter for each would look at every bar as often as there are parts.
    """
    if not bars.num_rows:
        return
    session = bars["session"]
    numbers = (session.cast(pa.int32()) if period.is_intraday else pc.year(session)).to_numpy()
    if (numbers != numbers[0]).any():
        # Small numbers are sorted by their digits, which is many times as fast.
        order = np.argsort((numbers - numbers.min()).astype(np.uint16), kind="stable")
        bars, numbers = bars.combine_chunks().take(pa.array(order)), numbers[order]
    starts = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
    for start, stop in pairwise([*starts, len(numbers)]):
        day = bars["session"][start].as_py()
        name = day.isoformat() if period.is_intraday else str(day.year)
        yield name, bars.slice(start, stop - start)


def write_partition(bars: pa.Table, path: Path) -> Content:
    """Write a file of sorted bars; what it holds."""
    with HashingFile(path.open("wb")) as file:
        pq.write_table(bars, file, row_group_size=ROW_GROUP, **_style(bars))
        return file.content


class CannotExtendError(Exception):
    """A file does not hold what it did when it was written, or has other columns."""


def extend_partition(path: Path, held: Content, bars: pa.Table, to: Path) -> Content:
    """Write a file anew with more bars at its end: what it holds is copied, not decoded.

    Parquet finds all its parts by their places, which the footer names: so the new row groups
    follow those that were there, and a footer that names both follows them.

    Args:
        path: The file, which is left as it is.
        held: What it held when it was written.
        bars: Sorted bars, whose keys come after all that it holds.
        to: Where the new file goes.

    Returns:
        What the new file holds.

    Raises:
        CannotExtendError: The file holds other bytes than those, or other columns.
        pa.ArrowException, OSError: It is no Parquet file, or the new one cannot be written.
    """
    with path.open("rb") as old, HashingFile(to.open("wb")) as new:
        old.seek(-_FOOTER_END, io.SEEK_END)
        body = held.size - _footer_length(old.read())
        sink, of_groups = _Sink(new), list[pq.FileMetaData]()
        # Arrow counts the places that it names by what went through it: so the body does, too.
        counted = pa.PythonFile(sink, mode="w")
        with pq.ParquetWriter(
            counted, bars.schema, metadata_collector=of_groups, **_style(bars)
        ) as writer:
            old.seek(counted.tell())  # it has begun with the word that begins every file
            while part := old.read(min(_PORTION, body - counted.tell())):
                counted.write(part)
            if new.content_with(old.read()) != held:
                raise CannotExtendError(path)
            sink.collected = bytearray()
            writer.write_table(bars, row_group_size=ROW_GROUP)
        groups = sink.collected[: -_footer_length(sink.collected)]
        new.write(groups)
        metadata = pq.read_metadata(path)
        if not metadata.schema.equals(of_groups[0].schema):
            raise CannotExtendError(path)
        metadata.append_row_groups(of_groups[0])
        footer = io.BytesIO()
        metadata.write_metadata_file(footer)
        new.write(footer.getvalue()[len(_MAGIC) :])
        return new.content


class _Sink(io.RawIOBase):
    """Passes on what is written; from the moment that ``collected`` is something, keeps it."""

    def __init__(self, file: HashingFile) -> None:
        self._file = file
        self.collected: bytearray | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self.collected is None:
            return self._file.write(data)
        self.collected += data
        return memoryview(data).nbytes


def _footer_length(content: bytes | bytearray) -> int:
    """Bytes of the footer that ends a file, its length and the magic word included."""
    return int.from_bytes(content[-_FOOTER_END : -len(_MAGIC)], "little") + _FOOTER_END


def _style(bars: pa.Table) -> dict[str, Any]:
    """How the lake's files are encoded."""
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [name for name in bars.column_names if name not in _HARDLY_REPEATED],
        "write_page_checksum": True,  # or a flipped bit would be read as a price
    }


def _key_ranges(metadata: pq.FileMetaData, key: str) -> list[tuple[str, str]] | None:
    """The least and the greatest key of each row group; None: unknown, or not in ascending order.

    Somebody else may have written the file.
    """
    if key not in metadata.schema.names:
        return None
    place = metadata.schema.names.index(key)
    ranges: list[tuple[str, str]] = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(place).statistics
        if statistics is None or not isinstance(statistics.min, str):
            return None
        ranges.append((statistics.min, statistics.max))
        if len(ranges) > 1 and ranges[-2][1] > ranges[-1][0]:
            return None
    return ranges


def _among(column: pa.ChunkedArray, names: set[str]) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Which rows bear one of some names."""
    wanted = pa.array(sorted(names), pa.string())
    masks = []
    for chunk in column.cast(pa.dictionary(pa.int32(), pa.string())).chunks:
        known = pc.is_in(chunk.dictionary, value_set=wanted).to_numpy(zero_copy_only=False)
        indices = chunk.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        masks.append(np.append(known, False)[indices])
    return np.concatenate(masks) if masks else np.empty(0, bool)
