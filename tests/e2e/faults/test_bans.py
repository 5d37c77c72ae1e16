"""A ban at any moment: only probes while it lasts, work again right after it, nothing lost."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
import requests

from ingest.simulator.request_log import LogEntry
from tests.fixtures.arena import Arena
from tests.fixtures.cli import wait_for
from tests.fixtures.fault_record import Record
from tests.fixtures.redis_server import Restartable

Begin = Callable[..., Record]
PROBE_S = 1.0
"""``BAN_PROBE_S`` of the arena: the longest time from one probe to the next."""
LASTS_S = 4.0
THREADS = 8


@dataclass(slots=True)
class Ban:
    """A ban of this address, by the simulator's control endpoint."""

    arena: Arena
    ended: float = 0.0
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def _faults(self) -> str:
        return f"{self.arena.simulator.url}/__simulator__/faults"

    def begin(self) -> None:
        """From now on every connection is closed."""
        fault = {"name": "ban", "per_second": 1, "per_minute": 0, "per_5_minutes": 0}
        requests.post(self._faults, json={**fault, "seconds": 3600}, timeout=10).raise_for_status()

    def noticed(self) -> None:
        """Wait until it was, by what ``status`` says."""

        def is_banned() -> bool:
            self.said = pacing(self.arena)
            return bool(self.said["state"] == "banned")

        wait_for("enough signs", lambda: len(self.met()) >= 3, 60)
        wait_for("a ban", is_banned, 30)

    def end(self) -> None:
        """Everything is answered again."""
        requests.delete(self._faults, timeout=10).raise_for_status()
        self.ended = time.monotonic()

    def met(self) -> list[LogEntry]:
        """The requests that it closed the door to."""
        return [e for e in self.arena.simulator.log.since(0) if "ban" in e.outcome]

    def probes(self) -> list[LogEntry]:
        """Those after the ban was known."""
        since = datetime.fromisoformat(self.said["since"]).timestamp()
        return [entry for entry in self.met() if entry.wall >= since]

    def check(self) -> None:
        """No request but probes while it lasted, and work within one probe interval after it."""
        since = datetime.fromisoformat(self.said["since"]).timestamp()
        before = [e for e in self.met() if e.wall < since]
        probes = self.probes()
        assert len(before) <= THREADS + 2, "those in flight, and one at a time until it was known"
        assert len(probes) >= 2
        assert probes[0].wall - since >= 0.75 * PROBE_S
        gaps = [later.at - earlier.at for earlier, later in pairwise(probes)]
        assert min(gaps) >= 0.5 * PROBE_S, gaps  # 0.8, less what a busy machine holds one up
        first = min(e.at for e in self.arena.simulator.log.since(0) if e.at >= self.ended)
        assert first - self.ended <= PROBE_S + 2, "on a busy machine"


def pacing(arena: Arena) -> dict[str, Any]:
    """What ``status`` says of the simulator's budget."""
    said = arena.installation.run("status", "--json")
    assert said.code == 0, said.stderr
    domains: list[dict[str, Any]] = said.json["pacing"]["domains"]
    return next(domain for domain in domains if domain["domain"] == "simulator")


def cluster(arena: Arena, **more: str) -> "tuple[Restartable, subprocess.Popen[bytes]]":
    """Redis with its append-only file, and one worker of eight threads."""
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment |= {
        "BUDGET_SIMULATOR": "20/1s", "QUANTSYNC_UPSTREAM": arena.simulator.url, **more,
    }  # fmt: skip
    return server, arena.add_worker(size=THREADS)


@pytest.mark.parametrize(
    ("when", "fetched"),
    [
        ("in the middle", 15),
        pytest.param("at the start of a run", 0, marks=pytest.mark.lengthy),
        pytest.param("at its last fetches", 30, marks=pytest.mark.lengthy),
    ],
)
def test_26_a_ban_costs_its_length_and_nothing_else(
    arena: Arena, record: Begin, when: str, fetched: int
) -> None:
    """No request but probes, work again within one probe interval, and ``status`` tells of it."""
    noted = record("26", f"ban of {LASTS_S:g} s", when)
    cluster(arena)
    ban = Ban(arena)
    if not fetched:
        ban.begin()
    command = arena.start()
    if fetched:
        arena.under_way(fetched)
        ban.begin()

    with noted.recovering(arena):
        ban.noticed()
        time.sleep(LASTS_S)
        during = pacing(arena)
        ban.end()
        arena.ended()

    assert command.wait(30) == 0
    arena.check_all_is_well()
    ban.check()
    assert "closed the connection" in ban.said["cause"]
    assert ban.said["effective_rate"] == 0
    assert during["state"] == "banned"
    assert sum(during["waiting"].values()) > 0
    told = pacing(arena)
    turns = [turn["to"] for turn in told["story"] if turn["from"] != turn["to"]]
    assert turns[:2] == ["banned", "half_open"]
    assert told["totals"]["bans"] == 1
    assert told["totals"]["probes"] >= 3
    words = arena.installation.run("status").stdout
    assert "half open at 25%: a probe was answered" in " ".join(words.split())


@pytest.mark.lengthy
@pytest.mark.alone
def test_26b_a_batch_whose_time_passes_in_a_ban_is_tried_again(arena: Arena, record: Begin) -> None:
    """It is given back: no attempt is counted, and no symbol is lost to the ban."""
    noted = record("26", "ban longer than a batch may last", "in the middle")
    cluster(arena, BATCH_DEADLINE_S="2")
    ban = Ban(arena)
    command = arena.start()
    arena.under_way(15)
    ban.begin()

    with noted.recovering(arena):
        ban.noticed()
        wait_for("a batch given back", lambda: "is given back" in arena.worker_log(), 30)
        wait_for("probes of its next claims", lambda: len(ban.probes()) >= 3, 30)
        ban.end()
        arena.ended()

    assert command.wait(30) == 0
    arena.check_all_is_well()
    ban.check()


def test_26c_a_ban_outlives_the_redis_that_keeps_it_and_the_workers(
    arena: Arena, record: Begin
) -> None:
    """Both are killed in the middle of it: those that come after them know of it."""
    noted = record("26", "Redis (AOF on) and the worker killed in a ban", "in the middle")
    server, worker = cluster(arena, BAN_PROBE_S="2", BAN_PROBE_LONGEST_S="2")
    ban = Ban(arena)
    command = arena.start()
    arena.under_way(15)
    ban.begin()

    with noted.recovering(arena):
        ban.noticed()
        time.sleep(1.2)  # the file is synced every second
        worker.kill()
        worker.wait(10)  # or it would not be seen to have exited, and not be started again
        server.kill()
        server.again()
        arena.revive_workers()
        told = pacing(arena)
        wait_for("probes", lambda: len(ban.probes()) >= 3, 60)
        ban.end()
        arena.ended(90)

    assert command.wait(30) == 0
    arena.check_all_is_well()
    assert (told["state"], told["since"]) == ("banned", ban.said["since"])
    gaps = [later.at - earlier.at for earlier, later in pairwise(ban.probes())]
    assert min(gaps) >= 1, gaps  # 1.6 s, less what a busy machine holds one up
