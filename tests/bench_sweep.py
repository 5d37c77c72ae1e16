"""What a sweep of the whole market costs here, the upstream's time left out: ``make bench-sweep``.

The pages of a simulated market are served by :mod:`pipeline.bench.rendered`. This process fetches
and parses the 56 pages, makes daily bars of them, validates them and writes them to a lake and a
SQLite database of its own, once with each reading of Eastmoney.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest import wire
from ingest.pacing import Lane, UnlimitedBudget
from ingest.source import Source
from ingest.validation import NO_EVIDENCE, bar_states, validate_bars
from market.bars import END_AT_TYPE, Dataset, bar_schema, sorted_bars
from market.clock import EXCHANGE_TZ, FixedClock
from market.periods import Period
from market.sessions import SESSION_CLOSE, Window, exchange_calendar
from pipeline.bench.rendered import Wanted, served
from storage.database import Database
from storage.lake import Lake
from storage.warehouse import Warehouse

SESSION = date(2025, 12, 31)
NOW = datetime(2025, 12, 31, 16, tzinfo=EXCHANGE_TZ)
STEPS = ("fetch and parse", "make bars", "validate", "write lake", "write SQL")


def bars_of(quotes: pa.Table, session: date = SESSION) -> pa.Table:
    """The raw daily bars that quotes are after the close; symbols without trade have none."""
    traded = quotes.filter(pc.and_(pc.is_valid(quotes["open"]), pc.is_valid(quotes["close"])))
    count = traded.num_rows
    end_at = pa.array([datetime.combine(session, SESSION_CLOSE, EXCHANGE_TZ)] * count, END_AT_TYPE)
    columns = {name: traded[name] for name in traded.column_names if name in _BAR_COLUMNS}
    columns |= {
        "session": pa.array([session] * count, pa.date32()),
        "end_at": end_at,
        "state": bar_states(pa.chunked_array([end_at]), NOW),
        "source": pa.array(["simulator"] * count),
        "fetched_at": pa.array([datetime.now(UTC)] * count, pa.timestamp("us", tz="UTC")),
    }
    schema = bar_schema(Dataset.KLINE)
    return pa.table(columns).select(schema.names).cast(schema)


_BAR_COLUMNS = frozenset(bar_schema(Dataset.KLINE).names)


def fill(lake: Lake, warehouse: Warehouse, quotes: pa.Table, sessions: int) -> None:
    """Let the stores hold the sessions before, as late in a year."""
    days = exchange_calendar().sessions_in(Window(date(2025, 1, 1), SESSION))[-1 - sessions : -1]
    parts = [bars_of(quotes, day) for day in days]
    if parts:
        bars = sorted_bars(Dataset.KLINE, pa.concat_tables(parts))
        lake.write(Dataset.KLINE, Period.DAILY, bars)
        warehouse.write_bars(Dataset.KLINE, Period.DAILY, bars)


def measure(source: Source, home: Path, held: int) -> tuple[dict[str, tuple[float, float]], int]:
    """Wall and CPU seconds of each step, and the bars written, into stores of the round's own."""
    database = Database(f"sqlite:///{home / 'quantsync.db'}")
    database.migrate()
    lake, warehouse = Lake(home / "lake", lock_wait_s=5), Warehouse(database)
    spent: dict[str, tuple[float, float]] = {}

    def step(name: str, work: Callable[[], object]) -> object:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        spent[name] = (time.perf_counter() - wall, time.process_time() - cpu)
        return result

    calendar = exchange_calendar()
    if held:
        fill(lake, warehouse, source.fetch_quotes(), held)
    quotes = step(STEPS[0], source.fetch_quotes)
    bars = step(STEPS[1], lambda: bars_of(quotes))
    verdict = step(
        STEPS[2],
        lambda: validate_bars(Dataset.KLINE, Period.DAILY, bars, calendar, NO_EVIDENCE),
    )
    good = verdict.accepted  # type: ignore[attr-defined]
    step(STEPS[3], lambda: lake.write(Dataset.KLINE, Period.DAILY, good))
    step(STEPS[4], lambda: warehouse.write_bars(Dataset.KLINE, Period.DAILY, good))
    database.dispose()
    return spent, good.num_rows


def say(line: str) -> None:
    """One line on stdout."""
    sys.stdout.write(f"{line}\n")


def report(name: str, rounds: list[dict[str, tuple[float, float]]], bars: int, pages: int) -> float:
    """Print the medians of a reading; its wall seconds."""
    say(f"\n{name}: {pages} requests, {bars:,} bars, median of {len(rounds)} rounds")
    say(f"  {'step':<18}{'wall s':>9}{'CPU s':>9}")
    for step in STEPS:
        wall, cpu = (statistics.median(r[step][at] for r in rounds) for at in (0, 1))
        say(f"  {step:<18}{wall:>9.3f}{cpu:>9.3f}")
    totals = [[sum(r[step][at] for step in STEPS) for r in rounds] for at in (0, 1)]
    wall, cpu = (statistics.median(each) for each in totals)
    share = wall / pages
    say(f"  {'total':<18}{wall:>9.3f}{cpu:>9.3f}   {share:.1%} of {pages} s at 1 request/s")
    return wall


def main() -> int:
    """Measure both; fail where the direct reading takes a second or more."""
    from ingest.sources.eastmoney import EastmoneySource  # noqa: PLC0415
    from ingest.sources.eastmoney_direct import DirectEastmoney  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=5_501, help="that the list names")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--held", type=int, default=0, help="sessions of the year held before")
    words = parser.parse_args()
    clock = FixedClock(NOW)
    sources: Mapping[str, Source] = {
        "direct": DirectEastmoney(clock),
        "akshare": EastmoneySource(clock),
    }
    walls = {}
    wanted = Wanted(words.symbols, (NOW,), akshare=True)
    with served(wanted) as upstream, tempfile.TemporaryDirectory() as folder:
        wire.install(wire.UpstreamAdapter())
        upstreams = {"eastmoney": wire.Upstream(UnlimitedBudget(), upstream.url)}
        for name, source in sources.items():
            rounds, bars, pages = [], 0, 0
            for number in range(words.rounds + 1):
                home = Path(folder) / name / str(number)
                home.mkdir(parents=True)
                with wire.observed(
                    upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 60
                ) as seen:
                    spent, bars = measure(source, home, words.held)
                pages = seen.requests // (2 if words.held else 1)
                rounds.append(spent)
            walls[name] = report(name, rounds[1:], bars, pages)  # the first imports and warms
    say(f"\ndirect is {walls['akshare'] / walls['direct']:.1f} times as fast")
    return 0 if walls["direct"] < 1 else 1


if __name__ == "__main__":
    sys.exit(main())
