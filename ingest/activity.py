"""What volume and amount say of a bar: whether it traded, in which unit, at which prices."""

from collections import Counter
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from market.bars import BarState
from market.periods import Period
from market.sessions import bar_end_times

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

AVERAGE_PRICE_FROM = date(1996, 1, 1)
"""From this session on a bar's average price must lie within the bar.

Before, volumes and amounts were recorded in units that changed: shares of 10 or 100 CNY par value
counted as of 1 CNY (a tenth and a hundredth), turnover of several sessions in one, volumes in
hundreds of lots. Of 2,703 recorded bars whose average price is more than a tenth outside, 2,698
are older. Their prices are the exchange's, and no upstream has better volumes, so they are kept as
they were recorded."""

_LOT = 100
_CENT = 0.01


@dataclass(frozen=True, slots=True)
class Activity:
    """The bars whose volume and amount cannot be; a bar breaks one of these rules at most.

    Attributes:
        negative: Volume or amount negative, or no number.
        no_trade: Neither volume nor amount: a suspension that was filled in. Odd lots trade below
            the unit of volume, so an amount without volume is a trade.
        amount_missing: Volume without any amount.
        shares_for_lots: Right if volume were a hundredth: shares came where lots are due.
        lots_for_shares: Right if volume were a hundredfold.
        average_price: The average price lies outside the bar, in any unit.
        judged: The bars of which the last three could be told.
    """

    negative: Mask
    no_trade: Mask
    amount_missing: Mask
    shares_for_lots: Mask
    lots_for_shares: Mask
    average_price: Mask
    judged: Mask


def floats(bars: pa.Table, name: str) -> Floats:
    """A column as numbers; NaN where it has none. It may share the table's memory: read only."""
    column = bars[name]
    if column.type == pa.float64() and column.num_chunks == 1 and not column.null_count:
        return np.asarray(column.chunk(0).to_numpy(), np.float64)  # most often, and without a copy
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def judge_activity(period: Period, bars: pa.Table, prices_usable: Mask) -> Activity:
    """Judge volume and amount of symbols' bars.

    Args:
        period: Length of the bars.
        bars: In the kline schema, of one series.
        prices_usable: Bars whose prices can be held against amount and volume.
    """
    volume, amount = floats(bars, "volume"), floats(bars, "amount")
    finite = np.isfinite(volume) & np.isfinite(amount) & (volume >= 0) & (amount >= 0)
    still = finite & (volume == 0) & (amount < _CENT)
    no_trade = _whole_sessions(period, bars, still) if period.is_intraday else still
    missing = finite & (volume > 0) & (amount < _CENT)
    sessions = np.asarray(bars["session"].to_numpy(zero_copy_only=False), "datetime64[D]")
    judged = finite & prices_usable & ~still & ~missing
    judged &= sessions >= np.datetime64(AVERAGE_PRICE_FROM)
    odd = judged & ~_within(bars, volume, amount, _LOT)
    if not odd.any():
        return Activity(~finite, no_trade, missing, odd, odd, odd, judged)
    shares = odd & _within(bars, volume / _LOT, amount, _LOT)
    lots = odd & ~shares & _within(bars, volume * _LOT, amount, _LOT * _LOT)
    return Activity(~finite, no_trade, missing, shares, lots, odd & ~shares & ~lots, judged)


def _within(bars: pa.Table, volume: Floats, amount: Floats, rounding: int) -> Mask:
    """Whether the average price lies within the bar.

    Volume is rounded to ``rounding`` shares, so it may be off by as much on either side; prices
    come in hundredths, so they may by a cent.
    """
    low, high = floats(bars, "low") - _CENT, floats(bars, "high") + _CENT
    enough = amount >= low * np.maximum(volume - rounding, 0)
    return np.asarray(enough & (amount <= high * (volume + rounding)), bool)


def _whole_sessions(period: Period, bars: pa.Table, still: Mask) -> Mask:
    """Intraday bars of sessions that are all there, over, and without any trade.

    A few minutes without trade are a fact, and so is a session that has not traded yet.
    """
    days = np.asarray(bars["session"].to_numpy(zero_copy_only=False), "datetime64[D]").tolist()
    whole = {day for day, n in Counter(days).items() if n >= len(bar_end_times(period))}
    traded = {day for day, quiet in zip(days, still.tolist(), strict=True) if not quiet}
    final = pc.equal(bars["state"].cast(pa.string()), BarState.FINAL.value).to_pylist()
    open_ = {day for day, is_final in zip(days, final, strict=True) if not is_final}
    return np.fromiter((day in whole - traded - open_ for day in days), bool, len(days))
