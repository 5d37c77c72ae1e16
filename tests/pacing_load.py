"""How much of the permitted rate is used, and is it ever exceeded (``make pacing``).

Worker processes of several threads, with the wire and the budget that real workers have, ask the
market simulator as fast as they may; its bans are armed. What is told comes from its own log.
"""

import argparse
import multiprocessing
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
import requests

from ingest import wire
from ingest.pacing import Lane, RedisBudget, UnlimitedBudget
from ingest.rates import RateWindow, parse_windows, sustained_rate
from ingest.simulator.request_log import LogEntry
from ingest.source import BannedError, BudgetUnavailableError
from pipeline.bench.redis_server import run_redis

PROCESSES, THREADS = 4, 8
JITTER = 0.05
URL = "https://push2his.eastmoney.com/api/qt/stock/kline/get?secid=1.600519&klt=101&fqt=0&beg=20251229"
BEGIN, END = "<!-- measured: written by `make pacing` -->\n", "<!-- end -->\n"


@dataclass(frozen=True, slots=True)
class Load:
    """What the simulator's log says of a load.

    Attributes:
        requests: How many arrived.
        seconds: From the first to the last.
        used: Share of the permitted rate that was used once the first burst was over.
        busiest: The most requests that any window of each length held, by the window's text.
        violations: Requests beyond a window, summed over all windows.
        banned: Requests that met a ban.
    """

    requests: int
    seconds: float
    used: float
    busiest: dict[str, int]
    violations: int
    banned: int


def measure(entries: Sequence[LogEntry], windows: Sequence[RateWindow]) -> Load:
    """Read a log.

    The tightest window permits ``count`` requests in ``seconds``; the share used is those seconds
    by the time that so many requests in a row took, on the average over all of them.
    """
    arrivals = sorted(entry.at for entry in entries)
    tightest = min(windows, key=lambda w: w.count / w.seconds)
    rows = [b - a for a, b in zip(arrivals, arrivals[tightest.count :], strict=False)]
    if not rows:
        raise ValueError(f"too short: {len(arrivals)} requests do not fill {tightest}")
    busiest = {str(w): _busiest(arrivals, w.seconds) for w in windows}
    return Load(
        requests=len(arrivals),
        seconds=arrivals[-1] - arrivals[0],
        used=tightest.seconds / (sum(rows) / len(rows)),
        busiest=busiest,
        violations=sum(max(0, busiest[str(w)] - w.count) for w in windows),
        banned=sum(1 for entry in entries if "ban" in entry.outcome),
    )


def _busiest(arrivals: Sequence[float], seconds: float) -> int:
    first, most = 0, 0
    for last, at in enumerate(arrivals):
        while arrivals[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def _ask(
    redis_url: str,
    base_url: str,
    windows: tuple[RateWindow, ...],
    seconds: float,
    ready: "threading.Barrier",
) -> None:
    """A worker process: every thread has its connection before the clock starts."""
    budget = RedisBudget(
        redis.Redis.from_url(redis_url), domain="t", egress="e", windows=windows, jitter=JITTER
    )
    wire.install(wire.UpstreamAdapter())

    def ask() -> None:
        free = {"eastmoney": wire.Upstream(UnlimitedBudget(), base_url)}
        with wire.observed(free, lane=Lane.BULK, deadline=time.monotonic() + 60):
            requests.get(URL)
        ready.wait()
        ready.wait()
        end = time.monotonic() + seconds
        paced = {"eastmoney": wire.Upstream(budget, base_url)}
        with wire.observed(paced, lane=Lane.BULK, deadline=end):
            while time.monotonic() < end:
                try:
                    requests.get(URL)
                except (BudgetUnavailableError, BannedError):
                    return

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def put_load(
    redis_url: str, windows: tuple[RateWindow, ...], seconds: float, ban: Mapping[str, object]
) -> Load:
    """Ask a simulator of this process's own, on loopback, for so many seconds."""
    from ingest.simulator.seeded.market import SeededMarket  # noqa: PLC0415  (slow to import)
    from ingest.simulator.server import SimulatorServer  # noqa: PLC0415

    spawn = multiprocessing.get_context("spawn")
    market = SeededMarket(seed=11, symbols=30)
    with SimulatorServer(market) as simulator:
        ready = spawn.Barrier(PROCESSES * THREADS + 1, timeout=60)
        workers = [
            spawn.Process(target=_ask, args=(redis_url, simulator.url, windows, seconds, ready))
            for _ in range(PROCESSES)
        ]
        for worker in workers:
            worker.start()
        ready.wait()
        simulator.log.clear()
        simulator.faults.add({"name": "ban", **ban})
        ready.wait()
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        return measure(simulator.log.since(0), windows)


def main() -> int:
    """Measure at the real budget and the real thresholds, and write the page; 1 if it missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="the page whose measured part is replaced")
    parser.add_argument("--budget", default="1/1s,180/300s", help="windows (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=900.0, help="(default: %(default)s)")
    chosen = parser.parse_args()
    ban: dict[str, Any] = {"per_second": 5, "per_minute": 200, "per_5_minutes": 300}
    with tempfile.TemporaryDirectory() as folder, run_redis(Path(folder)) as server:
        windows = parse_windows(chosen.budget)
        load = put_load(server.url(), windows, chosen.seconds, ban)
    busiest = ", ".join(f"{most} in {window}" for window, most in load.busiest.items())
    row = (
        f"| {chosen.budget} | {load.requests} in {load.seconds:.0f} s | {load.used:.2%} of "
        f"{sustained_rate(windows):.2g}/s | {busiest} | {load.violations} | {load.banned} |\n"
    )
    text = chosen.page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    table = (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, {PROCESSES} processes of {THREADS} threads:\n\n"
        "| budget | requests | used | busiest windows | violations | banned |\n"
        "|---|---:|---:|---|---:|---:|\n"
    )
    chosen.page.write_text(f"{head}{BEGIN}{table}{row}{END}{tail}", encoding="utf-8")
    sys.stdout.write(row)
    return 1 if load.violations or load.banned or load.used < 0.97 else 0


if __name__ == "__main__":
    sys.exit(main())
