"""Ex-rights from a pair of series: the unadjusted prices and the upstream's adjusted ones.

Between two ex-rights the adjusted price is ``slope x raw + intercept``, rounded to 0.01. So the
sessions fall into runs of bars that one line explains; a new line is an ex-right, and how slope and
intercept change says what it was. Both series must be of the same moment, for the upstream rewrites
the adjusted one at every ex-right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from ingest.source import SchemaDriftError
from market.adjustments import Adjustment, ExRight

_Floats = npt.NDArray[np.float64]

_SPREAD = 0.01 - 1e-7
"""Values that were rounded to 0.01 lie within 0.01 of each other; two lines 0.01 apart do not."""
_CLOSE = 3
"""Place of the close among the prices of a bar."""
_NARROWINGS = 44
_SHARES = (1.0, 0.1, 0.05, 0.01, 0.005, 0.001, 0.0001)
"""How shares are given: 10 for 10, 3 for 10, 4.5 for 10 …; the roundest holds."""
_LEAST_RIGHTS_PRICE = 0.05
_CERTAIN = 5e-3
"""A slope known to half a hundredth tells 4.5 for 10 from 4.55."""
_CASH = (0.01, 0.005, 0.001, 0.0001)
"""How cash is given, CNY a share."""


@dataclass(frozen=True, slots=True)
class PricePair:
    """The same bars of one symbol, unadjusted and adjusted.

    Attributes:
        sessions: Ascending.
        raw: Open, high, low, close of each session, CNY.
        adjusted: The same, as the upstream adjusts them.
    """

    sessions: Sequence[date]
    raw: _Floats
    adjusted: _Floats

    def cut(self, first: int, end: int | None = None) -> "PricePair":
        """Some of its bars, by place."""
        part = slice(first, end)
        return PricePair(self.sessions[part], self.raw[part], self.adjusted[part])


@dataclass(frozen=True, slots=True)
class _Run:
    """Bars ``first`` to ``end`` (not included), and the slopes that explain them.

    Bars of one price are explained by any slope; both are 0 then.
    """

    first: int
    end: int
    low: float
    high: float


def ex_rights_of(symbol: str, pair: PricePair, adjustment: Adjustment) -> list[ExRight]:
    """The ex-rights between the first and the last session of a pair.

    Rights cannot be told from bonus and cash where both come at once; the reference price is the
    same. A rights issue is given the price that explains it.

    Args:
        symbol: ``600519.SH``.
        pair: Of one moment; for ``HFQ`` from the listing on, for ``QFQ`` up to now.
        adjustment: How ``pair.adjusted`` is adjusted: ``HFQ`` (precise for old ex-rights) or
            ``QFQ`` (precise for new ones).

    Raises:
        SchemaDriftError: Straight lines do not explain the prices: the upstream adjusts otherwise
            than this version knows, or the series are not of one moment.
        InvalidExRightError: A line that no ex-right can make.
    """
    if not len(pair.sessions):
        return []
    runs = list(_runs(pair))
    if len(runs) > 1 + len(pair.sessions) // 4:
        raise SchemaDriftError(
            f"the adjusted prices of {symbol} are no straight lines of the unadjusted ones "
            f"({len(runs)} lines for {len(pair.sessions)} bars): no ex-right was taken from them",
            {"symbol": symbol},
        )
    changes = _forwards(pair, runs) if adjustment is Adjustment.HFQ else _backwards(pair, runs)
    return [
        _event(symbol, pair, run.first, change)
        for run, change in zip(runs[1:], changes, strict=True)
    ]


def settled_part(pair: PricePair) -> PricePair:
    """The pair without the bars after its newest ex-right, if they cannot tell shares from cash.

    A few bars of about one price are explained by many slopes.
    """
    *_, last = _runs(pair)
    if last.first == 0 or (last.low > 0 and last.high - last.low < _CERTAIN * last.low):
        return pair
    return pair.cut(0, last.first)


def newest_ex_rights(symbol: str, pair: PricePair, ex_session: date) -> list[ExRight]:
    """The newest ex-rights by forward-adjusted prices, which the bars before them measure best.

    Args:
        symbol: ``600519.SH``.
        pair: Forward-adjusted; bars from an older ex-right on, up to now.
        ex_session: When one came that the last bar of the pair does not have yet.

    Raises:
        SchemaDriftError: Straight lines do not explain the prices.
        InvalidExRightError: A line that no ex-right can make.
    """
    adjusted = pair.adjusted[-1:]
    if not np.allclose(adjusted, pair.raw[-1:], atol=_SPREAD / 2):
        # Forward-adjusted prices of now are raw: let the bar that is still to come say so.
        pair = PricePair(
            [*pair.sessions, ex_session],
            np.concatenate([pair.raw, adjusted]),
            np.concatenate([pair.adjusted, adjusted]),
        )
    return ex_rights_of(symbol, pair, Adjustment.QFQ)


@dataclass(frozen=True, slots=True)
class _Change:
    """What one became at an ex-right: so many shares, after cash of so much left it."""

    share: float
    net_cash: float


def _event(symbol: str, pair: PricePair, first: int, change: _Change) -> ExRight:
    new = round(change.share - 1, 8)
    # Value came in together with new shares: they were paid for. Less is what rounding leaves.
    rights = new if change.net_cash < -_LEAST_RIGHTS_PRICE * new < 0 else 0.0
    return ExRight(
        symbol=symbol,
        ex_session=pair.sessions[first],
        previous_close=float(pair.raw[first - 1, _CLOSE]),
        cash=0.0 if rights else round(change.net_cash, 6),
        bonus=0.0 if rights else new,
        rights=rights,
        rights_price=round(-change.net_cash / rights, 6) if rights else 0.0,
    )


def _forwards(pair: PricePair, runs: Sequence[_Run]) -> list[_Change]:
    """The changes before each run but the first, of back-adjusted prices: the first are raw."""
    changes = []
    slope, intercept = 1.0, 0.0
    for run in runs[1:]:
        share = _roundest(run.low / slope, run.high / slope, _SHARES) if run.low else 1.0
        low, high = _intercepts(pair, run, slope * share)
        cash = _roundest((low - intercept) / slope, (high - intercept) / slope, _CASH)
        slope, intercept = slope * share, intercept + slope * cash
        changes.append(_Change(share, cash))
    return changes


def _backwards(pair: PricePair, runs: Sequence[_Run]) -> list[_Change]:
    """The same of forward-adjusted prices: the last are raw."""
    changes = []
    slope, intercept = 1.0, 0.0
    for run in reversed(runs[:-1]):
        share = _roundest(slope / run.high, slope / run.low, _SHARES) if run.low else 1.0
        slope /= share
        low, high = _intercepts(pair, run, slope)
        cash = _roundest((intercept - high) / slope, (intercept - low) / slope, _CASH)
        intercept -= slope * cash
        changes.append(_Change(share, cash))
    return changes[::-1]


def _roundest(low: float, high: float, grids: Sequence[float]) -> float:
    """The roundest number in an interval, the one nearest to its middle."""
    middle = (low + high) / 2
    for grid in grids:
        number = round(round(middle / grid) * grid, 6)
        if low <= number <= high:
            return number
    return middle


def _intercepts(pair: PricePair, run: _Run, slope: float) -> tuple[float, float]:
    """The lowest and the highest intercept that explain a run at a slope."""
    bars = slice(run.first, run.end)
    left = pair.adjusted[bars] - slope * pair.raw[bars]
    return float(left.max()) - _SPREAD / 2, float(left.min()) + _SPREAD / 2


def _runs(pair: PricePair) -> Iterator[_Run]:
    """The longest runs of bars that one line explains, from the first bar on."""
    first, bars = 0, len(pair.sessions)
    while first < bars:
        end = first + 1
        slope, _ = _best(pair.raw[first:end], pair.adjusted[first:end])
        while end < bars:
            reach = _explained(pair, first, end, slope)
            tried = reach if reach > end else end + 1
            better, spread = _best(pair.raw[first:tried], pair.adjusted[first:tried])
            if spread > _SPREAD:
                break
            slope, end = better, tried
        low, high = _slopes(pair.raw[first:end], pair.adjusted[first:end], slope)
        yield _Run(first, end, low, high)
        first = end


def _explained(pair: PricePair, first: int, end: int, slope: float) -> int:
    """How far the line through a run goes on explaining the bars after it."""
    left = pair.adjusted[first:end] - slope * pair.raw[first:end]
    low, high = left.max() - _SPREAD, left.min() + _SPREAD
    after = pair.adjusted[end:] - slope * pair.raw[end:]
    beyond = ((after < low) | (after > high)).any(axis=1)
    return end + int(beyond.argmax()) if beyond.any() else len(pair.sessions)


def _spread(raw: _Floats, adjusted: _Floats, slope: float) -> float:
    left = adjusted - slope * raw
    return float(left.max() - left.min())


def _best(raw: _Floats, adjusted: _Floats) -> tuple[float, float]:
    """The slope that leaves the least spread, and that spread, which is convex in the slope."""
    width = float(raw.max() - raw.min())
    if width == 0:
        return 1.0, _spread(raw, adjusted, 1.0)
    middle = float(adjusted.max() - adjusted.min()) / width
    low, high = middle - 0.02 / width, middle + 0.02 / width
    for _ in range(_NARROWINGS):
        third = (high - low) / 3
        if _spread(raw, adjusted, low + third) <= _spread(raw, adjusted, high - third):
            high -= third
        else:
            low += third
    slope = (low + high) / 2
    return slope, _spread(raw, adjusted, slope)


def _slopes(raw: _Floats, adjusted: _Floats, slope: float) -> tuple[float, float]:
    """The lowest and the highest slope that explain a run, given one that does."""
    width = float(raw.max() - raw.min())
    if width == 0:
        return 0.0, 0.0
    return (
        _edge(raw, adjusted, slope, slope - 0.02 / width),
        _edge(raw, adjusted, slope, slope + 0.02 / width),
    )


def _edge(raw: _Floats, adjusted: _Floats, inside: float, outside: float) -> float:
    for _ in range(_NARROWINGS // 2):
        middle = (inside + outside) / 2
        if _spread(raw, adjusted, middle) <= _SPREAD:
            inside = middle
        else:
            outside = middle
    return inside
