"""A whole market's day by the simulator's own log: ``make bench-market``.

A simulated market of 5,500 listed symbols, of which on one session 30 go ex-right and 20 are
listed, is filled up to the session before. Then, at a live upstream's budget and with bans at its
thresholds:

increment   the session's daily bars: one sync, its requests, and the store held against that of a
            sync symbol by symbol
ticks       5-minute ticks of a session on a fast clock, with a watch-list and a backfill behind
            them; then the official bars of some symbols, and how far the provisional ones were off
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from ingest.simulator.request_log import LogEntry
from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.seeded.universe import BusyDay
from ingest.simulator.server import SimulatorServer
from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from storage.database import Database
from storage.lake import Lake
from storage.ledger import Ledger
from tests.fixtures.undisturbed import comparable

BEFORE, DAY = date(2025, 12, 30), date(2025, 12, 31)
START = "2025-12-22"
MORNING = 24
LIVE, BANS = "1/1s,180/300s", {"name": "ban", "seconds": 60}


def say(line: str) -> None:
    """A line of the report."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def instant(day: date, hour: int, minute: int = 0) -> datetime:
    """An instant in Shanghai."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=EXCHANGE_TZ)


class Home:
    """An installation of the bench, with commands run to their end."""

    def __init__(self, folder: Path, server: SimulatorServer, **more: str) -> None:
        self.folder = folder
        self.server = server
        self.environment = {
            **os.environ,
            "QUANTSYNC_HOME": str(folder),
            "QUANTSYNC_UPSTREAM": server.url,
            "FAILOVER_DAILY": "none",
            "FAILOVER_MINUTE": "none",
            "READ_TIMEOUT_S": "60",  # a market of this size takes seconds to come to life
            **more,
        }

    def run(self, *words: str, **more: str) -> dict[str, Any]:
        """The JSON a command says.

        Raises:
            SystemExit: It failed.
        """
        command = [sys.executable, "-m", "pipeline.cli", *words, "--json"]
        done = subprocess.run(
            command, env={**self.environment, **more}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(words[:3])} failed: {done.stderr}{done.stdout[-2000:]}")
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def sync(self, *more: str, **variables: str) -> dict[str, Any]:
        """A sync of all daily bars."""
        return self.run("sync", "stocks", "--from", START, *more, **variables)

    def bars(self) -> Any:
        """Daily bars held, without ``fetched_at``."""
        return comparable(Lake(self.folder / "lake").read(Dataset.KLINE, Period.DAILY))


def sent(server: SimulatorServer, since: int) -> list[LogEntry]:
    """Requests for data after one."""
    return list(server.log.since(since))


def kinds(entries: list[LogEntry]) -> Counter[str]:
    """What they asked for."""
    names = {"0": "klines", "1": "adjusted prices", "2": "adjusted prices"}
    return Counter(
        "list pages" if "fs" in e.query else names.get(e.query.get("fqt", ""), "other")
        for e in entries
    )


def increment(home: Home, other: Home, market: SeededMarket) -> None:
    """The session's daily bars by one sweep, against those of a sync symbol by symbol."""
    server = home.server
    server.clock.set(instant(DAY, 16))
    server.faults.add(BANS)
    since = max((e.seq for e in sent(server, 0)), default=0)
    began = time.monotonic()
    said = home.sync(BUDGET_SIMULATOR=LIVE)
    took = time.monotonic() - began
    entries = sent(server, since)
    banned = sum(e.status == 0 for e in entries)
    asked = ", ".join(f"{n} {name}" for name, n in kinds(entries).items())
    say(f"increment: {len(entries)} requests ({asked}), {banned} met a ban, {took:.0f} s")
    say(f"  outcomes {said['outcomes']}, ex-rights {said['ex_rights']}")
    server.faults.clear()
    other.sync("--symbols", ",".join(market.listing(DAY)), BUDGET_SIMULATOR="100000/1s")
    say(f"  store equals that of a sync symbol by symbol: {home.bars().equals(other.bars())}")


