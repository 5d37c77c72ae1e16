"""Eastmoney read through AKShare's own functions.

AKShare parses; this module asks it the right question, proves the answer whole, and turns it into
our schema and units. Verified against AKShare 1.19.5.

==================  ==========================================================================
AKShare column      ours
==================  ==========================================================================
日期 / 时间          ``session`` and ``end_at`` (bars are labelled at their end)
开盘 收盘 最高 最低   ``open close high low``, CNY; 1m: 0 before the latest session → null
成交量              ``volume``: lots of 100 shares → shares
成交额              ``amount``, CNY
换手率              ``turnover_rate``, percent
==================  ==========================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from types import ModuleType, SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ingest import wire
from ingest.source import (
    Bars,
    EmptyBoardError,
    FoundExRights,
    SchemaDriftError,
    TruncatedListError,
    UnknownSymbolError,
)
from ingest.sources.bodies import NO_ROWS, Question, diagnose, history_of_empty, list_total
from ingest.sources.ex_rights import find_ex_rights
from ingest.sources.listed_codes import SHARES_PER_LOT, is_stock, stock_of
from ingest.sources.owners import Owner, board_owner, check_owner, owner_of
from ingest.validation import bar_states
from market.adjustments import Adjustment
from market.bars import END_AT_TYPE, Dataset, bar_schema, sorted_bars
from market.boards import (
    BOARD_LIST_SCHEMA,
    BOARD_MEMBERS_SCHEMA,
    BoardKind,
)
from market.clock import Clock
from market.errors import InvalidSymbolError, QuantsyncError
from market.periods import Period
from market.quotes import QUOTES_SCHEMA
from market.sessions import SESSION_CLOSE, SETTLED_AT, Window
from market.symbols import Symbol, SymbolKind


def _akshare() -> ModuleType:
    """AKShare with its page sleeps and progress bars off: pacing and progress are ours."""
    import akshare  # noqa: PLC0415  (0.8 s and 35 MiB: only where something is fetched)
    from akshare.utils import func  # noqa: PLC0415

    if not isinstance(func.time, SimpleNamespace):
        func.time = SimpleNamespace(sleep=lambda _seconds: None)
        func.get_tqdm = lambda: lambda pages, **_options: pages
    return cast("ModuleType", akshare)


class EastmoneySource:
    """The :class:`ingest.source.Source` that reads Eastmoney through AKShare.

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

        5m ignores the window upstream (about two months always come); 1m reaches back 5 sessions.

        Raises:
            SourceError: Typed by cause; see :mod:`ingest.source`.
            InvalidSymbolError: Not an A share: AKShare would ask for another listing's bars.
        """
        if symbol.kind is not SymbolKind.STOCK:
            raise InvalidSymbolError(f"{symbol} is not an A share", {"symbol": str(symbol)})
        ak = _akshare()
        adjust = "" if adjustment is Adjustment.NONE else adjustment.value
        question = Question(f"{period} klines of {symbol}", {"symbol": str(symbol)})
        if period is Period.DAILY:
            answer = self._ask(
                question,
                lambda: ak.stock_zh_a_hist(
                    symbol=symbol.code,
                    period="daily",
                    start_date=f"{window.start:%Y%m%d}",
                    end_date=f"{window.end:%Y%m%d}",
                    adjust=adjust,
                ),
            )
        else:
            minutes = str(period.minutes)
            answer = self._ask(
                question,
                lambda: ak.stock_zh_a_hist_min_em(
                    symbol=symbol.code, period=minutes, adjust=adjust
                ),
            )
        held = _held(question, answer, owner_of(symbol))
        return self._bars(Dataset.KLINE, str(symbol), period, window, answer, held)

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

    def fetch_board_klines(self, kind: BoardKind, board: str, window: Window) -> Bars:
        """Daily bars of a board within a closed window of sessions; one request.

        Raises:
            SourceError: Typed by cause; see :mod:`ingest.source`.
        """
        ak = _akshare()
        dates = {"start_date": f"{window.start:%Y%m%d}", "end_date": f"{window.end:%Y%m%d}"}
        if kind is BoardKind.CONCEPT:
            call = lambda: ak.stock_board_concept_hist_em(board, period="daily", **dates)  # noqa: E731
        else:
            call = lambda: ak.stock_board_industry_hist_em(board, period="日k", **dates)  # noqa: E731
        question = Question(f"daily klines of board {board}", {"board": board})
        answer = self._ask(question, call)
        held = _held(question, answer, board_owner(board))
        return self._bars(Dataset.BOARD_KLINE, board, Period.DAILY, window, answer, held)

    def fetch_quotes(self) -> pa.Table:
        """Quotes of all listed A shares; one request per 100 symbols.

        Returns:
            ``QUOTES_SCHEMA``, ascending; AKShare gives no instant, listing day or boards.

        Raises:
            TruncatedListError: Rows do not equal the upstream's own total, or a code repeats.
            SourceError: Typed by cause; see :mod:`ingest.source`.
        """
        ak = _akshare()
        frame = self._list(Question("the symbol list", {}), ak.stock_zh_a_spot_em, "代码")
        frame = frame[[is_stock(code) for code in frame["代码"]]]

        def number(column: str) -> pa.Array:
            return pa.array(frame[column], pa.float64(), from_pandas=True)

        close, opening = frame["最新价"], frame["今开"]
        columns: dict[str, object] = {
            "symbol": [stock_of(code) for code in frame["代码"]],
            "name": frame["名称"].astype(str).to_list(),
            "close": number("最新价"),
            "previous_close": number("昨收"),
            "suspended": (close.isna() | opening.isna()).to_list(),
            "open": number("今开"),
            "high": number("最高"),
            "low": number("最低"),
            "volume": pc.multiply(number("成交量"), SHARES_PER_LOT).cast(pa.int64()),
            "amount": number("成交额"),
            "turnover_rate": number("换手率"),
        }
        absent = [name for name in QUOTES_SCHEMA.names if name not in columns]
        columns |= {name: pa.nulls(len(frame), QUOTES_SCHEMA.field(name).type) for name in absent}
        return pa.table(columns, schema=QUOTES_SCHEMA).sort_by("symbol")

    def fetch_board_list(self, kind: BoardKind) -> pa.Table:
        """All boards of a kind; one request per 100 boards.

        Raises:
            TruncatedListError: Rows do not equal the upstream's own total, or a code repeats.
            SourceError: Typed by cause; see :mod:`ingest.source`.
        """
        ak = _akshare()
        if kind is BoardKind.CONCEPT:
            from akshare.stock import stock_board_concept_em as concepts  # noqa: PLC0415

            # AKShare keeps this list for the life of the process; a worker must see new concepts.
            getattr(concepts, "__stock_board_concept_name_em").cache_clear()
            call = ak.stock_board_concept_name_em
        else:
            call = ak.stock_board_industry_name_em
        frame = self._list(Question(f"the {kind} list", {"kind": kind.value}), call, "板块代码")
        return pa.table(
            {"board": frame["板块代码"].to_list(), "name": frame["板块名称"].to_list()},
            schema=BOARD_LIST_SCHEMA,
        ).sort_by("board")

    def fetch_board_members(self, kind: BoardKind, board: str) -> pa.Table:
        """Members of a board; one request per 100 members.

        Raises:
            TruncatedListError: Rows do not equal the upstream's own total, or a code repeats.
            EmptyBoardError: The upstream says that there are none.
            SourceError: Typed by cause; see :mod:`ingest.source`.
        """
        ak = _akshare()
        function = (
            ak.stock_board_concept_cons_em
            if kind is BoardKind.CONCEPT
            else ak.stock_board_industry_cons_em
        )
        question = Question(f"members of board {board}", {"board": board})
        try:
            frame = self._list(question, lambda: function(symbol=board), "代码")
        except UnknownSymbolError as error:
            if error.context.get("rc") != NO_ROWS:
                raise
            raise EmptyBoardError(
                f"eastmoney lists no members of board {board} (rc={NO_ROWS})", error.context
            ) from error
        return pa.table(
            {
                "symbol": [stock_of(code) for code in frame["代码"]],
                "name": frame["名称"].astype(str).to_list(),
            },
            schema=BOARD_MEMBERS_SCHEMA,
        ).sort_by("symbol")

    def _ask(self, question: Question, call: Callable[[], pd.DataFrame]) -> "_Answer":
        asked_at, fetched_at = self._clock.now(), datetime.now(UTC)
        history: int | None = None
        with wire.observed_within() as seen:
            try:
                frame = call()
                if frame.empty:
                    history = history_of_empty(question, _last(question, seen))
            except QuantsyncError:
                raise  # a typed failure, or the batch's own end
            except Exception as error:  # noqa: BLE001
                # AKShare raises whatever its parsing trips over (TypeError on a null body,
                # KeyError on a renamed field): the body says what really happened.
                history = diagnose(question, seen.exchanges, error)
                frame = pd.DataFrame()
        return _Answer(frame, history, asked_at, fetched_at, tuple(seen.exchanges))

    def _list(
        self, question: Question, call: Callable[[], pd.DataFrame], code_column: str
    ) -> pd.DataFrame:
        answer = self._ask(question, call)
        total = list_total(question, _first(question, answer))
        codes = answer.frame[code_column]
        if len(codes) != total:
            raise TruncatedListError(
                f"{question.what} has {len(codes)} rows where the upstream says {total}: "
                "the list was not taken",
                question.context,
            )
        repeated = codes[codes.duplicated()]
        if not repeated.empty:
            raise TruncatedListError(
                f"{question.what} names {repeated.iloc[0]} twice, so another row is missing "
                "(the upstream re-sorted between two pages): the list was not taken",
                question.context,
            )
        return answer.frame

    def _bars(
        self,
        dataset: Dataset,
        key: str,
        period: Period,
        window: Window,
        answer: "_Answer",
        held: int | None,
    ) -> Bars:
        if answer.frame.empty:
            return Bars(bar_schema(dataset).empty_table(), answer.history)
        table = _table(dataset, key, period, answer, self.name, self._settled_at)
        changes = answer.frame.get("涨跌额", pd.Series(np.nan, answer.frame.index))
        table = table.append_column("change", pa.array(changes.astype("float64"), pa.float64()))
        if held is None:
            held = table.num_rows
        if period.is_intraday:
            within = pc.and_(
                pc.greater_equal(table["session"], pa.scalar(window.start)),
                pc.less_equal(table["session"], pa.scalar(window.end)),
            )
            table = table.filter(within)
        table = table.sort_by("end_at")  # whatever order the upstream gave
        return Bars(sorted_bars(dataset, table), held, table["change"])


@dataclass(frozen=True, slots=True)
class _Answer:
    frame: pd.DataFrame
    history: int | None
    asked_at: datetime
    fetched_at: datetime
    exchanges: tuple[wire.Exchange, ...]


def _held(question: Question, answer: _Answer, owner: Owner) -> int | None:
    """The bars that the upstream says it holds of the series, once their owner is checked."""
    held = None
    for exchange in answer.exchanges:
        said = check_owner(question, exchange, owner).get("dktotal")
        held = said if isinstance(said, int) else None
    return held


def _first(question: Question, answer: _Answer) -> wire.Exchange:
    if not answer.exchanges:
        raise SchemaDriftError(
            f"{question.what} came from AKShare's memory instead of the upstream",
            question.context,
        )
    return answer.exchanges[0]


def _last(question: Question, seen: wire.Observation) -> wire.Exchange:
    if not seen.exchanges:
        raise SchemaDriftError(f"{question.what}: AKShare sent no request", question.context)
    return seen.exchanges[-1]


def _table(
    dataset: Dataset, key: str, period: Period, answer: _Answer, source: str, settled_at: time
) -> pa.Table:
    frame, rows = answer.frame, len(answer.frame)
    when = "日期" if "日期" in frame else "时间"
    needed = [when, "开盘", "收盘", "最高", "最低", "成交量", "成交额"]
    missing = [name for name in needed if name not in frame]
    if missing:
        raise SchemaDriftError(
            f"klines of {key} lack the columns {', '.join(missing)}: AKShare or the upstream "
            "changed; nothing was taken",
            {dataset.key: key},
        )
    stamps = pd.to_datetime(frame[when], errors="coerce")
    if stamps.isna().any():
        raise SchemaDriftError(
            f"klines of {key} carry {frame[when][stamps.isna()].iloc[0]!r} as a date",
            {dataset.key: key},
        )
    sessions = stamps.dt.date
    if period is Period.DAILY:
        stamps = stamps.dt.normalize() + pd.Timedelta(hours=SESSION_CLOSE.hour)
    end_at = pa.array(stamps.dt.tz_localize("Asia/Shanghai").dt.as_unit("s"), END_AT_TYPE)
    opens = frame["开盘"].astype("float64")
    if period is Period.M1:
        opens = opens.mask(opens == 0)
    rate = frame["换手率"].astype("float64") if "换手率" in frame else np.full(rows, np.nan)
    columns = {
        dataset.key: pa.array([key] * rows),
        "session": pa.array(sessions, pa.date32()),
        "end_at": end_at,
        "open": pa.array(opens, pa.float64(), from_pandas=True),
        **{
            ours: _required(key, frame, theirs)
            for ours, theirs in (("high", "最高"), ("low", "最低"), ("close", "收盘"))
        },
        "volume": _shares(key, frame),
        "amount": _required(key, frame, "成交额"),
        "turnover_rate": pa.array(rate, pa.float64(), from_pandas=True),
        "state": bar_states(pa.chunked_array([end_at]), answer.asked_at, settled_at),
        "source": pa.array([source] * rows),
        "fetched_at": pa.array([answer.fetched_at] * rows, pa.timestamp("us", tz="UTC")),
    }
    return pa.table(columns)


def _required(key: str, frame: pd.DataFrame, column: str) -> pa.Array:
    """A column that must be a number in every row: AKShare turns all else into NaN silently."""
    values = frame[column].astype("float64")
    if values.isna().any():
        raise SchemaDriftError(
            f"klines of {key} have no number as {column} in {int(values.isna().sum())} of "
            f"{len(values)} rows",
            {"key": key, "column": column},
        )
    return pa.array(values, pa.float64())


def _shares(key: str, frame: pd.DataFrame) -> pa.Array:
    lots = _required(key, frame, "成交量").to_numpy()
    if not np.equal(np.mod(lots, 1), 0).all():
        raise SchemaDriftError(f"klines of {key} have fractions of a lot as volume", {"key": key})
    return pa.array((lots * SHARES_PER_LOT).astype(np.int64))
