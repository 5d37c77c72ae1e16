"""Schedulers that double, stop, or see the clock jump: one run serves a slot, none is lost."""

import signal
import time
from collections.abc import Callable
from datetime import datetime

import pytest

from market.clock import EXCHANGE_TZ
from storage.run_records import RunStatus
from tests.fixtures.arena import Arena
from tests.fixtures.cli import wait_for
from tests.fixtures.fault_record import Record

Begin = Callable[..., Record]
WATCHED = 3


def at(hour: int, minute: int) -> datetime:
    """An instant of the session 2025-12-31."""
    return datetime(2025, 12, 31, hour, minute, 30, tzinfo=EXCHANGE_TZ)


def scheduled(arena: Arena, budget: str = "100/1s") -> None:
    """A cluster that keeps a schedule over three symbols."""
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment |= {
        "SCHEDULE_ENABLED": "true",
        "WATCH_LIST": ",".join(arena.symbols[:WATCHED]),
        "QUANTSYNC_UPSTREAM": arena.simulator.url,
        "BUDGET_SIMULATOR": budget,
    }
    arena.add_worker()


def served(arena: Arena) -> list[str]:
    """The slots that runs serve, as clock times."""
    return sorted(str(run.slot)[11:16] for run in arena.ledger.runs(100) if run.slot)


def all_ended(arena: Arena, count: int) -> Callable[[], bool]:
    """Whether so many runs are there, and all have ended."""

    def look() -> bool:
        run = arena.newest_run()
        return (
            run is not None
            and len(arena.ledger.runs(100)) >= count
            and not arena.recovery.running()
        )

    return look


def test_23_two_beats_and_two_reconcilers_begin_one_run_a_slot(arena: Arena, record: Begin) -> None:
    """The slot is unique in the ledger, however many schedulers mean it."""
    noted = record("23", "two beats and two reconcilers at once", "scheduler")
    scheduled(arena)
    arena.simulator.clock.set(at(10, 32))
    began = time.monotonic()
    arena.add_beat()
    arena.add_beat()
    wait_for("the first slot", all_ended(arena, 1), 60)
    arena.simulator.clock.set(at(10, 36))
    wait_for("the second slot", all_ended(arena, 2), 60)
    time.sleep(3)
    noted.recovered_s.append(time.monotonic() - began)

    assert served(arena) == ["10:30", "10:35"]
    assert all(run.outcomes == {"ok": WATCHED + 1} for run in arena.ledger.runs(10))


def test_23b_slots_that_were_missed_are_served_by_one_run(arena: Arena, record: Begin) -> None:
    """Beat down for 17 minutes: one catch-up, which says how many slots it serves."""
    noted = record("23", "beat down for 17 minutes", "scheduler")
    scheduled(arena)
    arena.simulator.clock.set(at(10, 35))
    beat = arena.add_beat()
    wait_for("the first slot", all_ended(arena, 1), 60)
    beat.send_signal(signal.SIGKILL)
    beat.wait(10)
    for process in [p for p in arena.processes("celery") if "default,email_queues" in p.command]:
        process.send(signal.SIGKILL)
    arena.simulator.clock.set(at(10, 52))
    began = time.monotonic()
    arena.add_beat()
    wait_for("the catch-up", all_ended(arena, 2), 60)
    time.sleep(3)
    noted.recovered_s.append(time.monotonic() - began)

    assert served(arena) == ["10:35", "10:50"]
    newest: RunStatus = arena.ledger.runs(1)[0]
    assert any("2 earlier slots of the day were missed" in notice for notice in newest.notices)


