"""Disks that fill up, databases that go away or are locked: nothing is said that is not so."""

import contextlib
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.arena import Arena, at_length
from tests.fixtures.fault_record import Record
from tests.fixtures.tcp_proxy import proxied

Begin = Callable[..., Record]


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, of so many bytes."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a small file system needs the right to mount one: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave not a byte free."""
    ballast = folder / ".ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return ballast


@pytest.mark.services
@pytest.mark.parametrize("where", ["staging", "lake"])
def test_24_a_full_disk_is_waited_for_and_costs_nothing_else(
    arena: Arena, record: Begin, tmp_path: Path, where: str
) -> None:
    """What was fetched waits in memory or on disk; when there is room it goes on by itself."""
    noted = record("24", "no space left for 4 s", f"while writing the {where}")
    with small_disk(tmp_path / "small", "8m") as disk:
        arena.installation.environment |= {
            f"{where.upper()}_DIR": str(disk / where),
            "BUDGET_SIMULATOR": "20/1s",
            "BATCH_LEASE_S": "30",  # or a busy machine would have batches fetched twice
        }
        command = arena.start()
        arena.under_way(4)
        with noted.recovering(arena):
            ballast = fill(disk)
            time.sleep(4)
            before = arena.newest_run()
            ballast.unlink()
            arena.ended()

        assert before is not None
        assert not before.state.is_end
        assert command.wait(30) == 0
        arena.check_all_is_well()
        assert len(arena.simulator.log.since(0)) == len(arena.symbols)  # nothing fetched twice


@pytest.mark.lengthy
@pytest.mark.services
def test_24b_a_full_disk_below_the_database_is_waited_for(
    arena: Arena, record: Begin, tmp_path: Path
) -> None:
    """The ledger cannot say anything then, and nothing is taken for said."""
    noted = record("24", "no space left for 4 s", "below the SQLite database")
    with small_disk(tmp_path / "small", "24m") as disk:
        arena.installation.environment |= {
            "DATABASE_URL": f"sqlite:///{disk / 'quantsync.db'}", "BUDGET_SIMULATOR": "20/1s",
        }  # fmt: skip
        command = arena.start()
        arena.under_way(4)
        with noted.recovering(arena):
            ballast = fill(disk)
            time.sleep(4)
            ballast.unlink()
            arena.ended()

        assert command.wait(30) == 0
        arena.check_all_is_well()


@pytest.mark.lengthy
def test_24c_a_database_locked_by_another_process_is_waited_for(
    arena: Arena, record: Begin
) -> None:
    """Longer than SQLite itself waits, in the long version."""
    locked_s = 35 if at_length() else 5
    noted = record("24", f"the SQLite file locked for {locked_s} s", "by another process")
    command = arena.start()
    arena.under_way()

    with noted.recovering(arena):
        intruder = sqlite3.connect(arena.home / "quantsync.db", isolation_level=None)
        intruder.execute("BEGIN EXCLUSIVE")
        time.sleep(locked_s)
        intruder.execute("COMMIT")
        intruder.close()
        arena.ended()

    assert command.wait(30) == 0
    arena.check_all_is_well()


@pytest.mark.lengthy
@pytest.mark.parametrize("when", ["fetching", "committing"])
def test_24d_a_postgresql_that_is_away_is_waited_for(
    arena: Arena, record: Begin, postgresql_url: str, postgresql_socket: tuple[str, str], when: str
) -> None:
    """Connections are cut and refused; then it is back, and the run goes on by itself."""
    away_s = 30 if at_length() else 4
    noted = record("24", f"PostgreSQL away for {away_s} s", f"while {when}")
    socket_path, name = postgresql_socket
    with proxied(socket_path) as proxy:
        arena.installation.environment |= {
            "DATABASE_URL": f"postgresql://postgres:@127.0.0.1:{proxy.port}/{name}",
            "TEST_DATABASE_URL": postgresql_url,
        }
        command = arena.start()
        if when == "fetching":
            arena.under_way()
        else:
            arena.wait_until("a commit", lambda run: run.waves_committed > 0)
        with noted.recovering(arena):
            proxy.cut()
            time.sleep(away_s)
            proxy.restore()
            arena.ended()

        assert command.wait(30) == 0
        arena.check_all_is_well()


@pytest.mark.lengthy
def test_a_lake_that_cannot_be_written_ends_the_run_with_the_reason(arena: Arena) -> None:
    """What waiting does not cure is said at once, and the next run has it all."""
    blocked = arena.folder / "blocked"
    blocked.write_text("in the way")
    said = arena.sync(LAKE_DIR=str(blocked / "lake"))

    assert (said.code, said.json["state"]) == (1, "failed")
    assert "give permission" in said.json["reason"]
    assert arena.sync().code == 0
    arena.check_all_is_well(runs=2)


@pytest.mark.lengthy
def test_a_commit_that_waits_says_why(arena: Arena, tmp_path: Path) -> None:
    """`status` and the run's own progress name the full disk, and what happens next."""
    with small_disk(tmp_path / "small", "2m") as disk:
        arena.installation.environment["LAKE_DIR"] = str(disk / "lake")
        ballast = fill(disk)
        command = arena.start()
        arena.wait_until("the trouble", lambda run: run.trouble is not None)
        status = arena.installation.run("status")
        doctor = arena.installation.run("doctor", "--json")
        ballast.unlink()
        arena.ended()

        assert "No space left" in status.stdout
        assert "is tried again" in status.stdout
        stuck = [f for f in doctor.json["findings"] if f["what"].startswith("run ")]
        assert [f["level"] for f in stuck] == ["warning"]
        assert "quantsync repair" in stuck[0]["remedy"]
        assert command.wait(30) == 0
        arena.check_all_is_well()
