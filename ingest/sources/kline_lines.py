"""Eastmoney's kline lines, typed: ``2025-12-31,open,close,high,low,lots,amount,…``.

Every cell is a number of its column's type or the answer is drift, named by series, field and
value; nothing becomes NaN on the way.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ingest.source import SchemaDriftError
from ingest.sources.listed_codes import SHARES_PER_LOT
from ingest.validation import bar_states
from market.bars import END_AT_TYPE, Dataset
from market.periods import Period
from market.sessions import SESSION_CLOSE

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


def read_lines(asked: Asked, lines: Sequence[str], fields: Mapping[str, str]) -> pa.Table:
    """Bars with the columns of the dataset's schema and ``change``, in the upstream's order.

    Args:
        asked: The question.
        lines: One per bar, with the fields in their order.
        fields: ``KLINE_FIELDS`` or ``TREND_FIELDS``.

    Raises:
        SchemaDriftError: A line or a cell is not of its type.
    """
    cells = _typed(asked, lines, fields)
    when = cells["when"].combine_chunks()
    local = when.cast(pa.timestamp("s"))
    if asked.period is Period.DAILY:
        close_s = pa.scalar(SESSION_CLOSE.hour * 3600, pa.int64())
        local = pc.add(local.cast(pa.int64()), close_s).cast(pa.timestamp("s"))
    end_at = pc.assume_timezone(local, "Asia/Shanghai").cast(END_AT_TYPE)
    opens = cells["open"]
    if asked.period is Period.M1:  # the upstream writes 0 before the latest session
        opens = pc.if_else(pc.equal(opens, 0.0), pa.scalar(None, pa.float64()), opens)
    count, empty = len(lines), pa.nulls(len(lines), pa.float64())
    return pa.table(
        {
            asked.dataset.key: pa.array([asked.key] * count, pa.string()),
            "session": local.cast(pa.date32()),
            "end_at": end_at,
            "open": opens,
            **{name: cells[name] for name in ("high", "low", "close")},
            "volume": _shares(asked, cells["lots"]),
            "amount": cells["amount"],
            "turnover_rate": cells["turnover_rate"] if "f61" in fields else empty,
            "state": bar_states(pa.chunked_array([end_at]), asked.asked_at, asked.settled_at),
            "source": pa.array([asked.source] * count, pa.string()),
            "fetched_at": pa.array([datetime.now(UTC)] * count, pa.timestamp("us", tz="UTC")),
            "change": cells["change"] if "f60" in fields else empty,
        }
    )


def _typed(asked: Asked, lines: Sequence[str], fields: Mapping[str, str]) -> pa.Table:
    names = list(fields.values())
    used = [name for name in names if name not in _UNUSED]
    is_daily = asked.period is Period.DAILY
    when = pa.date32() if is_daily else pa.timestamp("s")
    convert = csv.ConvertOptions(
        column_types={**dict.fromkeys(used, pa.float64()), "when": when},
        include_columns=used,
        null_values=["-"],
        timestamp_parsers=[] if is_daily else [_MINUTE_FORMAT],
        check_utf8=False,
    )
    try:
        table = csv.read_csv(
            io.BytesIO("\n".join(lines).encode()),
            read_options=csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=csv.ParseOptions(quote_char=False),
            convert_options=convert,
        )
    except (pa.ArrowInvalid, AttributeError, TypeError) as error:
        raise _named(asked, lines, fields, str(error)) from error
    if table.num_rows != len(lines):
        raise _named(asked, lines, fields, f"{table.num_rows} of {len(lines)} lines hold a bar")
    for name in used:
        column = table[name]
        missing = (name == "when" or name in _REQUIRED) and column.null_count
        if missing or (name != "when" and pc.all(pc.is_finite(column)).as_py() is False):
            raise _named(asked, lines, fields, f"{name} has no number in some row")
    return table


def _shares(asked: Asked, lots: pa.ChunkedArray) -> pa.ChunkedArray:
    broken = pc.filter(lots, pc.not_equal(pc.floor(lots), lots))
    if len(broken):
        raise SchemaDriftError(
            f"klines of {asked.key} have fractions of a lot as volume: {broken[0].as_py()}",
            {asked.dataset.key: asked.key, "field": "f56", "value": str(broken[0].as_py())},
        )
    return pc.multiply(lots.cast(pa.int64()), SHARES_PER_LOT)


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
