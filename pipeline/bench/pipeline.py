"""A whole market through the real stack: daily bars of all symbols, then one 5-minute tick."""

import statistics
from collections.abc import Callable
from datetime import time
from pathlib import Path

from ingest.rates import parse_windows
from pipeline.bench import floor as least
from pipeline.bench.figures import Figure, Section, Target
from pipeline.bench.floor import Floor
from pipeline.bench.market_days import OPENING, TICK, TICK_DAY, daily_window, instant, wanted
from pipeline.bench.market_stack import MarketStack, Ran, StackFailedError, market_stack
from pipeline.bench.rendered import Rendered, served
from pipeline.bench.sections import Bench
from pipeline.settings import Settings
from scheduling.steady_need import seconds_for
from storage.run_records import RunState

OF_FLOOR, LOCAL_SHARE = 0.35, 0.05
_THREADS = 8
_WORKERS = 2
_TICK_NAME = "stocks_5m"


def measure(bench: Bench) -> Section:
    """Run the market through Redis, quant workers, lake and SQLite, beside the floor.

    Raises:
        QuantsyncError: Something did not start, or a run did not end well.
    """
    symbols, sessions = bench.size(5_500, 30), bench.size(250, 40)
    window = daily_window(sessions)
    bench.say(f"rendering the bodies of {symbols:,} symbols")
    with served(wanted(symbols, window, bench.seed, ticks=True)) as upstream:
        day = _Measured(bench, upstream, upstream.kline_targets(), least.klines)
        with market_stack(bench.folder / "s", upstream.url, workers=_WORKERS) as stack:
            bench.say("daily bars, the floor")
            day.floor()
            bench.say("daily bars through the stack")
            words = ("sync", "stocks", "--from", str(window.start), "--to", str(window.end))
            day.ran = checked(stack.command(*words))
            bench.say("daily bars, the floor")
            day.floor()
            tick = _Measured(bench, upstream, upstream.list_targets(), least.quotes)
            bench.say("a 5-minute tick")
            # The sweep before: a bar lies between two.
            _tick(stack, upstream, OPENING)
            tick.floor()
            tick.ran = _tick(stack, upstream, TICK)
            tick.floor()
        if upstream.refused():
            raise StackFailedError(f"{upstream.refused()} requests were not among the rendered")
    section = Section(
        title="Whole pipeline",
        says=(
            f"{len(upstream.codes):,} symbols × {sessions} sessions ({upstream.bars:,} bars, for "
            f"some symbols are younger or were suspended), then the 5-minute tick of "
            f"{TICK_DAY} {TICK:%H:%M}: a sweep of the market and the bars between it and the one "
            f"before. Another process serves bodies rendered before, from memory. Redis with its "
            f"log, {_WORKERS} quant workers as `make worker` starts one (fresh: imports count), "
            f"SQLite; the budget in Redis is asked for every request and permits all; ex-rights "
            f"are left out. Seconds are the ledger's, from the run's record to its end. CPU by "
            f"stage: wrapped functions in the worker, each thread's own time."
        ),
    )
    section.figures += [*_rates("daily bars", day), *_rates("5-minute tick", tick)]
    section.figures += _local("daily bars", day.ran)
    section.figures += _local("5-minute tick", tick.ran)
    section.figures += _resources(day.ran, statistics.mean(each.cpu_s for each in day.floors))
    section.data["cpu_by_stage"] = {name: round(s, 3) for name, s in day.ran.cpu.items()}
    section.data["bars_written"] = day.ran.status.bars_written
    section.data["tick_bars_written"] = tick.ran.status.bars_written
    return section


