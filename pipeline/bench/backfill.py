"""The backfill of a market, wave by wave, into each store; and bars that are held already."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from market.periods import Period
from pipeline.bench.bare_stores import BareStore, as_sql, write_parquet
from pipeline.bench.figures import Figure, Target
from pipeline.bench.memory import MIB, Peak, peak
from pipeline.bench.sections import Bench
from pipeline.bench.stores import KLINE, Stores, Watch, commit, stage, waves
from pipeline.bench.synthetic import Market
from scheduling.planner import BatchSizing

DAILY = Period.DAILY
_THREE_TIMES = Target(3, "at least")
_EVERY = 5  # of so many waves one is written again, and one by the reference


@dataclass(slots=True)
class Run:
    """What a backfill took.

    Attributes:
        rows: Bars that were written, and bars that were written again.
        changed: How many of each the store says were new or changed.
        seconds: Of each.
        arrow_bytes: What the bars of the first take in memory.
        peak: Memory of the first.
    """

    rows: list[int] = field(default_factory=lambda: [0, 0])
    changed: list[int] = field(default_factory=lambda: [0, 0])
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    arrow_bytes: int = 0
    peak: Peak = field(default_factory=Peak)

    def rate(self, of: int = 0) -> float:
        """Rows a second."""
        return self.rows[of] / self.seconds[of]

    def memory(self, store: str) -> list[Figure]:
        """The figure of its memory, where the system says."""
        if self.peak.mib is None:
            return []
        against, size = "all rows as Arrow tables", self.arrow_bytes / MIB
        return [Figure(f"{store} backfill: peak memory", self.peak.mib, "MiB", against, size)]


def lake_backfill(
    bench: Bench, stores: Stores, market: Market, sizing: BatchSizing
) -> list[Figure]:
    """Figures of the lake, against one plain file of the same rows."""
    bench.say("the plain file that the lake is held against")
    plain = [_plain_file(bench, market)]
    bench.say("backfill of the lake")
    run, staging, commits = Run(), Watch(), Watch()
    kept = []
    with peak() as run.peak:
        for number, batches in enumerate(waves(len(market.names), sizing)):
            tables = [market.bars(*places) for places in batches]
            run.arrow_bytes += sum(bars.nbytes for bars in tables)
            staged = stage(stores, number, tables, staging)
            del tables
            with commits.running():
                run.changed[0] += commit(stores, DAILY, staged)
            run.rows[0] += staged.rows
            kept.append(staged)
    again = Watch()
    for staged in kept:
        with again.running():
            run.changed[1] += commit(stores, DAILY, staged)
        run.rows[1] += staged.rows
    run.seconds = [staging.seconds + commits.seconds, again.seconds]
    plain.append(_plain_file(bench, market))
    _check(run, "the lake")
    reference = run.rows[0] / statistics.median(plain)
    return [
        Figure(
            "lake backfill",
            run.rate(),
            "rows/s",
            "one plain write_table, zstd 1",
            reference,
            Target(0.4, "at least"),
            f"{run.rows[0]:,} rows in {len(kept)} waves: {staging.seconds:.1f} s to stage "
            f"{sum(len(staged.manifests) for staged in kept):,} batches, "
            f"{commits.seconds:.1f} s to commit them",
        ),
        Figure(
            "lake: the waves committed again, nothing changes",
            run.rate(1),
            "rows/s",
            "the first commits",
            run.rows[0] / commits.seconds,
            _THREE_TIMES,
        ),
        *run.memory("lake"),
    ]


def _plain_file(bench: Bench, market: Market) -> float:
    bars = market.bars(0, len(market.names))
    began = time.perf_counter()
    write_parquet(bars, bench.folder / "plain.parquet")
    return time.perf_counter() - began


def warehouse_backfill(
    bench: Bench,
    stores: Stores,
    market: Market,
    sizing: BatchSizing,
    *,
    named: str,
    bare: Callable[[], BareStore],
    targets: tuple[Target, Target | None],
) -> list[Figure]:
    """Figures of a database, against its driver alone.

    Args:
        bench: How it is run.
        stores: Whose warehouse.
        market: The bars.
        sizing: Of the waves.
        named: The database.
        bare: Gives the table beside it that its driver fills.
        targets: Of the rate; and of its ratio, where either is enough.
    """
    bench.say(f"backfill of {named}")
    run, first, again, reference = Run(), Watch(), Watch(), Watch()
    with peak() as run.peak:
        for bars in _by_wave(market, sizing):
            run.arrow_bytes += bars.nbytes
            with first.running():
                run.changed[0] += stores.warehouse.write_bars(KLINE, DAILY, bars).inserted
            run.rows[0] += bars.num_rows
    bench.say(f"the same bars by the driver of {named} alone")
    other, bare_rows, ids = bare(), 0, stores.ids()
    for number, bars in enumerate(_by_wave(market, sizing)):
        if number % _EVERY:
            continue
        with reference.running():
            other.write(as_sql(bars, ids, sqlite=stores.database.is_sqlite))
        bare_rows += bars.num_rows
        with again.running():
            count = stores.warehouse.write_bars(KLINE, DAILY, _fetched_later(bars))
        run.changed[1] += count.inserted + count.updated
        run.rows[1] += bars.num_rows
    other.close()
    run.seconds = [first.seconds, again.seconds]
    _check(run, named)
    bare_rate = bare_rows / reference.seconds
    target, or_else = targets
    if or_else is not None and run.rate() < target.limit:
        target = or_else
    return [
        Figure(
            f"{named} backfill",
            run.rate(),
            "rows/s",
            other.says,
            bare_rate,
            target,
            f"{run.rows[0]:,} rows; the reference: {bare_rows:,} of them",
        ),
        Figure(
            f"{named}: fetched again, nothing changes",
            run.rate(1),
            "rows/s",
            "the backfill",
            run.rate(),
            _THREE_TIMES,
            f"{run.rows[1]:,} rows",
        ),
        *run.memory(named),
    ]


def _by_wave(market: Market, sizing: BatchSizing) -> Iterator[pa.Table]:
    for batches in waves(len(market.names), sizing):
        yield market.bars(batches[0][0], batches[-1][1])


def _fetched_later(bars: pa.Table) -> pa.Table:
    later = pc.add(bars["fetched_at"], pa.scalar(timedelta(days=1), pa.duration("us")))
    return bars.set_column(bars.schema.get_field_index("fetched_at"), "fetched_at", later)


def _check(run: Run, store: str) -> None:
    """A figure of work that was not done would be a lie."""
    if run.changed != [run.rows[0], 0]:
        raise AssertionError(f"{store} took {run.changed} of {run.rows} rows")
