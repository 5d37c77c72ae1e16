"""Two real workers on one Redis: what they say of themselves, and what doctor says of them."""

import contextlib
import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sqlalchemy import update

from pipeline.app import celery_config
from pipeline.bench.processes import stop, worker
from pipeline.bench.redis_server import run_redis
from pipeline.queues import ADMIN_QUEUES, ALL_QUEUES, QUANT_QUEUES
from pipeline.runtime import Runtime
from pipeline.service_findings import beat_findings
from pipeline.settings import Settings
from storage.database import Database
from storage.ledger_tables import installation as facts
from storage.vital_signs import (
    BEAT,
    TICK,
    note_failure,
    note_sign,
    read_failures,
    read_signs,
)
from tests.fixtures.cli import Installation, wait_for

ECHO = "celery.accumulate"
"""A task that Celery itself brings; it returns what it is given."""
FULL = 200


@dataclass
class Cluster:
    """An installation with a quant worker and an admin worker, whose logs are JSON."""

    installation: Installation
    settings: Settings
    celery: Celery
    database: Database
    quant: "subprocess.Popen[bytes]"
    admin: "subprocess.Popen[bytes]"
    logs: Path

    def send(self, task: str, queue: str, *arguments: object) -> AsyncResult:
        """Hand a message to the broker."""
        return self.celery.send_task(task, args=arguments, queue=queue)

    def records(self, name: str) -> list[dict[str, Any]]:
        """The lines of a worker's log after its banner; each must be a JSON object."""
        lines = (self.logs / f"{name}.log").read_text().splitlines()
        first = next(n for n, line in enumerate(lines) if line.startswith("{"))
        return [json.loads(line) for line in lines[first:] if line]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("workers")
    with run_redis(folder, durable=False) as server:
        variables = {
            "CELERY_BROKER_URL": server.url(1),
            "CELERY_RESULT_BACKEND": server.url(2),
            # Nobody listens there: what asks for the market's clock fails.
            "QUANTSYNC_UPSTREAM": "http://127.0.0.1:1",
            "LOG_FORMAT": "json",
        }
        home = Installation(folder / "home", variables)
        database = Database(home.sql())
        (folder / "home").mkdir()
        database.migrate()
        quant = worker(home.variables, folder / "quant.log", threads=1)
        admin = worker(
            home.variables, folder / "admin.log", name="admin", pool="prefork", threads=1,
            queues=",".join(ADMIN_QUEUES),
        )  # fmt: skip
        settings = Settings(
            quantsync_home=home.home,
            celery_broker_url=server.url(1),
            celery_result_backend=server.url(2),
        )
        celery = Celery("test", set_as_current=False)
        celery.conf.update(celery_config(settings))
        found = Cluster(home, settings, celery, database, quant, admin, folder)
        try:
            for queue in ALL_QUEUES:
                found.send(ECHO, queue, 0).get(timeout=60)
            yield found
        finally:
            for process in (quant, admin):
                process.send_signal(signal.SIGCONT)
            stop(quant, admin)
            celery.close()
            database.dispose()


