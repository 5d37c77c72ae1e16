"""The market that AKShare is looked at with, and what of it an answer must hold."""

from collections.abc import Sequence
from datetime import datetime

from ingest.simulator.market import QuoteTable, SecId
from ingest.simulator.seeded.market import SeededMarket
from ingest.sources.contracts.calls import Answer, Call
from ingest.sources.contracts.frames import Truth
from market.boards import BoardKind

_SEED, _SYMBOLS = 7, 130
"""So many symbols that their list has two pages."""
_DAYS = 5


def small_market() -> SeededMarket:
    """A market that is the same everywhere; its clock stands at 2025-12-31 16:00, Shanghai."""
    return SeededMarket(seed=_SEED, symbols=_SYMBOLS)


def truth_of(market: SeededMarket, call: Call) -> Truth:
    """Rows by key as the upstream serves them; cells by number.

    Raises:
        LookupError: The market has nothing of the kind.
    """
    now = market.default_now
    match call.answer:
        case Answer.KLINE:
            series = market.kline(SecId(*call.secid), call.klt, call.fqt, now)
            return _lines(series.lines(0, len(series.labels)) if series else [])
        case Answer.TRENDS:
            trends = market.trends(SecId(*call.secid), _DAYS, now)
            return _lines(trends.lines if trends else [])
        case _:
            return _rows(_list(market, call, now))


def served_rows(truth: Truth, call: Call) -> int:
    """How many rows of it a call is served: those of its window, if it names one."""
    begins, ends = (call.arguments.get(name) for name in ("start_date", "end_date"))
    if begins is None or ends is None:
        return len(truth)
    return sum(begins <= key.replace("-", "") <= ends for key in truth)


def _list(market: SeededMarket, call: Call, now: datetime) -> QuoteTable | None:
    match call.answer:
        case Answer.SYMBOLS:
            return market.quotes(now)
        case Answer.CONCEPTS:
            return market.boards(BoardKind.CONCEPT, now)
        case Answer.INDUSTRIES:
            return market.boards(BoardKind.INDUSTRY, now)
        case _:
            return market.board_quotes(call.secid[1], now)


def _lines(lines: Sequence[str]) -> Truth:
    if not lines:
        raise LookupError("the market holds no such bars")
    return {cells[0]: cells for cells in (line.split(",") for line in lines)}


def _rows(table: QuoteTable | None) -> Truth:
    if table is None:
        raise LookupError("the market holds no such list")
    width = max(table.columns) + 1
    rows: dict[str, list[object]] = {}
    for place, code in enumerate(table.columns[12]):
        cells: list[object] = ["-"] * width
        for number, column in table.columns.items():
            cells[number] = column[place]
        rows[str(code)] = cells
    return rows
