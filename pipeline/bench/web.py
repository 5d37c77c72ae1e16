"""What the web application adds to a query, and how it holds with many readers."""

import itertools
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from market.bars import Dataset
from market.periods import Period
from pipeline.bench.figures import Figure, Section, Target
from pipeline.bench.sections import Bench
from pipeline.bench.timing import Timed, in_turn, percentile
from pipeline.bench.web_client import Readers, Reading
from pipeline.bench.web_home import Served, fill, serving, syncing
from storage.queries import KLINE_COLUMNS

_MS = 1000.0
_READERS = 50
_HOT = 50
_BARE = "pyarrow.dataset on the same files"


def measure(bench: Bench) -> Section:
    """Measure ``GET /klines`` of a long history, alone and beside 49 others and a sync.

    Raises:
        NotServingError: The web application or the sync did not start.
    """
    symbols, sessions = bench.size(1000, 60), bench.size(2500, 500)
    bench.say(f"writing {sessions:,} daily bars of {symbols:,} symbols")
    home = bench.folder / "home"
    home.mkdir(parents=True)
    names = fill(home, symbols, sessions, bench.seed)
    section = Section(
        "Web application",
        f"`GET /api/v1/klines` of {sessions:,} daily bars, from a lake of {symbols:,} symbols in "
        "files by year, over loopback, by the process that `quantsync web` is. Readers and sync "
        "run on the same machine. A sync beside it means a real one: simulator, worker, chords, "
        "commits into the file that all readers' bars are in.",
    )
    with serving(home, names) as served:
        bench.say("one reader at a time")
        section.figures += _alone(bench, served)
        bench.say("memory over many requests")
        section.figures.append(_memory(bench, served))
        bench.say(f"{_READERS} readers while a sync writes")
        section.figures += _crowd(bench, served)
    return section


def _alone(bench: Bench, served: Served) -> Iterator[Figure]:
    """Each form against the bare query, of symbols that nobody has asked for, and of one."""
    rounds = bench.size(21, 2)
    fresh = itertools.cycle(served.symbols)
    asks = {form: _asker(served, form) for form in ("arrow", "json")}
    bare = _bare_query(served.home)
    cold = in_turn(
        {
            "bare": lambda: bare(next(fresh)),
            "arrow": lambda: asks["arrow"](next(fresh)),
            "json": lambda: asks["json"](next(fresh)),
        },
        rounds,
    )
    one = served.symbols[-1]
    warm = in_turn(
        {
            "bare": lambda: bare(one),
            "arrow": lambda: asks["arrow"](one),
            "json": lambda: asks["json"](one),
        },
        rounds,
    )
    for form, limit in (("arrow", 3.0), ("json", 10.0)):
        target = Target(limit, "at most")
        name = "Arrow" if form == "arrow" else "JSON"
        yield _against(f"{name}, of a symbol not asked for before", cold, form, target)
        yield _against(f"{name}, of a symbol asked for before", warm, form, target)


def _against(name: str, timed: dict[str, Timed], form: str, target: Target) -> Figure:
    value, bare = timed[form], timed["bare"]
    samples = tuple(each * _MS for each in value.wall)
    return Figure(
        name, value.median_s * _MS, "ms", _BARE, bare.median_s * _MS, target, samples=samples
    )


def _bare_query(home: Path) -> Callable[[str], pa.Table]:
    folder = home / "lake" / Dataset.KLINE.value / f"period={Period.DAILY.value}"

    def query(name: str) -> pa.Table:
        bars = ds.dataset(folder, format="parquet", exclude_invalid_files=True)
        return bars.to_table(columns=list(KLINE_COLUMNS), filter=ds.field("symbol") == name)

    return query


def _asker(served: Served, form: str) -> Callable[[str], Reading]:
    def ask(name: str) -> Reading:
        path = f"/api/v1/klines/{name}?format={form}"
        return Readers(served.address, served.key, [path]).read(requests=1)

    return ask


def _memory(bench: Bench, served: Served) -> Figure:
    """What is held after ten thousand requests against what was after the first thousand."""
    forms = ("json", "arrow", "csv", "parquet")
    names = served.symbols[: bench.size(100, 20)]
    paths = [
        f"/api/v1/klines/{name}?format={form}&from={year}-01-01"
        for year in (2017, 2021, 2024)
        for name in names
        for form in forms
    ]
    readers = Readers(served.address, served.key, paths, readers=4)
    first, all_of_them = bench.size(1000, 100), bench.size(10_000, 300)
    readers.read(requests=first)
    before = served.resident_mib()
    readers.read(requests=all_of_them - first)
    return Figure(
        f"memory after {all_of_them:,} requests",
        served.resident_mib(),
        "MiB",
        f"the same after {first:,}",
        before,
        Target(1.15, "at most"),
        note="forms and windows of 100 symbols in turn, more than the cache holds",
    )


def _crowd(bench: Bench, served: Served) -> Iterator[Figure]:
    """The latency of many readers, alone and while a sync writes."""
    seconds = bench.size(10, 1)
    paths = [f"/api/v1/klines/{name}?format=arrow" for name in served.symbols[:_HOT]]

    def crowd(readers: int, pause_s: float) -> Reading:
        many = Readers(served.address, served.key, paths, readers=readers, pause_s=pause_s)
        return many.read(seconds=seconds, seed=bench.seed)

    Readers(served.address, served.key, paths).read(requests=len(paths))
    single = crowd(1, 0.0)
    with syncing(served.home, bench.size(120, 10)):
        paced = crowd(_READERS, 0.5)
        eager = crowd(_READERS, 0.0)
    against = "one reader, while nothing is written"
    p95 = percentile(single.seconds, 0.95) * _MS
    for reading, what in ((paced, "each asking twice a second"), (eager, "without a pause")):
        yield Figure(
            f"p95 of {_READERS} readers, {what}, while a sync writes",
            percentile(reading.seconds, 0.95) * _MS,
            "ms",
            against,
            p95,
            Target(50.0, "at most", "value"),
            note=f"median {statistics.median(reading.seconds) * _MS:.1f} ms",
        )
    yield Figure(
        f"requests of {_READERS} readers without a pause, while a sync writes",
        len(eager.seconds) / eager.took_s,
        "requests/s",
        against,
        len(single.seconds) / single.took_s,
    )
