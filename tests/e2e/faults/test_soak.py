"""The soak: a random fault at a random moment, round after round, and the same store every time.

``make soak ROUNDS=50`` runs the long version. TEST_SEED chooses other faults and moments.
"""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
import redis

from market.bars import Dataset
from market.periods import Period
from storage.killpoints import KillPoint
from storage.lake import Lake
from tests.fixtures.arena import QUICK, Arena
from tests.fixtures.cli import Installation, wait_for
from tests.fixtures.fault_record import Record
from tests.fixtures.undisturbed import START, comparable

if TYPE_CHECKING:
    from ingest.simulator.seeded.market import SeededMarket
    from ingest.simulator.server import SimulatorServer

Begin = Callable[..., Record]
ROUNDS = int(os.environ.get("TEST_SOAK_ROUNDS", "1"))
SYMBOLS = 200


def kill_worker(arena: Arena, _dice: random.Random) -> None:
    """SIGKILL."""
    for process in arena.processes("celery", " worker ")[:1]:
        process.send(signal.SIGKILL)


def kill_redis(arena: Arena, _dice: random.Random) -> None:
    """SIGKILL."""
    for process in arena.processes("redis-server"):
        process.send(signal.SIGKILL)


def kill_both(arena: Arena, dice: random.Random) -> None:
    """The machine's worst moment."""
    kill_redis(arena, dice)
    kill_worker(arena, dice)


def stop_worker_for_a_while(arena: Arena, dice: random.Random) -> None:
    """SIGSTOP beyond the lease, SIGCONT."""
    for process in arena.processes("celery", " worker ")[:1]:
        process.send(signal.SIGSTOP)
        time.sleep(dice.uniform(0.5, 5))
        process.send(signal.SIGCONT)


def forget_everything(arena: Arena, _dice: random.Random) -> None:
    """FLUSHALL."""
    with contextlib.suppress(redis.RedisError), _redis_of(arena) as client:
        client.flushall()


def delete_chords(arena: Arena, _dice: random.Random) -> None:
    """The result backend loses its keys."""
    with contextlib.suppress(redis.RedisError), _redis_of(arena, 2) as client:
        for key in client.scan_iter("celery-taskset-meta-*"):
            client.delete(key)


def lock_the_database(arena: Arena, dice: random.Random) -> None:
    """Another process writes for seconds."""
    intruder = sqlite3.connect(arena.home / "quantsync.db", isolation_level=None, timeout=20)
    intruder.execute("BEGIN IMMEDIATE")
    time.sleep(dice.uniform(0.5, 4))
    intruder.execute("ROLLBACK")
    intruder.close()


def drop_connections(arena: Arena, dice: random.Random) -> None:
    """The upstream closes a few connections without a word."""
    arena.simulator.faults.add({"name": "drop", "count": dice.randint(1, 2)})


def kill_command(arena: Arena, _dice: random.Random) -> None:
    """SIGKILL of the supervisor; the next start resumes."""
    arena.commands[-1].kill()


def interrupt_command(arena: Arena, _dice: random.Random) -> None:
    """Ctrl-C."""
    arena.commands[-1].send_signal(signal.SIGINT)


FAULTS = [
    kill_worker, kill_redis, kill_both, stop_worker_for_a_while, forget_everything, delete_chords,
    lock_the_database, drop_connections, kill_command, interrupt_command,
]  # fmt: skip


@contextlib.contextmanager
def _redis_of(arena: Arena, db: int = 0) -> Iterator[redis.Redis]:
    socket = next(iter(arena.processes("redis-server")), None)
    path = str(arena.home / "redis" / "redis.sock")
    if socket is not None and "unixsocket:" in socket.command:
        path = socket.command.split("unixsocket:")[1].split()[0]
    with redis.Redis(unix_socket_path=path, db=db, socket_timeout=3) as client:
        yield client


