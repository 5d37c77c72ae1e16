"""What becomes of a mail, on real mail servers: once to each recipient, and never twice."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from admin_tasks.email import RECIPIENTS_AT_ONCE, Sent, deliver
from admin_tasks.mailing import Mailing
from admin_tasks.message import AttachmentError, compose
from storage.email_ledger import EmailLedger
from storage.email_records import DeliveryOutcome, DeliveryState, OtherContentError
from storage.email_tables import email
from storage.errors import DatabaseUnreachableError
from tests.fixtures.smtp_server import DIE, STALL, MailHost

A, B, C = "a@example.com", "b@example.com", "c@example.com"


def send(
    mailing: Mailing,
    to: str | Sequence[str] = A,
    *,
    key: str = "k",
    request: str = "r1",
    may_retry: bool = True,
    may_differ: bool = False,
    attachments: Sequence[str] = (),
    text: str = "Text\n.\n",
) -> Sent:
    """Send a mail, as a task with this id would."""
    mail = compose(to, "Subject", text, key=key, attachments=attachments)
    return deliver(mail, mailing, request=request, may_retry=may_retry, may_differ=may_differ)


def states(sent: Sent) -> dict[str, str]:
    """State by recipient."""
    return {each.recipient: each.state.value for each in sent.deliveries}


def test_a_mail_arrives_as_it_was_asked_for(mail_host: MailHost, mailing: Mailing) -> None:
    (mailing.reports / "bars.csv").write_text("symbol,close\n")

    sent = send(mailing, f"Desk <{A}>, {B}", attachments=["bars.csv"])

    assert states(sent) == {A: "accepted", B: "accepted"}
    assert (sent.deliveries[0].code, sent.deliveries[0].reason) == (250, "taken")
    assert sent.is_accepted
    assert sent.retry_in_s is None
    (mail,) = mail_host.received
    assert (mail.sender, mail.recipients) == ("quantsync@example.com", (A, B))
    assert mail.message["Message-ID"] == sent.message_id
    assert mail.message["To"] == f"Desk <{A}>, {B}"
    body = mail.message.get_body()
    assert body is not None
    assert body.get_content().splitlines() == ["Text", "."]
    (attached,) = mail.message.iter_attachments()
    assert attached.get_content() == "symbol,close\n"


def test_a_task_that_is_delivered_again_sends_nothing_again(
    mail_host: MailHost, mailing: Mailing
) -> None:
    """Neither does another one with the same key; a new recipient gets the same mail."""
    first, again = send(mailing, A), send(mailing, A)
    with mailing.ledger._database.writing() as connection:
        connection.execute(update(email).values(created_at=0.0))
    other = send(mailing, [A, B], request="r2")

    assert first == again
    assert states(other) == {A: "accepted", B: "accepted"}
    assert [mail.recipients for mail in mail_host.received] == [(A,), (B,)]
    assert len({mail.message["Message-ID"] for mail in mail_host.received}) == 1
    assert mail_host.received[1].message["Date"] == "Thu, 01 Jan 1970 00:00:00 +0000"


def test_a_refused_recipient_does_not_cost_the_others_their_mail(
    mail_host: MailHost, mailing: Mailing
) -> None:
    mail_host.rcpt_answers = {B: ["550 5.1.1 nobody here"], C: ["451 4.7.1 greylisted"]}

    sent = send(mailing, f"{A}, {B}, {C}, nobody, x@@y")

    assert states(sent) == {
        A: "accepted", B: "refused", C: "deferred", "nobody": "refused", "x@@y": "refused",
    }  # fmt: skip
    by_name = {each.recipient: each for each in sent.deliveries}
    assert (by_name[B].code, by_name[B].reason) == (550, "5.1.1 nobody here")
    assert "no @" in str(by_name["nobody"].reason)
    assert [mail.recipients for mail in mail_host.accepted] == [(A,)]
    assert states(send(mailing, f"{A}, {B}, {C}, nobody, x@@y"))[C] == "accepted"
    assert [mail.recipients for mail in mail_host.accepted] == [(A,), (C,)]


@pytest.mark.parametrize("where", ["rcpt", "data"])
def test_what_is_deferred_is_tried_again_after_ever_longer_and_not_for_ever(
    mail_host: MailHost, mailing: Mailing, where: str
) -> None:
    answers = ["450 busy", "421 closing", "450 busy"]
    if where == "rcpt":
        mail_host.rcpt_answers = {A: answers}
    else:
        mail_host.data_answers = answers

    tries = [send(mailing) for _ in range(4)]

    assert [states(each)[A] for each in tries] == ["deferred", "deferred", "failed", "failed"]
    assert [each.retry_in_s for each in tries] == [10.0, 20.0, None, None]
    assert [each.deliveries[0].code for each in tries] == [450, 421, 450, 450]
    assert mail_host.accepted == []
    assert states(send(mailing, request="r2"))[A] == "accepted"


def test_one_that_would_not_come_again_gives_up_at_once(
    mail_host: MailHost, mailing: Mailing
) -> None:
    mail_host.data_answers = ["450 busy"]
    assert states(send(mailing, may_retry=False)) == {A: "failed"}


def test_a_server_that_refuses_the_content_is_not_asked_again(
    mail_host: MailHost, mailing: Mailing
) -> None:
    mail_host.data_answers = ["554 5.7.1 spam"]
    assert states(send(mailing)) == {A: "refused"}
    assert states(send(mailing)) == {A: "refused"}
    assert len(mail_host.received) == 1


@pytest.mark.parametrize("fault", [DIE, STALL, "nonsense"])
def test_without_an_answer_to_the_content_a_mail_is_never_sent_again(
    mail_host: MailHost, mailing: Mailing, fault: str
) -> None:
    """It may have arrived. Neither is it under a new request; others still get theirs."""
    mailing = replace(mailing, server=replace(mailing.server, timeout_s=1.0))
    mail_host.data_answers = [fault]

    first = send(mailing, A)
    second = send(mailing, [A, B], request="r2")

    assert states(first) == {A: "uncertain"}
    assert first.retry_in_s is None
    assert "may have arrived" in str(first.deliveries[0].reason)
    assert states(second) == {A: "uncertain", B: "accepted"}
    assert [mail.recipients for mail in mail_host.received] == [(A,), (B,)]


def test_a_server_that_is_away_is_tried_again(mail_host: MailHost, mailing: Mailing) -> None:
    away = replace(mailing, server=replace(mailing.server, port=1))
    sent = send(away)
    assert states(sent) == {A: "deferred"}
    assert "connection refused" in str(sent.deliveries[0].reason)
    assert states(send(mailing)) == {A: "accepted"}
    assert len(mail_host.received) == 1


def test_a_thousand_recipients_get_one_mail_each_in_few_transactions(
    mail_host: MailHost, mailing: Mailing
) -> None:
    """Over one connection; one that is too many for the server waits for the next transaction."""
    everyone = [f"a{n}@example.com" for n in range(1000)]
    mail_host.rcpt_answers = {everyone[30]: ["452 4.5.3 too many recipients"]}

    sent = send(mailing, everyone)

    assert sent.is_accepted
    sizes = [len(mail.recipients) for mail in mail_host.received]
    assert max(sizes) == RECIPIENTS_AT_ONCE
    assert len(sizes) == 21
    assert mail_host.connections == 1
    reached = [each for mail in mail_host.received for each in mail.recipients]
    assert sorted(reached) == sorted(everyone)
    assert b"a999@" not in mail_host.received[0].content


def test_who_another_process_sends_to_is_left_to_it(mail_host: MailHost, mailing: Mailing) -> None:
    """It wins the recipient at the last moment, after the server was told of it."""

    class Overtaken(EmailLedger):
        def begin(
            self, email_id: int, recipients: Sequence[str], token: str, sent_by: str | None = None
        ) -> bool:
            if B in recipients:
                EmailLedger.begin(self, email_id, [B], "other")
            return EmailLedger.begin(self, email_id, recipients, token, sent_by)

    sent = send(replace(mailing, ledger=Overtaken(mailing.ledger._database)), [A, B, C])

    assert states(sent) == {A: "accepted", B: "sending", C: "accepted"}
    assert [mail.recipients for mail in mail_host.received] == [(A, C)]


def test_many_at_once_send_one_mail_to_each(mail_host: MailHost, mailing: Mailing) -> None:
    """They find each other's recipients being sent to; what the sender records stands."""
    together = threading.Barrier(6)

    def sent() -> Sent:
        together.wait()
        return send(mailing, [A, B, C])

    with ThreadPoolExecutor(6) as pool:
        for each in [pool.submit(sent) for _ in range(6)]:
            each.result()

    reached = [each for mail in mail_host.received for each in mail.recipients]
    assert sorted(reached) == [A, B, C]
    assert send(mailing, [A, B, C]).is_accepted


