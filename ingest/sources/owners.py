"""Whose bars a body holds: Eastmoney says it in every kline, and AKShare never looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingest.source import OtherSymbolError, SchemaDriftError
from ingest.sources.bodies import Question, data_of
from ingest.wire import Exchange
from market.symbols import Exchange as StockExchange
from market.symbols import Symbol

_BOARDS = 90


@dataclass(frozen=True, slots=True)
class Owner:
    """A symbol or board as Eastmoney knows it.

    Attributes:
        code: ``600519`` or ``BK0477``.
        market: 1 for SH, 0 for SZ and BJ, 90 for boards: a stock and an index may share a code.
    """

    code: str
    market: int


def owner_of(symbol: Symbol) -> Owner:
    """The owner of a symbol's bars."""
    return Owner(symbol.code, 1 if symbol.exchange is StockExchange.SH else 0)


def board_owner(board: str) -> Owner:
    """The owner of a board's bars."""
    return Owner(board, _BOARDS)


def check_owner(question: Question, exchange: Exchange, owner: Owner) -> dict[str, Any]:
    """The data of a body, if its bars are those of the symbol asked for.

    Raises:
        OtherSymbolError: The body names another code, or the same code of another market.
        SchemaDriftError: The body names none.
        SourceError: As :func:`ingest.sources.bodies.data_of`.
    """
    data = data_of(question, exchange)
    refuse_another(question, data, owner)
    return data


def refuse_another(question: Question, data: Mapping[str, Any], owner: Owner) -> None:
    """Refuse the data of a body if its bars are not those of the symbol asked for.

    Raises:
        OtherSymbolError: It names another code, or the same code of another market.
        SchemaDriftError: It names none.
    """
    code, market = data.get("code"), data.get("market", owner.market)
    if code is None:
        raise SchemaDriftError(
            f"the answer for {question.what} does not say whose bars it holds: nothing was taken",
            question.context,
        )
    if (code, market) != (owner.code, owner.market):
        name = f" ({data['name']})" if data.get("name") else ""
        raise OtherSymbolError(
            f"the answer for {question.what} holds the bars of {market}.{code}{name}, where "
            f"{owner.market}.{owner.code} was asked for: nothing was taken",
            {**question.context, "answered": f"{market}.{code}"},
        )
