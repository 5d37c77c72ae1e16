"""Eastmoney's bodies: klines, one-minute trends, single quotes; the lists are in ``clist``.

All are compact JSON in one envelope. A body is built from a market as of an instant; a fault that
spoils the data does so through :class:`Spoiling`, so that what comes out is still well formed.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ingest.simulator.market import BOARD_MARKET, STOCK_MARKETS, Market, SecId
from ingest.simulator.periods import FQT, KLT
from market.boards import BoardKind

Query = Mapping[str, str]
Body = dict[str, object]

RC_UNKNOWN_SECID, RC_NO_SUCH_CODE = 100, 102
_SERVER = 181669475
_KLINE_FIELDS = tuple(f"f{number}" for number in range(51, 62))
_TREND_FIELDS = tuple(f"f{number}" for number in range(51, 59))
_LOTS_AT = 5


@dataclass(slots=True)
class Spoiling:
    """How faults want the data spoilt; the default leaves it as it is.

    Attributes:
        volume_factor: What volumes, in lots, are multiplied by.
        other: The klines of another symbol or board.
        fqt: Adjustment of klines, whatever is asked for.
        no_data: ``data`` is null.
        empty: Success without a single bar or row.
        page_part: Share of a page's rows that is delivered; the total stays.
        no_concepts: A list page names no concepts.
        list_rows: A list ends after so many rows, and its total says so too.
        order_spread: Places by which rows of a sorted list wander between requests.
        draw: Where random numbers come from.
    """

    volume_factor: float = 1.0
    other: bool = False
    fqt: int | None = None
    no_data: bool = False
    empty: bool = False
    page_part: float = 1.0
    no_concepts: bool = False
    list_rows: int | None = None
    order_spread: float = 0.0
    draw: random.Random = field(default_factory=lambda: random.Random(0))


def envelope(data: object, *, rc: int = 0, rt: int = 17, full: int = 0) -> Body:
    """The upstream's frame around every answer."""
    return {
        "rc": rc,
        "rt": rt,
        "svr": _SERVER,
        "lt": 1,
        "full": full,
        "dlmkts": "",
        "dsc": "0",
        "data": data,
    }


def parse_secid(text: str) -> SecId | None:
    """Read ``1.600519``; None if it names no market that the upstream has."""
    market, dot, code = text.partition(".")
    if not dot or not market.isdigit() or int(market) not in (*STOCK_MARKETS, BOARD_MARKET):
        return None
    return SecId(int(market), code)


