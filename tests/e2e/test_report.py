"""Reports as a user and a schedule ask for them."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery

from pipeline.bench.processes import stop
from pipeline.bench.redis_server import RedisServer
from tests.fixtures.cli import Installation, wait_for
from tests.fixtures.processes import worker


def test_the_first_report_of_a_home_says_that_nothing_is_held(installation: Installation) -> None:
    """It is made all the same, and the command says where it lies."""
    said = installation.run("report", "--json")

    assert said.code == 0, said.stderr
    document = said.json
    place = installation.home / "reports" / document["session"]
    assert document["verdict"] == "empty"
    assert document["summary"]["headline"] == "No bars are held."
    assert document["facts"]["runs"]["states"] == {}
    assert Path(urlsplit(document["report_url"]).path) == place / "report.html"
    assert sorted(path.name for path in place.iterdir()) == ["report.html", "report.pdf"]
    assert document["user_id"] in (place / "report.html").read_text(encoding="utf-8")


@pytest.mark.lengthy
def test_a_worker_makes_a_report_and_hands_it_on_for_mailing(
    installation: Installation, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Twice for one session: the mail's key is the same, so that it is sent once."""
    broker, backend = redis_server.url(1), redis_server.url(2)
    installation.environment |= {"CELERY_BROKER_URL": broker, "CELERY_RESULT_BACKEND": backend}
    client = Celery(broker=broker, backend=backend, set_as_current=False)
    working = worker(
        installation.variables, tmp_path / "worker.log", pool="prefork", threads=1, queues="default"
    )
    try:
        made = client.send_task("admin_tasks.generate_report", ["somebody"], queue="default")
        answer = made.get(timeout=60)
        words = {"session": answer["session"], "to": ["desk@example.com"]}
        for _ in range(2):
            client.send_task("admin_tasks.send_report", kwargs=words, queue="default").get(60)
    finally:
        stop(working)

    assert (answer["user_id"], answer["verdict"]) == ("somebody", "empty")
    assert Path(answer["html"]).exists()
    mails = waiting_mails(redis_server)
    assert len(mails) == 2
    for mail in mails:
        assert mail["to"] == ["desk@example.com"]
        assert mail["may_differ"] is True
        assert mail["key"] == f"report:{answer['session']}"
        assert mail["subject"] == f"Market data {answer['session']}: empty"
        assert mail["body"].startswith("No bars are held.")
        assert "<h1" in mail["html"]
        assert mail["attachments"] == [answer["pdf"], answer["html"]]


def waiting_mails(server: RedisServer) -> list[dict[str, Any]]:
    """Arguments of the messages that wait in the queue of mails."""
    found: list[dict[str, Any]] = []
    with server.client(1) as client:
        wait_for("mails wait", lambda: client.keys("email_queues*"))
        for key in client.keys("email_queues*"):
            for message in client.lrange(key, 0, -1):
                body = json.loads(base64.b64decode(json.loads(message)["body"]))
                found.append(body[1])
    return found
