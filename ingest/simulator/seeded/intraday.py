"""A session's 241 one-minute rows out of its daily bar, which they add up to exactly.

Row 0 is the 09:30 auction, rows 1–120 end 09:31 … 11:30, rows 121–240 end 13:01 … 15:00. The
closing auction takes 14:57–15:00, so that 14:58 and 14:59 trade nothing, as on the exchanges.
Everything works on many sessions, or many symbols of one session, at once: one per grid row.
"""

import numpy as np

from ingest.simulator.bars import SHARES_PER_LOT, Bars, Floats, Ints
from ingest.simulator.draws import Bits, normal, uniform
from ingest.simulator.seeded.timeline import ROWS_PER_SESSION

_LAST = ROWS_PER_SESSION - 1
_QUIET = (238, 239)
_EDGES = 4
"""Rows that always trade: both auctions, the highest and the lowest."""


def _busyness() -> Floats:
    """Usual share of each row in a session's volume: busy at the ends, quiet at noon."""
    along = np.linspace(-1, 1, ROWS_PER_SESSION)
    share = 0.6 + 1.4 * along**2
    share[list(_QUIET)] = 0
    share[[0, _LAST]] = 0
    result: Floats = share / share.sum()
    return result


_BUSYNESS = _busyness()
_INDEX = np.arange(ROWS_PER_SESSION, dtype=np.int64)


def split(days: Bars, keys: Bits) -> Bars:
    """The one-minute rows of daily bars.

    Args:
        days: n daily bars, each with at least 200 lots and its mean price at least an eighth of
            its range away from its high and its low.
        keys: One random key for each.

    Returns:
        A grid of n times 241 rows.
    """
    column = keys[:, None]
    n = len(days)
    ends = uniform(column + np.uint64(1), np.arange(2, dtype=np.int64))
    highest = (1 + ends[:, 0] * 236).astype(np.int64)
    lowest = (1 + ends[:, 1] * 236).astype(np.int64)
    lots = _lots(days.lots, column, highest, lowest)
    path = _path(days, column, lots)
    shape = _Shape(n, highest, lowest)
    opens, highs, lows, closes = shape.prices(days, path, lots, column)
    amounts = _amounts(days.amount, path, lots, highs, lows)
    return Bars(opens, highs, lows, closes, lots, amounts)