def kline(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Body:
    """``/api/qt/stock/kline/get``."""
    secid = parse_secid(query.get("secid", ""))
    klt, fqt = number(query, "klt", 101), number(query, "fqt", 0)
    if secid is None or klt not in KLT or fqt not in FQT:
        return envelope(None, rc=RC_UNKNOWN_SECID, rt=1, full=1)
    if spoiling.other:
        secid = another(market, secid, now)
    series = market.kline(secid, klt, fqt if spoiling.fqt is None else spoiling.fqt, now)
    if series is None:
        return envelope(None, rc=RC_NO_SUCH_CODE, rt=1, full=1)
    if spoiling.empty:
        return envelope({"code": secid.code, "name": series.name, "dktotal": 0, "klines": []})
    first, end = _window(series.labels, query)
    lines = series.lines(first, end)
    if spoiling.volume_factor != 1:
        lines = [_in_other_units(line, spoiling.volume_factor) for line in lines]
    data = {
        "code": secid.code,
        "market": secid.market,
        "name": series.name,
        "decimal": 2,
        "dktotal": len(series.labels),
        "preKPrice": series.close_before(first) if lines else 0.0,
        "klines": _chosen(lines, query, _KLINE_FIELDS),
    }
    return envelope(data)


def trends(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Body:
    """``/api/qt/stock/trends2/get``."""
    secid = parse_secid(query.get("secid", ""))
    if secid is None:
        return envelope(None, rc=RC_UNKNOWN_SECID, rt=1, full=1)
    if spoiling.other:
        secid = another(market, secid, now)
    found = market.trends(secid, min(max(number(query, "ndays", 1), 1), 5), now)
    if found is None:
        return envelope(None, rc=RC_NO_SUCH_CODE, rt=1, full=1)
    lines = [] if spoiling.empty else found.lines
    if spoiling.volume_factor != 1:
        lines = [_in_other_units(line, spoiling.volume_factor) for line in lines]
    data = {
        "code": secid.code,
        "market": secid.market,
        "type": 2,
        "status": 0,
        "name": found.name,
        "decimal": 2,
        "preSettlement": 0.0,
        "preClose": found.previous_close,
        "beticks": "33300|34200|54000|34200|41400|46800|54000",
        "trendsTotal": len(lines),
        "time": int(now.timestamp()),
        "kind": 1,
        "prePrice": found.previous_close,
        "trends": _chosen(lines, query, _TREND_FIELDS),
    }
    return envelope(data, rt=10)


def quote(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Body:
    """``/api/qt/stock/get``: one symbol or board, prices in hundredths unless ``fltt=2``."""
    secid = parse_secid(query.get("secid", ""))
    if secid is None:
        return envelope(None, rc=RC_UNKNOWN_SECID, rt=4, full=1)
    series = market.kline(secid, 101, 0, now)
    if series is None or not series.labels:
        return envelope(None, rc=RC_NO_SUCH_CODE, rt=4, full=1)
    if spoiling.empty:
        return envelope({}, rt=4, full=1)
    last = len(series.labels) - 1
    cells = series.lines(last, last + 1)[0].split(",")
    scale = 1 if query.get("fltt") == "2" else 100
    hundredths = {
        number: round(float(cells[at]) * scale, 2)
        if scale == 1
        else round(float(cells[at]) * scale)
        for number, at in (
            (43, 2),
            (44, 3),
            (45, 4),
            (46, 1),
            (168, 10),
            (169, 9),
            (170, 8),
            (171, 7),
        )
    }
    lots = int(int(cells[_LOTS_AT]) * spoiling.volume_factor)
    known: dict[int, object] = {
        **hundredths,
        47: lots,
        48: float(cells[6]),
        57: secid.code,
        58: series.name,
        60: round(series.close_before(last) * scale, 2)
        if scale == 1
        else round(series.close_before(last) * scale),
        86: int(now.timestamp()),
    }
    fields = field_numbers(query.get("fields", ""))
    data = {f"f{number}": known.get(number, "-") for number in fields or sorted(known)}
    return envelope(data, rt=4, full=1)


def number(query: Query, name: str, default: int) -> int:
    """A whole number from the query; the default if there is none or it is no number."""
    text = query.get(name, "")
    return int(text) if text.isdigit() else default


def field_numbers(text: str) -> list[int]:
    """Field numbers out of ``f2,f3,f12``, ascending, each once."""
    names = (part.strip() for part in text.split(","))
    return sorted({int(name[1:]) for name in names if name[:1] == "f" and name[1:].isdigit()})


def _window(labels: Sequence[str], query: Query) -> tuple[int, int]:
    """Places of the bars between ``beg`` and ``end``, both days included."""
    begins, ends = (query.get(name, "") for name in ("beg", "end"))
    first = bisect_left(labels, _day(begins, "0000-00-00"), key=_session)
    end = bisect_right(labels, _day(ends, "9999-99-99"), key=_session)
    if not begins:  # the limit counts only where no beginning is asked for
        first = max(first, end - number(query, "lmt", len(labels)))
    return first, max(first, end)


def _session(label: str) -> str:
    return label[:10]


def _day(text: str, otherwise: str) -> str:
    """``20251231`` as it stands in labels; ``0`` and the like lie before every label."""
    if not text.isdigit():
        return otherwise
    padded = text.zfill(8)
    return f"{padded[:4]}-{padded[4:6]}-{padded[6:8]}"


def _in_other_units(line: str, factor: float) -> str:
    cells = line.split(",")
    cells[_LOTS_AT] = str(round(int(cells[_LOTS_AT]) * factor))
    return ",".join(cells)


def another(market: Market, secid: SecId, now: datetime) -> SecId:
    """The listed symbol, or the board, whose code comes after one's own."""
    if secid.market == BOARD_MARKET:
        tables = [market.boards(kind, now) for kind in BoardKind]
        codes = sorted(str(code) for table in tables for code in table.columns[12])
    else:
        codes = sorted(str(code) for code in market.quotes(now).columns[12])
    after = codes[bisect_right(codes, secid.code) % len(codes)]
    number = secid.market if secid.market == BOARD_MARKET else int(after.startswith("6"))
    return SecId(number, after)


def _chosen(lines: Sequence[str], query: Query, known: tuple[str, ...]) -> list[str]:
    """The fields asked for, in the order asked for; fields unknown to the upstream yield none."""
    asked = [name for name in query.get("fields2", "").split(",") if name in known]
    if not asked or asked == list(known):
        return list(lines)
    places = [known.index(name) for name in asked]
    rows = (line.split(",") for line in lines)
    return [",".join(row[at] for at in places) for row in rows]
