"""The seeded market: everything follows from a seed and a number of symbols."""

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
import pyarrow as pa

from ingest.simulator import defaults
from ingest.simulator.cache import BoundedCache
from ingest.simulator.draws import key_of
from ingest.simulator.market import BOARD_MARKET, STOCK_MARKETS, Cell, QuoteTable, SecId, Trends
from ingest.simulator.seeded.boards import Board, BoardBook
from ingest.simulator.seeded.instrument import Instrument
from ingest.simulator.seeded.names import region_name
from ingest.simulator.seeded.quotes import SnapshotBook, quote_table
from ingest.simulator.seeded.series import BarSeries
from ingest.simulator.seeded.stocks import StockBook
from ingest.simulator.seeded.timeline import Moment, Timeline
from ingest.simulator.seeded.universe import BusyDay
from market.boards import BoardKind, parse_board_code
from market.clock import EXCHANGE_TZ
from market.symbols import parse_symbol

DEFAULT_NOW = datetime(2025, 12, 31, 16, 0, tzinfo=EXCHANGE_TZ)
DEFAULT_START = date(2015, 1, 5)
_MID_MORNING = (10, 32)


class SeededMarket:
    """A market that is the same wherever and whenever it is made.

    Args:
        seed: Decides everything that is not in the fixed cast.
        symbols: Number of symbols, those not yet and no longer listed included; 1 to 6,000.
        start: No bar is older than this day.
        busy: A session on which more symbols go ex-right or are listed than the seed draws.

    Raises:
        UsageError: The number of symbols is out of range, or the start outside the calendar.
    """

    kind = "seeded"
    default_now = DEFAULT_NOW

    def __init__(
        self,
        seed: int = defaults.SEED,
        symbols: int = defaults.SYMBOLS,
        start: date = DEFAULT_START,
        busy: BusyDay | None = None,
    ) -> None:
        self._timeline = Timeline(start)
        self._seed = seed
        self._stocks = StockBook(seed, symbols, self._timeline, busy)
        self._boards = BoardBook(seed, self._stocks.universe, self._timeline)
        self._snapshots = SnapshotBook(self._timeline)
        self._quotes: BoundedCache[Moment, QuoteTable] = BoundedCache(3)
        self._lists: BoundedCache[tuple[BoardKind, Moment], QuoteTable] = BoundedCache(6)

    def describe(self) -> dict[str, object]:
        """Kind, seed, sizes and first session."""
        kinds = [board.kind for board in self._boards.boards]
        return {
            "kind": self.kind,
            "seed": self._seed,
            "symbols": len(self._stocks.universe.codes),
            "concepts": kinds.count(BoardKind.CONCEPT),
            "industries": kinds.count(BoardKind.INDUSTRY),
            "start": self._timeline.sessions[self._timeline.first].isoformat(),
        }

    def check(self, now: datetime) -> None:
        """Refuse an instant outside the recorded calendar."""
        self._moment(now)

    def kline(self, secid: SecId, klt: int, fqt: int, now: datetime) -> BarSeries | None:
        """A kline by Eastmoney's numbers; None if nothing answers to the code at that instant."""
        moment = self._moment(now)
        instrument = self._instrument(secid, moment)
        return instrument.series(klt, fqt, moment) if instrument else None

    def trends(self, secid: SecId, days: int, now: datetime) -> Trends | None:
        """1m rows of the latest sessions."""
        moment = self._moment(now)
        instrument = self._instrument(secid, moment)
        return instrument.trends(days, moment) if instrument else None

    def quotes(self, now: datetime) -> QuoteTable:
        """All listed symbols."""
        moment = self._moment(now)
        return self._quotes.get(moment, lambda: self._quote_table(moment))

    def boards(self, kind: BoardKind, now: datetime) -> QuoteTable:
        """All boards of a kind that exist at an instant."""
        moment = self._moment(now)
        return self._lists.get((kind, moment), lambda: self._board_table(kind, moment, now))

    def board_quotes(self, board: str, now: datetime) -> QuoteTable | None:
        """The listed members of a board."""
        moment = self._moment(now)
        if board not in self._boards.by_code or not _exists(self._boards.by_code[board], moment):
            return None
        return self.quotes(now).select(self._member_rows(board, moment))

    def unfinished(self, now: datetime) -> datetime:
        """10:32 of the latest session that has a bar."""
        session = self._timeline.sessions[self._moment(now).ordinal]
        return datetime(session.year, session.month, session.day, *_MID_MORNING, tzinfo=EXCHANGE_TZ)

    def session_before(self, now: datetime) -> datetime:
        """16:00 of the session before the latest one that has a bar."""
        session = self._timeline.sessions[self._moment(now).ordinal - 1]
        return datetime(session.year, session.month, session.day, 16, tzinfo=EXCHANGE_TZ)

    def daily(self, symbol: str, now: datetime | None = None) -> pa.Table:
        """The unadjusted daily bars of a symbol, by its present or its old code."""
        return self._truth(symbol, 101, now)

    def minutes(self, symbol: str, session: date, klt: int = 1) -> pa.Table:
        """The 241 one-minute rows of a whole session, auction first; or its 5m … 60m bars.

        Raises:
            KeyError: The symbol did not trade in the session.
        """
        instrument = self._stock(symbol)
        ordinal = self._timeline.on_or_after(session)
        place = int(np.searchsorted(instrument.history.ordinals, ordinal))
        if place == len(instrument.history) or instrument.history.ordinals[place] != ordinal:
            raise KeyError(f"{symbol} has no bar on {session}")
        return instrument.session_truth(place, klt)

    def listing(self, on: date) -> tuple[str, ...]:
        """Codes on the exchange's list on a day, ascending."""
        return tuple(sorted(self._stocks.code(at, on) for at in self._stocks.listed(on)))

    def members(self, board: str, on: date) -> tuple[str, ...]:
        """Codes of a board's listed members on a day, ascending."""
        moment = self._moment(datetime(on.year, on.month, on.day, 16, tzinfo=EXCHANGE_TZ))
        listed = self._stocks.listed(on)
        flags = self._boards.member_flags(parse_board_code(board), moment.ordinal)
        return tuple(sorted(self._stocks.code(at, on) for at in listed if flags[at]))

    def _moment(self, now: datetime) -> Moment:
        return self._timeline.moment(now)

    def _instrument(self, secid: SecId, moment: Moment) -> Instrument | None:
        if secid.market == BOARD_MARKET:
            board = self._boards.by_code.get(secid.code)
            exists = board is not None and _exists(board, moment)
            return self._boards.instrument(secid.code) if exists else None
        place = self._stocks.universe.place(secid.code, moment.day)
        if secid.market not in STOCK_MARKETS or place is None:
            return None
        return (
            self._stocks.instrument(place) if self._stocks.market(place) == secid.market else None
        )

    def _stock(self, symbol: str) -> Instrument:
        return self._stocks.instrument(self._stocks.universe.place_of(parse_symbol(symbol).code))

    def _truth(self, symbol: str, klt: int, now: datetime | None) -> pa.Table:
        instrument = self._stock(symbol)
        moment = self._moment(now or self.default_now)
        return instrument.series(klt, 0, moment).truth(instrument.sessions(moment))

    def _quote_table(self, moment: Moment) -> QuoteTable:
        listed = self._stocks.listed(moment.day)
        part = self._snapshots.at(self._stocks, moment).take(np.array(listed, dtype=np.int64))
        table = quote_table(
            part,
            [self._stocks.code(at, moment.day) for at in listed],
            [self._stocks.name(at, moment.day) for at in listed],
            [self._stocks.market(at) for at in listed],
            key_of(self._seed, moment.ordinal),
        )
        traded_at, idle_at = self._timeline.changed_at(moment)
        changed = [traded_at if trades else idle_at for trades in part.trades.tolist()]
        return QuoteTable({**table.columns, 124: changed, **self._told(listed, moment)})

    def _told(self, listed: list[int], moment: Moment) -> dict[int, Sequence[Cell]]:
        """What the list says of symbols beside their quotes: listing day, boards, last change."""
        stocks = [self._stocks.universe.stocks[at] for at in listed]
        return {
            26: [int(f"{stock.listed:%Y%m%d}") for stock in stocks],
            102: [region_name(key_of(self._seed, stock.code, "region")) for stock in stocks],
            **self._boards.told(listed, moment.ordinal),
        }

    def _member_rows(self, board: str, moment: Moment) -> list[int]:
        flags = self._boards.member_flags(board, moment.ordinal)
        return [row for row, at in enumerate(self._stocks.listed(moment.day)) if flags[at]]

    def _board_table(self, kind: BoardKind, moment: Moment, now: datetime) -> QuoteTable:
        every = self._boards.of_kind(kind)
        places = [at for at, board in enumerate(every.boards) if _exists(board, moment)]
        boards = [every.boards[at] for at in places]
        table = quote_table(
            self._snapshots.at(every, moment).take(np.array(places, dtype=np.int64)),
            [board.code for board in boards],
            [board.name for board in boards],
            [BOARD_MARKET] * len(boards),
            key_of(self._seed, moment.ordinal),
        )
        columns = dict(table.columns)
        quotes = self.quotes(now)
        leads = [_lead(quotes, self._member_rows(board.code, moment)) for board in boards]
        for number in (20, 104, 105, 128, 136, 140, 141):
            columns[number] = [lead[number] for lead in leads]
        return QuoteTable(columns)


def _exists(board: Board, moment: Moment) -> bool:
    return board.since <= moment.ordinal


def _lead(quotes: QuoteTable, rows: list[int]) -> dict[int, Cell]:
    """What a board's row says of its members: value, risers, fallers, and who rises most."""
    change = quotes.columns[3]
    moves = {row: float(change[row]) for row in rows if not isinstance(change[row], str)}
    counts: dict[int, Cell] = {
        20: sum(int(quotes.columns[20][row]) for row in rows),
        104: sum(1 for move in moves.values() if move > 0),
        105: sum(1 for move in moves.values() if move < 0),
    }
    if not moves:
        return {**counts, **dict.fromkeys((128, 136, 140, 141), "-")}
    best = max(moves, key=lambda row: (moves[row], str(quotes.columns[12][row])))
    return {
        **counts,
        128: quotes.columns[14][best],
        136: moves[best],
        140: quotes.columns[12][best],
        141: quotes.columns[13][best],
    }
