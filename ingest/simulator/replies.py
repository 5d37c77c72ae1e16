"""What an endpoint answers in text, and the symbols that others than Eastmoney are asked for."""

from dataclasses import dataclass
from datetime import datetime

from ingest.simulator.eastmoney import another
from ingest.simulator.market import Market, SecId

OK, NO_DATA = "ok", "no_data"
_MARKETS = {"sh": 1, "sz": 0, "bj": 0}
_CODE_DIGITS = 6
_BJ_CODES = ("4", "8", "92")


@dataclass(frozen=True, slots=True)
class Reply:
    """A body, and what the log says of it.

    Attributes:
        text: The whole body.
        outcome: ``ok`` or ``no_data``.
        kind: Its content type.
    """

    text: str
    outcome: str
    kind: str = "text/javascript"


def secid_of(symbol: str) -> SecId | None:
    """Eastmoney's name for ``sh600519``; None if that is no symbol."""
    prefix, code = symbol[:2], symbol[2:]
    if prefix not in _MARKETS or len(code) != _CODE_DIGITS or not code.isdigit():
        return None
    return SecId(_MARKETS[prefix], code)


def symbol_of(secid: SecId) -> str:
    """``sh600519`` for Eastmoney's name of it."""
    prefix = "sh" if secid.market else "bj" if secid.code.startswith(_BJ_CODES) else "sz"
    return f"{prefix}{secid.code}"


def listed_secid(
    market: Market, symbol: str, now: datetime, *, other: bool = False
) -> SecId | None:
    """What a symbol names in a market; None if it is no symbol, or names the wrong exchange.

    Args:
        market: Where it is looked up.
        symbol: ``sh600519``.
        now: As of when.
        other: A fault wants the symbol after it.
    """
    secid = secid_of(symbol)
    if secid is None or (symbol.startswith("bj") != secid.code.startswith(_BJ_CODES)):
        return None
    return another(market, secid, now) if other else secid
