"""Daily bars of one symbol, whole history at once.

The path of the price is a random walk that is tied down every 512 sessions, so that a decade of
it stays in a plausible range and any part of it can be computed from its session ordinals alone.
Limits, ticks and ex-right reference prices are then applied as the exchanges do.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np

from ingest.simulator.bars import SHARES_PER_LOT, Bars, Floats, Ints, half_up
from ingest.simulator.draws import key_of, normal, uniform
from ingest.simulator.seeded.timeline import Timeline
from ingest.simulator.seeded.universe import Stock, Tier

_BLOCK = 512
_TAIL_SHARE, _TAIL = 0.025, 3.2
_FREE_SESSIONS = 5
_FREE_LIMIT = 9_000
_LEAST_LOTS = 200
_CHINEXT_REFORM = date(2020, 8, 24)
_REFERENCE_DAY = date(2025, 12, 31)
_LIMITS = {Tier.SH_MAIN: 100, Tier.SZ_MAIN: 100, Tier.STAR: 200, Tier.BJ: 300}
_ST_LIMIT = 50


@dataclass(frozen=True, slots=True)
class ExRight:
    """A dividend or bonus that took place.

    Attributes:
        place: Place of the first bar that is ex.
        ordinal: Its session.
        cash: Cents a share.
        bonus: New shares for every ten held.
    """

    place: int
    ordinal: int
    cash: int
    bonus: int


@dataclass(frozen=True, slots=True)
class History:
    """A symbol's daily bars from the market's start to the end of the calendar.

    Attributes:
        ordinals: Sessions of the bars.
        bars: Unadjusted.
        reference: Cents; the previous close, or on an ex-day the ex-right reference price.
        previous: Cents; the close before the first bar: the issue price of a listing in view.
        float_shares: Tradable shares on each session.
        ex_rights: By place.
    """

    ordinals: Ints
    bars: Bars
    reference: Ints
    previous: int
    float_shares: Ints
    ex_rights: tuple[ExRight, ...]

    def __len__(self) -> int:
        return len(self.ordinals)

    def seen(self, ordinal: int) -> int:
        """How many bars there are up to a session, that included."""
        return int(np.searchsorted(self.ordinals, ordinal, side="right"))


@lru_cache(maxsize=4)
def market_mood(seed: int, first: int, last: int) -> Floats:
    """What all symbols' returns have in common on each session of a range of ordinals."""
    return normal(key_of(seed, "market"), np.arange(first, last, dtype=np.int64))


