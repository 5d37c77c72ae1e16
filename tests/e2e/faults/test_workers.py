"""Workers that die, stand still, hang, or get their work twice: nothing is lost or doubled."""

import signal
import time
from collections.abc import Callable

import pytest

from storage.run_records import RunState
from tests.fixtures.arena import Arena, run_python
from tests.fixtures.cli import wait_for
from tests.fixtures.fault_record import Record
from tests.fixtures.processes import Running

Begin = Callable[..., Record]


def test_1_a_killed_prefork_child_loses_its_lease_and_nothing_else(
    arena: Arena, record: Begin
) -> None:
    """Its task comes back to another child, which takes over the batch of the dead at once."""
    noted = record("1", "SIGKILL of a prefork child", "while it fetches")
    redis = arena.redis()
    arena.on_cluster(redis.url(1), redis.url(2))
    quant = arena.add_worker(pool="prefork", size=2, BATCH_LEASE_S="60")
    command = arena.start()
    arena.under_way()

    with noted.recovering(arena):
        child = next(p for p in arena.processes("celery") if p.parent == quant.pid)
        child.send(signal.SIGKILL)
        arena.ended()

    assert command.wait(20) == 0
    arena.check_all_is_well()


def test_2_a_killed_worker_is_restarted_and_its_leases_are_void(
    arena: Arena, record: Begin
) -> None:
    """The supervisor knows that it is gone: no lease need run out."""
    noted = record("2", "SIGKILL of the quant worker", "in the header, embedded stack")
    arena.installation.fresh = True
    arena.installation.environment["BATCH_LEASE_S"] = "60"
    command = arena.start()
    arena.under_way()
    with noted.recovering(arena):
        arena.processes("celery", " worker ")[0].send(signal.SIGKILL)
        arena.ended()

    assert command.wait(20) == 0
    arena.check_all_is_well()


def test_2b_a_killed_worker_that_nobody_restarts_is_replaced_by_the_next(
    arena: Arena, record: Begin
) -> None:
    """On a cluster the leases run out, and another worker gets the batches."""
    noted = record("2", "SIGKILL of a worker", "in the header, cluster, not restarted")
    redis = arena.redis()
    arena.on_cluster(redis.url(1), redis.url(2))
    first = arena.add_worker("first", size=4)
    arena.add_worker("second", size=4)
    command = arena.start()
    arena.under_way()

    with noted.recovering(arena):
        first.kill()
        arena.ended()

    assert command.wait(20) == 0
    arena.check_all_is_well()


def test_12_the_late_writes_of_a_zombie_are_refused(arena: Arena, record: Begin) -> None:
    """SIGSTOP beyond the lease, then SIGCONT: another has done its work, and its log says so."""
    noted = record("12", "SIGSTOP of a worker for twice its lease, then SIGCONT", "in the header")
    redis = arena.redis()
    arena.on_cluster(redis.url(1), redis.url(2))
    zombie = arena.add_worker("zombie", size=4)
    command = arena.start()
    arena.under_way(4)

    with noted.recovering(arena):
        zombie.send_signal(signal.SIGSTOP)
        arena.add_worker("other", size=4)
        time.sleep(6)
        arena.ended()
        assert command.wait(20) == 0
        zombie.send_signal(signal.SIGCONT)

    wait_for(
        "the zombie to be refused",
        lambda: "was given to another worker" in arena.worker_log("zombie"),
        30,
    )
    arena.check_all_is_well()


def test_21_a_poison_batch_is_given_up_and_the_others_are_committed(
    arena: Arena, record: Begin
) -> None:
    """A batch that kills every worker that takes it is tried alone, then ended with the reason."""
    noted = record("21", "a batch that kills every worker which takes it", "in the header")
    arena.installation.environment |= {"KILL_AT": "batch_claimed@2", "RUN_DEADLINE_S": "120"}
    command = arena.start()

    began = time.monotonic()
    run = arena.ended(100, RunState.PARTIAL)
    noted.recovered_s.append(time.monotonic() - began)

    assert command.wait(20) == 1
    assert run.outcomes == {"ok": len(arena.symbols) - 5, "worker_lost": 5}
    failures = arena.ledger.outcomes(run.run_id, exclude=("ok",))
    assert all("workers in turn died" in row["reason"] for row in failures)
    lost = {row["subject"] for row in failures}
    lake, warehouse = arena.stored()
    kept = [name not in lost for name in arena.undisturbed["symbol"].to_pylist()]
    assert lake.equals(arena.undisturbed.filter(kept))
    assert warehouse.equals(lake)
    arena.check_ledger()

    healed = arena.sync(KILL_AT="")
    assert (healed.code, healed.json["outcomes"]) == (0, {"ok": 5})
    arena.check_all_is_well(runs=2)


