"""Adjustments: what an ex-right does to a price, and how past or later prices are made comparable.

On its ex-session a share is worth less by what was paid on it and spread over more shares. The
exchange opens that session from the reference price::

    (previous close - cash + rights x rights price) / (1 + bonus + rights), rounded to 0.01

An adjusted price of a session between two ex-rights is ``slope x raw + intercept``; the method says
which slope and intercept (:func:`steps_of`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import groupby

from market.errors import QuantsyncError

_HALF_A_CENT = 0.5 + 1e-6
"""A millionth of a cent keeps an exact half from falling with the platform's rounding."""


class Adjustment(StrEnum):
    """Which prices are asked for; only ``NONE`` is ever stored as bars."""

    NONE = "none"
    QFQ = "qfq"
    HFQ = "hfq"


class AdjustMethod(StrEnum):
    """How prices are adjusted on read.

    ``RATIO`` multiplies, so that every daily return is the investor's. ``EASTMONEY`` subtracts cash
    and divides by shares, as Eastmoney and AKShare show it: values to 0.01 that may be negative.
    """

    RATIO = "ratio"
    EASTMONEY = "eastmoney"


class InvalidExRightError(QuantsyncError):
    """Numbers that no ex-right can have: shares or a reference price that are not positive."""


@dataclass(frozen=True, slots=True)
class ExRight:
    """What a symbol's shares went without from a session on. All numbers are per share held.

    Attributes:
        symbol: ``600519.SH``.
        ex_session: First session that trades without it; a day off or a suspended day means the
            first bar after it.
        previous_close: Unadjusted close of the last bar before it, CNY.
        cash: CNY paid; negative where the upstream's own prices show that value was added.
        bonus: Shares given (bonus and capital reserve together): 10 for 10 is 1.0. Negative for
            shares that were merged.
        rights: Shares offered for ``rights_price``.
        rights_price: CNY for one of them.

    Raises:
        InvalidExRightError: Shares or the reference price would not be positive.
    """

    symbol: str
    ex_session: date
    previous_close: float
    cash: float = 0.0
    bonus: float = 0.0
    rights: float = 0.0
    rights_price: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.previous_close, self.cash, self.bonus, self.rights, self.rights_price)
        if not (all(map(math.isfinite, numbers)) and self.share > 0 and self.reference_price > 0):
            raise InvalidExRightError(
                f"the ex-right of {self.symbol} on {self.ex_session} cannot be: {self.cash:g} CNY, "
                f"{self.bonus:g} bonus and {self.rights:g} rights shares at {self.rights_price:g} "
                f"a share leave nothing of a close of {self.previous_close:g}",
                {"symbol": self.symbol, "ex_session": self.ex_session},
            )

    @property
    def share(self) -> float:
        """How many shares one became."""
        return 1 + self.bonus + self.rights

    @property
    def net_cash(self) -> float:
        """CNY that left a share: cash paid, less what was paid for the rights."""
        return self.cash - self.rights * self.rights_price

    @property
    def reference_price(self) -> float:
        """The exchange's ex-right reference price, CNY, rounded half up to 0.01."""
        return cents((self.previous_close - self.net_cash) / self.share)

    @property
    def factor(self) -> float:
        """Previous close by reference price: what one yuan before is worth after."""
        return self.previous_close / self.reference_price

    @property
    def is_void(self) -> bool:
        """Whether it changes nothing: the record that withdraws an earlier one."""
        return self.share == 1 and self.net_cash == 0


def cents(price: float) -> float:
    """A price rounded half up to 0.01 CNY."""
    return math.floor(price * 100 + _HALF_A_CENT) / 100


def one_per_session(events: Iterable[ExRight]) -> list[ExRight]:
    """Ex-rights by symbol and session, those of one day together, void ones left out.

    The exchange computes one reference price a day: cash and shares of one day add up.
    """
    ordered = sorted(events, key=lambda e: (e.symbol, e.ex_session))
    together = [
        _added(list(day)) for _, day in groupby(ordered, lambda e: (e.symbol, e.ex_session))
    ]
    return [event for event in together if not event.is_void]


def _added(day: Sequence[ExRight]) -> ExRight:
    if len(day) == 1:
        return day[0]
    rights = sum(event.rights for event in day)
    paid = sum(event.rights * event.rights_price for event in day)
    return ExRight(
        symbol=day[0].symbol,
        ex_session=day[0].ex_session,
        previous_close=day[0].previous_close,
        cash=sum(event.cash for event in day),
        bonus=sum(event.bonus for event in day),
        rights=rights,
        rights_price=paid / rights if rights else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Steps:
    """The lines that adjust one symbol's prices: ``slopes[i] x raw + intercepts[i]``.

    Attributes:
        sessions: Where each line but the first begins, ascending; one fewer than there are lines.
        slopes: By line.
        intercepts: By line, CNY.
    """

    sessions: tuple[date, ...]
    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]


def steps_of(events: Iterable[ExRight], adjustment: Adjustment, method: AdjustMethod) -> Steps:
    """The lines of one symbol's ex-rights.

    Forward (qfq), prices after the last ex-right are raw; back (hfq), those before the first are.

    Args:
        events: Of one symbol, in any order.
        adjustment: ``QFQ`` or ``HFQ``; ``NONE`` leaves every price as it is.
        method: See :class:`AdjustMethod`.
    """
    merged = one_per_session(events)
    assert len({event.symbol for event in merged}) <= 1
    lines = [(1.0, 0.0)]
    if adjustment is Adjustment.HFQ:
        for event in merged:
            lines.append(_after(lines[-1], event, method))
    elif adjustment is Adjustment.QFQ:
        for event in reversed(merged):
            lines.insert(0, _before(lines[0], event, method))
    else:
        merged = []
    return Steps(
        sessions=tuple(event.ex_session for event in merged),
        slopes=tuple(slope for slope, _ in lines),
        intercepts=tuple(intercept for _, intercept in lines),
    )


def _after(line: tuple[float, float], event: ExRight, method: AdjustMethod) -> tuple[float, float]:
    """The line after an ex-right from the one before it: both give its close the same value."""
    slope, intercept = line
    if method is AdjustMethod.RATIO:
        return slope * event.factor, 0.0
    return slope * event.share, intercept + slope * event.net_cash


def _before(line: tuple[float, float], event: ExRight, method: AdjustMethod) -> tuple[float, float]:
    """The line before an ex-right from the one after it."""
    slope, intercept = line
    if method is AdjustMethod.RATIO:
        return slope / event.factor, 0.0
    return slope / event.share, intercept - slope * event.net_cash / event.share
