"""Adjusted prices from unadjusted bars and ex-rights, on read. Nothing adjusted is ever stored.

Volume, amount and turnover rate stay as traded: shares and CNY of the session itself. Eastmoney
does the same, so a volume-weighted price of adjusted bars must be adjusted like a price.
"""

from collections.abc import Iterable
from datetime import date
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from market.adjustments import Adjustment, AdjustMethod, ExRight, Steps, steps_of
from market.bars import PRICE_COLUMNS

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

_SPAN = 1 << 22
"""More than there are days: keeps the sessions of one symbol apart from those of the next."""
_CENT = 0.5 + 1e-6
"""Rounds half up; the millionth keeps an exact half from falling with the platform's rounding."""


def adjust(
    bars: pa.Table,
    events: Iterable[ExRight],
    adjustment: Adjustment = Adjustment.QFQ,
    method: AdjustMethod = AdjustMethod.RATIO,
) -> pa.Table:
    """Bars with adjusted prices, in the same order and with the same columns.

    Bars of any period: an ex-right holds from the first bar of its session on. A missing price
    stays missing.

    Args:
        bars: Unadjusted; with ``session`` and some of the price columns. With ``symbol``, bars of
            any symbols; without it, those of the one symbol that ``events`` are of.
        events: All that are known of these symbols, in any order. Those after the last bar count:
            forward-adjusted prices are those of the newest event's holder, whatever is read.
        adjustment: ``NONE`` gives the bars back.
        method: ``RATIO`` multiplies and keeps every return; ``EASTMONEY`` is affine, rounded to
            0.01, and may be negative.

    Raises:
        ValueError: ``bars`` name no symbol, and ``events`` more than one.
    """
    by_symbol = _steps_by_symbol(events, adjustment, method)
    if adjustment is Adjustment.NONE or not by_symbol or not bars.num_rows:
        return bars
    line, slopes, intercepts = _lines(bars, by_symbol)
    slope, intercept = slopes[line], intercepts[line]
    untouched = (slope == 1) & (intercept == 0)
    for name in PRICE_COLUMNS:
        if name in bars.column_names:
            raw = bars[name].to_numpy(zero_copy_only=False)  # null becomes NaN
            value = slope * raw + intercept
            if method is AdjustMethod.EASTMONEY:
                value = np.floor(value * 100 + _CENT) / 100
            value = np.where(untouched, raw, value)
            column = pa.array(value, pa.float64(), mask=np.isnan(value))
            at = bars.schema.get_field_index(name)
            bars = bars.set_column(at, _field(bars.schema.field(at), adjustment, method), column)
    return bars


def _field(field: pa.Field, adjustment: Adjustment, method: AdjustMethod) -> pa.Field:
    meaning = f"CNY, {adjustment.value} by {method.value}"
    return field.with_metadata({"meaning": meaning})


def _steps_by_symbol(
    events: Iterable[ExRight], adjustment: Adjustment, method: AdjustMethod
) -> dict[str, Steps]:
    ordered = sorted(events, key=lambda event: event.symbol)
    return {
        symbol: steps_of(mine, adjustment, method)
        for symbol, mine in groupby(ordered, lambda event: event.symbol)
    }


def _lines(bars: pa.Table, by_symbol: dict[str, Steps]) -> tuple[_Ints, _Floats, _Floats]:
    """Which line adjusts each bar, and every line's slope and intercept."""
    codes, names = _codes(bars, by_symbol)
    starts: list[int] = []
    slopes: list[float] = []
    intercepts: list[float] = []
    plain = Steps((), (1.0,), (0.0,))
    for code, name in enumerate(names):
        steps = by_symbol.get(name, plain)
        starts.append(code * _SPAN)
        starts += [code * _SPAN + _day(session) for session in steps.sessions]
        slopes += steps.slopes
        intercepts += steps.intercepts
    days = bars["session"].cast(pa.int32()).to_numpy().astype(np.int64) + _EPOCH
    keys = codes * _SPAN + days
    line = np.searchsorted(np.array(starts, dtype=np.int64), keys, side="right") - 1
    return line, np.array(slopes), np.array(intercepts)


def _codes(bars: pa.Table, by_symbol: dict[str, Steps]) -> tuple[_Ints, list[str]]:
    """A number for the symbol of each bar, and the symbols by number."""
    if "symbol" in bars.column_names:
        text = bars["symbol"].cast(pa.string()).combine_chunks().dictionary_encode()
        return text.indices.to_numpy().astype(np.int64), text.dictionary.to_pylist()
    if len(by_symbol) > 1:
        raise ValueError(
            f"bars without the column symbol cannot be told apart for {', '.join(by_symbol)}"
        )
    return np.zeros(bars.num_rows, dtype=np.int64), list(by_symbol)


_EPOCH = 719_163
"""Ordinal of 1970-01-01, from which Arrow counts days."""


def _day(session: date) -> int:
    return session.toordinal()