def test_22_a_thread_that_hangs_for_ever_costs_its_worker_and_not_the_run(
    arena: Arena, record: Begin
) -> None:
    """No pulse, no sign of life: the supervisor kills the worker; the next gets the batch."""
    noted = record("22", "a thread that hangs for ever", "after a fetch")
    arena.installation.environment |= {"KILL_AT": "item_fetched:9=hang", "HANG_AFTER_S": "6"}
    arena.installation.environment["BATCH_LEASE_S"] = "60"
    command = arena.start()

    with noted.recovering(arena):
        arena.ended()

    assert command.wait(20) == 0
    assert "no sign of life" in arena.worker_log()
    arena.check_all_is_well()


@pytest.mark.lengthy
def test_22b_a_batch_that_runs_out_of_time_ends_with_what_it_has(
    arena: Arena, record: Begin
) -> None:
    """Threads ignore Celery's limits: a batch carries its own deadline, checked before requests."""
    noted = record("22", "an upstream that answers too slowly for the batch", "in the header")
    arena.installation.environment |= {"BATCH_DEADLINE_S": "2"}
    arena.simulator.faults.add({"name": "latency", "seconds": 1.5})
    command = arena.start()

    began = time.monotonic()
    run = arena.ended(60, RunState.PARTIAL)
    noted.recovered_s.append(time.monotonic() - began)

    assert command.wait(20) == 1
    assert set(run.outcomes) == {"ok", "timeout"}
    arena.simulator.faults.clear()
    healed = arena.sync()
    assert (healed.code, healed.json["outcomes"]) == (0, {"ok": run.outcomes["timeout"]})
    arena.check_all_is_well(runs=2)


@pytest.mark.lengthy
def test_20_one_symbol_that_fails_for_ever_never_holds_up_the_others(
    arena: Arena, record: Begin
) -> None:
    """One outcome with its reason, tried again by the next run; the others are committed."""
    noted = record("20", "500s for one symbol, for ever", "in the header")
    code = arena.symbols[7].split(".")[0]
    market = 1 if arena.symbols[7].endswith("SH") else 0
    arena.simulator.faults.add({"name": "http_status", "status": 500, "secid": f"{market}.{code}"})

    for attempt in range(2):
        with noted.recovering(arena):
            said = arena.sync()
        assert (said.code, said.json["state"]) == (1, "partial" if not attempt else "failed")
        assert said.json["failures"][0]["outcome"] == "upstream_error"
        assert [row["subject"] for row in said.json["failures"]] == [arena.symbols[7]]
    lake, _ = arena.stored()
    assert set(lake["symbol"].to_pylist()) == set(arena.symbols) - {arena.symbols[7]}

    arena.simulator.faults.clear()
    noted.lost = 0  # of the symbol that could not be had
    assert arena.sync().code == 0
    arena.check_all_is_well(runs=3)


@pytest.mark.parametrize("times", [3])
def test_9_a_body_that_comes_many_times_at_once_commits_once(
    arena: Arena, record: Begin, times: int
) -> None:
    """The committing lease has one winner; the others do nothing."""
    noted = record("9", f"the chord's body delivered {times} more times at once", "body")
    redis = arena.redis()
    arena.on_cluster(redis.url(1), redis.url(2))
    arena.add_worker()
    with noted.recovering(arena):
        command = arena.start()
        run = arena.under_way()
        publish = (
            "from pipeline.tasks import commit_wave\n"
            f"for wave in (0, 1) * {times}:\n"
            f"    commit_wave.si('{run.run_id}', wave).apply_async(queue='quant_stock_queues')\n"
        )
        _python(arena, publish)
        arena.ended()
        _python(arena, publish)

    assert command.wait(20) == 0
    arena.check_all_is_well()


