"""What doctor finds of clocks, runs and an embedded home, without any process to ask."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import service_findings
from pipeline.runtime import Runtime
from pipeline.service_findings import (
    beat_findings,
    broker_findings,
    clock_findings,
    failure_findings,
    worker_findings,
)
from pipeline.settings import Settings
from storage.run_records import RunState
from storage.vital_signs import note_clock
from tests.contract.ledger_words import batch, open_run
from tests.fixtures.redis_server import RedisServer


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """An embedded home of which no stack is up."""
    (tmp_path / "home").mkdir()
    found = Runtime(Settings(quantsync_home=tmp_path / "home"))
    yield found
    found.database.dispose()


def test_an_upstreams_clock_that_is_off_is_told_with_its_remedy(runtime: Runtime) -> None:
    """A second more or less is what its header cannot tell."""
    note_clock(runtime.database, "eastmoney", 2.9)
    note_clock(runtime.database, "sina", -61.5)

    near, far = clock_findings(runtime)
    assert (near.what, near.level) == ("clock of eastmoney", "ok")
    assert (far.what, far.level) == ("clock of sina", "warning")
    assert "-61.5 s off this machine's" in far.says
    assert "time server" in str(far.remedy)


def test_a_machine_whose_clock_is_off_redis_is_told(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each Redis by its own name."""
    behind = SimpleNamespace(time=lambda: time.time() - 90)
    monkeypatch.setattr(service_findings, "time", behind)

    found = service_findings._redis("budget", redis_server.url(2))

    assert (found.what, found.level) == ("budget", "warning")
    assert "its clock is +90" in found.says


def test_the_newest_run_of_each_sort_is_told_if_it_is_not_whole(runtime: Runtime) -> None:
    """An older failure is history once a later run was whole."""
    ledger = runtime.ledger
    ledger.end_run(open_run(ledger, (batch("600519.SH"),)), RunState.FAILED, "the disk is full")
    (failed,) = failure_findings(runtime)
    assert "stocks daily live ended as failed: the disk is full" in failed.says
    assert "--failures" in str(failed.remedy)

    ledger.end_run(open_run(ledger, (batch("600519.SH"),)), RunState.COMMITTED, "")
    assert list(failure_findings(runtime)) == []


def test_an_embedded_home_at_rest_lacks_nothing(runtime: Runtime) -> None:
    """No broker, no worker and no beat are what it should have."""
    (broker,) = broker_findings(runtime.settings)
    (beat,) = beat_findings(runtime)

    assert (broker.level, beat.level) == ("ok", "ok")
    assert "it has never ticked here; `quantsync up` keeps the schedule" in beat.says
    assert list(worker_findings(runtime)) == []
