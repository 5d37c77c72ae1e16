"""SQLite files that somebody holds, or that can only be read."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.database import Database
from storage.errors import DatabaseUnreachableError

HOLD = (
    "import sys, time; from filelock import FileLock\n"
    "lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); time.sleep(60)"
)


def test_a_migration_that_somebody_holds_up_is_waited_for_and_then_said(tmp_path: Path) -> None:
    """Who holds it stands in the message, and nothing waits for ever."""
    lock = tmp_path / "test.db.migrate.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        database = Database(f"sqlite:///{tmp_path / 'test.db'}", migration_wait_s=0.5)
        try:
            with pytest.raises(DatabaseUnreachableError, match=rf"process {other.pid} has held"):
                database.migrate()
        finally:
            other.kill()

    database.migrate()
    with database.reading() as connection:
        assert database.now(connection) > 0
    database.dispose()
