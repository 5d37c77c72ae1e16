"""Klines and one-minute trends out of whole-number bars, written as the upstream writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from ingest.simulator.bars import SHARES_PER_LOT, Bars, Floats, Ints
from ingest.simulator.market import TRUTH_SCHEMA


@dataclass(frozen=True, slots=True)
class BarSeries:
    """A kline of a seeded market.

    Attributes:
        name: Of the symbol or board.
        labels: One per bar.
        bars: Prices already adjusted.
        previous: Cents; the close before the first bar, adjusted alike.
        turnover: Percent of the float, per bar.
    """

    name: str
    labels: Sequence[str]
    bars: Bars
    previous: int
    turnover: Floats

    def close_before(self, place: int) -> float:
        """The close of the bar before a place, in CNY."""
        cents = self.previous if place == 0 else int(self.bars.close[place - 1])
        return cents / 100

    def lines(self, first: int, end: int) -> list[str]:
        """The bars of a range of places, each as f51 … f61 joined by commas."""
        part = self.bars.take(slice(first, end))
        before = np.concatenate(([round(self.close_before(first) * 100)], part.close[:-1])).astype(
            np.int64
        )
        change = part.close - before
        by = np.where(before == 0, np.inf, before)  # adjusted closes may be zero
        rates = zip(
            percent((part.high - part.low) / by),
            percent(change / by),
            strict=True,
        )
        cells = zip(
            self.labels[first:end],
            *(column.tolist() for column in part.columns()),
            change.tolist(),
            rates,
            two_decimals(self.turnover[first:end]),
            strict=True,
        )
        return [
            f"{label},{o / 100:.2f},{c / 100:.2f},{h / 100:.2f},{low / 100:.2f},{lots},"
            f"{amount / 100:.2f},{swing:.2f},{pct:.2f},{move / 100:.2f},{rate:.2f}"
            for label, o, h, low, c, lots, amount, move, (swing, pct), rate in cells
        ]

    def truth(self, sessions: Sequence[date]) -> pa.Table:
        """The bars as a table, for comparison.

        Args:
            sessions: Session of each bar.
        """
        cents = self.bars
        columns = [
            list(sessions),
            list(self.labels),
            *(column / 100 for column in (cents.open, cents.high, cents.low, cents.close)),
            cents.lots,
            cents.amount / 100,
            np.array(two_decimals(self.turnover)),
        ]
        return pa.table(
            [pa.array(c, type=f.type) for c, f in zip(columns, TRUTH_SCHEMA, strict=True)],
            schema=TRUTH_SCHEMA,
        )


def percent(parts: Floats) -> list[float]:
    """Parts of one as percent with two decimals."""
    return two_decimals(parts * 100)


def two_decimals(values: Floats) -> list[float]:
    """Values rounded to two decimals; zero never carries a sign."""
    result: list[float] = (np.round(values, 2) + 0.0).tolist()
    return result


def turnover_of(lots: Ints, float_shares: Ints) -> Floats:
    """Percent of the float that was traded."""
    result: Floats = lots * (SHARES_PER_LOT * 100) / float_shares
    return result


def trend_lines(labels: Sequence[str], rows: Bars, *, opens: bool) -> list[str]:
    """One session's 1m rows as f51 … f58: time, open, close, high, low, lots, amount, mean price.

    Args:
        labels: One per row.
        rows: Unadjusted.
        opens: False writes every open as 0.00, as the upstream does for all but the latest session.
    """
    shares = np.cumsum(rows.lots) * SHARES_PER_LOT
    mean = np.cumsum(rows.amount) / np.maximum(shares, 1) / 100
    cells = zip(labels, *(c.tolist() for c in rows.columns()), mean.tolist(), strict=True)
    return [
        f"{label},{o / 100 if opens else 0:.2f},{c / 100:.2f},{h / 100:.2f},{low / 100:.2f},"
        f"{lots},{amount / 100:.2f},{average:.3f}"
        for label, o, h, low, c, lots, amount, average in cells
    ]
