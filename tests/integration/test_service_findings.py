"""What doctor and metrics tell of clocks, runs, freshness and what is away, with no worker up."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import update

from ingest.simulator.server import SimulatorServer
from market.clock import EXCHANGE_TZ
from pipeline import service_findings
from pipeline.bench.redis_server import RedisServer
from pipeline.metrics import read_metrics
from pipeline.runtime import Runtime
from pipeline.service_findings import (
    beat_findings,
    broker_findings,
    clock_findings,
    email_findings,
    failure_findings,
    worker_findings,
)
from pipeline.settings import Settings
from storage.email_ledger import EmailLedger
from storage.email_records import DeliveryOutcome, DeliveryState, EmailRequest
from storage.email_tables import email_delivery
from storage.run_records import RunState
from storage.vital_signs import note_clock
from tests.contract.ledger_words import batch, claimed, commit, ok, open_run, stage


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


def test_emails_that_need_a_hand_are_told_with_the_remedy(runtime: Runtime) -> None:
    """Those that are under way, and those looked after long ago, are not."""
    ledger = EmailLedger(runtime.database)
    asked = EmailRequest("k", "<1@x>", "f@x", "s", [], ["a@x", "b@x"], {}, "r", "c")
    mail = ledger.open(asked)
    later = DeliveryOutcome(DeliveryState.DEFERRED, 451, "later")
    ledger.settle(mail.id, {"a@x": later}, token="t", max_attempts=3)
    ledger.begin(mail.id, ["b@x"], "t")
    assert list(email_findings(runtime)) == []

    def aged(seconds: float) -> None:
        with runtime.database.writing() as connection:
            columns = email_delivery.c
            aged = update(email_delivery).values(changed_at=columns.changed_at - seconds)
            connection.execute(aged)

    aged(700)
    deferred, uncertain = email_findings(runtime)
    assert (deferred.what, deferred.level) == ("emails deferred", "warning")
    assert "a@x, key k" in deferred.says
    assert "same key" in str(deferred.remedy)
    assert (uncertain.what, uncertain.level) == ("emails uncertain", "warning")
    assert "b@x, key k" in uncertain.says
    assert "another key" in str(uncertain.remedy)
    aged(8 * 86_400)
    assert [each.what for each in email_findings(runtime)] == ["emails deferred"]


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


def values(runtime: Runtime) -> dict[tuple[str, ...], float]:
    """What a collector would read, by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in read_metrics(runtime)
        for sample in metric.samples
    }


def test_metrics_tell_how_many_sessions_have_settled_since_the_newest_complete_one(
    tmp_path: Path, simulator: SimulatorServer
) -> None:
    """By the market's clock and calendar: over a weekend nothing becomes late."""
    (tmp_path / "home").mkdir()
    settings = Settings(quantsync_home=tmp_path / "home", quantsync_upstream=simulator.url)
    runtime = Runtime(settings)
    run = open_run(runtime.ledger, (batch("600519.SH"),))
    assert stage(runtime.ledger, claimed(runtime.ledger, run), ok("600519.SH"))
    assert commit(runtime.ledger, run)
    behind = {}
    for now in ("2025-03-07T16:00", "2025-03-10T10:00", "2025-03-12T16:00"):
        simulator.clock.set(datetime.fromisoformat(now).replace(tzinfo=EXCHANGE_TZ))
        read = values(runtime)
        behind[now[5:10]] = read["quantsync_sessions_behind", "kline", "daily"]
    runtime.database.dispose()

    assert behind == {"03-07": 0, "03-10": 0, "03-12": 3}
    assert read["quantsync_series", "kline", "daily"] == 1
    assert read["quantsync_runs", "stocks", "daily", "live", "committed"] == 1
    close = datetime(2025, 3, 7, 15, 0, tzinfo=EXCHANGE_TZ)
    newest = read["quantsync_newest_session_timestamp_seconds", "kline", "daily"]
    assert newest == close.timestamp()


def test_metrics_say_that_the_database_is_away_and_tell_the_rest(tmp_path: Path) -> None:
    """A scrape never fails for a part."""
    settings = Settings(
        quantsync_home=tmp_path, database_url="postgresql://nobody@127.0.0.1:1/nothing"
    )

    read = values(Runtime(settings))

    assert read["quantsync_database_up",] == 0
    assert read["quantsync_disk_free_bytes", "home"] > 0
    assert ("quantsync_budget_up",) in read
