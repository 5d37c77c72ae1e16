"""The stores: backfill, increment, what changes nothing, reads; each against its driver alone."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg

from market.periods import Period
from market.sessions import Window, exchange_calendar
from pipeline.bench import reads
from pipeline.bench.backfill import lake_backfill, warehouse_backfill
from pipeline.bench.bare_stores import BarePostgreSQL, BareSQLite
from pipeline.bench.figures import Figure, Section, Target
from pipeline.bench.increments import Ticks, lake_increments, warehouse_increments
from pipeline.bench.postgresql_server import run_postgresql
from pipeline.bench.redis_server import MissingServerError
from pipeline.bench.sections import Bench
from pipeline.bench.stores import Stores
from pipeline.bench.synthetic import Market, symbols
from scheduling.planner import BatchSizing

_HISTORY = Window(date(2015, 1, 1), date(2025, 12, 31))
_SQLITE = (Target(300_000, "at least", of="value"), None)
_POSTGRESQL = (Target(150_000, "at least", of="value"), Target(0.75, "at least"))
# Milliseconds of the same designs where they were first measured, by pyarrow, sqlite3 and psycopg.
_LAKE_MS = {"history": 112.0, "day": 86.0, "month": 45.0, "pivot": 95.0}
_SQLITE_MS = {"history": 10.0, "day": 72.0, "month": 2.0, "pivot": 118.0}
_POSTGRESQL_MS = {"day": 22.0, "month": 2.5, "pivot": 97.0}  # its history here is a fifth as long


@dataclass(frozen=True, slots=True)
class _Sizes:
    names: list[str]
    days: list[date]
    fewer_days: list[date]
    month: list[date]
    ticks: int
    sizing: BatchSizing
    many: int
    rounds: int


def measure(bench: Bench) -> Section:
    """Measure all of them; without PostgreSQL where none can be started."""
    sizes = _sizes(bench)
    section = Section(
        "Storage",
        f"{len(sizes.names):,} symbols, {len(sizes.days):,} sessions of daily bars (PostgreSQL: "
        f"{len(sizes.fewer_days):,}), committed in waves of {sizes.sizing.items_per_wave} symbols "
        f"and batches of {sizes.sizing.items_per_batch}, as a live upstream's budget plans them; "
        f"then {sizes.ticks} ticks on {len(sizes.month) - 1} sessions of 5-minute bars; reads: "
        f"median of {sizes.rounds}, warm.",
    )
    market = _market(bench, sizes, sizes.days)
    ticks = Ticks(Market(Period.M5, sizes.names, sizes.month, bench.seed), sizes.month, sizes.ticks)
    stores = Stores(bench.folder / "embedded")
    with contextlib.closing(stores):
        section.figures += _lake(bench, sizes, stores, market, ticks)
        section.figures += _sqlite(bench, sizes, stores, market, ticks)
    try:
        with run_postgresql() as url:
            section.figures += _postgresql(bench, sizes, url, ticks)
    except MissingServerError as error:
        section.missing.append(error.message)
    return section


def _sizes(bench: Bench) -> _Sizes:
    days = list(exchange_calendar().sessions_in(_HISTORY))
    return _Sizes(
        names=symbols(bench.size(5500, 40)),
        days=days[-bench.size(2500, 30) :],
        fewer_days=days[-bench.size(500, 10) :],
        month=days[-bench.size(21, 3) :],
        ticks=bench.size(48, 6),
        sizing=BatchSizing(5, 20) if bench.quick else BatchSizing.for_rate(1.0),
        many=bench.size(300, 10),
        rounds=bench.size(7, 1),
    )


def _market(bench: Bench, sizes: _Sizes, days: list[date]) -> Market:
    return Market(Period.DAILY, sizes.names, days, bench.seed)


def _asked(sizes: _Sizes, days: list[date]) -> reads.Asked:
    return reads.asked_of(sizes.names, days, sizes.month, sizes.many)


def _lake(
    bench: Bench, sizes: _Sizes, stores: Stores, market: Market, ticks: Ticks
) -> list[Figure]:
    figures = lake_backfill(bench, stores, market, sizes.sizing)
    figures += lake_increments(bench, stores, ticks)
    bench.say("reads of the lake")
    asked = _asked(sizes, sizes.days)
    return figures + reads.figures(
        "lake",
        reads.lake_reads(stores, asked),
        reads.pyarrow_reads(stores.lake.root, asked),
        _LAKE_MS,
        driver="pyarrow.dataset alone",
        rounds=sizes.rounds,
    )


def _sqlite(
    bench: Bench, sizes: _Sizes, stores: Stores, market: Market, ticks: Ticks
) -> list[Figure]:
    def beside() -> BareSQLite:
        other = Stores(bench.folder / "bare")
        other.adopt(stores.ids())
        other.close()
        return BareSQLite(other.sqlite_file, "kline_daily")

    figures = warehouse_backfill(
        bench, stores, market, sizes.sizing, named="SQLite", bare=beside, targets=_SQLITE
    )
    same = BareSQLite(stores.sqlite_file, "kline_5m")
    figures += warehouse_increments(bench, stores, ticks, named="SQLite", bare=same)
    bench.say("reads of SQLite")
    asked = _asked(sizes, sizes.days)
    with contextlib.closing(sqlite3.connect(stores.sqlite_file)) as connection:
        return figures + reads.figures(
            "SQLite",
            reads.warehouse_reads(stores, asked),
            reads.driver_reads(
                lambda query: connection.execute(query).fetchall(), stores.ids(), asked
            ),
            _SQLITE_MS,
            driver="sqlite3 alone, rows as tuples",
            rounds=sizes.rounds,
        )


def _postgresql(bench: Bench, sizes: _Sizes, url: str, ticks: Ticks) -> list[Figure]:
    market = _market(bench, sizes, sizes.fewer_days)
    with contextlib.closing(Stores(bench.folder / "served", url)) as stores, _psycopg(url) as query:
        figures = warehouse_backfill(
            bench,
            stores,
            market,
            sizes.sizing,
            named="PostgreSQL",
            bare=lambda: BarePostgreSQL(stores.database, "bare_daily", "kline_daily"),
            targets=_POSTGRESQL,
        )
        same = BarePostgreSQL(stores.database, "kline_5m")
        figures += warehouse_increments(bench, stores, ticks, named="PostgreSQL", bare=same)
        bench.say("reads of PostgreSQL")
        query("ANALYZE kline_daily, kline_5m; SELECT 1")
        asked = _asked(sizes, sizes.fewer_days)
        return figures + reads.figures(
            "PostgreSQL",
            reads.warehouse_reads(stores, asked),
            reads.driver_reads(query, stores.ids(), asked),
            _POSTGRESQL_MS,
            driver="psycopg alone, rows as tuples",
            rounds=sizes.rounds,
        )


@contextlib.contextmanager
def _psycopg(url: str) -> Iterator[reads.Query]:
    with psycopg.connect(url, autocommit=True) as connection:

        def query(statement: str) -> list[tuple[Any, ...]]:
            # The queries are put together of our own words and numbers.
            answer = connection.execute(statement.encode())
            while answer.nextset():
                pass
            return answer.fetchall()

        yield query
