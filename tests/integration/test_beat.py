"""Beat as a process: it shows that it lives, and refuses a schedule that cannot work."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from storage.database import Database
from storage.vital_signs import BEAT, read_signs
from tests.fixtures.cli import Installation, stop, wait_for
from tests.fixtures.redis_server import RedisServer

STRAY = """
from pipeline.app import app
app.conf.beat_schedule["stray"] = {
    "task": "admin_tasks.make_tea", "schedule": 60, "options": {"queue": "default"},
}
app.start(["beat", "--pidfile="])
"""


@pytest.fixture
def cluster(installation: Installation, redis_server: RedisServer) -> Installation:
    """An installation with a broker and no worker."""
    installation.environment |= {
        "CELERY_BROKER_URL": redis_server.url(1),
        "CELERY_RESULT_BACKEND": redis_server.url(2),
        "RECONCILE_EVERY_S": "1",
    }
    installation.home.mkdir()
    Database(installation.sql()).migrate()
    return installation


@pytest.fixture
def beat(cluster: Installation) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "celery", "-A", "pipeline.app", "beat", "--pidfile="]
    with subprocess.Popen(command, env=cluster.variables, text=True) as process:
        try:
            yield process
        finally:
            stop(process)


def test_beat_shows_in_the_ledger_that_it_sends(
    beat: "subprocess.Popen[str]", cluster: Installation
) -> None:
    """So that a monitor can tell it from a worker that does nothing."""
    database = Database(cluster.sql())

    def shown() -> bool:
        assert beat.poll() is None
        return BEAT in read_signs(database)

    wait_for("the sign", shown, 60)


def test_beat_does_not_start_with_an_entry_for_a_task_that_nobody_defines(
    cluster: Installation,
) -> None:
    """A sentence names the entry and the task."""
    done = subprocess.run(
        [sys.executable, "-c", STRAY], env=cluster.variables, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "beat does not start: the entry 'stray' of the schedule calls the task" in done.stderr
    assert "'admin_tasks.make_tea', which no module defines" in done.stderr
