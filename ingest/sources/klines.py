"""Bars of one symbol out of the columns that an upstream gives, in our schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ingest.source import Bars, SchemaDriftError
from ingest.validation import bar_states
from market.bars import END_AT_TYPE, FETCHED_AT_TYPE, Dataset, sorted_bars
from market.clock import Clock
from market.periods import Period
from market.sessions import SESSION_CLOSE, Window
from market.symbols import Symbol


@dataclass(frozen=True, slots=True)
class Stamp:
    """When bars were asked for, and of whom.

    Attributes:
        asked_at: Exchange time just before the request was sent.
        fetched_at: The same, by this machine's clock, UTC.
        source: Provenance written on every bar.
        settled_at: When the bars of a session's close no longer move, Shanghai time.
    """

    asked_at: datetime
    fetched_at: datetime
    source: str
    settled_at: time

    @classmethod
    def now(cls, clock: Clock, source: str, settled_at: time) -> "Stamp":
        """Of a request that is about to be sent."""
        return cls(clock.now(), datetime.now(UTC), source, settled_at)


Values = npt.NDArray[np.float64] | npt.NDArray[np.int64] | None
"""A column; None: the upstream has no such."""


def require_columns(symbol: Symbol, frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse a frame that lacks a column.

    Raises:
        SchemaDriftError: A column is missing.
    """
    missing = [name for name in names if name not in frame]
    if missing:
        raise SchemaDriftError(
            f"klines of {symbol} lack the columns {', '.join(missing)}: AKShare or the upstream "
            "changed; nothing was taken",
            {"symbol": str(symbol)},
        )


def numbers(symbol: Symbol, frame: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """A column that must be a number in every row: AKShare turns all else into NaN silently.

    Raises:
        SchemaDriftError: A row has none.
    """
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
    bad = int(np.isnan(values).sum())
    if bad:
        raise SchemaDriftError(
            f"klines of {symbol} have no number as {column} in {bad} of {len(values)} rows",
            {"symbol": str(symbol), "column": column},
        )
    return values


def whole_shares(symbol: Symbol, volumes: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Volumes as whole shares.

    Raises:
        SchemaDriftError: A volume has fractions of a share.
    """
    rounded = np.rint(volumes)
    if not np.allclose(volumes, rounded, atol=1e-3, rtol=0):
        raise SchemaDriftError(
            f"klines of {symbol} have fractions of a share as volume", {"symbol": str(symbol)}
        )
    return rounded.astype(np.int64)


def bars_of(
    symbol: Symbol,
    period: Period,
    window: Window,
    labels: pd.Series,
    values: Mapping[str, Values],
    stamp: Stamp,
) -> Bars:
    """The bars of an answer that lie within a window.

    Args:
        symbol: Whose bars.
        period: Their length.
        window: Bars of other sessions are left out: the upstream takes no window, or a wider one.
        labels: The end of each bar, or its day, Shanghai time without an offset.
        values: ``open high low close amount`` in CNY, ``volume`` in shares, ``turnover_rate`` in
            percent; None where the upstream gives none.
        stamp: When it was asked for.

    Raises:
        SchemaDriftError: A label is no date.
    """
    rows = len(labels)
    ends = pd.to_datetime(labels, errors="coerce")
    if ends.isna().any():
        raise SchemaDriftError(
            f"klines of {symbol} carry {labels[ends.isna()].iloc[0]!r} as a date",
            {"symbol": str(symbol)},
        )
    sessions = ends.dt.date
    if period is Period.DAILY:
        ends = ends.dt.normalize() + pd.Timedelta(hours=SESSION_CLOSE.hour)
    end_at = pa.array(ends.dt.tz_localize("Asia/Shanghai").dt.as_unit("s"), END_AT_TYPE)
    columns: dict[str, object] = {
        "symbol": [str(symbol)] * rows,
        "session": pa.array(sessions, pa.date32()),
        "end_at": end_at,
        **{
            name: pa.nulls(rows, pa.float64())
            if column is None
            else pa.array(column, from_pandas=True)
            for name, column in values.items()
        },
        "state": bar_states(pa.chunked_array([end_at]), stamp.asked_at, stamp.settled_at),
        "source": [stamp.source] * rows,
        "fetched_at": pa.array([stamp.fetched_at] * rows, FETCHED_AT_TYPE),
    }
    table = pa.table(columns)
    within = pc.and_(
        pc.greater_equal(table["session"], pa.scalar(window.start)),
        pc.less_equal(table["session"], pa.scalar(window.end)),
    )
    return Bars(sorted_bars(Dataset.KLINE, table.filter(within)), rows)
