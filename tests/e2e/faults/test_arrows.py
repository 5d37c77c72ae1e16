"""SIGKILL at every arrow in the life of a run: between any two steps nothing is lost or doubled."""

import signal
import threading
from collections.abc import Callable

import pyarrow as pa
import pytest

from storage.killpoints import KillPoint
from storage.run_records import RunState
from tests.fixtures.arena import Arena, run_python
from tests.fixtures.cli import wait_for
from tests.fixtures.fault_record import Record

Begin = Callable[..., Record]

CASES = {
    KillPoint.BATCH_CLAIMED: ("2", "after a batch was claimed"),
    KillPoint.ITEM_FETCHED: ("2", "after a fetch, before staging"),
    KillPoint.FILES_STAGED: ("2", "after staging, before the ledger"),
    KillPoint.BATCH_RECORDED: ("5", "after the ledger has a batch, before the acknowledgement"),
    KillPoint.WAVE_CLAIMED: ("6", "commit: after the claim"),
    KillPoint.PARTITION_WRITTEN: ("6", "commit: before the rename of a partition"),
    KillPoint.PARTITION_RENAMED: ("7", "commit: after the rename, other partitions to come"),
    KillPoint.LAKE_WRITTEN: ("7", "commit: after the lake, before SQL"),
    KillPoint.WAREHOUSE_WRITTEN: ("8", "commit: after SQL, before the ledger"),
    KillPoint.WAVE_RECORDED: ("8", "commit: after the ledger, before the acknowledgement"),
}


_LENGTHY = (KillPoint.BATCH_CLAIMED, KillPoint.WAVE_CLAIMED, KillPoint.WAREHOUSE_WRITTEN)


@pytest.mark.parametrize(
    "point",
    [pytest.param(p, marks=[pytest.mark.lengthy] if p in _LENGTHY else []) for p in CASES],
    ids=str,
)
def test_a_worker_killed_at_an_arrow_changes_nothing_but_the_time(
    arena: Arena, record: Begin, point: KillPoint
) -> None:
    """The run completes without a hand on it, and the stores equal the undisturbed ones."""
    number, where = CASES[point]
    noted = record(number, "SIGKILL", where)
    # Only the worker is armed: a command that commits beside it must not die of it.
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    doomed = arena.add_worker("doomed", KILL_AT=str(point))
    command = arena.start()
    wait_for("the kill", lambda: doomed.poll() is not None, 60)
    with noted.recovering(arena):
        assert doomed.returncode == -9
        arena.revive_workers()
        arena.ended()

    assert command.wait(30) == 0
    arena.check_all_is_well()


@pytest.mark.parametrize("nth", [1, 5], ids=["none published", "half published"])
def test_3_4_a_planner_killed_before_its_messages_left_is_caught_up_with(
    arena: Arena, record: Begin, nth: int
) -> None:
    """The plan stands in the ledger: the reconciler publishes what is missing, and only that."""
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment["WAVE_ITEMS"] = "400"
    point = KillPoint.RUN_RECORDED if nth == 1 else KillPoint.MESSAGE_PUBLISHED
    noted = record(
        "3" if nth == 1 else "4",
        "SIGKILL of the planner",
        "before the first message" if nth == 1 else "with half of the header published",
    )
    arena.installation.environment["KILL_AT"] = point if nth == 1 else f"{point}:{nth}"
    planner = arena.start("--no-wait")
    assert planner.wait(30) == -9
    del arena.installation.environment["KILL_AT"]

    with noted.recovering(arena):
        arena.add_worker()  # reconciles at its start
        arena.add_beat()
        arena.ended()

    assert len(arena.simulator.log.since(0)) == len(arena.symbols)
    arena.check_all_is_well()


def test_5_what_is_staged_is_committed_with_no_worker_and_no_broker(
    arena: Arena, record: Begin
) -> None:
    """The body was never published, and nobody is left who could: the reconciler needs neither."""
    noted = record(
        "5", "SIGKILL of the only worker and of Redis, for good", "after the last header"
    )
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment["WAVE_ITEMS"] = "400"
    doomed = arena.add_worker("doomed", KILL_AT=f"{KillPoint.BATCH_RECORDED}:8")
    command = arena.start()
    wait_for("the kill", lambda: doomed.poll() is not None, 60)
    with noted.recovering(arena):
        server.kill()
        arena.ended()

    assert command.wait(30) == 0
    arena.check_all_is_well()


def test_12_a_committer_that_stood_still_is_refused_when_it_goes_on(
    arena: Arena, record: Begin
) -> None:
    """Stopped between the two stores beyond its lease: another commits, and its log says so."""
    noted = record("12", "SIGSTOP of the committer beyond its lease, then SIGCONT", "lake | SQL")
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment["WAVE_ITEMS"] = "400"
    zombie = arena.add_worker("zombie", KILL_AT=f"{KillPoint.LAKE_WRITTEN}=wait")
    command = arena.start()
    marker = arena.home / "killed"
    wait_for("the arrow", marker.exists, 60)
    arena.stop_outside_a_transaction(zombie)
    with noted.recovering(arena):
        arena.add_worker("other")
        arena.ended()
        marker.unlink()
        zombie.send_signal(signal.SIGCONT)

    assert command.wait(30) == 0
    wait_for("the refusal", lambda: "late writes are refused" in arena.worker_log("zombie"), 30)
    arena.check_all_is_well()


