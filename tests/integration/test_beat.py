"""Beat as a process: it shows that it lives, and refuses a schedule that cannot work."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.app import app
from pipeline.beat_life import begin
from pipeline.bench.processes import stop
from pipeline.bench.redis_server import RedisServer
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from storage.database import Database
from storage.vital_signs import BEAT, read_signs
from tests.fixtures.cli import Installation, wait_for


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


@pytest.mark.parametrize(
    ("task", "queue", "says"),
    [
        ("admin_tasks.make_tea", "default", "'admin_tasks.make_tea', which no module defines"),
        ("pipeline.reconcile", "defualt", "the queue 'defualt', which is not declared"),
        ("pipeline.reconcile", None, "the queue None, which is not declared"),
    ],
)
def test_beat_does_not_start_with_an_entry_that_nobody_could_serve(
    task: str,
    queue: str | None,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sentence names the entry and its fault; what beat is really given is checked."""
    entry = {"task": task, "schedule": 60, "options": {"queue": queue}}
    monkeypatch.setitem(app.conf.beat_schedule, "stray", entry)

    with pytest.raises(SystemExit, match="beat does not start: the entry 'stray'") as refused:
        begin(Runtime(Settings(quantsync_home=tmp_path)), app)
    assert says in str(refused.value)
