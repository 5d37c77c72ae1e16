"""Four reads that people make, through our own path and by the driver alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from market.clock import EXCHANGE_TZ
from market.periods import Period
from market.sessions import Window
from pipeline.bench.figures import Figure, Target
from pipeline.bench.stores import KLINE, Stores
from pipeline.bench.timing import in_turn
from storage.queries import KLINE_COLUMNS, klines

Query = Callable[[str], Sequence[Sequence[Any]]]
"""All rows of an SQL query."""

_MARGIN, _MS = 1.5, 1000
_WIDE = ("symbol", "session", "close")
WHAT = {
    "history": "a symbol's daily history",
    "day": "one session of all symbols",
    "month": "a month of a symbol's 5m bars",
    "pivot": "a year of many symbols, pivoted",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is read.

    Attributes:
        symbol: Of the history and of the month.
        day: A session of daily bars.
        month: Sessions of 5-minute bars.
        many: The symbols of the pivot.
        year: Its sessions.
    """

    symbol: str
    day: date
    month: Window
    many: list[str]
    year: Window


def figures(
    store: str,
    ours: Mapping[str, Callable[[], int]],
    bare: Mapping[str, Callable[[], int]],
    milliseconds: Mapping[str, float],
    *,
    driver: str,
    rounds: int,
) -> list[Figure]:
    """Figures of reads: each work gives how many bars it read, and both must read the same.

    Args:
        store: Whose.
        ours: Reads through our path, by the names of ``WHAT``.
        bare: The same by the driver.
        milliseconds: What each took where the design of the store was measured first; those that
            lack have no target.
        driver: What reads alone.
        rounds: How often each is measured.
    """
    counts = {name: ours[name]() for name in ours}
    for name, work in bare.items():
        if work() != counts[name] or not counts[name]:
            raise AssertionError(f"{store}: {name} read {counts[name]} bars, not {work()}")
    works = {("ours", name): work for name, work in ours.items()}
    works |= {("bare", name): work for name, work in bare.items()}
    keyed = {f"{side} {name}": work for (side, name), work in works.items()}
    timed = in_turn(keyed, rounds)
    found = []
    for name, what in WHAT.items():
        mine = timed[f"ours {name}"]
        limit = milliseconds.get(name)
        found.append(
            Figure(
                f"{store}: {what}",
                mine.median_s * _MS,
                "ms",
                driver,
                timed[f"bare {name}"].median_s * _MS,
                Target(limit * _MARGIN, "at most", of="value") if limit else None,
                f"{counts[name]:,} bars",
                tuple(seconds * _MS for seconds in mine.wall),
            )
        )
    return found


def lake_reads(stores: Stores, asked: Asked) -> dict[str, Callable[[], int]]:
    """Through the lake."""
    lake = stores.lake
    day = Window(asked.day, asked.day)
    return {
        "history": lambda: klines(lake, asked.symbol, Period.DAILY).num_rows,
        "day": lambda: (
            lake.read(KLINE, Period.DAILY, window=day, columns=("symbol", *KLINE_COLUMNS)).num_rows
        ),
        "month": lambda: klines(lake, asked.symbol, Period.M5, window=asked.month).num_rows,
        "pivot": lambda: _pivot(
            lake.read(KLINE, Period.DAILY, names=asked.many, window=asked.year, columns=_WIDE)
        ),
    }


