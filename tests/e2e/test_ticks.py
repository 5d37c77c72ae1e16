"""The 5-minute tick on the whole market: one sweep, provisional bars, and the official ones."""

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.simulator.seeded.market import SeededMarket
from ingest.simulator.server import SimulatorServer
from market.bars import Dataset
from market.clock import EXCHANGE_TZ
from market.periods import Period
from pipeline.bench.processes import stop
from storage.database import Database
from storage.lake import Lake
from storage.ledger import Ledger
from storage.run_records import RunStatus
from tests.fixtures.cli import Installation, wait_for
from tests.fixtures.forking import ForkedPopen
from tests.fixtures.processes import worker
from tests.fixtures.redis_server import Restartable

DAY = date(2025, 12, 31)
WATCHED = "600519.SH"


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer(SeededMarket(5, 30)) as server:
        yield server


@pytest.fixture
def scheduled(
    installation: Installation, simulator: SimulatorServer, tmp_path: Path
) -> Iterator[Installation]:
    """A cluster of one worker and beat."""
    redis = Restartable(tmp_path / "redis", durable=True)
    installation.environment |= {
        "CELERY_BROKER_URL": redis.url(1),
        "CELERY_RESULT_BACKEND": redis.url(2),
        "SCHEDULE_ENABLED": "true",
        "RECONCILE_EVERY_S": "0.5",
        "QUANTSYNC_UPSTREAM": simulator.url,
        "BUDGET_SIMULATOR": "400/1s",
        "WATCH_LIST": WATCHED,
    }
    simulator.clock.set(at(8, 0))
    assert installation.run("status").code == 0  # makes the database
    queues = "quant_stock_queues,default,email_queues"
    working = worker(installation.variables, tmp_path / "worker.log", queues=queues)
    command = [sys.executable, "-m", "celery", "-A", "pipeline.app", "beat", "--pidfile="]
    command += ["--schedule", str(tmp_path / "beat.db")]
    with (tmp_path / "beat.log").open("ab") as log:
        beat = ForkedPopen(command, env=installation.variables, stdout=log, stderr=log)
    yield installation
    stop(beat, working)
    redis.stop()


def at(hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(DAY.year, DAY.month, DAY.day, hour, minute, second, tzinfo=EXCHANGE_TZ)


def tick(
    home: Installation, simulator: SimulatorServer, hour: int, minute: int, slot: str = ""
) -> RunStatus:
    """Let a slot come, and wait for the end of its run."""
    simulator.clock.set(at(hour, minute))
    wanted = f"{DAY.isoformat()}T{slot or f'{hour:02}:{minute:02}'}"
    found: list[RunStatus] = []

    def ended() -> bool:
        runs = Ledger(Database(home.sql())).runs(100)
        found[:] = [r for r in runs if str(r.slot).startswith(wanted) and r.state.is_end]
        return bool(found)

    wait_for(f"the run of {wanted}", ended, 60)
    return found[0]


def bars(home: Installation) -> list[dict[str, Any]]:
    table = Lake(home.home / "lake").read(Dataset.KLINE, Period.M5).to_pylist()
    return [row | {"end": f"{row['end_at']:%H:%M}"} for row in table if row["session"] == DAY]


def test_a_trading_day_of_ticks_and_the_official_bars_after_it(
    scheduled: Installation, simulator: SimulatorServer
) -> None:
    """Bars by difference through the morning, lunch and the close; then the official ones."""
    slots = [(9, 35), (9, 40), (11, 25), (11, 30), (13, 5), (14, 55), (15, 0), (15, 5)]
    runs = {slot: tick(scheduled, simulator, *slot) for slot in slots}

    assert [run.outcomes["ok"] for run in runs.values()] == [2] * len(slots)
    made = Counter((row["end"], row["source"]) for row in bars(scheduled))
    ends = {end for end, source in made if source == "simulator:snapshot"}
    # No bar where the sweep before is missing: 11:25 and 14:55.
    assert ends == {"09:35", "09:40", "11:30", "13:05", "15:00"}
    for missing in ((11, 25), (14, 55)):
        assert any("no sweep was taken at" in notice for notice in runs[missing].notices)
    symbols = {row["symbol"] for row in bars(scheduled) if "snapshot" in row["source"]}
    assert len(symbols) > 20
    assert WATCHED not in symbols  # fetched singly, and better
    provisional = {
        (row["symbol"], row["end"]): row for row in bars(scheduled) if "snapshot" in row["source"]
    }
    assert {row["state"] for row in provisional.values()} == {"provisional"}

    tick(scheduled, simulator, 15, 16, "15:15")
    daily = Lake(scheduled.home / "lake").read(Dataset.KLINE, Period.DAILY)
    assert daily.num_rows > 20
    tick(scheduled, simulator, 15, 21, "15:20")
    official = {(row["symbol"], row["end"]): row for row in bars(scheduled)}
    assert {row["source"] for row in official.values()} == {"simulator"}
    assert {row["state"] for row in official.values()} == {"final"}

    # The clock stood still during each sweep, so what is exact by nature is exact here; the closing
    # bar was made again when the auction was in it.
    for key, row in provisional.items():
        true = official[key]
        assert row["volume"] == true["volume"], key
        assert row["close"] == pytest.approx(true["close"], abs=0.001), key
        assert row["amount"] == pytest.approx(true["amount"], abs=1.0), key
        assert true["low"] - 0.001 <= row["low"] <= row["high"] <= true["high"] + 0.001, key
    said = scheduled.run("snapshots", "--session", DAY.isoformat(), "--json").json
    assert said["compared"] == said["volume_exact"] == said["close_exact"] == len(provisional)
    assert (said["waiting"], said["volume_off"]) == (0, 0)
    told = scheduled.run("snapshots", "--session", DAY.isoformat()).stdout
    assert "volume  100.00% exact; over the session 0 of" in told


def test_a_session_without_snapshots_is_said_to_have_none(installation: Installation) -> None:
    """It is no fault, and no session of bars that were all replaced either."""
    said = installation.run("snapshots", "--session", DAY.isoformat())
    assert said.code == 0
    assert said.stdout == f"{DAY}: no snapshots were taken, or no 5m bar was made of them\n"


@pytest.mark.lengthy
def test_a_sweep_that_lasts_beyond_the_next_bar_makes_none(
    scheduled: Installation, simulator: SimulatorServer
) -> None:
    """Half of its quotes hold trades of a bar that is not its own."""
    tick(scheduled, simulator, 9, 35)
    simulator.faults.add({"name": "latency", "seconds": "3", "path": "clist"})
    seen = len(simulator.log.since(0))
    simulator.clock.set(at(9, 44, 50))
    wait_for("the sweep", lambda: len(simulator.log.since(0)) > seen, 60)
    simulator.clock.set(at(9, 45, 10))
    run = tick(scheduled, simulator, 9, 45, "09:40")

    assert any("lies across the ends of two bars" in notice for notice in run.notices)
    assert {row["end"] for row in bars(scheduled) if "snapshot" in row["source"]} == {"09:35"}
