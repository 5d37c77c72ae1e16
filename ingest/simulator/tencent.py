"""Tencent's bodies: daily bars of two years at most, and since when there are any.

Volumes are lots of 100 shares, and shares for the STAR board (688, 689); amounts are ten thousands
of CNY with two decimals. There are no symbols of Beijing.
"""

import json
from collections.abc import Sequence
from datetime import date, datetime

from ingest.simulator.bars import SHARES_PER_LOT
from ingest.simulator.eastmoney import Query, Spoiling
from ingest.simulator.market import Market, SecId, Series
from ingest.simulator.periods import FQT
from ingest.simulator.replies import NO_DATA, OK, Reply, listed_secid, symbol_of

MOST_BARS = 640
_DAILY, _WEEKLY = 101, 102
_STAR = ("688", "689")
_TEN_THOUSAND = 10_000
_BAD = '{"code":1,"msg":"bad params"}'
_PARTS = 6
_RATE_AT = 10


def klines(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Reply:
    """``newfqkline/get``: bars between two days, or the latest; ``bad params`` for all else."""
    variable, asked = query.get("_var", ""), query.get("param", "").split(",")
    symbol = asked[0]
    parts = [*asked, *[""] * _PARTS][:_PARTS]
    secid = _secid(market, symbol, now, other=spoiling.other)
    adjust = parts[5] or FQT[0]
    series = None
    if secid is not None and parts[1] == "day" and adjust in FQT.values():
        fqt = next(number for number, name in FQT.items() if name == adjust)
        series = market.kline(secid, _DAILY, fqt if spoiling.fqt is None else spoiling.fqt, now)
    if secid is None or series is None or spoiling.no_data:
        return Reply(f"{variable}={_BAD}", NO_DATA)
    rows = [] if spoiling.empty else _rows(series, parts, secid, spoiling.volume_factor)
    key = "day" if adjust == FQT[0] else f"{adjust}day"
    named = symbol_of(secid)
    data = {named: {key: rows, "qt": {named: ["1"]}, "prec": "0.000", "version": "16"}}
    return Reply(f"{variable}={_enveloped(data)}", OK)


def trends(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Reply:
    """``weekTrends``: closes since the first bar, of which AKShare reads the first day."""
    variable, symbol = query.get("_var", ""), query.get("code", "")
    secid = _secid(market, symbol, now)
    series = None if secid is None else market.kline(secid, _WEEKLY, 0, now)
    daily = None if secid is None else market.kline(secid, _DAILY, 0, now)
    rows: list[list[str]] = []
    if series is not None and daily is not None and not (spoiling.no_data or spoiling.empty):
        cells = [line.split(",") for line in series.lines(0, len(series.labels))]
        rows = [[row[0], row[2]] for row in cells]
        rows[:1] = [[daily.labels[0], row[2]] for row in cells[:1]]
    return Reply(f"{variable}={_enveloped(rows)}", OK if rows else NO_DATA)


def _secid(market: Market, symbol: str, now: datetime, *, other: bool = False) -> SecId | None:
    return None if symbol.startswith("bj") else listed_secid(market, symbol, now, other=other)


def _rows(series: Series, parts: Sequence[str], secid: SecId, factor: float) -> list[list[object]]:
    first, last = _day(parts[2], date.min), _day(parts[3], date.max)
    most = min(int(parts[4]), MOST_BARS) if parts[4].isdigit() else MOST_BARS
    places = [
        at for at, label in enumerate(series.labels) if first <= date.fromisoformat(label) <= last
    ][-most:]
    if not places:
        return []
    unit = SHARES_PER_LOT if secid.market == 1 and secid.code.startswith(_STAR) else 1
    lines = series.lines(places[0], places[-1] + 1)
    return [_row(line.split(","), unit * factor) for line in lines]


def _row(cells: Sequence[str], unit: float) -> list[object]:
    rate = cells[_RATE_AT] if len(cells) > _RATE_AT else "0.00"
    return [
        cells[0],
        *(f"{float(cell):.3f}" for cell in cells[1:5]),
        f"{int(cells[5]) * unit:.3f}",
        {},
        rate,
        f"{float(cells[6]) / _TEN_THOUSAND:.2f}",
        "",
    ]


def _day(text: str, otherwise: date) -> date:
    return date.fromisoformat(text) if text else otherwise


def _enveloped(data: object) -> str:
    return json.dumps({"code": 0, "msg": "", "data": data}, separators=(",", ":"))
