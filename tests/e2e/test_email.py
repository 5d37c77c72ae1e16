"""Emails as an operator sends them: by the command, and by a real admin worker that is killed."""

import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from pipeline.bench.processes import stop
from pipeline.bench.redis_server import RedisServer
from storage.database import Database
from storage.email_ledger import EmailLedger
from tests.fixtures.cli import Installation, wait_for
from tests.fixtures.processes import processes_of, worker
from tests.fixtures.smtp_server import LOGIN, STALL, Authority, MailHost, run_mail_host

A, B = "a@example.com", "b@example.com"


def mail_variables(host: MailHost, **more: str) -> dict[str, str]:
    """Settings that send to a mail server without encryption."""
    return {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(host.port),
        "SMTP_SECURITY": "none",
        "SMTP_FROM": "Market Data <quantsync@example.com>",
        "EMAIL_RETRY_S": "0.1",
        **more,
    }


def test_the_command_sends_and_says_what_became_of_each_recipient(
    installation: Installation, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "mail.html").write_text("<p>See the <b>file</b>.</p>")
    reports = installation.home / "reports"
    reports.mkdir(parents=True)
    (reports / "bars.csv").write_text("symbol,close\n")
    words = ["email", f"Desk <{A}>", B, "--subject", "日报", "--body", "See the file."]
    words += ["--html", str(tmp_path / "mail.html"), "--attach", "bars.csv"]
    with run_mail_host("starttls", authority.context, **LOGIN) as host:
        host.rcpt_answers = {A: ["451 later"], B: ["550 nobody here"]}
        installation.environment |= mail_variables(
            host,
            SMTP_SECURITY="starttls",
            SMTP_USER="quantsync",
            SMTP_PASSWORD="secret",
            SMTP_CA_FILE=str(authority.ca_file),
        )
        said = installation.run(*words)
        key = said.stderr.split()[-1]
        again = installation.run(*words, "--key", key, "--json")

    assert said.code == 1, said
    assert [line.split()[:3] for line in said.stdout.splitlines()] == [
        ["accepted", A, "250"],
        ["refused", B, "550"],
    ]
    assert "tried again in 0.1 s: later" in said.stderr
    assert again.json["recipients"][A]["state"] == "accepted"
    assert again.json["recipients"][B]["state"] == "accepted"
    had = [again.json["recipients"][each]["had_already"] for each in (A, B)]
    assert had == [True, False]
    assert [mail.recipients for mail in host.received] == [(A,), (B,)]
    message = host.received[0].message
    assert message["Subject"] == "日报"
    assert [each.get_filename() for each in message.iter_attachments()] == ["bars.csv"]

    listed = installation.run("emails", "--json").json["emails"]
    assert [(each["recipient"], each["state"], each["attempts"]) for each in listed] == [
        (A, "accepted", 2),
        (B, "accepted", 1),
    ]
    assert {"key", "message_id", "subject", "created_at", "changed_at", "code"} < set(listed[0])
    assert "delivery" not in listed[0]
    assert "secret" not in said.stdout + said.stderr + str(listed)


def test_a_command_that_is_interrupted_says_who_is_left_and_how_to_go_on(
    installation: Installation, mail_host: MailHost
) -> None:
    installation.environment |= mail_variables(mail_host, EMAIL_RETRY_S="300")
    words = ["email", A, B, "--subject", "It's", "--body", "b"]
    mail_host.rcpt_answers = {B: ["451 later"]}
    command = installation.start(*words)
    assert command.stderr is not None
    while "tried again in 300 s" not in command.stderr.readline():
        assert command.poll() is None
    command.send_signal(signal.SIGTERM)
    said = command.stderr.read()

    assert command.wait(30) == 130
    assert f"not sent to {B}, and nothing sends it later" in said
    assert "next start" not in said
    asked = shlex.split(said.partition("To go on: ")[2])
    again = installation.run(*asked[1:])
    assert (again.code, again.stdout.split()[:6]) == (
        0,
        ["accepted", A, "had", "it", "already", "(accepted"],
    )
    assert [mail.recipients for mail in mail_host.received] == [(A,), (B,)]


