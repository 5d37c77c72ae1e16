"""Provisional 5m bars out of two sweeps of quotes, taken at the ends of two neighbouring bars.

A quote carries the session's volume, amount, high and low so far, so what lies between two sweeps
is their difference:

========  ==========================================================================================
volume    of the later sweep minus that of the earlier one: over a session they add up exactly
amount    likewise
close     the later sweep's latest price
open      the earlier sweep's latest price; the session's open for the first bar
high      the session's high if it rose in between, else the higher of open and close, or what the
          average price proves if that is more: a bar's own high below the session's is not seen, so
          this is a lower bound
low       likewise
========  ==========================================================================================

A sweep of a whole market takes about a minute at one request a second, so a symbol's quote is taken
up to that long after the end of the bar it closes. The official bar replaces this one.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.sources.listed_codes import SHARES_PER_LOT
from market.bars import END_AT_TYPE, BarState, Dataset, bar_schema, sorted_bars

SNAPSHOT = "snapshot"
"""The source of such bars, behind that of the quotes for a simulator's."""
SNAPSHOT_COLUMNS = ("symbol", "close", "high", "low", "open", "volume", "amount")
"""The columns of ``QUOTES_SCHEMA`` that a later sweep is compared with."""
_HALF_CENT = 0.005
_NOISE = 1e-6
"""Of a price in cents, by the arithmetic."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SnapshotBars:
    """What two sweeps give.

    Attributes:
        bars: In the kline schema, provisional, sorted.
        contradictions: Symbols of which the later sweep has less volume, amount, or range than the
            earlier one: they have no bar.
        unknown: Symbols that traded and that the earlier sweep does not name.
    """

    bars: pa.Table
    contradictions: tuple[str, ...]
    unknown: tuple[str, ...]


def bars_between(
    earlier: pa.Table | None,
    later: pa.Table,
    end_at: datetime,
    *,
    source: str,
    fetched_at: datetime,
) -> SnapshotBars:
    """The 5m bars that end at an instant.

    Args:
        earlier: The sweep at the end of the bar before; None: the bar is the session's first.
        later: The sweep at the end of the bar, with ``SNAPSHOT_COLUMNS``.
        end_at: End of the bar, Asia/Shanghai.
        source: Provenance written on every bar.
        fetched_at: When the later sweep was taken, aware.
    """
    traded = later.filter(pc.and_(pc.is_valid(later["close"]), pc.is_valid(later["open"])))
    now = _Sweep.of(traded)
    before, named = _aligned(earlier, traded)
    first = ~(before.volume > 0)  # nothing of it had traded by then
    opens = np.where(first, now.open, before.close)
    highest, lowest = np.maximum(opens, now.close), np.minimum(opens, now.close)
    high = np.where(first | (now.high > before.high), now.high, highest)
    low = np.where(first | (now.low < before.low), now.low, lowest)
    volume = now.volume - np.nan_to_num(before.volume)
    amount = now.amount - np.nan_to_num(before.amount)
    odd = (volume < 0) | (amount < -_HALF_CENT) | ~np.isfinite(volume + amount + high + low)
    odd |= ~first & ((now.high < before.high) | (now.low > before.low))
    good = pa.array(named & ~odd)
    reached, fallen = _proven_by_average(volume, amount)
    symbols, rows = traded["symbol"], traded.num_rows
    local = pa.array([end_at] * rows, END_AT_TYPE)
    table = pa.table(
        {
            "symbol": symbols,
            "session": pa.array([end_at.date()] * rows, pa.date32()),
            "end_at": local,
            "open": opens,
            "high": np.fmax(np.maximum(high, highest), np.minimum(reached, now.high)),
            "low": np.fmin(np.minimum(low, lowest), np.maximum(fallen, now.low)),
            "close": now.close,
            "volume": np.nan_to_num(volume).astype(np.int64),
            "amount": np.maximum(np.round(amount, 2), 0.0),
            "turnover_rate": pa.nulls(rows, pa.float64()),
            "state": pa.array([BarState.PROVISIONAL.value] * rows),
            "source": pa.array([source] * rows),
            "fetched_at": pa.array([fetched_at] * rows, pa.timestamp("us", tz="UTC")),
        }
    ).filter(good)
    bars = sorted_bars(Dataset.KLINE, table) if rows else bar_schema(Dataset.KLINE).empty_table()
    names = np.asarray(symbols.to_pylist(), object)
    return SnapshotBars(bars, tuple(names[named & odd]), tuple(names[~named]))


def _proven_by_average(volume: _Floats, amount: _Floats) -> tuple[_Floats, _Floats]:
    """Prices that some trade was at least, and at most, as high as; NaN where nothing is proven.

    A session's volume is told in lots, so that a difference is off by less than one.
    """
    known = volume > SHARES_PER_LOT
    divisor = np.where(known, volume, np.nan)
    least, most = amount / (divisor + SHARES_PER_LOT), amount / (divisor - SHARES_PER_LOT)
    return np.ceil(least * 100 - _NOISE) / 100, np.floor(most * 100 + _NOISE) / 100


@dataclass(frozen=True, slots=True)
class _Sweep:
    open: _Floats
    high: _Floats
    low: _Floats
    close: _Floats
    volume: _Floats
    amount: _Floats

    @classmethod
    def of(cls, quotes: pa.Table) -> "_Sweep":
        names = ("open", "high", "low", "close", "volume", "amount")
        return cls(*(_floats(quotes[name]) for name in names))


def _floats(column: pa.ChunkedArray) -> _Floats:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _aligned(earlier: pa.Table | None, later: pa.Table) -> tuple[_Sweep, npt.NDArray[np.bool_]]:
    """The earlier sweep's rows in the order of the later one's, and which of them it has."""
    if earlier is None:
        nothing = np.full(later.num_rows, np.nan)
        return _Sweep(*[nothing] * 6), np.ones(later.num_rows, bool)
    places = pc.index_in(later["symbol"].combine_chunks(), earlier["symbol"].combine_chunks())
    named = places.is_valid()
    return _Sweep.of(earlier.take(places)), np.asarray(named.to_numpy(zero_copy_only=False), bool)