def test_a_ledger_that_is_away_when_the_server_has_answered_is_waited_for(
    mail_host: MailHost, mailing: Mailing
) -> None:
    class Away(EmailLedger):
        left = 1

        def settle(
            self, email_id: int, outcomes: Mapping[str, DeliveryOutcome], **how: Any
        ) -> None:
            if self.left:
                self.left -= 1
                raise DatabaseUnreachableError("away")
            EmailLedger.settle(self, email_id, outcomes, **how)

    assert send(replace(mailing, ledger=Away(mailing.ledger._database))).is_accepted
    assert len(mail_host.received) == 1


def test_a_ledger_that_cannot_take_the_mark_keeps_the_content_from_leaving(
    mail_host: MailHost, mailing: Mailing
) -> None:
    class Away(EmailLedger):
        def begin(self, *_asked: object) -> bool:
            raise DatabaseUnreachableError("away")

    with pytest.raises(DatabaseUnreachableError):
        send(replace(mailing, ledger=Away(mailing.ledger._database)))
    assert mail_host.received == []
    assert states(send(mailing)) == {A: "accepted"}


def test_an_attachment_that_is_not_there_costs_no_key(
    mail_host: MailHost, mailing: Mailing
) -> None:
    with pytest.raises(AttachmentError):
        send(mailing, attachments=["late.pdf"])
    assert mailing.ledger.entries(limit=1) == []
    (mailing.reports / "late.pdf").write_bytes(b"%PDF")
    assert send(mailing, attachments=["late.pdf"]).is_accepted
    assert len(mail_host.received) == 1


