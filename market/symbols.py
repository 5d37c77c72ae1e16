"""Symbols: which exchange a code belongs to, and every spelling people use for it."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from market.errors import InvalidSymbolError


class Exchange(StrEnum):
    """The three mainland exchanges, by the suffix that is written after a code."""

    SH = "SH"
    SZ = "SZ"
    BJ = "BJ"


class SymbolKind(StrEnum):
    """What a code stands for. Only ``STOCK`` (A shares) is synchronised as stock klines."""

    STOCK = "stock"
    B_SHARE = "b_share"
    FUND = "fund"
    INDEX = "index"
    BOND = "bond"


_NOT_STOCKS = {
    SymbolKind.B_SHARE: "a B share",
    SymbolKind.FUND: "a fund",
    SymbolKind.INDEX: "an index",
    SymbolKind.BOND: "a convertible bond",
}

_EXCHANGE_SPELLINGS = {
    **dict.fromkeys(("SH", "SS", "SSE", "XSHG", "SHSE", "1"), Exchange.SH),
    **dict.fromkeys(("SZ", "SZSE", "XSHE", "SHE"), Exchange.SZ),
    **dict.fromkeys(("BJ", "BSE", "XBSE", "BJSE", "NQ"), Exchange.BJ),
}

# By the exchanges' numbering rules; BJ moved 43/83/87/88 to 920 in 2025.
_PREFIXES: tuple[tuple[str, Exchange, SymbolKind], ...] = (
    *((p, Exchange.SH, SymbolKind.STOCK) for p in ("600", "601", "603", "605", "688", "689")),
    ("900", Exchange.SH, SymbolKind.B_SHARE),
    *((p, Exchange.SZ, SymbolKind.STOCK) for p in ("000", "001", "002", "003")),
    *((p, Exchange.SZ, SymbolKind.STOCK) for p in ("300", "301", "302")),
    ("200", Exchange.SZ, SymbolKind.B_SHARE),
    ("399", Exchange.SZ, SymbolKind.INDEX),
    ("920", Exchange.BJ, SymbolKind.STOCK),
    ("810", Exchange.BJ, SymbolKind.BOND),  # stands in the upstream's list of A shares
    *((p, Exchange.SH, SymbolKind.FUND) for p in ("50", "51", "52", "53", "55", "56", "58")),
    *((p, Exchange.SZ, SymbolKind.FUND) for p in ("15", "16", "18")),
    *((p, Exchange.BJ, SymbolKind.STOCK) for p in ("43", "83", "87", "88")),
)
# Only with the exchange spelt out: the digits alone mean the Shenzhen stock.
_SH_INDEX_PREFIXES = ("000",)

_SPELLINGS = (
    re.compile(r"^(?P<code>[0-9]{6})$"),
    re.compile(r"^(?P<code>[0-9]{6})\.(?P<exchange>[A-Z]+)$"),
    re.compile(r"^(?P<exchange>[A-Z]+)\.?(?P<code>[0-9]{6})$"),
    re.compile(r"^(?P<exchange>[01])\.(?P<code>[0-9]{6})$"),
)


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """A listed code with its exchange, written ``600519.SH``.

    Build one with :func:`parse_symbol`, which knows the exchange rules.
    """

    code: str
    exchange: Exchange

    def __str__(self) -> str:
        return f"{self.code}.{self.exchange.value}"

    @property
    def kind(self) -> SymbolKind:
        """Stock, B share, fund, index or bond, by the exchange's numbering rule."""
        if self.exchange is Exchange.SH and self.code.startswith(_SH_INDEX_PREFIXES):
            return SymbolKind.INDEX
        rule = _rule(self.code)
        assert rule is not None
        return rule[1]


def _rule(code: str) -> tuple[Exchange, SymbolKind] | None:
    for prefix, exchange, kind in _PREFIXES:
        if code.startswith(prefix):
            return exchange, kind
    return None


@lru_cache(maxsize=32_768)
def parse_symbol(text: str) -> Symbol:
    """Read a symbol in any common spelling.

    Accepts ``600519``, ``sh600519``, ``SH.600519``, ``600519.SH``, ``600519.XSHG``, ``600519.SS``
    and Eastmoney's ``1.600519``; case, spaces around it and full-width digits do not matter.

    Raises:
        InvalidSymbolError: The text is no code of SH, SZ or BJ, or names the wrong exchange.
    """
    cleaned = unicodedata.normalize("NFKC", text).strip().upper()
    match = next((m for pattern in _SPELLINGS if (m := pattern.match(cleaned))), None)
    if match is None:
        raise InvalidSymbolError(
            f"{text!r} is not a symbol: expected six digits with or without the exchange, "
            "such as 600519, sh600519 or 600519.SH",
            {"symbol": text},
        )
    code, spelling = match["code"], match.groupdict().get("exchange")
    rule = _rule(code)
    if spelling is None:
        if rule is None:
            raise InvalidSymbolError(
                f"{text!r} is not a symbol, as no exchange of SH, SZ or BJ numbers its listings "
                "so: check its digits",
                {"symbol": text},
            )
        return Symbol(code, rule[0])
    if spelling == "0":  # Eastmoney serves both SZ and BJ under market 0
        on_bj = rule is not None and rule[0] is Exchange.BJ
        return _checked(text, code, Exchange.BJ if on_bj else Exchange.SZ, rule)
    exchange = _EXCHANGE_SPELLINGS.get(spelling)
    if exchange is None:
        raise InvalidSymbolError(
            f"{text!r} names an unknown exchange {spelling!r}: use SH, SZ or BJ", {"symbol": text}
        )
    return _checked(text, code, exchange, rule)


def _checked(
    text: str, code: str, exchange: Exchange, rule: tuple[Exchange, SymbolKind] | None
) -> Symbol:
    if exchange is Exchange.SH and code.startswith(_SH_INDEX_PREFIXES):
        return Symbol(code, exchange)
    if rule is None or rule[0] is not exchange:
        listed = f"{code} is numbered by {rule[0]}" if rule else "no listing is numbered so"
        raise InvalidSymbolError(
            f"{text!r} is not listed on {exchange}: {listed}", {"symbol": text}
        )
    return Symbol(code, exchange)


def parse_stock(text: str) -> Symbol:
    """Read a symbol that must be an A share, the only kind whose klines are synchronised.

    Raises:
        InvalidSymbolError: It is no symbol, or it is a B share, a fund, an index or a bond.
    """
    symbol = parse_symbol(text)
    if symbol.kind is not SymbolKind.STOCK:
        raise InvalidSymbolError(
            f"{symbol} is {_NOT_STOCKS[symbol.kind]}, not an A share: "
            "stock klines are kept for A shares of SH, SZ and BJ",
            {"symbol": text},
        )
    return symbol
