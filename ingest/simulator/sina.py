"""Sina's bodies: minute bars as JSONP, packed daily bars, share counts and factors of adjustment.

Volumes are shares and amounts CNY; daily amounts are whole. Minute bars are labelled at their end,
and the latest 1,970 of them are served whatever is asked for. Of Beijing's symbols the simulator
has daily bars under their present codes, and no minute bars, so that both cases can be tried.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

import numpy as np

from ingest.ex_right_pair import PricePair, ex_rights_of
from ingest.simulator.bars import SHARES_PER_LOT
from ingest.simulator.eastmoney import Query, Spoiling, number
from ingest.simulator.klc import PackedBar, pack_bars
from ingest.simulator.market import Market, SecId, Series
from ingest.simulator.periods import FQT
from ingest.simulator.replies import NO_DATA, OK, Reply, listed_secid, symbol_of
from market.adjustments import Adjustment, AdjustMethod, steps_of

MOST_BARS = 1970
_DAILY = 101
_SCRIPT = "/*<script>location.href='//sina.com';</script>*/\n"
_MINUTES = (1, 5, 15, 30, 60)
_RATE_OFF = 0.005
"""Turnover rates are rounded to hundredths of a percent."""
_SHARES = 10_000
"""Share counts are given in units of this."""
_RATE_AT = 10
_NEVER = "1900-01-01"


def minutes(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Reply:
    """``CN_MarketDataService.getKLineData``: the latest minute bars, or ``null``."""
    callback, scale = query.get("callback", "="), number(query, "scale", 0)
    secid = listed_secid(market, query.get("symbol", ""), now, other=spoiling.other)
    series = None
    if secid is not None and scale in _MINUTES and not query["symbol"].startswith("bj"):
        series = market.kline(secid, scale, spoiling.fqt or 0, now)
    if series is None or spoiling.no_data:
        return Reply(f"{_SCRIPT}{callback}(null);", NO_DATA)
    end = len(series.labels)
    wanted = min(number(query, "datalen", MOST_BARS), MOST_BARS)
    lines = [] if spoiling.empty else series.lines(max(0, end - wanted), end)
    rows = [_minute_row(line.split(","), spoiling.volume_factor) for line in lines]
    return Reply(f"{_SCRIPT}{callback}({json.dumps(rows, separators=(',', ':'))});", OK)


def daily(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Reply | None:
    """``hisdata_klc2/klc_kl.js``: all unadjusted daily bars, packed; None for an unknown symbol."""
    secid = listed_secid(market, query["symbol"], now, other=spoiling.other)
    series = None if secid is None else market.kline(secid, _DAILY, spoiling.fqt or 0, now)
    if secid is None or series is None or not series.labels:
        return None
    named = symbol_of(secid)
    if spoiling.no_data or spoiling.empty:
        return Reply(f'var KLC_K2_{named}="";', NO_DATA)
    bars = [_packed(line.split(","), spoiling.volume_factor) for line in _all_lines(series)]
    return Reply(f'var KLC_K2_{named}="{pack_bars(bars)}";', OK)


def share_amount(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Reply:
    """``StockService.getAmountBySymbol``: tradable shares, in ten thousands, and since when."""
    symbol = query["symbol"]
    secid = listed_secid(market, symbol, now)
    series = None if secid is None else market.kline(secid, _DAILY, 0, now)
    if series is None or spoiling.no_data or spoiling.empty:
        return Reply(f"{_SCRIPT}var KKE_ShareAmount_{symbol}=(null);", NO_DATA)
    counts = list(_share_counts(series))
    rows = ",".join(f'{{date:"{since}",amount:"{count:.6f}"}}' for since, count in reversed(counts))
    return Reply(f"{_SCRIPT}var KKE_ShareAmount_{symbol}=([{rows}]);", OK)


def factors(market: Market, query: Query, now: datetime, spoiling: Spoiling) -> Reply | None:
    """``qfq.js`` and ``hfq.js``: a factor for each ex-right, newest first; None if unknown.

    Sina divides by its qfq factor and multiplies by its hfq factor, and neither adds anything.
    """
    symbol, wanted = query["symbol"], query["factor"]
    secid = listed_secid(market, symbol, now)
    if secid is None or market.kline(secid, _DAILY, 0, now) is None:
        return None
    rows = [] if spoiling.empty else _factor_rows(market, secid, wanted, now)
    body = json.dumps({"total": len(rows), "data": rows}, separators=(",", ":"))
    return Reply(f"var {symbol}{wanted}={body}\n", OK)


def _minute_row(cells: Sequence[str], factor: float) -> dict[str, str]:
    opened, close, high, low = (f"{float(cell):.3f}" for cell in cells[1:5])
    return {
        "day": f"{cells[0]}:00",
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": str(_shares(cells[5], factor)),
        "amount": f"{float(cells[6]):.4f}",
    }


def _packed(cells: Sequence[str], factor: float) -> PackedBar:
    opened, close, high, low = (round(float(cell) * 100) for cell in cells[1:5])
    return PackedBar(
        date.fromisoformat(cells[0]),
        opened,
        high,
        low,
        close,
        _shares(cells[5], factor),
        round(float(cells[6])),
    )


def _shares(lots: str, factor: float) -> int:
    return round(int(lots) * SHARES_PER_LOT * factor)


def _all_lines(series: Series) -> list[str]:
    return series.lines(0, len(series.labels))


def _share_counts(series: Series) -> Iterator[tuple[date, float]]:
    """Tradable shares in ten thousands, such that volume by shares gives each bar's turnover rate.

    A count holds until it no longer explains a rate. It is dated a day before its first bar where
    no bar stands in between: changes of capital do not keep to sessions.
    """
    low, high, since, before = 0.0, float("inf"), date(1990, 12, 18), date.min
    for line in _all_lines(series):
        cells = line.split(",")
        session, percent = (
            date.fromisoformat(cells[0]),
            float(cells[_RATE_AT]) if len(cells) > _RATE_AT else 0.0,
        )
        traded = int(cells[5]) * SHARES_PER_LOT * 100
        least = traded / (percent + _RATE_OFF)
        most = traded / (percent - _RATE_OFF) if percent > _RATE_OFF else float("inf")
        if max(low, least) > min(high, most):
            yield since, _middle(low, high) / _SHARES
            low, high = 0.0, float("inf")
            day_before = session - timedelta(days=1)
            since = day_before if day_before > before else session
        low, high, before = max(low, least), min(high, most), session
    yield since, _middle(low, high) / _SHARES


def _middle(low: float, high: float) -> float:
    if high == float("inf"):
        return low * 2 or 1e12
    return (low + high) / 2


def _factor_rows(market: Market, secid: SecId, wanted: str, now: datetime) -> list[dict[str, str]]:
    adjustment = Adjustment(wanted)
    raw, back = (market.kline(secid, _DAILY, fqt, now) for fqt in (0, _number_of(Adjustment.HFQ)))
    events = []
    if raw is not None and back is not None and list(raw.labels) == list(back.labels):
        sessions = [date.fromisoformat(label) for label in raw.labels]
        events = ex_rights_of(
            secid.code, PricePair(sessions, _prices(raw), _prices(back)), Adjustment.HFQ
        )
    steps = steps_of(events, adjustment, AdjustMethod.RATIO)
    since = [_NEVER, *(session.isoformat() for session in steps.sessions)]
    factors = (s if adjustment is Adjustment.HFQ else 1 / s for s in steps.slopes)
    rows = [{"d": day, "f": f"{factor:.16f}"} for day, factor in zip(since, factors, strict=True)]
    return rows[::-1]


def _number_of(adjustment: Adjustment) -> int:
    return next(number for number, name in FQT.items() if name == adjustment.value)


def _prices(series: Series) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    cells = (line.split(",") for line in _all_lines(series))
    return np.array([[float(row[at]) for at in (1, 3, 4, 2)] for row in cells], np.float64)