@pytest.mark.lengthy
def test_a_committer_that_hangs_in_a_partition_stops_nothing_but_its_wave(arena: Arena) -> None:
    """It holds the partition's lock for ever: the run says who, and ends at its deadline."""
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment |= {"RUN_DEADLINE_S": "14", "WAVE_ITEMS": "400"}
    hung = arena.add_worker("hung", KILL_AT=f"{KillPoint.PARTITION_WRITTEN}=hang")
    command = arena.start()
    run = arena.wait_until("the trouble", lambda run: run.trouble is not None)
    assert f"process {hung.pid}" in str(run.trouble)
    run = arena.ended(60, RunState.PARTIAL)

    assert (run.finished_at or 0) - run.deadline_at < 2 * 1 + 2
    assert run.outcomes == {"not_stored": len(arena.symbols)}
    assert command.wait(30) == 1
    hung.kill()
    hung.wait(10)
    mended = arena.installation.run("repair")
    assert (mended.code, "half committed" in mended.stderr) == (0, True), mended.stderr
    assert arena.installation.run("verify").code == 0
    del arena.installation.environment["RUN_DEADLINE_S"]
    arena.add_worker("healthy")
    assert arena.sync().code == 0
    arena.check_all_is_well(runs=2)


@pytest.mark.lengthy
def test_a_run_abandoned_in_the_middle_of_a_commit_leaves_both_stores_the_same(
    arena: Arena,
) -> None:
    """The bars are right: they are written where they lack, and the next sync covers them."""
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment["WAVE_ITEMS"] = "400"
    doomed = arena.add_worker("doomed", KILL_AT=f"{KillPoint.LAKE_WRITTEN}=hang")
    arena.start("--no-wait").wait(30)
    run = arena.wait_until(
        "the lake", lambda _: (arena.home / "lake/kline/period=daily/year=2025").exists()
    )
    assert arena.installation.run("verify").code == 1
    said = arena.installation.run("repair", run.run_id, "--abandon")
    assert said.code == 0, said.stderr
    doomed.kill()
    doomed.wait(10)
    again = arena.installation.run("repair")

    assert "half committed" in said.stderr + again.stderr
    assert arena.installation.run("verify").code == 0
    arena.add_worker("healthy")
    assert arena.sync().code == 0
    arena.check_all_is_well(runs=2)


@pytest.mark.lengthy
def test_a_list_is_committed_though_the_upstreams_clock_is_gone(arena: Arena) -> None:
    """What a list means was staged with it: the run ends by its outcomes, and in time."""
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.add_worker("doomed", KILL_AT=str(KillPoint.BATCH_RECORDED))
    command = arena.installation.start(
        "sync", "concepts", "--upstream", arena.simulator.url, errors=arena.folder / "concepts.log"
    )
    wait_for("the kill", lambda: not arena.processes("celery"), 60)
    arena.simulator.stop()
    arena.revive_workers()
    run = arena.wait_until("the end", lambda run: run.state.is_end)

    assert run.state is RunState.PARTIAL, run.reason
    assert (run.finished_at or 0) < run.deadline_at
    assert run.outcomes["ok"] == 1  # the list
    assert command.wait(30) == 1


def test_two_reconcilers_and_two_workers_at_once_do_everything_once(arena: Arena) -> None:
    """Handing out twice costs a look into the ledger: every symbol is asked for once."""
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.start("--no-wait").wait(30)
    assert not arena.wait_until("the plan", lambda run: run.batches > 0).state.is_end
    with server.server.client(1) as client:
        client.flushall()
    text = (
        "from pipeline import publishing\n"
        "from pipeline.reconcile import reconcile\n"
        "from pipeline.runtime import current_runtime\n"
        "for _ in range(5):\n"
        "    reconcile(current_runtime(), publishing, idle_s=0.0)\n"
    )
    reconcilers = [
        threading.Thread(target=run_python, args=(text, arena.installation.variables))
        for _ in range(2)
    ]
    for thread in reconcilers:
        thread.start()
    for name in ("one", "two"):
        arena.add_worker(name, size=4)
    arena.add_beat()
    for thread in reconcilers:
        thread.join(60)
    arena.ended()

    assert len(arena.simulator.log.since(0)) == len(arena.symbols)
    arena.check_all_is_well()


def test_four_processes_that_commit_to_one_partition_lose_no_row(arena: Arena) -> None:
    """The lock of the partition, and one writer at a time in SQL."""
    arena.installation.environment["RECONCILE_EVERY_S"] = "90"  # the lock is waited for 60 s
    text = (
        "import sys, pyarrow.parquet as pq\n"
        "from market.bars import Dataset, sorted_bars\n"
        "from market.periods import Period\n"
        "from pipeline.runtime import current_runtime\n"
        "import pyarrow as pa, datetime\n"
        "runtime = current_runtime()\n"
        "bars = pq.read_table(sys.argv[1])\n"
        "for at in range(0, bars.num_rows, 400):\n"
        "    part = sorted_bars(Dataset.KLINE, bars.slice(at, 400))\n"
        "    runtime.lake.write(Dataset.KLINE, Period.DAILY, part)\n"
        "    runtime.warehouse.write_bars(Dataset.KLINE, Period.DAILY, part)\n"
    )
    rows = arena.undisturbed.num_rows
    files = []
    for at in range(4):
        mine = arena.undisturbed.take(pa.array(range(at, rows, 4)))
        stamped = mine.append_column(
            "fetched_at", pa.array([0] * mine.num_rows, pa.timestamp("us", tz="UTC"))
        )
        files.append(arena.write_parquet(f"part{at}.parquet", stamped))
    threads = [
        threading.Thread(target=run_python, args=(text, arena.installation.variables, str(file)))
        for file in files
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    lake, warehouse = arena.stored()
    assert lake.equals(arena.undisturbed)
    assert warehouse.equals(arena.undisturbed)