def ticks(home: Home, market: SeededMarket, count: int, speed: float, watched: list[str]) -> None:
    """Ticks on a fast clock, a backfill behind them."""
    server = home.server
    # Windows of 4 s by the market's clock: on a fast one, those of 1 s are nothing but guard.
    fast = f"4/{4 / speed:g}s,180/{300 / speed:g}s"
    variables = {
        "BUDGET_SIMULATOR": fast,
        "WATCH_LIST": ",".join(watched),
        "RECONCILE_EVERY_S": "1",
        "BATCH_SECONDS": f"{25 / speed:g}",
        "SYNC_EVENTS": "false",
    }
    home.environment |= variables
    begins = instant(DAY, 9, 29)  # time for the stack to come up
    server.clock.set(begins)
    since = max((e.seq for e in sent(server, 0)), default=0)
    ended = threading.Event()
    origin = time.monotonic()

    def turn() -> None:
        while not ended.is_set():
            server.clock.set(begins + timedelta(seconds=(time.monotonic() - origin) * speed))
            time.sleep(0.02)

    clock = threading.Thread(target=turn)
    clock.start()
    up = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "up"],
        env=home.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in up.stdout or ():
        if line.startswith("up:"):
            break  # or the backfill would bring a stack of its own, which keeps no schedule
    else:
        raise SystemExit("the stack did not come up")
    behind = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "backfill", "--from", "2025-12-29", "--period",
         "1m", "--json"], env=home.environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        afternoon = timedelta(minutes=90 if count > MORNING else 0)
        # Two more ticks see the closing auction; the daily run of 15:15 is not waited for.
        last = instant(DAY, 9, 41) + timedelta(minutes=5 * count) + afternoon
        time.sleep(max((last - begins).total_seconds() / speed - (time.monotonic() - origin), 0))
    finally:
        behind.terminate()
        up.terminate()
        behind.wait(60)
        up.wait(60)
        ended.set()
        clock.join()
    tell_ticks(home, sent(server, since), count, speed)
    server.clock.set(instant(DAY, 15, 40))
    tell_error(home, market, watched)


def tell_ticks(home: Home, entries: list[LogEntry], count: int, speed: float) -> None:
    """What came of the ticks."""
    runs = Ledger(Database(f"sqlite:///{home.folder / 'quantsync.db'}")).runs(1000)
    served = sorted((r for r in runs if r.slot), key=lambda r: str(r.slot))[:count]
    for run in served:
        if not run.state.is_end:
            say(f"  the tick {run.slot} did not end: {run.state}")
    took = [r.elapsed_s * speed for r in served if r.state.is_end]
    bulk = [r for r in runs if r.lane == "bulk" and not r.slot]
    at = sorted(e.at for e in entries)
    most = {
        span: max(sum(1 for other in at[i:] if other < t + span / speed) for i, t in enumerate(at))
        for span in (1, 60, 300)
    }
    rate = len(at) / (at[-1] - at[0]) / speed if len(at) > 1 else 0.0
    say(f"ticks: {len(took)} of {count} done, the longest {max(took, default=0):.0f} s of 300 s")
    say(f"  by the market's clock {rate:.2f} requests/s; the busiest second had {most[1]},")
    say(f"  60 s {most[60]}, 300 s {most[300]} (a ban would follow 5, 200 and 300)")
    say(f"  the backfill fetched {sum(r.done for r in bulk)} symbols meanwhile")


def tell_error(home: Home, market: SeededMarket, watched: list[str]) -> None:
    """How far provisional bars were from the official ones of some symbols."""
    some = list(market.listing(DAY))[len(watched) :: 20]
    home.run(
        "sync", "stocks", "--period", "5m", "--from", str(DAY), "--to", str(DAY),
        "--symbols", ",".join(some), BUDGET_SIMULATOR="100000/1s", WATCH_LIST="",
    )  # fmt: skip
    say(f"official 5m bars of {len(some)} symbols; the provisional ones were off by:")
    say(json.dumps(home.run("snapshots", "--session", str(DAY)), indent=1))


def main() -> None:
    """Fill the market, then measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["increment", "ticks", "both"], nargs="?", default="both")
    parser.add_argument(
        "--symbols", type=int, default=5_750, help="of which some are not listed on the day"
    )
    parser.add_argument("--ticks", type=int, default=48)
    parser.add_argument("--speed", type=float, default=6)
    parser.add_argument("--watched", type=int, default=40)
    options = parser.parse_args()
    market = SeededMarket(
        symbols=options.symbols, start=date(2025, 6, 2), busy=BusyDay(DAY, 30, 20)
    )
    with SimulatorServer(market) as server, tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home", server)
        other = Home(Path(folder) / "other", server, SYNC_EVENTS="false")
        server.clock.set(instant(BEFORE, 16))
        began = time.monotonic()
        # Ticks ask for no ex-rights, and without them a fill takes a third of the requests.
        events = "false" if options.what == "ticks" else "true"
        said = home.sync(BUDGET_SIMULATOR="100000/1s", SYNC_EVENTS=events)
        took = time.monotonic() - began
        size = len(market.listing(DAY))
        say(f"{size:,} symbols are listed on {DAY}")
        say(f"filled: {said['bars_written']:,} bars, {said['requests']:,} requests, {took:.0f} s")
        if options.what in ("increment", "both"):
            increment(home, other, market)
        if options.what in ("ticks", "both"):
            listed = [f"{code}" for code in market.listing(DAY)[: options.watched]]
            ticks(home, market, options.ticks, options.speed, listed)


if __name__ == "__main__":
    main()
