"""Which of AKShare's functions we call, how, and what each of their answers is taken for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

STOCK, SHENZHEN, BEIJING = "600519", "000001", "920002"
CONCEPT, INDUSTRY = "BK0818", "BK0477"


class Answer(StrEnum):
    """What a function gives, which decides where its truth is found in the market."""

    KLINE = "kline"
    TRENDS = "trends"
    SYMBOLS = "symbols"
    CONCEPTS = "concepts"
    INDUSTRIES = "industries"
    MEMBERS = "members"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that we read.

    Attributes:
        number: Where it stands in the answer: place in a kline's line, field number of a list.
        unit: What its values count.
        ours: What we make of it.
    """

    number: int
    unit: str
    ours: str


@dataclass(frozen=True, slots=True)
class Call:
    """One way in which a function is called.

    Attributes:
        name: Its name in the contract.
        function: AKShare's function.
        arguments: By keyword.
        answer: What it gives.
        ours: What of ours makes this call.
        key: Column that tells the rows apart.
        columns: The columns that we read; the others are recorded by name and type alone.
        klt: Of klines, the upstream's number of the period.
        fqt: Of klines, the upstream's number of the adjustment.
        secid: Of klines, market and code; of members, the board.
    """

    name: str
    function: str
    arguments: Mapping[str, str]
    answer: Answer
    ours: str
    key: str
    columns: Mapping[str, Column]
    klt: int = 101
    fqt: int = 0
    secid: tuple[int, str] = (1, STOCK)


@dataclass(frozen=True, slots=True)
class Reserve:
    """A function that nothing calls yet; its signature alone is kept.

    Attributes:
        function: AKShare's function.
        ours: What it is kept for.
    """

    function: str
    ours: str


def _kline(price: str, *more: str) -> dict[str, Column]:
    known = {
        "开盘": Column(1, price, "open"),
        "收盘": Column(2, price, "close"),
        "最高": Column(3, price, "high"),
        "最低": Column(4, price, "low"),
        "成交量": Column(5, "lots of 100 shares", "volume: times 100 it is shares"),
        "成交额": Column(6, "CNY", "amount"),
        "涨跌额": Column(9, f"{price}, to the close before", "the change that bars are doubted by"),
        "换手率": Column(10, "percent", "turnover_rate"),
    }
    return {
        name: known[name] for name in ("开盘", "收盘", "最高", "最低", "成交量", "成交额", *more)
    }


_DAILY = _kline("CNY", "涨跌额", "换手率")
_BOARD = _kline("points", "涨跌额", "换手率")
_QUOTE = {
    "代码": Column(12, "six digits without an exchange", "symbol"),
    "名称": Column(14, "text", "name"),
    "最新价": Column(2, "CNY, none if suspended", "close, and whether it is suspended"),
    "今开": Column(17, "CNY, none if suspended", "open, and whether it is suspended"),
    "最高": Column(15, "CNY", "high"),
    "最低": Column(16, "CNY", "low"),
    "昨收": Column(18, "CNY", "previous_close"),
    "成交量": Column(5, "lots of 100 shares", "volume: times 100 it is shares"),
    "成交额": Column(6, "CNY", "amount"),
    "换手率": Column(8, "percent", "turnover_rate"),
}
_BOARDS = {
    "板块代码": Column(12, "BK and four digits", "board"),
    "板块名称": Column(14, "text", "name"),
}
_MEMBERS = {name: _QUOTE[name] for name in ("代码", "名称")}
_WINDOW = {"start_date": "20251201", "end_date": "20251231"}
_SUNDAY = {"start_date": "20251228", "end_date": "20251228"}


def _daily(name: str, code: str = STOCK, adjust: str = "", **window: str) -> Call:
    arguments = {"symbol": code, "period": "daily", **(window or _WINDOW), "adjust": adjust}
    return Call(
        name,
        "stock_zh_a_hist",
        arguments,
        Answer.KLINE,
        "EastmoneySource.fetch_klines, daily",
        "日期",
        _DAILY,
        fqt={"": 0, "qfq": 1, "hfq": 2}[adjust],
        secid=(int(code.startswith("6")), code),
    )