class Cluster:
    """An installation with a broker and admin workers of its own."""

    def __init__(
        self, installation: Installation, redis: RedisServer, host: MailHost, folder: Path
    ) -> None:
        self.installation, self.redis, self.folder = installation, redis, folder
        self.workers: list[subprocess.Popen[bytes]] = []
        installation.environment |= mail_variables(
            host,
            CELERY_BROKER_URL=redis.url(1),
            CELERY_RESULT_BACKEND=redis.url(2),
            VISIBILITY_TIMEOUT_S="1",
            EMAIL_MAX_ATTEMPTS="2",
        )
        self.ledger = EmailLedger(Database(installation.sql()))

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """A prefork admin worker with one child."""
        process = worker(
            self.installation.variables,
            self.folder / f"{name}.log",
            name=name,
            threads=1,
            pool="prefork",
            queues="default,email_queues",
        )
        self.workers.append(process)
        return process

    def publish(self, key: str, task_id: str) -> None:
        """Hand a mail to whichever worker is there."""
        words = {"to": [A], "subject": "s", "body": "b", "key": key}
        with Celery(broker=self.redis.url(1), set_as_current=False) as app:
            app.send_task(
                "admin_tasks.send_email", kwargs=words, queue="email_queues", task_id=task_id
            )

    def state(self, key: str) -> str | None:
        """What became of a mail."""
        found = [each for each in self.ledger.entries(limit=9) if each.key == key]
        return found[0].delivery.state.value if found else None

    def has_ended(self) -> bool:
        """Whether no task is in anybody's hands."""
        with self.redis.client(1) as client:
            return not client.hlen("unacked")


@pytest.fixture
def cluster(
    installation: Installation, redis_server: RedisServer, mail_host: MailHost, tmp_path: Path
) -> Iterator[Cluster]:
    """It sends to the mail host; its workers are stopped in the end."""
    migrated = Database(installation.sql())
    migrated.migrate()
    migrated.dispose()
    cluster = Cluster(installation, redis_server, mail_host, tmp_path)
    yield cluster
    stop(*cluster.workers)


def test_an_admin_worker_killed_mid_mail_never_sends_it_twice(
    cluster: Cluster, mail_host: MailHost
) -> None:
    """Its task comes to another worker, which cannot know, and says so instead of sending."""
    first = cluster.start("first")
    said = cluster.installation.run("email", A, "--subject", "s", "--body", "b", "--key", "queued")
    assert (said.code, said.stdout.split()[:2]) == (0, ["accepted", A]), said

    mail_host.data_answers = ["451 later"]
    cluster.publish("deferred", "t1")
    cluster.publish("deferred", "t1")
    wait_for("a second try", lambda: cluster.state("deferred") == "accepted")
    assert [mail.answer[:3] for mail in mail_host.received] == ["250", "451", "250"]

    mail_host.data_answers = [STALL]
    cluster.publish("killed", "t2")
    assert mail_host.has_stalled.wait(30)
    for process in processes_of(cluster.installation.home, "first@"):
        process.send(signal.SIGKILL)
    first.wait(10)
    assert cluster.state("killed") == "sending"

    cluster.start("second")
    wait_for("the task to come again", lambda: cluster.state("killed") == "uncertain", 60)
    wait_for("its end", cluster.has_ended)
    assert len(mail_host.received) == 4

    failed = cluster.installation.run("emails", "--failed")
    assert "killed" in failed.stdout
    assert "may have arrived" in failed.stdout
    assert "deferred" not in failed.stdout


@pytest.mark.lengthy
@pytest.mark.parametrize("victim", ["child", "parent"])
def test_half_a_worker_killed_mid_mail_never_sends_it_twice(
    cluster: Cluster, mail_host: MailHost, victim: str
) -> None:
    """A child's task is tried again by its parent; a child without a parent sends to the end."""
    parent = cluster.start("first")
    mail_host.data_answers = [STALL]
    cluster.publish("killed", "t1")
    assert mail_host.has_stalled.wait(30)
    for process in processes_of(cluster.installation.home, "first@"):
        if (process.pid == parent.pid) == (victim == "parent"):
            process.send(signal.SIGKILL)
    cluster.start("second")

    wait_for("the task to come again", lambda: cluster.state("killed") == "uncertain", 60)
    wait_for("its end", cluster.has_ended)

    assert len(mail_host.received) == 1
    for process in processes_of(cluster.installation.home, "first@"):
        process.send(signal.SIGKILL)
