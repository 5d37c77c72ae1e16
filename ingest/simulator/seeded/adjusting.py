"""Forward- and back-adjusted prices as Eastmoney computes them.

Within the sessions between two ex-rights an adjusted price is ``a * raw + b``. Forward (qfq), an
ex-right maps every earlier price p to ``(p - cash) / (1 + bonus)``; back (hfq), every later price
to ``p * (1 + bonus) + cash``. The result may be zero or negative.
"""

from collections.abc import Sequence

import numpy as np

from ingest.simulator.bars import Bars, Floats, Ints
from ingest.simulator.seeded.daily import ExRight

RAW, QFQ, HFQ = 0, 1, 2


def coefficients(fqt: int, seen: int, ex_rights: Sequence[ExRight]) -> tuple[Floats, Floats]:
    """Slope and intercept (cents) for each of the first bars of a history.

    Args:
        fqt: 0 none, 1 qfq, 2 hfq.
        seen: How many bars there are so far.
        ex_rights: Those that have taken place, ascending; the last may precede its first bar.
    """
    slope, intercept = np.ones(seen), np.zeros(seen)
    a, b = 1.0, 0.0
    if fqt == QFQ:
        for event in reversed(ex_rights):
            share = 1 + event.bonus / 10
            a, b = a / share, b - a * event.cash / share
            # Earlier events overwrite what lies before them.
            slope[: event.place], intercept[: event.place] = a, b
    elif fqt == HFQ:
        for event in ex_rights:
            a, b = a * (1 + event.bonus / 10), b + a * event.cash
            slope[event.place :], intercept[event.place :] = a, b
    return slope, intercept


def adjusted(bars: Bars, slope: Floats, intercept: Floats) -> Bars:
    """Bars with adjusted prices; volumes and amounts stay as they are."""
    return Bars(
        open=_rounded(bars.open, slope, intercept),
        high=_rounded(bars.high, slope, intercept),
        low=_rounded(bars.low, slope, intercept),
        close=_rounded(bars.close, slope, intercept),
        lots=bars.lots,
        amount=bars.amount,
    )


def _rounded(price: Ints, slope: Floats, intercept: Floats) -> Ints:
    # A millionth of a cent keeps exact halves from falling either way by the platform's rounding.
    result: Ints = np.floor(slope * price + intercept + 0.5 + 1e-6).astype(np.int64)
    return result
