"""Tencent read through AKShare's own function: unadjusted daily bars of Shanghai and Shenzhen.

Verified against AKShare 1.19.5. What is known of the upstream is written down in docs/failover.md.

==================  ==============================================================================
AKShare column      ours
==================  ==============================================================================
date                ``session`` and ``end_at``
open high low close CNY
volume              see :func:`_shares`: AKShare's unit is wrong for some codes
amount              CNY, rounded to 100
turnover            part of the tradable shares → percent
==================  ==============================================================================
"""

import json
import re
from collections.abc import Sequence
from datetime import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ingest.domains import TENCENT
from ingest.source import (
    Bars,
    EmptySuccessError,
    MalformedBodyError,
    NotOfferedError,
    OtherSymbolError,
    SourceError,
    UnknownSymbolError,
)
from ingest.sources.asking import ask, drift
from ingest.sources.klines import Stamp, bars_of, numbers, require_columns, whole_shares
from ingest.wire import Exchange
from market.bars import Dataset, bar_schema
from market.clock import Clock
from market.errors import InvalidSymbolError
from market.periods import Period
from market.sessions import SETTLED_AT, Window
from market.symbols import Exchange as StockExchange
from market.symbols import Symbol, SymbolKind

SHARES_PER_LOT = 100
_STAR = ("sh688", "sh689")
"""Their volumes come in shares, all others in lots."""
_LEFT_BY_AKSHARE = ("sh688", "sz399", "sh000", "sz000")
"""Codes whose volumes AKShare 1.19.5 takes for shares and leaves as they are."""
_COLUMNS = ("date", "open", "high", "low", "close", "volume", "turnover", "amount")
_ROW = re.compile(rb'\["\d{4}-\d\d-\d\d"')
_BEGINNING = "1990-12-19"


def _akshare() -> Any:
    """AKShare without its progress bar, its question for the first year, and its slow parser."""
    import akshare  # noqa: PLC0415  (0.8 s and 35 MiB: only where something is fetched)
    from akshare.stock_feature import stock_hist_tx as module  # noqa: PLC0415

    if not isinstance(module.demjson, SimpleNamespace):
        module.get_tqdm = lambda: lambda years, **_options: years
        # One request of two, asked only so as not to ask for years before the listing.
        module.get_tx_start_year = lambda **_asked: _BEGINNING
        # The bodies are JSON; AKShare reads them with a parser in Python, 100 times slower.
        module.demjson = SimpleNamespace(decode=json.loads)
    return akshare


class TencentSource:
    """The :class:`ingest.source.KlineSource` that reads Tencent through AKShare.

    Args:
        clock: Exchange time, which decides whether a bar is final.
        name: Provenance written on every bar.
        settled_at: When the bars of a session's close no longer move, Shanghai time.
    """

    name = TENCENT

    def __init__(self, clock: Clock, *, name: str = name, settled_at: time = SETTLED_AT) -> None:
        self._clock = clock
        self.name = name
        self._settled_at = settled_at

    def fetch_klines(self, symbol: Symbol, period: Period, window: Window) -> Bars:
        """Unadjusted daily bars of one A share; one request for each year of the window.

        Raises:
            NotOfferedError: A symbol of Beijing, or minute bars; no request was made.
            SourceError: Typed by cause; see :mod:`ingest.source`.
            InvalidSymbolError: Not an A share.
        """
        context = {"symbol": str(symbol)}
        if symbol.kind is not SymbolKind.STOCK:
            raise InvalidSymbolError(f"{symbol} is not an A share", context)
        if symbol.exchange is StockExchange.BJ:
            raise NotOfferedError(f"tencent has no klines of Beijing: {symbol}", context)
        if period is not Period.DAILY:
            raise NotOfferedError(f"tencent has daily klines only, not {period}: {symbol}", context)
        ak, stamp = _akshare(), Stamp.now(self._clock, self.name, self._settled_at)
        asked, what = tencent_symbol(symbol), f"daily klines of {symbol}"
        answer = ask(
            lambda: ak.stock_zh_a_hist_tx(
                symbol=asked,
                # AKShare drops bars outside: those of the whole year say that there is a history.
                start_date=f"{window.start.year}-01-01",
                end_date=f"{window.end.year}-12-31",
            ),
            lambda exchanges, error: _diagnosed(symbol, what, exchanges, error),
            may_be_empty=True,
        )
        frame = answer.frame
        if frame.empty:
            if not (rows := sum(len(_ROW.findall(each.body)) for each in answer.exchanges)):
                raise _diagnosed(symbol, what, answer.exchanges, None)
            # Each answer also holds the year after: it may have bars where these years have none.
            return Bars(bar_schema(Dataset.KLINE).empty_table(), rows)
        require_columns(symbol, frame, _COLUMNS)
        values = {
            **{n: numbers(symbol, frame, n) for n in ("open", "high", "low", "close", "amount")},
            "volume": whole_shares(symbol, _shares(asked, numbers(symbol, frame, "volume"))),
            "turnover_rate": np.round(
                pd.to_numeric(frame["turnover"]).to_numpy(np.float64) * 100, 2
            ),
        }
        return bars_of(symbol, period, window, frame["date"], values, stamp)


def tencent_symbol(symbol: Symbol) -> str:
    """``sh600519``: with its exchange, for AKShare guesses none for 302 and for Beijing's codes."""
    return f"{symbol.exchange.value.lower()}{symbol.code}"


def _shares(asked: str, volumes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Volumes in shares, out of what AKShare makes of Tencent's.

    AKShare multiplies all but some codes by 100. Among those it leaves are the stocks of
    Shenzhen's main board that begin with 000, which come in lots as all others do; and it
    multiplies 689, which comes in shares.
    """
    as_sent = volumes if asked.startswith(_LEFT_BY_AKSHARE) else volumes / SHARES_PER_LOT
    return as_sent if asked.startswith(_STAR) else as_sent * SHARES_PER_LOT


def _diagnosed(
    symbol: Symbol, what: str, exchanges: Sequence[Exchange], error: Exception | None
) -> SourceError:
    """Say what really happened when AKShare tripped over an answer."""
    context: dict[str, object] = {"symbol": str(symbol)}
    for exchange in exchanges:
        try:
            body = json.loads(exchange.body.partition(b"=")[2])
        except ValueError:
            return MalformedBodyError(
                f"the answer for {what} is cut or is no JSON ({len(exchange.body)} bytes)", context
            )
        if not isinstance(body, dict) or body.get("code") != 0:
            said = body.get("msg") if isinstance(body, dict) else body
            return UnknownSymbolError(f"tencent knows no such code: {what} ({said})", context)
        data = body.get("data")
        if isinstance(data, dict) and data and tencent_symbol(symbol) not in data:
            other = next(iter(data))
            return OtherSymbolError(
                f"the answer for {what} holds the bars of {other}: nothing was taken",
                {**context, "answered": other},
            )
    if exchanges and not any(_ROW.search(exchange.body) for exchange in exchanges):
        return EmptySuccessError(
            f"tencent answered {what} with success and no data, as it does when throttling", context
        )
    return drift(what, context, error)