@contextlib.contextmanager
def standing_still(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """A worker that answers nothing for a while, as one does that hangs."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def put_back(cluster: Cluster, name: str, seconds: float) -> None:
    """Let a sign of life be so old."""
    note_sign(cluster.database, name)
    then = read_signs(cluster.database)[name].at - seconds
    with cluster.database.writing() as connection:
        connection.execute(
            update(facts).where(facts.c.name == f"sign:{name}").values(value=str(then))
        )


def test_inspect_names_each_worker_its_tasks_and_its_queues(cluster: Cluster) -> None:
    """Nobody is missing: exit code 0."""
    said = cluster.installation.run("inspect", "--json")

    assert said.code == 0, said.stderr
    by_name = {each["name"].split("@")[0]: each for each in said.json["workers"]}
    assert set(by_name["quant"]["queues"]) == set(QUANT_QUEUES)
    assert set(by_name["admin"]["queues"]) == set(ADMIN_QUEUES)
    assert by_name["quant"]["pool"] == 1
    assert {"pipeline.fetch_batch", "pipeline.tick"} <= set(by_name["admin"]["registered"])
    assert by_name["quant"]["done"][ECHO] >= len(QUANT_QUEUES)
    assert by_name["quant"]["active"] == by_name["quant"]["scheduled"] == []
    queues = {each["queue"]: each for each in said.json["queues"]}
    assert set(queues) == set(ALL_QUEUES)
    assert all(each["messages"] == 0 and len(each["consumers"]) == 1 for each in queues.values())


@pytest.mark.parametrize(
    ("full", "other"), [("email_queues", "quant_stock_queues"), ("quant_stock_queues", "default")]
)
def test_a_full_queue_does_not_delay_the_other_worker(
    cluster: Cluster, full: str, other: str
) -> None:
    """What came last on one queue is done while all of the other's messages wait; none is lost."""
    stuck = cluster.admin if full == "email_queues" else cluster.quant
    with standing_still(stuck):
        waiting = [cluster.send(ECHO, full, number) for number in range(FULL)]
        assert cluster.send(ECHO, other, "late").get(timeout=60) == ["late"]
        assert not any(result.ready() for result in waiting)
    assert [result.get(timeout=60) for result in waiting] == [[n] for n in range(FULL)]


def test_doctor_tells_a_silent_worker_a_failed_task_and_a_beat_that_does_not_fire(
    cluster: Cluster,
) -> None:
    """The three classic cases, each by its name and with its remedy."""
    failing = cluster.send("pipeline.tick", "default", "stocks_5m")
    failing.get(timeout=60, propagate=False)
    wait_for("the note", lambda: read_failures(cluster.database))
    put_back(cluster, BEAT, 600)
    with standing_still(cluster.admin):
        waiting = [cluster.send(ECHO, "email_queues", n) for n in range(3)]
        said = cluster.installation.run("doctor", "--json")
    for result in waiting:
        result.get(timeout=60)

    assert said.code == 1
    ill = {found["what"]: found for found in said.json["findings"]}
    silent, failed, still = (
        ill[name] for name in ("queue email_queues", "task pipeline.tick", "beat")
    )
    assert silent["level"] == still["level"] == "error"
    assert "a worker does not answer" in silent["says"]
    assert "last sign of life here: admin@" in silent["says"]
    assert "make worker-admin" in silent["remedy"]
    assert failed["level"] == "error"
    assert "no market simulator answers" in failed["says"]
    assert failing.id in failed["remedy"]
    assert "beat does not fire: ticked 10 min" in still["says"]
    assert "make beat" in still["remedy"]
    assert not any(name.startswith("queue quant") for name in ill)
    assert [ill[name]["level"] for name in ("broker", "backend", "budget")] == ["ok"] * 3

    # A failure stands there until the task succeeds.
    cluster.send("pipeline.tick", "default", "no such run").get(timeout=60)
    wait_for("the end of it", lambda: not read_failures(cluster.database))


def test_doctor_tells_beat_that_fires_from_ticks_that_nobody_serves(cluster: Cluster) -> None:
    """Beat and the admin worker are two."""
    runtime = Runtime(cluster.settings)
    note_sign(cluster.database, BEAT)
    note_sign(cluster.database, TICK)
    assert [found.level for found in beat_findings(runtime)] == ["ok"]

    put_back(cluster, TICK, 3_000)
    (beat, ticks) = beat_findings(runtime)
    assert (beat.level, ticks.level) == ("ok", "error")
    assert "no worker does what it says" in ticks.says


def test_each_line_of_a_workers_log_is_a_json_object_with_what_it_is_about(
    cluster: Cluster,
) -> None:
    """Run and batch are fields, the task too, and a traceback is one of them."""
    cluster.send("pipeline.fetch_batch", "quant_stock_queues", "20251231T000000-none", 7).get(60)
    cluster.send("pipeline.tick", "default", "stocks_5m").get(timeout=60, propagate=False)
    about = [each for each in cluster.records("quant") if each.get("batch_no") == 7]

    assert about, cluster.records("quant")
    assert about[0]["run_id"] == "20251231T000000-none"
    assert about[0]["task"] == "pipeline.fetch_batch"
    assert about[0]["time"].endswith("+08:00")
    assert {"level", "logger", "message", "task_id"} <= set(about[0])

    def traced() -> bool:
        return any("ConfigurationError" in str(each.get("exc_info")) for each in admin())

    def admin() -> list[dict[str, Any]]:
        return cluster.records("admin")

    wait_for("the traceback", traced)


def test_a_collector_is_served_what_stands_in_queues_and_ledger(cluster: Cluster) -> None:
    """In the format that it asks for; the process ends in order."""
    put_back(cluster, BEAT, 600)
    note_failure(cluster.database, "admin_tasks.clean_up", "id", "OSError: no")
    serving = cluster.installation.start("metrics", "--listen", "127.0.0.1:0")
    try:
        assert serving.stderr is not None
        url = serving.stderr.readline().split()[-1]
        with standing_still(cluster.admin):
            waiting = [cluster.send(ECHO, "email_queues", n) for n in range(FULL)]
            read = scraped(url)
        for result in waiting:
            result.get(timeout=60)
    finally:
        stop(serving)

    # What the worker had taken when it stopped is not waiting.
    assert FULL - 8 <= read["quantsync_queue_messages", "email_queues"] <= FULL
    assert read["quantsync_queue_messages", "quant_stock_queues"] == 0
    assert read["quantsync_broker_up",] == read["quantsync_database_up",] == 1
    assert ("quantsync_task_failed_seconds", "admin_tasks.clean_up") in read
    assert 590 < time.time() - read["quantsync_sign_timestamp_seconds", "beat"] < 900
    assert serving.returncode == 0


def scraped(url: str) -> dict[tuple[str, ...], float]:
    """What a collector reads: values by name and labels."""
    wanted = urllib.request.Request(url, headers={"Accept": "application/openmetrics-text"})
    with urllib.request.urlopen(wanted, timeout=30) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }
