"""A home that can only be read still answers whatever only reads."""

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from storage.database import Database
from tests.fixtures.cli import Installation, Said
from tests.fixtures.mounts import read_only

if TYPE_CHECKING:
    from ingest.simulator.server import SimulatorServer

READING = (
    ("status",),
    ("runs",),
    ("verify",),
    ("boards",),
    ("boards", "--members", "BK0477"),
    ("klines", "BK0477", "--format", "csv"),
)


def run_read_only(installation: Installation, *words: str) -> Said:
    """A command for which the home cannot be written."""
    done = subprocess.run(
        read_only(installation.home, sys.executable, "-m", "pipeline.cli", *words),
        env=installation.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.mark.usefixtures("mounts")
@pytest.mark.lengthy
def test_a_home_that_can_only_be_read_answers_as_ever(
    installation: Installation, simulator: "SimulatorServer"
) -> None:
    """Word for word; also from the journal that a killed process has left. Writing is refused."""
    words = ("sync", "industries", "--from", "2025-12-30", "--upstream", simulator.url)
    assert installation.run(*words).code == 0
    expected = {command: installation.run(*command) for command in READING}
    for command, said in expected.items():
        assert run_read_only(installation, *command) == said

    database = Database(installation.sql())
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE board SET name = 'renamed' WHERE code = 'BK0477'")
    journal = installation.home / "quantsync.db-wal"
    assert journal.stat().st_size
    assert "renamed" in run_read_only(installation, "boards").stdout
    database.dispose()

    refused = run_read_only(installation, *words)
    assert refused.code == 1
    assert "cannot be written" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.usefixtures("mounts")
def test_a_read_only_database_of_an_older_version_is_said(installation: Installation) -> None:
    """It cannot be brought up to date where it cannot be written."""
    assert installation.run("runs").code == 0
    database = Database(installation.sql())
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    database.dispose()

    said = run_read_only(installation, "runs")

    assert said.code == 1
    assert "can be read only, and must first be brought up to date" in said.stderr
