"""Eastmoney asked without a library: the hot calls, with no pandas and nothing guessed.

The same endpoints, hosts and fields that AKShare's functions ask, over the same wire and budget, on
one kept connection. What it gains: lists come in an order that does not move and are proven page by
page; klines are asked for the sessions that are wanted, 5m too; quotes carry when they were quoted,
the listing day and the names of the symbol's boards; a cell of the wrong type is named instead of
becoming NaN. :class:`ingest.sources.eastmoney.EastmoneySource` is what it is held against, and
what is asked where it meets drift (:mod:`ingest.sources.preferred`).

Fields of a quote: f12 code, f14 name, f2 latest price, f18 previous close, f17 f15 f16 open, high
and low, f5 lots, f6 CNY, f8 turnover rate, f124 Unix seconds of the last change, f26 listing day,
f100 industry, f103 concepts between commas. f26, f100, f103 and f124 are known from clients of the
same endpoint and one recorded answer (July 2026).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from typing import TypeVar
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.compute as pc

from ingest import wire
from ingest.source import (
    Bars,
    EmptyBoardError,
    FoundExRights,
    MalformedBodyError,
    StaleListError,
    UnknownSymbolError,
)
from ingest.sources.bodies import NO_ROWS, Question, data_of, history_of_empty
from ingest.sources.cells import Row, days, instants, names, numbers, texts, whole_numbers
from ingest.sources.ex_rights import find_ex_rights
from ingest.sources.kline_lines import KLINE_FIELDS, TREND_FIELDS, Asked, read_lines
from ingest.sources.listed_codes import SHARES_PER_LOT, is_stock, stock_of
from ingest.sources.owners import Owner, board_owner, owner_of, refuse_another
from ingest.sources.paging import read_pages
from market.adjustments import Adjustment
from market.bars import END_AT_TYPE, Dataset, bar_schema
from market.boards import BOARD_LIST_SCHEMA, BOARD_MEMBERS_SCHEMA, BoardKind
from market.clock import EXCHANGE_TZ, Clock
from market.errors import InvalidSymbolError
from market.periods import Period
from market.quotes import QUOTES_SCHEMA
from market.sessions import SETTLED_AT, Window
from market.symbols import Symbol, SymbolKind

_T = TypeVar("_T")
_LIST_URL = "https://82.push2.eastmoney.com/api/qt/clist/get"
_KLINE_URL = "https://push2his.eastmoney.com/api/qt/stock/kline/get"
_TREND_URL = "https://push2his.eastmoney.com/api/qt/stock/trends2/get"
_A_SHARES = "m:0 t:6,m:0 t:80,m:1 t:2,m:1 t:23,m:0 t:81 s:2048"
_BOARDS = {BoardKind.CONCEPT: "m:90 t:3 f:!50", BoardKind.INDUSTRY: "m:90 t:2 f:!50"}
QUOTE_FIELDS = "f2,f5,f6,f8,f12,f13,f14,f15,f16,f17,f18,f26,f100,f103,f124"
_LIST_UT = "bd1d9ddb04089700cf9c27f6f7426281"
_KLINE_UT = "7eea3edcaed734bea9cbfc24409ed989"
_FQT = {Adjustment.NONE: "0", Adjustment.QFQ: "1", Adjustment.HFQ: "2"}
_KLT = {Period.M5: "5", Period.DAILY: "101"}


class DirectEastmoney:
    """The :class:`ingest.source.Source` that asks Eastmoney itself.

    Args:
        clock: Exchange time, which decides whether a bar is final.
        name: Provenance written on every bar.
        settled_at: When the bars of a session's close no longer move, Shanghai time.
    """

    name = "eastmoney"

    def __init__(self, clock: Clock, *, name: str = name, settled_at: time = SETTLED_AT) -> None:
        self._clock = clock
        self.name = name
        self._settled_at = settled_at

    def now(self) -> datetime:
        """Exchange time."""
        return self._clock.now()

    def fetch_klines(
        self,
        symbol: Symbol,
        period: Period,
        window: Window,
        adjustment: Adjustment = Adjustment.NONE,
    ) -> Bars:
        """Bars of one A share within a closed window of sessions; one request.

        1m reaches back 5 sessions and has no adjustment.

        Raises:
            SourceError: Typed by cause; see :mod:`ingest.source`.
            InvalidSymbolError: Not an A share.
        """
        if symbol.kind is not SymbolKind.STOCK:
            raise InvalidSymbolError(f"{symbol} is not an A share", {"symbol": str(symbol)})
        question = Question(f"{period} klines of {symbol}", {"symbol": str(symbol)})
        asked = self._asked(Dataset.KLINE, str(symbol), period)
        if period is Period.M1:
            return self._trends(question, asked, owner_of(symbol), window)
        return self._klines(question, asked, owner_of(symbol), window, _FQT[adjustment])

    def fetch_ex_rights(
        self,
        symbol: Symbol,
        session: date,
        reference: float | None = None,
        held: pa.Table | None = None,
    ) -> FoundExRights:
        """All ex-rights of one A share, from its raw and adjusted prices; two requests or three.

        One request where ``held`` and ``reference`` tell that of the session alone.

        Raises:
            NotServedError: The upstream has bars of it, and no adjusted ones.
            SourceError: Typed by cause; see :mod:`ingest.source`.
        """
        fetch = lambda kind, window: self.fetch_klines(symbol, Period.DAILY, window, kind)  # noqa: E731
        return find_ex_rights(str(symbol), session, fetch, reference, held)

    def fetch_board_klines(self, kind: BoardKind, board: str, window: Window) -> Bars:  # noqa: ARG002  (one endpoint)
        """Daily bars of a board within a closed window of sessions; one request.

        Raises:
            SourceError: Typed by cause; see :mod:`ingest.source`.
        """
        question = Question(f"daily klines of board {board}", {"board": board})
        asked = self._asked(Dataset.BOARD_KLINE, board, Period.DAILY)
        return self._klines(question, asked, board_owner(board), window, _FQT[Adjustment.NONE])

    def fetch_quotes(self) -> pa.Table:
        """Quotes of all listed A shares; one request per 100 symbols.

        Returns:
            ``QUOTES_SCHEMA``, ascending.

        Raises:
            TruncatedListError: A page is short, the total moved, or a code repeats.
            StaleListError: A page shows an earlier session than others.
            SchemaDriftError: A cell of the wrong type; names symbol, field and value.
            SourceError: Typed by cause; see :mod:`ingest.source`.
        """
        question = Question("the symbol list", {})
        parts: list[pa.Table] = []
        read_pages(
            question,
            self._get,
            _LIST_URL,
            {"fs": _A_SHARES, "fields": QUOTE_FIELDS, "ut": _LIST_UT},
            lambda rows: parts.append(_quotes(rows)),
        )
        _refuse_stale(question, parts)
        return pa.concat_tables(parts).sort_by("symbol")

    def fetch_board_list(self, kind: BoardKind) -> pa.Table:
        """All boards of a kind; one request per 100 boards.

        Raises:
            TruncatedListError: A page is short, the total moved, or a code repeats.
            SourceError: Typed by cause; see :mod:`ingest.source`.
        """
        rows = self._named_rows(Question(f"the {kind} list", {"kind": kind.value}), _BOARDS[kind])
        return pa.table(
            {"board": texts(rows, "f12"), "name": texts(rows, "f14")}, schema=BOARD_LIST_SCHEMA
        ).sort_by("board")

    def fetch_board_members(self, kind: BoardKind, board: str) -> pa.Table:  # noqa: ARG002  (one endpoint)
        """Members of a board; one request per 100 members.

        Raises:
            TruncatedListError: A page is short, the total moved, or a code repeats.
            EmptyBoardError: The upstream says that there are none.
            SourceError: Typed by cause; see :mod:`ingest.source`.
        """
        question = Question(f"members of board {board}", {"board": board})
        try:
            rows = self._named_rows(question, f"b:{board} f:!50")
        except UnknownSymbolError as error:
            if error.context.get("rc") != NO_ROWS:
                raise
            raise EmptyBoardError(
                f"eastmoney lists no members of board {board} (rc={NO_ROWS})", error.context
            ) from error
        symbols = [stock_of(code) for code in texts(rows, "f12")]
        return pa.table(
            {"symbol": symbols, "name": texts(rows, "f14")}, schema=BOARD_MEMBERS_SCHEMA
        ).sort_by("symbol")

    def _asked(self, dataset: Dataset, key: str, period: Period) -> Asked:
        return Asked(dataset, key, period, self._clock.now(), self.name, self._settled_at)

    def _get(self, url: str, parameters: dict[str, str], read: Callable[[wire.Exchange], _T]) -> _T:
        """One answer, read where the wire still listens: success with no data is a sign, too."""
        with wire.observed_within() as seen:
            wire.ask(f"{url}?{urlencode(parameters)}")
            return read(seen.exchanges[-1])

    def _named_rows(self, question: Question, selector: str) -> list[Row]:
        which = {"fs": selector, "fields": "f12,f13,f14", "ut": _LIST_UT}
        pages = read_pages(question, self._get, _LIST_URL, which)
        return [row for page in pages for row in page]

    def _klines(
        self, question: Question, asked: Asked, owner: Owner, window: Window, fqt: str
    ) -> Bars:
        def read(exchange: wire.Exchange) -> Bars:
            data = data_of(question, exchange)
            lines = data.get("klines")
            if not lines:
                history = history_of_empty(question, exchange)
                refuse_another(question, data, owner)
                return Bars(bar_schema(asked.dataset).empty_table(), history)
            refuse_another(question, data, owner)
            bars = read_lines(asked, _checked(question, lines), KLINE_FIELDS, window)
            total = data.get("dktotal")
            return replace(bars, history=total) if isinstance(total, int) else bars

        return self._get(
            _KLINE_URL,
            {
                "fields1": "f1,f2,f3,f4,f5,f6",
                "fields2": ",".join(KLINE_FIELDS),
                "ut": _KLINE_UT,
                "klt": _KLT[asked.period],
                "fqt": fqt,
                "secid": f"{owner.market}.{owner.code}",
                "beg": f"{window.start:%Y%m%d}",
                "end": f"{window.end:%Y%m%d}",
            },
            read,
        )

    def _trends(self, question: Question, asked: Asked, owner: Owner, window: Window) -> Bars:
        def read(exchange: wire.Exchange) -> Bars:
            data = data_of(question, exchange)
            lines = data.get("trends")
            if not lines:
                history = history_of_empty(question, exchange)
                refuse_another(question, data, owner)
                return Bars(bar_schema(asked.dataset).empty_table(), history)
            refuse_another(question, data, owner)
            return read_lines(asked, _checked(question, lines), TREND_FIELDS, window)

        return self._get(
            _TREND_URL,
            {
                "fields1": "f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,f12,f13",
                "fields2": ",".join(TREND_FIELDS),
                "ut": _KLINE_UT,
                "ndays": "5",
                "iscr": "0",
                "secid": f"{owner.market}.{owner.code}",
            },
            read,
        )


def _checked(question: Question, lines: object) -> Sequence[str]:
    if not isinstance(lines, list) or set(map(type, lines)) != {str}:
        raise MalformedBodyError(f"the bars of {question.what} are no lines", question.context)
    return lines


def _quotes(rows: Sequence[Row]) -> pa.Table:
    """One page of quotes, bonds left out."""
    rows = [row for row in rows if is_stock(row["f12"])]
    close, opens = numbers(rows, "f2"), numbers(rows, "f17")
    concepts = [None if text is None else text.split(",") for text in names(rows, "f103")]
    quoted = pa.array(instants(rows, "f124"), pa.int64())
    return pa.table(
        {
            "symbol": [stock_of(row["f12"]) for row in rows],
            "name": texts(rows, "f14"),
            "close": pa.array(close, pa.float64()),
            "previous_close": pa.array(numbers(rows, "f18"), pa.float64()),
            "suspended": [c is None or o is None for c, o in zip(close, opens, strict=True)],
            "open": pa.array(opens, pa.float64()),
            "high": pa.array(numbers(rows, "f15"), pa.float64()),
            "low": pa.array(numbers(rows, "f16"), pa.float64()),
            "volume": pa.array(whole_numbers(rows, "f5", times=SHARES_PER_LOT), pa.int64()),
            "amount": pa.array(numbers(rows, "f6"), pa.float64()),
            "turnover_rate": pa.array(numbers(rows, "f8"), pa.float64()),
            "quoted_at": quoted.cast(pa.timestamp("s", tz="UTC")).cast(END_AT_TYPE),
            "listed_on": pa.array(days(rows, "f26"), pa.date32()),
            "industry": pa.array(names(rows, "f100"), pa.string()),
            "concepts": pa.array(concepts, pa.list_(pa.string())),
        },
        schema=QUOTES_SCHEMA,
    )


def _refuse_stale(question: Question, pages: Sequence[pa.Table]) -> None:
    """Refuse a page out of an older cache: the newest quote of each is of one session."""
    newest = [pc.max(page["quoted_at"]).as_py() for page in pages]
    sessions = [at and at.astimezone(EXCHANGE_TZ).date() for at in newest]
    latest = max((day for day in sessions if day), default=None)
    for number, day in enumerate(sessions, 1):
        if day is not None and day != latest:
            raise StaleListError(
                f"page {number} of {question.what} shows {day}, others show {latest}: the list was "
                "not taken",
                {**question.context, "page": number},
            )