@pytest.mark.lengthy
def test_10_a_header_that_comes_twice_at_once_is_worked_on_once(
    arena: Arena, record: Begin
) -> None:
    """The claim has one winner: one staged file counts, and no symbol is asked for twice."""
    noted = record("10", "every header delivered twice, concurrently", "header")
    redis = arena.redis()
    arena.on_cluster(redis.url(1), redis.url(2))
    with noted.recovering(arena):
        command = arena.start()
        run = arena.wait_until("the plan", lambda run: run.batches > 0)
        _python(
            arena,
            "from pipeline.tasks import fetch_batch\n"
            f"for number in range({run.batches}):\n"
            f"    fetch_batch.si('{run.run_id}', number).apply_async(queue='quant_stock_queues')\n",
        )
        arena.add_worker()
        arena.ended()

    assert command.wait(20) == 0
    assert len(arena.simulator.log.since(0)) == len(arena.symbols)
    arena.check_all_is_well()


def test_11_a_visibility_timeout_below_the_batch_time_costs_messages_only(
    arena: Arena, record: Begin
) -> None:
    """Redis hands running tasks out again and again: the claims make that harmless."""
    noted = record("11", "visibility_timeout (1 s) shorter than a batch", "broker")
    redis = arena.redis()
    arena.on_cluster(redis.url(1), redis.url(2))
    arena.installation.environment |= {"VISIBILITY_TIMEOUT_S": "1", "BUDGET_SIMULATOR": "8/1s"}
    arena.add_worker()
    with noted.recovering(arena):
        command = arena.start()
        arena.ended()

    assert command.wait(20) == 0
    assert len(arena.simulator.log.since(0)) == len(arena.symbols)
    arena.check_all_is_well()


def test_12b_a_worker_that_stands_still_is_killed_and_replaced(arena: Arena, record: Begin) -> None:
    """Stopped for good: its sign of life grows old, and the supervisor does not wait for more."""
    noted = record("12", "SIGSTOP of the quant worker, for good", "in the header, embedded stack")
    arena.installation.environment |= {"HANG_AFTER_S": "3", "BATCH_LEASE_S": "60"}
    command = arena.start()
    arena.under_way()

    with noted.recovering(arena):
        arena.processes("celery", " worker ")[0].send(signal.SIGSTOP)
        arena.ended()

    assert command.wait(30) == 0
    arena.check_all_is_well()


@pytest.mark.lengthy
def test_2c_a_worker_that_is_killed_again_and_again_is_started_again_and_again(
    arena: Arena, record: Begin
) -> None:
    """Only one that never comes up is given up: ten kills are ten restarts."""
    noted = record("2", "SIGKILL of the quant worker, ten times", "whenever it is up, embedded")
    arena.installation.environment |= {
        "BUDGET_SIMULATOR": "3/1s", "RUN_DEADLINE_S": "200", "BATCH_MAX_ATTEMPTS": "99",
    }  # fmt: skip
    command = arena.start()
    with noted.recovering(arena):
        killed: set[int] = set()
        while len(killed) < 10:
            wait_for("a worker", lambda: _workers(arena) and _is_up(arena), 30)
            for process in _workers(arena):
                process.send(signal.SIGKILL)
                killed.add(process.pid)
            wait_for("its end", lambda: not _workers(arena), 10)
        arena.installation.environment["BUDGET_SIMULATOR"] = "40/1s"
        assert command.poll() is None
        arena.ended(120)

    assert command.wait(30) == 0
    arena.check_all_is_well()


def _workers(arena: Arena) -> list[Running]:
    return arena.processes("celery", " worker ")


def _is_up(arena: Arena) -> bool:
    return any((arena.home / "workers").glob("quant@*.alive"))


def _python(arena: Arena, text: str) -> None:
    run_python(text, arena.installation.variables)
