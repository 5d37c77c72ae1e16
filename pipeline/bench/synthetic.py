"""Seeded bars of a market for benchmarks: what belongs to a symbol depends on the seed alone.

Prices are random walks on the grid of cents, volumes come in lots. Nothing repeats, so Parquet
finds no more to compress than in real bars.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from market.bars import BarState, Dataset, bar_schema
from market.periods import Period
from market.sessions import bar_end, bar_end_times

FETCHED_AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
"""When the first symbol was fetched; each one after it a second later."""

_CODES = (("000001", "SZ"), ("300001", "SZ"), ("600000", "SH"), ("688001", "SH"), ("830001", "BJ"))
_DAILY_MOVE, _TURNOVER = 0.02, 4e8
_SCHEMA = bar_schema(Dataset.KLINE)


def symbols(count: int) -> list[str]:
    """So many codes of all exchanges, ascending."""
    share = -(-count // len(_CODES))
    codes = [f"{int(first) + n:06d}.{end}" for first, end in _CODES for n in range(share)]
    return sorted(codes)[:count]


class Market:
    """Final bars of some symbols in some sessions.

    Args:
        period: Length of the bars, one of those that are fetched.
        names: The symbols, ascending.
        sessions: The sessions, ascending.
        seed: Of all that is drawn.
    """

    def __init__(
        self, period: Period, names: Sequence[str], sessions: Sequence[date], seed: int
    ) -> None:
        self.names, self._seed = list(names), seed
        times = bar_end_times(period)
        ends = [bar_end(day, time) for day in sessions for time in times]
        self.ends = np.array([int(end.timestamp()) for end in ends])
        """Epoch seconds at which the bars of every symbol end, ascending."""
        days = np.array(sessions, "datetime64[D]").astype(np.int32)
        self._days = np.repeat(days, len(times))
        self._move = _DAILY_MOVE / len(times) ** 0.5
        self._orders = _TURNOVER / len(times)

    def bars(self, start: int, stop: int) -> pa.Table:
        """Bars of the symbols from one place up to another, sorted by key, in the kline schema."""
        columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
        for place in range(start, stop):
            for name, values in self._drawn(place).items():
                columns[name].append(values)
        rows = (stop - start) * len(self.ends)
        fetched = np.arange(start, stop) + int(FETCHED_AT.timestamp())
        drawn = {name: np.concatenate(parts) for name, parts in columns.items() if parts}
        owners = np.repeat(np.arange(stop - start, dtype=np.int32), len(self.ends))
        same = np.zeros(rows, np.int32)
        table = {
            "symbol": _coded(owners, self.names[start:stop]),
            "session": np.tile(self._days, stop - start),
            "end_at": np.tile(self.ends, stop - start),
            **drawn,
            "state": _coded(same, [BarState.FINAL.value]),
            "source": _coded(same, ["eastmoney"]),
            "fetched_at": np.repeat(fetched * 1_000_000, len(self.ends)),
        }
        return pa.table(
            [pa.array(table[field.name]).cast(field.type) for field in _SCHEMA], _SCHEMA
        )

    def _drawn(self, place: int) -> dict[str, Any]:
        """What a symbol's bars say, each column as long as ``ends``."""
        draw = np.random.default_rng([self._seed, place])
        count = len(self.ends)
        steps = draw.standard_normal(count + 1, np.float32).astype(np.float64)
        walk = np.exp(np.cumsum(steps * self._move)) * draw.uniform(3, 60)
        levels = np.clip(walk, 1, 3000)
        opened, close = levels[:-1], levels[1:]
        reach = draw.random((2, count), np.float32) * self._move * close / 2
        prices = {
            "open": opened,
            "high": np.maximum(opened, close) + reach[0],
            "low": np.minimum(opened, close) - reach[1],
            "close": close,
        }
        rounded = {name: np.round(values, 2) for name, values in prices.items()}
        appetite = 0.5 + 2 * draw.random(count, np.float32) ** 2
        volume = (appetite * self._orders / close / 100).astype(np.int64) * 100 + 100
        return {
            **rounded,
            "volume": volume,
            "amount": np.round(volume * rounded["close"], 2),
            "turnover_rate": np.round(appetite.astype(np.float64) * 1.5, 2),
        }


def _coded(places: Any, values: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(places), values)
