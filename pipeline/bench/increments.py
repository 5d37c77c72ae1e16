"""A tick's 5-minute bars of the whole market, into stores that hold twenty sessions of them."""

import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from market.periods import Period
from pipeline.bench.bare_stores import BareStore, as_sql, rewrite_day
from pipeline.bench.figures import Figure, Target
from pipeline.bench.sections import Bench
from pipeline.bench.stores import KLINE, Stores, Watch, commit, stage
from pipeline.bench.synthetic import Market
from storage.lake import Partition

M5 = Period.M5
_COMPARED = 6  # of the last ticks every other one is written by the reference
_THIRD = Target(1 / 3, "at most")
_MS = 1000


class Ticks:
    """The last session's bars by the instant at which they end, and all that came before it.

    Args:
        market: 5-minute bars.
        sessions: Its sessions; the ticks are of the last one.
        count: How many of the last session's ticks there are.
    """

    def __init__(self, market: Market, sessions: Sequence[date], count: int) -> None:
        bars = market.bars(0, len(market.names))
        self.day = sessions[-1]
        today = pc.equal(bars["session"], pa.scalar(self.day))
        self.before = bars.filter(pc.invert(today))
        session = bars.filter(today)
        ends = sorted(pc.unique(session["end_at"]).to_pylist())[:count]
        self.ticks = [session.filter(pc.equal(session["end_at"], end)) for end in ends]


def lake_increments(bench: Bench, stores: Stores, ticks: Ticks) -> list[Figure]:
    """Figures of the lake, against a plain rewrite of the session's file."""
    bench.say("5-minute increments into the lake")
    stores.lake.write(KLINE, M5, ticks.before)
    path = stores.lake.root / Partition(KLINE, M5, ticks.day.isoformat()).path
    copy, scratch = bench.folder / "day.parquet", bench.folder / "rewritten.parquet"
    ours, bare = list[float](), list[float]()

    def write(number: int) -> int:
        return commit(stores, M5, stage(stores, 500 + number, [ticks.ticks[number]], Watch()))

    last = len(ticks.ticks) - 1
    for number, tick in enumerate(ticks.ticks):
        if last - number < _COMPARED and path.exists():
            shutil.copy(path, copy)
            bare.append(_seconds(partial(rewrite_day, copy, tick, scratch)))
        ours.append(_seconds(partial(_expect, partial(write, number), tick.num_rows)))
    again = [_seconds(partial(_expect, partial(write, last), 0)) for _ in range(3)]
    return _figures("lake", ours, bare, again, "the file rewritten by pyarrow alone", 250)


def warehouse_increments(
    bench: Bench, stores: Stores, ticks: Ticks, *, named: str, bare: BareStore
) -> list[Figure]:
    """Figures of a database, against its driver's upserts of the ticks between."""
    bench.say(f"5-minute increments into {named}")
    for portion in _portions(ticks.before):
        stores.warehouse.write_bars(KLINE, M5, portion)
    ours, others = list[float](), list[float]()
    ids, last = stores.ids(), len(ticks.ticks) - 1

    def write(bars: pa.Table) -> int:
        count = stores.warehouse.write_bars(KLINE, M5, bars)
        return count.inserted + count.updated

    for number, tick in enumerate(ticks.ticks):
        if last - number < _COMPARED and (last - number) % 2:
            rows = as_sql(tick, ids, sqlite=stores.database.is_sqlite)
            others.append(_seconds(partial(bare.write, rows)))
        else:
            ours.append(_seconds(partial(_expect, partial(write, tick), tick.num_rows)))
    again = [_seconds(partial(_expect, partial(write, ticks.ticks[-1]), 0)) for _ in range(3)]
    bare.close()
    return _figures(named, ours, others, again, bare.says, 350)


def _figures(
    store: str, ours: list[float], bare: list[float], again: list[float], says: str, limit: int
) -> list[Figure]:
    last, reference = ours[-1] * _MS, statistics.median(bare) * _MS
    return [
        Figure(
            f"{store}: the last 5-minute increment",
            last,
            "ms",
            says,
            reference,
            Target(limit, "at most", of="value"),
            "samples: all of them, from the session's first on",
            tuple(seconds * _MS for seconds in ours),
        ),
        Figure(
            f"{store}: that increment again, nothing changes",
            statistics.median(again) * _MS,
            "ms",
            "the increment",
            last,
            _THIRD,
        ),
    ]


def _portions(bars: pa.Table, rows: int = 400_000) -> Iterator[pa.Table]:
    for start in range(0, bars.num_rows, rows):
        yield bars.slice(start, rows)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _expect(write: Callable[[], int], expected: int) -> None:
    changed = write()
    if changed != expected:
        raise AssertionError(f"{changed} rows were new or changed instead of {expected}")
