"""Bars as the simulator counts them: whole numbers, so that sums and comparisons are exact.

Prices are cents (board points: hundredths), amounts are cents (fen), volumes are lots of 100
shares. Times are exchange time, Asia/Shanghai.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SHARES_PER_LOT = 100


@dataclass(frozen=True, slots=True)
class Bars:
    """Columns of bars; one-dimensional for a series, (sessions, minutes) for intraday grids.

    Attributes:
        open: Cents.
        high: Cents.
        low: Cents.
        close: Cents.
        lots: Volume in lots of 100 shares.
        amount: Turnover in cents.
    """

    open: Ints
    high: Ints
    low: Ints
    close: Ints
    lots: Ints
    amount: Ints

    def __len__(self) -> int:
        return len(self.close)

    def take(self, part: slice | Ints) -> Self:
        """The bars of a slice, or at places."""
        return type(self)(*(column[part] for column in self.columns()))

    def columns(self) -> tuple[Ints, ...]:
        """Open, high, low, close, lots, amount."""
        return (self.open, self.high, self.low, self.close, self.lots, self.amount)

    def flat(self) -> Self:
        """A grid's rows one after another."""
        return type(self)(*(column.reshape(-1) for column in self.columns()))


def concatenate(first: Bars, second: Bars) -> Bars:
    """Two series, one after the other."""
    return Bars(
        *(np.concatenate(pair) for pair in zip(first.columns(), second.columns(), strict=True))
    )


def aggregate(bars: Bars, starts: Ints) -> Bars:
    """Longer bars out of shorter ones.

    Args:
        bars: A series without gaps between the bars that belong together.
        starts: Ascending places at which each longer bar begins; the first is 0.
    """
    if not len(starts):
        return bars.take(slice(0, 0))
    lasts = np.append(starts[1:], len(bars)) - 1
    return Bars(
        open=bars.open[starts],
        high=np.maximum.reduceat(bars.high, starts),
        low=np.minimum.reduceat(bars.low, starts),
        close=bars.close[lasts],
        lots=np.add.reduceat(bars.lots, starts),
        amount=np.add.reduceat(bars.amount, starts),
    )


def half_up(numerator: Ints, denominator: Ints | int) -> Ints:
    """Round the quotient of whole numbers to the nearest one, halves upwards, as exchanges do."""
    result: Ints = (2 * numerator + denominator) // (2 * denominator)
    return result