@pytest.fixture(scope="module")
def whole(
    seeded_market: "SeededMarket", tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[str, ...], pa.Table]:
    """The symbols of the soak, and what an undisturbed run of them leaves."""
    from datetime import date  # noqa: PLC0415

    from ingest.simulator.server import SimulatorServer  # noqa: PLC0415  (slow to import)
    from market.symbols import parse_symbol  # noqa: PLC0415

    codes = seeded_market.listing(date(2025, 12, 31))
    symbols = tuple(sorted(str(parse_symbol(code)) for code in codes)[:SYMBOLS])
    home = tmp_path_factory.mktemp("whole") / "home"
    with SimulatorServer(seeded_market) as server:
        said = Installation(home, {"BUDGET_SIMULATOR": "1000/1s", "SYNC_EVENTS": "false"}).run(
            "sync", "stocks", "--symbols", ",".join(symbols), "--from", START,
            "--upstream", server.url, "--json",
        )  # fmt: skip
    assert said.code == 0, said.stderr
    return symbols, comparable(Lake(home / "lake").read(Dataset.KLINE, Period.DAILY))


@pytest.mark.timeout(120 * ROUNDS + 120)
def test_whatever_fails_and_whenever_the_store_is_the_same_in_the_end(
    simulator: "SimulatorServer",
    whole: tuple[tuple[str, ...], pa.Table],
    tmp_path: Path,
    seed: int,
    record: Begin,
) -> None:
    """Bit for bit that of a run which met no fault, but for the instants of the fetches."""
    noted = record("soak", f"a random fault at a random moment, seed {seed}", "anywhere")
    for number in range(ROUNDS):
        dice = random.Random(f"{seed}-{number}")
        folder = tmp_path / str(number)
        folder.mkdir()
        settings = {**QUICK, "BUDGET_SIMULATOR": "120/1s", "WAVE_ITEMS": "60"}
        arena = Arena(Installation(folder / "home", settings), simulator, *whole, folder)
        simulator.faults.clear()
        simulator.log.clear()
        try:
            _round(arena, dice, f"round {number} of seed {seed}", noted)
        finally:
            arena.close()


def _round(arena: Arena, dice: random.Random, name: str, noted: Record) -> None:
    fault = dice.choice([*FAULTS, None, None])
    moment = dice.uniform(0, 1)
    if fault is None:
        point = dice.choice([p for p in KillPoint if p is not KillPoint.RUN_RECORDED])
        nth = dice.randint(1, 4)
        arena.installation.environment["KILL_AT"] = f"{point}:{nth}"
        told = f"SIGKILL at {point}, time {nth}"
    else:
        told = f"{fault.__name__} after {moment:.0%} of the fetches"
    sys.stdout.write(f"{name}: {told}\n")
    command = arena.start()
    if fault is not None:
        enough = int(moment * SYMBOLS * 0.9)
        wait_for(
            "the moment",
            lambda: len(arena.simulator.log.since(0)) >= enough or command.poll() is not None,
            60,
        )
        arena.wait_until("the run", lambda _: True)
    began = time.monotonic()
    if fault is not None:
        fault(arena, dice)
    _bring_to_an_end(arena, command)
    noted.recovered_s.append(time.monotonic() - began)
    lost, doubled = arena.losses()
    noted.lost, noted.doubled = noted.lost + lost, noted.doubled + doubled
    arena.check_all_is_well(runs=len(arena.ledger.runs(10)))
    sys.stdout.write(f"  recovered in {noted.recovered_s[-1]:.1f} s, same store\n")


def _bring_to_an_end(arena: Arena, command: "subprocess.Popen[str]") -> None:
    """Wait for the command; one that was killed is started again, as its user would."""
    for _ in range(3):
        try:
            code = command.wait(90)
        except subprocess.TimeoutExpired:
            raise AssertionError("the command does not end") from None
        if code == 0:
            return
        wait_for("the children's end", lambda: not arena.processes(), 30)
        command = arena.start()
    raise AssertionError(f"three starts did not bring the run to its end: code {code}")
