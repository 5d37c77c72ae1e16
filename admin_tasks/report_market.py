"""The market on a session, from the daily bars that are held."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from admin_tasks.report_facts import BoardHeat, Candle, Chart, MarketFacts, Mover
from market.adjustments import Adjustment, ExRight
from market.bars import Dataset
from market.boards import BoardKind
from market.periods import Period
from market.sessions import TradingCalendar, Window
from storage.catalog import BoardRow
from storage.ex_right import read_lake_ex_rights
from storage.lake import Lake
from storage.queries import klines

_LOOK_BACK = 30
"""A close that lies more sessions back is compared with no more: the symbol was suspended."""
_MOVERS = 10
_CENT = 0.0101
"""Limits are rounded to cents."""
BOARDS_SHOWN = 24
CHART_SESSIONS = 60
AVERAGES = (5, 20)
"""Sessions of the moving averages of a chart."""


@dataclass(frozen=True, slots=True)
class _Change:
    """One series on the session, beside its bar before; ``before`` None: there is none."""

    name: str
    close: float
    amount: float
    before: float | None
    amount_before: float
    before_session: date | None


def read_market(
    lake: Lake,
    session: date,
    calendar: TradingCalendar,
    names: Mapping[str, str],
    boards: Sequence[BoardRow],
) -> MarketFacts:
    """Gains, losses, boards and a chart of a session.

    Args:
        lake: Where daily bars and ex-rights are.
        session: Which session.
        calendar: The exchange's sessions.
        names: Names of symbols.
        boards: Boards with their names.

    Raises:
        CorruptFileError: A partition, or the copy of the ex-rights, is no readable Parquet file.
    """
    stocks = _changes(lake, Dataset.KLINE, session, calendar)
    if not stocks and not boards:
        return MarketFacts()
    events = [e for e in read_lake_ex_rights(lake.root) if e.ex_session <= session]
    movers = _movers(stocks, events, names)
    busiest = max(stocks, key=lambda each: each.amount, default=None)
    return MarketFacts(
        traded=len(stocks),
        compared=len(movers),
        up=sum(1 for each in movers if each.change > 0),
        down=sum(1 for each in movers if each.change < 0),
        amount=sum(each.amount for each in stocks),
        amount_before=sum(each.amount_before for each in stocks),
        gainers=tuple(m for m in movers[:_MOVERS] if m.change > 0),
        losers=tuple(m for m in movers[::-1][:_MOVERS] if m.change < 0),
        boards=_most_telling(read_boards(lake, session, calendar, boards)),
        chart=None
        if busiest is None
        else _chart(
            lake, busiest.name, Window(_chart_from(calendar, session), session), events, names
        ),
    )


def read_boards(
    lake: Lake, session: date, calendar: TradingCalendar, boards: Sequence[BoardRow]
) -> list[BoardHeat]:
    """Every board with a bar of a session and one before it, by kind and amount.

    Args:
        lake: Where daily bars are.
        session: Which session.
        calendar: The exchange's sessions.
        boards: Those wanted, with their names.

    Raises:
        CorruptFileError: A partition is no readable Parquet file.
    """
    return _heat(_changes(lake, Dataset.BOARD_KLINE, session, calendar), boards)


def read_moves(
    lake: Lake, session: date, calendar: TradingCalendar, names: Mapping[str, str]
) -> list[Mover]:
    """The session of some symbols, the largest gain first; those that did not trade are left out.

    Args:
        lake: Where daily bars and ex-rights are.
        session: Which session.
        calendar: The exchange's sessions.
        names: The symbols wanted, with their names.

    Raises:
        CorruptFileError: A partition, or the copy of the ex-rights, is no readable Parquet file.
    """
    if not names:
        return []
    events = [e for e in read_lake_ex_rights(lake.root, list(names)) if e.ex_session <= session]
    return _movers(_changes(lake, Dataset.KLINE, session, calendar, list(names)), events, names)


def _changes(
    lake: Lake,
    dataset: Dataset,
    session: date,
    calendar: TradingCalendar,
    names: Collection[str] | None = None,
) -> list[_Change]:
    window = Window(calendar.offset(session, -_LOOK_BACK), session)
    columns = [dataset.key, "session", "close", "amount"]
    bars = lake.read(dataset, Period.DAILY, names=names, window=window, columns=columns)
    if not bars.num_rows:
        return []
    keys = bars[dataset.key].combine_chunks()
    owners = keys.indices.to_numpy(zero_copy_only=False)
    known = keys.dictionary.to_pylist()
    days = bars["session"].to_pylist()
    closes, amounts = _numbers(bars, "close"), _numbers(bars, "amount")
    day_before = calendar.offset(session, -1)
    found = []
    for at in np.flatnonzero(np.array([day == session for day in days])):
        has = at > 0 and owners[at - 1] == owners[at]
        found.append(
            _Change(
                name=known[owners[at]],
                close=float(closes[at]),
                amount=float(amounts[at]),
                before=float(closes[at - 1]) if has else None,
                amount_before=float(amounts[at - 1]) if has and days[at - 1] == day_before else 0.0,
                before_session=days[at - 1] if has else None,
            )
        )
    return found


def _numbers(bars: pa.Table, column: str) -> npt.NDArray[np.float64]:
    numbers: npt.NDArray[np.float64] = bars[column].to_numpy()
    return numbers


def _movers(
    stocks: Sequence[_Change], events: Sequence[ExRight], names: Mapping[str, str]
) -> list[Mover]:
    """All symbols that can be compared, the largest gain first."""
    by_symbol: dict[str, list[ExRight]] = {}
    for event in events:
        by_symbol.setdefault(event.symbol, []).append(event)
    found = []
    for each in stocks:
        if each.before is None or each.before <= 0 or each.before_session is None:
            continue
        base = each.before
        for event in by_symbol.get(each.name, ()):
            if event.ex_session > each.before_session:
                base /= event.factor
        change = each.close / base - 1
        found.append(
            Mover(
                symbol=each.name,
                name=names.get(each.name),
                close=each.close,
                change=change,
                amount=each.amount,
                beyond_limit=abs(each.close - base) > base * _daily_limit(each.name) + _CENT,
            )
        )
    return sorted(found, key=lambda mover: (-mover.change, mover.symbol))


def _daily_limit(symbol: str) -> float:
    """How far a close may lie from the one before, as a share: by exchange and board of listing."""
    code, _, exchange = symbol.partition(".")
    if exchange == "BJ":
        return 0.3
    return 0.2 if code.startswith(("30", "68")) else 0.1


def _heat(changes: Sequence[_Change], boards: Sequence[BoardRow]) -> list[BoardHeat]:
    rows = {board.code: board for board in boards}
    found = [
        BoardHeat(
            each.name, row.name, BoardKind(row.kind), each.close / each.before - 1, each.amount
        )
        for each in changes
        if (row := rows.get(each.name)) is not None and row.kind and each.before
    ]
    return sorted(found, key=lambda each: (each.kind, -each.amount, each.board))


def _most_telling(found: Sequence[BoardHeat]) -> tuple[BoardHeat, ...]:
    """Those with the largest amounts and changes."""
    shown: set[str] = set()
    for kind in BoardKind:
        mine = [each for each in found if each.kind is kind]
        by_change = sorted(mine, key=lambda each: each.change)
        by_amount = sorted(mine, key=lambda each: -each.amount)
        shown |= {b.board for b in (*by_change[:5], *by_change[-5:], *by_amount[:BOARDS_SHOWN])}
    return tuple(each for each in found if each.board in shown)


def _chart_from(calendar: TradingCalendar, session: date) -> date:
    return calendar.offset(session, 1 - CHART_SESSIONS - max(AVERAGES))


def _chart(
    lake: Lake, symbol: str, window: Window, events: Sequence[ExRight], names: Mapping[str, str]
) -> Chart:
    bars = klines(
        lake,
        symbol,
        Period.DAILY,
        window=window,
        columns=("session", "open", "high", "low", "close", "volume"),
        adjust=Adjustment.QFQ,
        events=[event for event in events if event.symbol == symbol],
    )
    return Chart(symbol, names.get(symbol), tuple(Candle(**row) for row in bars.to_pylist()))