def split_index(days: Bars, keys: Bits) -> Bars:
    """The one-minute rows of a board's daily bars, whose amounts do not follow from its points."""
    span = days.high - days.low
    mean = (days.open + days.high + days.low + days.close) // 4
    mean = np.clip(mean, days.low + span // 8, days.high - span // 8)
    priced = mean * days.lots * SHARES_PER_LOT
    rows = split(Bars(days.open, days.high, days.low, days.close, days.lots, priced), keys)
    part = np.cumsum(rows.amount, axis=1) / np.maximum(priced, 1)[:, None]
    reached = np.rint(part * days.amount[:, None]).astype(np.int64)
    reached[:, -1] = days.amount
    amounts = np.diff(reached, axis=1, prepend=0)
    return Bars(rows.open, rows.high, rows.low, rows.close, rows.lots, amounts)


def partial(rows: Bars, whole: int, fraction: float) -> Bars:
    """The rows seen so far: the whole ones, and the next one as far as it has come.

    Args:
        rows: A grid of sessions by 241.
        whole: How many rows have ended.
        fraction: How much of the next row has passed, 0 to 1.
    """
    done = rows.take(np.s_[:, :whole])  # type: ignore[arg-type]
    if whole == ROWS_PER_SESSION or fraction <= 0:
        return done
    row = rows.take(np.s_[:, whole : whole + 1])  # type: ignore[arg-type]
    lots = (row.lots * fraction).astype(np.int64)
    shares = lots * SHARES_PER_LOT
    mean = row.amount / np.maximum(row.lots * SHARES_PER_LOT, 1)
    traded = lots > 0
    close = np.where(traded, np.rint(row.open + (row.close - row.open) * fraction), row.open)
    close = close.astype(np.int64)
    high = np.maximum(row.open, close)
    low = np.minimum(row.open, close)
    high = np.where(traded, np.maximum(high, np.minimum(np.ceil(mean), row.high)), high)
    low = np.where(traded, np.minimum(low, np.maximum(np.floor(mean), row.low)), low)
    high, low = high.astype(np.int64), low.astype(np.int64)
    amount = np.clip(np.rint(mean * shares).astype(np.int64), low * shares, high * shares)
    now = Bars(row.open, high, low, close, lots, amount)
    return Bars(*(np.hstack(pair) for pair in zip(done.columns(), now.columns(), strict=True)))


def session_bars(rows: Bars) -> Bars:
    """One bar for each session of a grid."""
    return Bars(
        open=rows.open[:, 0],
        high=rows.high.max(axis=1),
        low=rows.low.min(axis=1),
        close=rows.close[:, -1],
        lots=rows.lots.sum(axis=1),
        amount=rows.amount.sum(axis=1),
    )


def _lots(total: Ints, column: Bits, highest: Ints, lowest: Ints) -> Ints:
    draw = uniform(column + np.uint64(2), _INDEX)
    weight = _BUSYNESS * (0.2 + 1.6 * draw**2)
    weight[:, 0] = 0.006 + 0.016 * draw[:, 0]
    weight[:, _LAST] = 0.008 + 0.014 * draw[:, _LAST]
    reached = np.cumsum(weight, axis=1)
    spare = (total - _EDGES)[:, None]
    reached_lots = (reached / reached[:, -1:] * spare).astype(np.int64)
    reached_lots[:, -1] = spare[:, 0]
    lots: Ints = np.diff(reached_lots, axis=1, prepend=0)
    each = np.arange(len(total))
    for place in (np.zeros_like(highest), np.full_like(highest, _LAST), highest, lowest):
        lots[each, place] += 1
    return lots


def _path(days: Bars, column: Bits, lots: Ints) -> Floats:
    """Mean price of each row in cents, such that the session's mean price comes out."""
    low, high = (side[:, None].astype(np.float64) for side in (days.low, days.high))
    along = _INDEX / _LAST
    walk = np.cumsum(normal(column + np.uint64(3), _INDEX), axis=1)
    walk -= walk[:, -1:] * along
    walk *= (high - low) / 28
    path = days.open[:, None] + (days.close - days.open)[:, None] * along + walk
    path = np.clip(path, low, high)
    shares = (lots * SHARES_PER_LOT).astype(np.float64)
    shares[:, [0, _LAST]] = 0  # the auctions' prices are given
    between = shares.sum(axis=1)
    given = (days.open * lots[:, 0] + days.close * lots[:, _LAST]) * SHARES_PER_LOT
    wanted = ((days.amount - given) / between)[:, None]
    wanted = np.clip(wanted, low, high)
    mean = ((path * shares).sum(axis=1) / between)[:, None]
    room = np.where(wanted > mean, high - mean, mean - low)
    pull = np.abs(wanted - mean) / np.where(room > 0, room, 1)
    path += np.where(wanted > mean, pull * (high - path), pull * (low - path))
    result: Floats = np.clip(path, low, high)
    return result


class _Shape:
    """Opens, highs, lows and closes around the path."""

    def __init__(self, n: int, highest: Ints, lowest: Ints) -> None:
        self._each = np.arange(n)
        self._highest = highest
        self._lowest = lowest

    def prices(
        self, days: Bars, path: Floats, lots: Ints, column: Bits
    ) -> tuple[Ints, Ints, Ints, Ints]:
        low, high = days.low[:, None], days.high[:, None]
        jitter = normal(column + np.uint64(4), _INDEX) * (high - low) / 50
        closes = np.clip(np.rint(path + jitter).astype(np.int64), low, high)
        closes[:, 0], closes[:, _LAST] = days.open, days.close
        # A minute without a trade stays at the last price.
        latest = np.maximum.accumulate(np.where(lots > 0, _INDEX, 0), axis=1)
        closes = np.take_along_axis(closes, latest, axis=1)
        opens = np.hstack([days.open[:, None], closes[:, :-1]])
        opens[:, _LAST] = days.close
        traded = lots > 0
        traded[:, [0, _LAST]] = False
        highs = np.maximum(opens, closes)
        lows = np.minimum(opens, closes)
        highs = np.where(traded, np.maximum(highs, np.ceil(path).astype(np.int64)), highs)
        lows = np.where(traded, np.minimum(lows, np.floor(path).astype(np.int64)), lows)
        highs[self._each, self._highest] = days.high
        lows[self._each, self._lowest] = days.low
        return opens, highs, lows, closes


def _amounts(total: Ints, path: Floats, lots: Ints, highs: Ints, lows: Ints) -> Ints:
    shares = lots * SHARES_PER_LOT
    least, most = lows * shares, highs * shares
    amounts = np.clip(np.rint(path * shares).astype(np.int64), least, most)
    # Rounding leaves some cents over; rows take them in turn, each within its own range.
    left = (total - amounts.sum(axis=1))[:, None]
    for room, sign in ((most - amounts, 1), (amounts - least, -1)):
        before = np.cumsum(room, axis=1) - room
        amounts = amounts + sign * np.clip(sign * left - before, 0, room)
    return amounts
