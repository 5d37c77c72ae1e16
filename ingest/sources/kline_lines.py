"""Eastmoney's kline lines, typed: ``2025-12-31,open,close,high,low,lots,amount,…``.

Every cell is a number of its column's type or the answer is drift, named by series, field and
value; nothing becomes NaN on the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ingest.shanghai import DAY_S, Ints, instants
from ingest.source import Bars, SchemaDriftError
from ingest.sources.listed_codes import SHARES_PER_LOT
from market.bars import END_AT_TYPE, FETCHED_AT_TYPE, BarState, Dataset, bar_schema
from market.finality import have_ended
from market.periods import Period
from market.sessions import SESSION_CLOSE, Window

_SHARED_FIELDS = {
    "f51": "when", "f52": "open", "f53": "close", "f54": "high", "f55": "low", "f56": "lots",
    "f57": "amount",
}  # fmt: skip
KLINE_FIELDS = _SHARED_FIELDS | {
    "f58": "amplitude", "f59": "change_percent", "f60": "change", "f61": "turnover_rate",
}  # fmt: skip
"""The cells of a kline's lines, those that AKShare asks for, with what they are here."""
TREND_FIELDS = _SHARED_FIELDS | {"f58": "average"}
"""The cells of a one-minute trend's lines."""

_UNUSED = frozenset({"amplitude", "change_percent", "average"})
_REQUIRED = ("high", "low", "close", "lots", "amount")
_MINUTE_FORMAT = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True)
class Asked:
    """What lines are an answer to.

    Attributes:
        dataset: Whose bars.
        key: ``600519.SH`` or ``BK0477``.
        period: Length of the bars.
        asked_at: Exchange time just before the request was sent.
        source: Provenance written on every bar.
        settled_at: When the bars of a session's close no longer move, Shanghai time.
    """

    dataset: Dataset
    key: str
    period: Period
    asked_at: datetime
    source: str
    settled_at: time