def pyarrow_reads(root: Path, asked: Asked) -> dict[str, Callable[[], int]]:
    """The same by ``pyarrow.dataset`` over the folders."""

    def read(period: Period, wanted: pc.Expression, columns: Sequence[str]) -> pa.Table:
        folder = root / KLINE.value / f"period={period.value}"
        return ds.dataset(folder, format="parquet").to_table(list(columns), filter=wanted)

    symbol, session = pc.field("symbol"), pc.field("session")
    one = symbol == asked.symbol
    within = (session >= asked.year.start) & (session <= asked.year.end)
    days = (session >= asked.month.start) & (session <= asked.month.end)
    return {
        "history": lambda: read(Period.DAILY, one, KLINE_COLUMNS).num_rows,
        "day": lambda: (
            read(Period.DAILY, session == asked.day, ("symbol", *KLINE_COLUMNS)).num_rows
        ),
        "month": lambda: read(Period.M5, one & days, KLINE_COLUMNS).num_rows,
        "pivot": lambda: _pivot(read(Period.DAILY, symbol.isin(asked.many) & within, _WIDE)),
    }


def warehouse_reads(stores: Stores, asked: Asked) -> dict[str, Callable[[], int]]:
    """Through the warehouse."""
    read, one = stores.warehouse.read_bars, [asked.symbol]
    day = Window(asked.day, asked.day)
    plain, coded = KLINE_COLUMNS, ("symbol", *KLINE_COLUMNS)
    return {
        "history": lambda: read(KLINE, Period.DAILY, names=one, columns=plain).num_rows,
        "day": lambda: read(KLINE, Period.DAILY, window=day, columns=coded).num_rows,
        "month": lambda: (
            read(KLINE, Period.M5, names=one, window=asked.month, columns=plain).num_rows
        ),
        "pivot": lambda: _pivot(
            read(KLINE, Period.DAILY, names=asked.many, window=asked.year, columns=_WIDE)
        ),
    }


def driver_reads(
    query: Query, ids: Mapping[str, int], asked: Asked
) -> dict[str, Callable[[], int]]:
    """The same as rows of the driver: codes, dates and instants stay as the table holds them."""
    owner = ids[asked.symbol]
    values = ", ".join(KLINE_COLUMNS)
    many = ", ".join(str(ids[name]) for name in asked.many)
    first, last = (_instant(day) for day in (asked.month.start, asked.month.end))
    # S608: the values are ours.
    history = f"SELECT {values} FROM kline_daily WHERE symbol_id = {owner}"  # noqa: S608
    day = f"SELECT symbol_id, {values} FROM kline_daily WHERE session = '{asked.day}'"  # noqa: S608
    month = (
        f"SELECT {values} FROM kline_5m WHERE symbol_id = {owner} "  # noqa: S608
        f"AND end_at >= {first} AND end_at < {last + 86_400}"
    )
    pivot = (
        f"SELECT symbol_id, session, close FROM kline_daily WHERE symbol_id IN ({many}) "  # noqa: S608
        f"AND session BETWEEN '{asked.year.start}' AND '{asked.year.end}'"
    )
    return {
        "history": lambda: len(query(history)),
        "day": lambda: len(query(day)),
        "month": lambda: len(query(month)),
        "pivot": lambda: _pivot_rows(query(pivot)),
    }


def asked_of(names: Sequence[str], days: Sequence[date], month: Sequence[date], many: int) -> Asked:
    """What is read of a market that is held.

    Args:
        names: All symbols.
        days: Sessions of daily bars.
        month: Sessions of 5-minute bars.
        many: How many symbols are pivoted, evenly spread.
    """
    step = max(len(names) // many, 1)
    year = [day for day in days if day > days[-1] - timedelta(days=365)]
    return Asked(
        symbol=names[len(names) // 2],
        day=days[-2],
        month=Window(month[0], month[-1]),
        many=list(names[::step][:many]),
        year=Window(year[0], year[-1]),
    )


def _instant(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=EXCHANGE_TZ).timestamp())


def _pivot(bars: pa.Table) -> int:
    frame = bars.to_pandas()
    return int(frame.pivot(index="session", columns="symbol", values="close").notna().sum().sum())


def _pivot_rows(rows: Sequence[Sequence[Any]]) -> int:
    owners, sessions, closes = zip(*rows, strict=True)
    return _pivot(pa.table({"symbol": owners, "session": sessions, "close": closes}))
