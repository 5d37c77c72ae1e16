"""Sina read through AKShare's own functions: unadjusted daily and minute bars.

Verified against AKShare 1.19.5. What is known of the upstream is written down in docs/failover.md.

==================  ==============================================================================
AKShare column      ours
==================  ==============================================================================
date / day          ``session`` and ``end_at`` (minute bars are labelled at their end)
open high low close CNY
volume              shares
amount              CNY; daily: whole
turnover            part of the tradable shares → percent with two decimals; minutes have none
==================  ==============================================================================
"""

import re
from collections.abc import Sequence
from datetime import time
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from ingest.domains import SINA
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
from ingest.sources.klines import Stamp, Values, bars_of, numbers, require_columns, whole_shares
from ingest.wire import Exchange
from market.clock import Clock
from market.errors import InvalidSymbolError
from market.periods import Period
from market.sessions import SETTLED_AT, Window
from market.symbols import Symbol, SymbolKind

MOST_MINUTE_BARS = 1970
"""So many bars back minutes reach, whatever their length."""

_COLUMNS = ("open", "high", "low", "close", "volume", "amount")
_OWNER = re.compile(rb"var\s+KLC_\w+?_([a-z]{2}\d{6})\s*=")
_PACKED = re.compile(rb'=\s*"([^"]*)"\s*;')
_CALL = re.compile(rb"=\((.*)\);?\s*$", re.DOTALL)
_NOT_FOUND = 404


def _akshare() -> Any:
    """AKShare, its minute function without the three requests whose answers it throws away."""
    import akshare  # noqa: PLC0415  (0.8 s and 35 MiB: only where something is fetched)
    from akshare.stock import stock_zh_a_sina as module  # noqa: PLC0415

    # It fetches adjusted daily bars for every minute answer, unadjusted ones too, and goes on
    # without them. The public function of that name is another reference and stays.
    module.stock_zh_a_daily = _not_needed
    return akshare


def _not_needed(**_asked: object) -> NoReturn:
    raise NotImplementedError("minute bars are wanted unadjusted")


class SinaSource:
    """The :class:`ingest.source.KlineSource` that reads Sina through AKShare.

    Args:
        clock: Exchange time, which decides whether a bar is final.
        name: Provenance written on every bar.
        settled_at: When the bars of a session's close no longer move, Shanghai time.
    """

    name = SINA

    def __init__(self, clock: Clock, *, name: str = name, settled_at: time = SETTLED_AT) -> None:
        self._clock = clock
        self.name = name
        self._settled_at = settled_at

    def fetch_klines(self, symbol: Symbol, period: Period, window: Window) -> Bars:
        """Unadjusted bars of one A share within a closed window of sessions.

        Daily bars cost two requests and reach back to the listing; minute bars cost one and reach
        back 1,970 bars: 41 sessions of 5m, 8 of 1m.

        Raises:
            NotOfferedError: The window begins before the reach of minute bars.
            SourceError: Typed by cause; see :mod:`ingest.source`.
            InvalidSymbolError: Not an A share.
        """
        if symbol.kind is not SymbolKind.STOCK:
            raise InvalidSymbolError(f"{symbol} is not an A share", {"symbol": str(symbol)})
        if period is Period.DAILY:
            return self._daily(symbol, window)
        return self._minutes(symbol, period, window)

    def _daily(self, symbol: Symbol, window: Window) -> Bars:
        ak, stamp = _akshare(), Stamp.now(self._clock, self.name, self._settled_at)
        what = f"daily klines of {symbol}"
        try:
            # Always from the first bar on: AKShare fills the days on which the number of shares
            # changed with the bar before, and drops such a copy only where it has both.
            answer = ask(
                lambda: ak.stock_zh_a_daily(symbol=sina_symbol(symbol)),
                lambda exchanges, error: _diagnosed(symbol, what, exchanges, error),
            )
        except SourceError as error:
            if error.context.get("status") != _NOT_FOUND:
                raise
            raise UnknownSymbolError(
                f"sina knows no such code: {what} (HTTP {_NOT_FOUND})", {"symbol": str(symbol)}
            ) from error
        frame = answer.frame
        _check_owner(symbol, answer.exchanges)
        require_columns(symbol, frame, (*_COLUMNS, "date", "turnover"))
        rate = np.round(pd.to_numeric(frame["turnover"]).to_numpy(np.float64) * 100, 2)
        values = {
            **_values(symbol, frame),
            "turnover_rate": np.where(np.isfinite(rate), rate, np.nan),
        }
        return bars_of(symbol, Period.DAILY, window, frame["date"], values, stamp)

    def _minutes(self, symbol: Symbol, period: Period, window: Window) -> Bars:
        ak, stamp = _akshare(), Stamp.now(self._clock, self.name, self._settled_at)
        minutes, what = str(period.minutes), f"{period} klines of {symbol}"
        frame = ask(
            lambda: ak.stock_zh_a_minute(symbol=sina_symbol(symbol), period=minutes, adjust=""),
            lambda exchanges, error: _diagnosed(symbol, what, exchanges, error),
        ).frame
        require_columns(symbol, frame, (*_COLUMNS, "day"))
        values = {**_values(symbol, frame), "turnover_rate": None}
        bars = bars_of(symbol, period, window, frame["day"], values, stamp)
        first = pd.to_datetime(frame["day"]).min().date()
        if len(frame) >= MOST_MINUTE_BARS and window.start <= first:
            raise NotOfferedError(
                f"sina serves the latest {MOST_MINUTE_BARS} {period} bars of {symbol}, whole "
                f"sessions from after {first} on: nothing from {window.start} on was taken",
                {"symbol": str(symbol)},
            )
        return bars


def sina_symbol(symbol: Symbol) -> str:
    """``sh600519``: the exchange always stands before the code, so nothing is guessed from it."""
    return f"{symbol.exchange.value.lower()}{symbol.code}"


def _values(symbol: Symbol, frame: pd.DataFrame) -> dict[str, Values]:
    names = ("open", "high", "low", "close", "amount")
    return {
        **{name: numbers(symbol, frame, name) for name in names},
        "volume": whole_shares(symbol, numbers(symbol, frame, "volume")),
    }


def _check_owner(symbol: Symbol, exchanges: Sequence[Exchange]) -> None:
    """Refuse packed bars that name another symbol; minute bars name none."""
    for exchange in exchanges:
        named = _OWNER.search(exchange.body[:200])
        if named is not None and named[1].decode() != sina_symbol(symbol):
            raise OtherSymbolError(
                f"the answer for daily klines of {symbol} holds the bars of {named[1].decode()}: "
                "nothing was taken",
                {"symbol": str(symbol), "answered": named[1].decode()},
            )


def _diagnosed(
    symbol: Symbol, what: str, exchanges: Sequence[Exchange], error: Exception | None
) -> SourceError:
    """Say what really happened when AKShare tripped over an answer."""
    context: dict[str, object] = {"symbol": str(symbol)}
    for exchange in exchanges:
        packed = exchange.path.endswith(".js")
        found = (_PACKED if packed else _CALL).search(exchange.body)
        if found is None:
            return MalformedBodyError(
                f"the answer for {what} is cut ({len(exchange.body)} bytes)", context
            )
        if found[1].strip() in (b"", b"[]") or (found[1] == b"null" and not _is_minutes(exchange)):
            return EmptySuccessError(f"sina answered {what} with success and no data", context)
        if found[1] == b"null":
            return UnknownSymbolError(f"sina knows no such code: {what}", context)
    return drift(what, context, error)


def _is_minutes(exchange: Exchange) -> bool:
    return exchange.path.endswith("getKLineData")