def read_lines(
    asked: Asked, lines: Sequence[str], fields: Mapping[str, str], window: Window
) -> Bars:
    """Bars in the dataset's schema, ascending, each with its change; of minutes those of a window.

    It is called for every symbol, and a fifth of a millisecond is a second for the market: one pass
    of the CSV reader makes the numbers, and the rest is done on whole columns.

    Args:
        asked: The question.
        lines: One per bar, with the fields in their order.
        fields: ``KLINE_FIELDS`` or ``TREND_FIELDS``.
        window: Sessions whose minutes are wanted: 1m takes no window. Daily bars stay as they come.

    Raises:
        SchemaDriftError: A line or a cell is not of its type.
    """
    cells = _typed(asked, lines, fields)
    local = _local_seconds(asked.period, cells["when"])
    order = _order(asked.period, local, window)
    if order is not None:
        cells, local = cells.take(pa.array(order)), local[order]
    count, ends = len(local), instants(local)
    opens = cells["open"]
    if asked.period is Period.M1:  # the upstream writes 0 before the latest session
        opens = pc.if_else(pc.equal(opens, 0.0), pa.scalar(None, pa.float64()), opens)
    ended = have_ended(ends, asked.asked_at, asked.settled_at)
    table = pa.Table.from_arrays(
        [
            pa.DictionaryArray.from_arrays(_zeros(count), pa.array([asked.key])),
            _of_numbers((local // DAY_S).astype(np.int32), pa.date32()),
            _of_numbers(ends, END_AT_TYPE),
            opens,
            *(cells[name] for name in ("high", "low", "close")),
            _shares(asked, cells["lots"]),
            cells["amount"],
            cells["turnover_rate"] if "f61" in fields else _nothing(count),
            _states(ended),
            _always(asked.source, count),
            pa.repeat(pa.scalar(datetime.now(UTC), FETCHED_AT_TYPE), count),
        ],
        schema=bar_schema(asked.dataset),
    )
    changes = cells["change"] if "f60" in fields else pa.chunked_array([_nothing(count)])
    return Bars(table, len(lines), changes)


def _states(ended: npt.NDArray[np.bool_]) -> pa.Array:
    final, provisional = BarState.FINAL.value, BarState.PROVISIONAL.value
    if ended.all() or not ended.any():
        return _always(final if ended.all() else provisional, len(ended))
    return pc.if_else(pa.array(ended), final, provisional).dictionary_encode()


@lru_cache(maxsize=64)
def _zeros(count: int) -> pa.Array:
    return pa.array(np.zeros(count, np.int32))


@lru_cache(maxsize=64)
def _nothing(count: int) -> pa.Array:
    return pa.nulls(count, pa.float64())


@lru_cache(maxsize=64)
def _always(text: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(_zeros(count), pa.array([text]))


def _of_numbers(numbers: npt.NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    """Numbers read as a type of their width: a cast would look at each of them."""
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def _local_seconds(period: Period, when: pa.ChunkedArray) -> Ints:
    """End of each bar by the clock of Shanghai, seconds since 1970 there."""
    (whole,) = when.chunks
    if period is Period.DAILY:
        days = whole.view(pa.int32()).to_numpy().astype(np.int64)
        return np.asarray(days * DAY_S + SESSION_CLOSE.hour * 3600, np.int64)
    return np.asarray(whole.view(pa.int64()).to_numpy(), np.int64)


def _order(period: Period, local: Ints, window: Window) -> Ints | None:
    """Places of the bars that are wanted, ascending in time; None: all, as they are."""
    ascending = bool((np.diff(local) > 0).all())
    if not period.is_intraday:
        return None if ascending else np.argsort(local, kind="stable")
    days = local // DAY_S
    first, last = (int(np.datetime64(day).astype(np.int64)) for day in (window.start, window.end))
    within = (days >= first) & (days <= last)
    if ascending and within.all():
        return None
    return np.asarray([at for at in np.argsort(local, kind="stable") if within[at]], np.int64)


def _typed(asked: Asked, lines: Sequence[str], fields: Mapping[str, str]) -> pa.Table:
    names = tuple(fields.values())
    try:
        table = csv.read_csv(
            pa.py_buffer("\n".join(lines).encode()),
            read_options=csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=csv.ParseOptions(quote_char=False),
            convert_options=_conversion(asked.period is Period.DAILY, names),
        )
    except (pa.ArrowInvalid, AttributeError, TypeError) as error:
        raise _named(asked, lines, fields, str(error)) from error
    if table.num_rows != len(lines):
        raise _named(asked, lines, fields, f"{table.num_rows} of {len(lines)} lines hold a bar")
    for name in table.column_names:
        column = table[name]
        missing = (name == "when" or name in _REQUIRED) and column.null_count
        if missing or (name != "when" and not _finite(column)):
            raise _named(asked, lines, fields, f"{name} has no number in some row")
    return table if table["when"].num_chunks == 1 else table.combine_chunks()


@lru_cache(maxsize=8)
def _conversion(is_daily: bool, names: tuple[str, ...]) -> csv.ConvertOptions:  # noqa: FBT001
    used = [name for name in names if name not in _UNUSED]
    when = pa.date32() if is_daily else pa.timestamp("s")
    return csv.ConvertOptions(
        column_types={**dict.fromkeys(used, pa.float64()), "when": when},
        include_columns=used,
        null_values=["-"],
        timestamp_parsers=[] if is_daily else [_MINUTE_FORMAT],
        check_utf8=False,
    )


def _finite(column: pa.ChunkedArray) -> bool:
    """Whether every number is one; cells without any are left aside."""
    if column.null_count:
        return pc.all(pc.is_finite(column)).as_py() is not False
    return bool(np.isfinite(column.to_numpy()).all())


def _shares(asked: Asked, lots: pa.ChunkedArray) -> pa.Array:
    numbers = lots.to_numpy()
    whole = numbers.astype(np.int64)
    broken = numbers[whole != numbers]
    if len(broken):
        raise SchemaDriftError(
            f"klines of {asked.key} have fractions of a lot as volume: {float(broken[0])}",
            {asked.dataset.key: asked.key, "field": "f56", "value": str(float(broken[0]))},
        )
    return pa.array(whole * SHARES_PER_LOT)


def _named(
    asked: Asked, lines: Sequence[str], fields: Mapping[str, str], fault: str
) -> SchemaDriftError:
    """The first cell that is not what it should be."""
    for line in lines:
        cells = line.split(",") if isinstance(line, str) else []
        if len(cells) != len(fields):
            return _drift(asked, "the whole line", str(line)[:80], f"{len(fields)} cells")
        for (field, name), cell in zip(fields.items(), cells, strict=True):
            if name not in _UNUSED and not _fits(asked.period, name, cell):
                return _drift(asked, f"{field} ({name})", cell, "a date" if name == "when" else "")
    return _drift(asked, "the answer", fault, "")


def _fits(period: Period, name: str, cell: str) -> bool:
    if cell == "-":
        return name != "when" and name not in _REQUIRED
    try:
        if name == "when":
            datetime.strptime(cell, "%Y-%m-%d" if period is Period.DAILY else _MINUTE_FORMAT)  # noqa: DTZ007
            return True
        return abs(float(cell)) < float("inf")
    except ValueError:
        return False


def _drift(asked: Asked, field: str, value: str, wanted: str) -> SchemaDriftError:
    return SchemaDriftError(
        f"klines of {asked.key} give {value!r} as {field}, where {wanted or 'a number'} is due: "
        "nothing was taken",
        {asked.dataset.key: asked.key, "field": field, "value": value},
    )