def _minutes(name: str, period: str, answer: Answer, *more: str) -> Call:
    arguments = {"symbol": STOCK, "period": period, "adjust": ""}
    columns, ours = _kline("CNY", *more), f"EastmoneySource.fetch_klines, {period}m"
    function = "stock_zh_a_hist_min_em"
    return Call(name, function, arguments, answer, ours, "时间", columns, klt=int(period))


CALLS = (
    _daily("raw"),
    _daily("forward adjusted", adjust="qfq"),
    _daily("backward adjusted", adjust="hfq"),
    _daily("of Shenzhen", SHENZHEN),
    _daily("of Beijing", BEIJING),
    _daily("a window without sessions", **_SUNDAY),
    _minutes("5m", "5", Answer.KLINE, "涨跌额", "换手率"),
    _minutes("1m", "1", Answer.TRENDS),
    Call(
        "all symbols",
        "stock_zh_a_spot_em",
        {},
        Answer.SYMBOLS,
        "EastmoneySource.fetch_quotes",
        "代码",
        _QUOTE,
    ),
    Call(
        "all concepts",
        "stock_board_concept_name_em",
        {},
        Answer.CONCEPTS,
        "EastmoneySource.fetch_board_list, concepts",
        "板块代码",
        _BOARDS,
    ),
    Call(
        "all industries",
        "stock_board_industry_name_em",
        {},
        Answer.INDUSTRIES,
        "EastmoneySource.fetch_board_list, industries",
        "板块代码",
        _BOARDS,
    ),
    Call(
        "by board code",
        "stock_board_concept_cons_em",
        {"symbol": CONCEPT},
        Answer.MEMBERS,
        "EastmoneySource.fetch_board_members, concepts",
        "代码",
        _MEMBERS,
        secid=(90, CONCEPT),
    ),
    Call(
        "by board code",
        "stock_board_industry_cons_em",
        {"symbol": INDUSTRY},
        Answer.MEMBERS,
        "EastmoneySource.fetch_board_members, industries",
        "代码",
        _MEMBERS,
        secid=(90, INDUSTRY),
    ),
    Call(
        "by board code",
        "stock_board_concept_hist_em",
        {"symbol": CONCEPT, "period": "daily", **_WINDOW},
        Answer.KLINE,
        "EastmoneySource.fetch_board_klines, concepts",
        "日期",
        _BOARD,
        secid=(90, CONCEPT),
    ),
    Call(
        "by board code",
        "stock_board_industry_hist_em",
        {"symbol": INDUSTRY, "period": "日k", **_WINDOW},
        Answer.KLINE,
        "EastmoneySource.fetch_board_klines, industries",
        "日期",
        _BOARD,
        secid=(90, INDUSTRY),
    ),
)
"""Every way in which :mod:`ingest.sources.eastmoney` calls AKShare."""

_FAIL_OVER = "nothing yet: kept for a fail-over to"
RESERVES = (
    Reserve("stock_zh_a_minute", f"{_FAIL_OVER} Sina, minutes"),
    Reserve("stock_zh_a_daily", f"{_FAIL_OVER} Sina, daily"),
    Reserve("stock_zh_a_hist_tx", f"{_FAIL_OVER} Tencent, daily"),
)


@dataclass(frozen=True, slots=True)
class Seam:
    """A place inside a library at which we take hold of it.

    Attributes:
        module: Where it stands.
        name: Its name there, dots included.
        ours: Why we do.
    """

    module: str
    name: str
    ours: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


PAUSES = Seam("akshare.utils.func", "time", "page sleeps are switched off here: pacing is ours")
PROGRESS = Seam("akshare.utils.func", "get_tqdm", "progress bars are switched off here")
CONCEPT_CACHE = Seam(
    "akshare.stock.stock_board_concept_em",
    "__stock_board_concept_name_em",
    "its cache is cleared before each list of concepts: a worker must see new ones",
)
ADAPTER = Seam(
    "requests",
    "Session.get_adapter",
    "ingest.wire replaces it: budget, timeouts and the record of every request hang on it",
)
SEAMS = (PAUSES, PROGRESS, CONCEPT_CACHE, ADAPTER)
