"""How far provisional 5m bars were from the official ones that replaced them.

Nothing is measured for its own sake: every bar that gave way is kept, so the two are held side by
side when somebody asks.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from market.bars import BarState, Dataset
from market.periods import Period
from market.sessions import Window
from storage.database import Database
from storage.lake import Lake
from storage.revisions import read_revisions

_HALF_CENT = 0.005
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SnapshotErrors:
    """The provisional bars of one session against the official ones.

    Attributes:
        waiting: Provisional bars that no official one has replaced yet.
        compared: Pairs of a provisional bar and the official one.
        symbols: Symbols among the pairs.
        volume_exact: Pairs of equal volume.
        close_exact: Pairs of equal close, to the cent.
        high_exact: Pairs of equal high; the provisional one is never above the true one.
        low_exact: Pairs of equal low.
        high_mean_bp: Mean distance of the highs, in hundredths of a percent of the official one.
        low_mean_bp: The same of the lows.
        high_max_bp: The largest distance of highs.
        low_max_bp: The largest of lows.
        volume_off: Over symbols whose every bar was compared, the sum of |Σ provisional - Σ
            official| shares: 0 when the session's volume adds up.
        volume_total: Shares of those symbols.
    """

    session: date
    waiting: int
    compared: int
    symbols: int = 0
    volume_exact: int = 0
    close_exact: int = 0
    high_exact: int = 0
    low_exact: int = 0
    high_mean_bp: float = 0.0
    low_mean_bp: float = 0.0
    high_max_bp: float = 0.0
    low_max_bp: float = 0.0
    volume_off: int = 0
    volume_total: int = 0


def snapshot_errors(lake: Lake, database: Database, session: date, source: str) -> SnapshotErrors:
    """Hold the provisional bars of a session against the official ones.

    Args:
        lake: Where bars are held.
        database: Where those that gave way are kept.
        session: Which session.
        source: How the source of provisional bars ends.

    Raises:
        StorageError: A store cannot be read.
    """
    window = Window(session, session)
    held = lake.read(Dataset.KLINE, Period.M5, window=window)
    mine = pc.ends_with(held["source"].cast(pa.string()), source)
    waiting = int(pc.sum(mine).as_py() or 0)
    official = held.filter(
        pc.and_(pc.invert(mine), pc.equal(held["state"].cast(pa.string()), BarState.FINAL.value))
    )
    gone = read_revisions(database, Dataset.KLINE, Period.M5, window=window)
    gone = gone.filter(pc.ends_with(gone["source"].cast(pa.string()), source))
    pairs = _plain(_latest(gone)).join(
        _plain(official), ["symbol", "end_at"], join_type="inner", right_suffix="_true"
    )
    if not pairs.num_rows:
        return SnapshotErrors(session, waiting, 0)
    highs, lows = (_distance_bp(pairs, name) for name in ("high", "low"))
    off, total = _volume_off(pairs)
    return SnapshotErrors(
        session=session,
        waiting=waiting,
        compared=pairs.num_rows,
        symbols=len(pc.unique(pairs["symbol"])),
        volume_exact=int((_floats(pairs, "volume") == _floats(pairs, "volume_true")).sum()),
        close_exact=_equal(pairs, "close"),
        high_exact=_equal(pairs, "high"),
        low_exact=_equal(pairs, "low"),
        high_mean_bp=round(float(highs.mean()), 3),
        low_mean_bp=round(float(lows.mean()), 3),
        high_max_bp=round(float(highs.max()), 3),
        low_max_bp=round(float(lows.max()), 3),
        volume_off=off,
        volume_total=total,
    )


_COMPARED = ("symbol", "end_at", "high", "low", "close", "volume")


def _latest(bars: pa.Table) -> pa.Table:
    """Of bars that were made again, as the closing one is after the auction, the last."""
    order = pa.table(
        {"key": bars["symbol"].cast(pa.string()), "end_at": bars["end_at"].cast(pa.int64())}
    )
    ends = {
        key: at for at, key in enumerate(zip(*order.to_pydict().values(), strict=True))
    }  # ascending by time of fetch, so the last one of a key stands
    return bars.take(pa.array(sorted(ends.values()), pa.int64()))


def _plain(bars: pa.Table) -> pa.Table:
    table = bars.select(list(_COMPARED))
    table = table.set_column(0, "symbol", table["symbol"].cast(pa.string()))
    return table.set_column(1, "end_at", table["end_at"].cast(pa.int64()))


def _floats(pairs: pa.Table, name: str) -> _Floats:
    column = pairs[name].cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _equal(pairs: pa.Table, name: str) -> int:
    off = np.abs(_floats(pairs, name) - _floats(pairs, f"{name}_true"))
    return int((off < _HALF_CENT).sum())


def _distance_bp(pairs: pa.Table, name: str) -> _Floats:
    true = _floats(pairs, f"{name}_true")
    return np.asarray(np.abs(_floats(pairs, name) - true) / true * 1e4, np.float64)


def _volume_off(pairs: pa.Table) -> tuple[int, int]:
    sums = pairs.group_by("symbol").aggregate(
        [("volume", "sum"), ("volume_true", "sum"), ("end_at", "count")]
    )
    most = pc.max(sums["end_at_count"])
    whole = sums.filter(pc.equal(sums["end_at_count"], most))
    off = np.abs(_floats(whole, "volume_sum") - _floats(whole, "volume_true_sum")).sum()
    return int(off), int(_floats(whole, "volume_true_sum").sum())