@pytest.mark.lengthy
def test_23c_a_clock_that_jumps_back_begins_nothing_twice(arena: Arena, record: Begin) -> None:
    """A slot that lies before the one served last is never due again."""
    noted = record("23", "the clock jumps back by 40 minutes and forward again", "scheduler")
    scheduled(arena)
    arena.simulator.clock.set(at(14, 2))
    began = time.monotonic()
    arena.add_beat()
    wait_for("the slot", all_ended(arena, 1), 60)
    arena.simulator.clock.set(at(13, 22))
    time.sleep(3)
    arena.simulator.clock.set(at(14, 3))
    time.sleep(3)
    noted.recovered_s.append(time.monotonic() - began)

    assert served(arena) == ["14:00"]


@pytest.mark.lengthy
def test_a_tick_begins_no_run_while_that_of_an_earlier_slot_goes_on(arena: Arena) -> None:
    """The later slot is served when the earlier run has ended; on a day off nothing is due."""
    scheduled(arena, budget="1/2s")
    arena.simulator.clock.set(at(10, 36))
    arena.add_beat()
    arena.wait_until("the first slot", lambda run: run.slot is not None)
    arena.simulator.clock.set(at(10, 41))
    time.sleep(2)
    assert served(arena) == ["10:35"]
    wait_for("the second slot", all_ended(arena, 2), 60)
    assert served(arena) == ["10:35", "10:40"]

    arena.simulator.clock.set(datetime(2025, 12, 28, 10, 36, tzinfo=EXCHANGE_TZ))
    time.sleep(2.5)
    assert len(arena.ledger.runs(10)) == 2


def test_the_embedded_stack_keeps_the_schedule_by_itself(arena: Arena) -> None:
    """`quantsync up` brings its own scheduler, serves the slot that is due, and ends in order."""
    arena.installation.environment |= {
        "WATCH_LIST": ",".join(arena.symbols[:WATCHED]),
        "QUANTSYNC_UPSTREAM": arena.simulator.url,
        "BUDGET_SIMULATOR": "100/1s",
    }
    arena.simulator.clock.set(at(10, 32))
    up = arena.installation.start("up")
    try:
        wait_for("the slot", all_ended(arena, 1), 60)
        assert len(arena.processes("celery", " beat ")) == 1
        second = arena.installation.run("up")
        assert (second.code, "already up" in second.stdout) == (1, True)
    finally:
        up.send_signal(signal.SIGTERM)
        out, err = up.communicate(timeout=60)

    assert "Traceback" not in out + err
    assert served(arena) == ["10:30"]
    assert arena.processes() == []


@pytest.mark.lengthy
def test_a_clock_that_was_a_day_ahead_does_not_silence_the_day(arena: Arena) -> None:
    """The slot it served lies in the future: today's is due all the same."""
    scheduled(arena)
    arena.simulator.clock.set(at(10, 32))
    arena.add_beat()
    wait_for("tomorrow's slot", all_ended(arena, 1), 60)
    arena.simulator.clock.set(datetime(2025, 12, 30, 10, 36, 30, tzinfo=EXCHANGE_TZ))
    wait_for("today's slot", all_ended(arena, 2), 60)

    assert sorted(str(run.slot)[:16] for run in arena.ledger.runs(9)) == [
        "2025-12-30T10:35", "2025-12-31T10:30",
    ]  # fmt: skip


def test_a_schedule_that_can_never_keep_up_is_refused_at_the_start(arena: Arena) -> None:
    """By beat and by `quantsync up`, with the numbers; a smaller one begins."""
    scheduled(arena, budget="1/1s,180/300s")
    arena.installation.environment["WATCH_LIST"] = ",".join(f"600{n:03}" for n in range(200))
    beat = arena.add_beat()
    assert beat.wait(60) == 1
    up = arena.installation.run("up", CELERY_BROKER_URL="", CELERY_RESULT_BACKEND="")

    said = "needs 201 requests a tick (1 for the symbol list and 200 for WATCH_LIST)"
    assert said in (arena.folder / "beat.log").read_text()
    assert (up.code, said in up.stderr) == (2, True)
    assert "permits 135 of 180 in 5 minutes beside a backfill" in up.stderr