def test_a_key_stands_for_one_content_alone(mail_host: MailHost, mailing: Mailing) -> None:
    """Of its text and of its files; but what is made anew goes to who has not had it."""
    file = mailing.reports / "bars.csv"
    file.write_text("1")
    send(mailing, A, attachments=["bars.csv"])
    with pytest.raises(OtherContentError, match="use another key"):
        send(mailing, [A, B], request="r2", attachments=["bars.csv"], text="Another")
    file.write_text("2")
    with pytest.raises(OtherContentError, match="use another key"):
        send(mailing, [A, B], request="r2", attachments=["bars.csv"])
    assert [mail.recipients for mail in mail_host.received] == [(A,)]

    again = send(mailing, [A, B], request="r2", attachments=["bars.csv"], may_differ=True)

    assert [mail.recipients for mail in mail_host.received] == [(A,), (B,)]
    told = again.document["recipients"]
    assert (told[A]["had_already"], told[B]["had_already"]) == (True, False)
    assert [
        e["had_already"]
        for e in send(mailing, B, request="r2", attachments=["bars.csv"])
        .document["recipients"]
        .values()
    ] == [False]


_KILLED = """
import sys
from pathlib import Path
from admin_tasks.addresses import Mailbox
from admin_tasks.email import deliver
from admin_tasks.mailing import Mailing
from admin_tasks.message import compose
from admin_tasks.smtp import MailServer
from storage.database import Database
from storage.email_ledger import EmailLedger
from storage.killpoints import arm
folder, port, point = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
arm(point, folder / "killed")
server = MailServer("127.0.0.1", port, "none", Mailbox("quantsync@example.com"))
ledger = EmailLedger(Database(f"sqlite:///{folder / 'mail.db'}"))
mail = compose(["a@example.com", "b@example.com"], "Subject", "Text", key="k")
deliver(mail, Mailing(server, ledger, folder), request="r1")
"""


@pytest.mark.parametrize(("point", "arrived"), [("mail_begun", 0), ("mail_answered", 1)])
def test_a_process_killed_around_the_content_leaves_a_mail_that_is_not_sent_again(
    mail_host: MailHost, mailing: Mailing, tmp_path: Path, point: str, arrived: int
) -> None:
    """Before the content leaves, or when the server has taken it and the ledger knows nothing."""
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, tmp_path, str(mail_host.port), point],
        env=os.environ,
        check=False,
        timeout=60,
    )
    assert done.returncode == -9

    sent = send(mailing, [A, B], text="Text")

    assert states(sent) == {A: "uncertain", B: "uncertain"}
    assert all("not sent again" in str(each.reason) for each in sent.deliveries)
    assert len(mail_host.received) == arrived


def test_one_that_is_interrupted_while_the_content_leaves_is_uncertain_at_once(
    mail_host: MailHost, mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a time limit or Ctrl-C; others of the mail keep what is known of them."""
    mail_host.rcpt_answers = {B: ["550 nobody here"]}

    def interrupted(*_content: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("admin_tasks.smtp.Session._content", interrupted)
        with pytest.raises(KeyboardInterrupt):
            send(mailing, [A, B])

    entries = {e.delivery.recipient: e.delivery for e in mailing.ledger.entries(limit=9)}
    assert entries[A].state is DeliveryState.UNCERTAIN
    assert "interrupted" in str(entries[A].reason)
    assert mail_host.received == []