def log_path(seed: int, key: int, volatility: float, ordinals: Ints) -> Floats:
    """Logarithm of a price that wanders about 0, at ascending ordinals."""
    first = int(ordinals[0]) // _BLOCK * _BLOCK
    last = (int(ordinals[-1]) // _BLOCK + 1) * _BLOCK
    index = np.arange(first, last, dtype=np.int64)
    own = normal(key, index)
    own = np.where(uniform(key + 1, index) < _TAIL_SHARE, own * _TAIL, own)
    walk = volatility * (0.85 * own + 0.5 * market_mood(seed, first, last))
    tied = np.cumsum(walk.reshape(-1, _BLOCK), axis=1)
    along = np.arange(1, _BLOCK + 1) / _BLOCK
    anchors = 0.25 * normal(key + 2, np.arange(first // _BLOCK, last // _BLOCK + 1))
    bridge = tied - tied[:, -1:] * along
    bridge += anchors[:-1, None] + along * np.diff(anchors)[:, None]
    path: Floats = bridge.reshape(-1)[ordinals - first]
    return path


def history_of(stock: Stock, seed: int, timeline: Timeline) -> History:
    """All daily bars of a stock, those after any ``now`` included."""
    ordinals = _traded(stock, timeline)
    if not len(ordinals):
        nothing = np.zeros(0, dtype=np.int64)
        return History(nothing, Bars(*[nothing] * 6), nothing, stock.price, nothing, ())
    key = key_of(seed, stock.code, "daily")
    plans = _placed(stock, ordinals)
    places = np.array([place for place, _, _ in plans], dtype=np.int64)
    yields = np.array([cash for _, cash, _ in plans], dtype=np.float64)
    bonuses = np.array([bonus for _, _, bonus in plans], dtype=np.int64)
    before = int(np.searchsorted(ordinals[places], timeline.on_or_after(_REFERENCE_DAY), "right"))

    drops = np.zeros(len(ordinals))
    drops[places] = np.log((1 - yields) / (1 + bonuses / 10))
    growth = np.ones(len(ordinals))
    growth[places] = 1 + bonuses / 10
    level = np.log(stock.price) - drops[places[:before]].sum()
    path = level + np.cumsum(drops) + log_path(seed, key, stock.volatility, ordinals)
    target = np.maximum(np.rint(np.exp(path)), 100).astype(np.int64)
    issue = _close_before(stock, key, int(target[0]), timeline, int(ordinals[0]))
    frame = _Frame(issue, places, yields, bonuses, _limits(stock, ordinals, timeline))
    close, reference, cash = frame.settle(target)
    up, down = frame.band(reference)

    shares = stock.float_shares * np.cumprod(growth) / growth[places[:before]].prod()
    float_shares = np.maximum(np.rint(shares), 1e6).astype(np.int64)
    shape = _shape(key, ordinals, close, reference, up, down, stock.volatility)
    bars = _traded_bars(key, ordinals, shape, reference, float_shares, stock.turnover)
    events = tuple(
        ExRight(int(place), int(ordinals[place]), int(paid), int(bonus))
        for place, paid, bonus in zip(places, cash, bonuses, strict=True)
    )
    return History(ordinals, bars, reference, issue, float_shares, events)


def _traded(stock: Stock, timeline: Timeline) -> Ints:
    first = max(timeline.first, timeline.on_or_after(stock.listed))
    end = timeline.last + 1
    if stock.delisted is not None:
        end = min(end, timeline.on_or_after(stock.delisted))
    ordinals = np.arange(first, max(first, end), dtype=np.int64)
    for pause_from, pause_to in stock.pauses:
        if pause_from > first:  # the first session always trades
            ordinals = ordinals[(ordinals < pause_from) | (ordinals > pause_to)]
    return ordinals


def _placed(stock: Stock, ordinals: Ints) -> list[tuple[int, float, int]]:
    """Ex-rights by the bar they fall on: after a suspension, the first bar."""
    placed: dict[int, tuple[int, float, int]] = {}
    for plan in stock.ex_rights:
        place = int(np.searchsorted(ordinals, plan.ordinal))
        if 0 < place < len(ordinals):
            placed.setdefault(place, (place, plan.cash_yield, plan.bonus))
    return sorted(placed.values())


def _is_new(stock: Stock, timeline: Timeline, first: int) -> bool:
    return timeline.sessions[first] >= stock.listed >= timeline.sessions[timeline.first]


def _close_before(stock: Stock, key: int, first: int, timeline: Timeline, ordinal: int) -> int:
    draw = float(uniform(key + 3, np.array([0]))[0])
    if _is_new(stock, timeline, ordinal):
        return max(50, int(first / (1.1 + 1.2 * draw)))
    return max(100, int(first * (0.98 + 0.04 * draw)))


def _limits(stock: Stock, ordinals: Ints, timeline: Timeline) -> Ints:
    """Per mille by which a session's prices may leave the reference price."""
    if stock.tier is Tier.CHINEXT:
        reform = timeline.on_or_after(_CHINEXT_REFORM)
        limits = np.where(ordinals >= reform, 200, 100)
    else:
        limits = np.full(len(ordinals), _LIMITS[stock.tier])
    if stock.is_st and stock.tier in (Tier.SH_MAIN, Tier.SZ_MAIN):
        limits[:] = _ST_LIMIT
    if _is_new(stock, timeline, int(ordinals[0])):
        limits[:_FREE_SESSIONS] = _FREE_LIMIT
    return limits.astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the exchange's rules make of a path of prices."""

    issue: int
    places: Ints
    yields: Floats
    bonuses: Ints
    limits: Ints

    def settle(self, target: Ints) -> tuple[Ints, Ints, Ints]:
        """Closes within their limits, reference prices, and cash of the ex-rights (all cents).

        A limit depends on the close before, so the closes are the fixed point of clipping; each
        pass settles at least one more bar, and in practice a handful settle all.
        """
        close = target
        while True:
            reference = np.concatenate(([self.issue], close[:-1])).astype(np.int64)
            before = reference[self.places]
            cash = np.maximum(np.rint(before * self.yields), 1).astype(np.int64)
            reference[self.places] = half_up((before - cash) * 10, 10 + self.bonuses)
            up, down = self.band(reference)
            clipped = np.clip(target, down, up)
            if np.array_equal(clipped, close):
                return close, reference, cash
            close = clipped

    def band(self, reference: Ints) -> tuple[Ints, Ints]:
        """The highest and the lowest price of each session."""
        up = half_up(reference * (1000 + self.limits), 1000)
        down = np.maximum(half_up(reference * np.maximum(1000 - self.limits, 200), 1000), 1)
        return up, down


def _shape(
    key: int, ordinals: Ints, close: Ints, reference: Ints, up: Ints, down: Ints, volatility: float
) -> tuple[Ints, Ints, Ints, Ints]:
    spread = volatility * reference
    gap = np.rint(0.35 * spread * normal(key + 4, ordinals)).astype(np.int64)
    opening = np.clip(reference + gap, down, up)
    locked = ((close == up) | (close == down)) & (uniform(key + 5, ordinals) < 0.2)  # noqa: PLR2004
    opening = np.where(locked, close, opening)
    above = np.rint(np.abs(normal(key + 6, ordinals)) * 0.45 * spread).astype(np.int64)
    below = np.rint(np.abs(normal(key + 7, ordinals)) * 0.45 * spread).astype(np.int64)
    high = np.minimum(np.maximum(opening, close) + np.where(locked, 0, above), up)
    low = np.maximum(np.minimum(opening, close) - np.where(locked, 0, below), down)
    return opening, high, low, close


def _traded_bars(
    key: int,
    ordinals: Ints,
    shape: tuple[Ints, Ints, Ints, Ints],
    reference: Ints,
    float_shares: Ints,
    turnover: float,
) -> Bars:
    opening, high, low, close = shape
    move = np.abs(close - reference) / reference
    rate = turnover * np.exp(0.45 * normal(key + 8, ordinals)) * (1 + 12 * np.minimum(move, 0.3))
    lots = np.rint(float_shares * np.minimum(rate, 60) / 100 / SHARES_PER_LOT).astype(np.int64)
    lots = np.maximum(lots, _LEAST_LOTS)
    span = high - low
    # Kept clear of the ends, so that the session's minutes can always meet it.
    mean = (opening + high + low + close) / 4 + (uniform(key + 9, ordinals) - 0.5) * span / 4
    amount = np.rint(mean * lots * SHARES_PER_LOT).astype(np.int64)
    amount = np.clip(amount, low * lots * SHARES_PER_LOT, high * lots * SHARES_PER_LOT)
    return Bars(opening, high, low, close, lots, amount)