class _Measured:
    """One kind of run, and the floor of the same bodies before and after it."""

    ran: Ran

    def __init__(
        self, bench: Bench, upstream: Rendered, targets: list[str], parse: least.Parse
    ) -> None:
        self._url, self._targets, self._parse = upstream.url, targets, parse
        self._folder: Path = bench.folder
        self.symbols = len(upstream.codes)
        self.floors: list[Floor] = []

    def floor(self) -> None:
        """Measure it once more."""
        done = least.floor(self._url, self._targets, self._parse, self._folder, threads=_THREADS)
        self.floors.append(done)

    @property
    def floor_s(self) -> float:
        """Seconds of the floor."""
        return statistics.mean(each.seconds for each in self.floors)


def checked(ran: Ran) -> Ran:
    """A run that committed everything.

    Raises:
        StackFailedError: It did not.
    """
    if ran.status.state is not RunState.COMMITTED:
        raise StackFailedError(
            f"run {ran.status.run_id} ended as {ran.status.state}: {ran.status.reason}, "
            f"{dict(ran.status.outcomes)}"
        )
    return ran


def _tick(stack: MarketStack, upstream: Rendered, at: time) -> Ran:
    now = instant(TICK_DAY, at)
    upstream.turn_clock(now)
    return checked(stack.tick(_TICK_NAME, f"{now:%Y-%m-%dT%H:%M}"))


def _rates(what: str, measured: _Measured) -> list[Figure]:
    ran, floor_s = measured.ran, measured.floor_s
    steps = measured.floors[-1].steps
    parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in steps.items())
    note = f"{ran.seconds:.2f} s against {floor_s:.2f} s (the last one's: {parts})"
    per_s: Callable[[float, float], float] = lambda count, seconds: count / seconds  # noqa: E731
    return [
        Figure(
            f"{what}: symbols",
            per_s(measured.symbols, ran.seconds),
            "symbols/s",
            "the floor: read, parse, one Parquet file, one executemany",
            per_s(measured.symbols, floor_s),
            Target(OF_FLOOR, "at least"),
            note,
        ),
        Figure(
            f"{what}: bars",
            per_s(ran.status.bars_written, ran.seconds),
            "bars/s",
            "the floor",
            per_s(measured.floors[-1].bars, floor_s),
        ),
        Figure(
            f"{what}: requests",
            ran.status.requests,
            "requests",
            "one for each symbol or page",
            len(measured._targets),  # noqa: SLF001  (one module)
            note="with those of the symbol list" if what == "daily bars" else "",
        ),
    ]


def _local(what: str, ran: Ran) -> list[Figure]:
    windows = Settings.model_fields["budget_eastmoney"].default
    # Until the next one could be sent: a single request takes no time, and a place all the same.
    permitted_s = seconds_for(ran.status.requests + 1, parse_windows(windows))
    cpu_s = ran.worker.cpu_s + ran.redis.cpu_s + (ran.command.cpu_s if ran.command else 0.0)
    return [
        Figure(
            f"{what}: local work",
            ran.seconds,
            "s",
            f"{ran.status.requests:,} requests at {windows}",
            permitted_s,
            Target(LOCAL_SHARE, "at most"),
            f"all of the run without an upstream's time; {cpu_s:.1f} s of CPU in all processes",
        )
    ]


def _resources(ran: Ran, floor_cpu_s: float) -> list[Figure]:
    worker_s = max(ran.worker.cpu_s, 0.01)
    figures = [
        Figure("workers: CPU", ran.worker.cpu_s, "s", "the floor's", floor_cpu_s),
        *(
            Figure(f"CPU: {name}", seconds, "s", "all of the workers'", worker_s)
            for name, seconds in ran.cpu.items()
        ),
        Figure("a worker: peak memory", ran.worker.peak_mib, "MiB", "before the run", ran.idle_mib),
        Figure("Redis: peak memory", ran.redis.peak_mib, "MiB", "an idle worker", ran.idle_mib),
    ]
    if ran.command is not None:
        figures.append(
            Figure(
                "command: peak memory",
                ran.command.peak_mib,
                "MiB",
                "an idle worker",
                ran.idle_mib,
                note=f"it plans, follows and reconciles: {ran.command.cpu_s:.1f} s of CPU",
            )
        )
    return figures
