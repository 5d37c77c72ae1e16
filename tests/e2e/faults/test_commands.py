"""Commands that are interrupted, killed or orphaned: no process stays, the next start goes on."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from storage.run_records import RunState
from tests.fixtures.arena import Arena
from tests.fixtures.cli import wait_for
from tests.fixtures.fault_record import Record

Begin = Callable[..., Record]


@pytest.mark.parametrize(
    "signals",
    [
        (signal.SIGTERM,),
        pytest.param((signal.SIGHUP,), marks=pytest.mark.lengthy),
        pytest.param((signal.SIGINT, signal.SIGINT), marks=pytest.mark.lengthy),
        (signal.SIGKILL,),
    ],
    ids=["SIGTERM", "SIGHUP", "double Ctrl-C", "SIGKILL"],
)
def test_25_a_command_that_is_ended_leaves_no_process_and_the_next_resumes(
    arena: Arena, record: Begin, signals: tuple[signal.Signals, ...]
) -> None:
    """However it ends; the next sync brings the queue and the run to their end."""
    names = " twice ".join(dict.fromkeys(s.name for s in signals))
    arena.installation.fresh = True
    noted = record("25", f"{names}{' twice' if len(signals) > 1 else ''} to the command", "mid-run")
    command = arena.start()
    arena.under_way()

    with noted.recovering(arena):
        for sign in signals:
            command.send_signal(sign)
            time.sleep(0.3)
        command.wait(40)
        assert "Traceback" not in arena.errors_of_the_command()
        wait_for("the children's end", lambda: not arena.processes(), 15)
        assert command.returncode == (-9 if signal.SIGKILL in signals else 130)
        said = arena.sync()

    assert said.code == 0, said.stderr
    assert "left unfinished, goes on" in said.stderr
    arena.check_all_is_well(runs=2)


@pytest.mark.lengthy
def test_the_death_of_the_commands_own_parent_changes_nothing(arena: Arena, record: Begin) -> None:
    """A shell that is killed takes no sync with it."""
    noted = record("25", "SIGKILL of the command's parent", "mid-run")
    command = [sys.executable, "-m", "pipeline.cli", *arena.words()]
    shell = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({command!r})"],
        env=arena.installation.variables,
        stdout=subprocess.DEVNULL,
    )
    arena.under_way()

    with noted.recovering(arena):
        shell.kill()
        shell.wait(10)
        arena.ended()

    wait_for("the stack's end", lambda: not arena.processes(), 30)
    arena.check_all_is_well()


def test_repair_finishes_what_a_dead_command_left(arena: Arena) -> None:
    """No sync need be asked for again: one command brings unfinished runs to their end."""
    command = arena.start()
    run = arena.under_way()
    command.kill()
    command.wait(10)
    wait_for("the children's end", lambda: not arena.processes(), 15)

    doctor = arena.installation.run("doctor")
    assert doctor.code == 0 or "nobody heals" in doctor.stdout
    assert "lease" in doctor.stdout
    repaired = arena.installation.run("repair", run.run_id, "--json")

    assert repaired.code == 0, repaired.stderr
    assert [r["state"] for r in repaired.json["runs"]] == ["committed"]
    arena.check_all_is_well()
    again = arena.installation.run("repair", run.run_id)
    assert (again.code, "there is nothing to repair" in again.stderr) == (2, True)
    nothing = arena.installation.run("repair")
    assert (nothing.code, "nothing to repair" in nothing.stdout) == (0, True)


@pytest.mark.lengthy
def test_an_abandoned_run_ends_and_its_late_work_is_refused(arena: Arena) -> None:
    """What was committed stays; what comes late is dropped; the next sync has the rest."""
    server = arena.redis()
    arena.on_cluster(server.url(1), server.url(2))
    arena.installation.environment["BUDGET_SIMULATOR"] = "10/1s"
    arena.add_worker()
    arena.start("--no-wait").wait(30)
    run = arena.under_way(3)

    said = arena.installation.run("repair", run.run_id, "--abandon", "--json")
    assert said.code == 0, said.stderr
    ended = arena.ended(5, RunState(said.json["runs"][0]["state"]))
    assert ended.reason == "abandoned on request"
    wait_for("the refusal", lambda: "its run has ended" in arena.worker_log(), 30)
    assert arena.ledger.status(run.run_id).state is ended.state

    assert arena.sync().code == 0
    arena.check_all_is_well(runs=2)
    unknown = arena.installation.run("repair", "nonsense")
    assert (unknown.code, "the ledger has no run nonsense" in unknown.stderr) == (1, True)
    needs = arena.installation.run("repair", "--abandon")
    assert (needs.code, "needs a run" in needs.stderr) == (2, True)


@pytest.mark.lengthy
def test_a_run_past_its_deadline_ends_as_partial_with_what_it_has(arena: Arena) -> None:
    """Before the deadline plus two reconcile periods, without a worker that could do anything."""
    arena.installation.environment |= {"RUN_DEADLINE_S": "6", "BUDGET_SIMULATOR": "4/1s"}
    command = arena.start()
    run = arena.ended(30, RunState.PARTIAL)

    assert (run.finished_at or 0) - run.deadline_at < 2 * 1 + 1
    assert run.outcomes["timeout"] + run.outcomes["ok"] == len(arena.symbols)
    assert command.wait(30) == 1
    out, _ = command.communicate()
    assert "deadline passed" in json.loads(out)["failures"][0]["reason"]
    del arena.installation.environment["RUN_DEADLINE_S"]
    assert arena.sync(BUDGET_SIMULATOR="100/1s").code == 0
    arena.check_all_is_well(runs=2)


def test_doctor_names_what_is_wrong_and_the_remedy(arena: Arena) -> None:
    """Each part that is not there, in one look; exit code 1."""
    well = arena.installation.run("doctor", "--json")
    assert (well.code, well.json["ok"]) == (0, True)

    (arena.folder / "file").write_text("in the way")
    ill = arena.installation.run(
        "doctor", "--json",
        CELERY_BROKER_URL="redis://127.0.0.1:1/0",
        LAKE_DIR=str(arena.folder / "file" / "lake"),
    )  # fmt: skip

    assert ill.code == 1
    wrong = {f["what"]: f for f in ill.json["findings"] if f["level"] == "error"}
    assert set(wrong) == {"backend", "broker", "budget", "lake"}
    assert all(f["remedy"] for f in wrong.values())
