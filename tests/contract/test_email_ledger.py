"""The delivery ledger, on either database: whoever begins to send to somebody is the only one."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import update

import storage.email_tables
from storage.database import Database
from storage.email_ledger import EmailLedger
from storage.email_records import (
    UNHAPPY,
    DeliveryOutcome,
    DeliveryState,
    EmailRequest,
    OtherContentError,
    RecordedEmail,
)
from storage.email_tables import email_delivery
from storage.metadata import metadata

A, B = "a@example.com", "b@example.com"
ACCEPTED = DeliveryOutcome(DeliveryState.ACCEPTED, 250, "taken")
DEFERRED = DeliveryOutcome(DeliveryState.DEFERRED, 451, "later")
REFUSED = DeliveryOutcome(DeliveryState.REFUSED, 550, "nobody here")


def asked(ledger: EmailLedger, request: str = "r1", **more: object) -> RecordedEmail:
    """Ask for a mail to A and B, and to one that is no address."""
    fields = {"key": "k", "message_id": "<1@example.com>", "subject": "s", "content": "c"} | more
    return ledger.open(
        EmailRequest(
            str(fields["key"]),
            str(fields["message_id"]),
            "from@example.com",
            str(fields["subject"]),
            ["a.pdf"],
            [A, B],
            {"nobody": "it has no @"},
            request,
            str(fields["content"]),
            bool(fields.get("may_differ")),
        )
    )


def states(ledger: EmailLedger, mail: RecordedEmail) -> list[DeliveryState]:
    """Of A, B and the one that is no address."""
    return [each.state for each in ledger.deliveries(mail.id, [A, B, "nobody"])]


def test_a_mail_is_recorded_once_under_its_key(database: Database) -> None:
    ledger = EmailLedger(database)
    first, second = asked(ledger), asked(ledger, message_id="<2@example.com>")
    assert first == second
    assert second.message_id == "<1@example.com>"
    assert [entry.subject for entry in ledger.entries(limit=10)] == ["s"] * 3
    assert states(ledger, first) == ["pending", "pending", "refused"]
    assert ledger.deliveries(first.id, ["nobody"])[0].reason == "it has no @"


def test_a_key_with_other_content_is_refused_unless_it_is_the_same_mail_made_anew(
    database: Database,
) -> None:
    """The log never names a subject that nobody was sent."""
    ledger = EmailLedger(database)
    first = asked(ledger)
    with pytest.raises(OtherContentError, match=r"the key k .*\('s'\).*use another key"):
        asked(ledger, content="d", subject="other")
    assert {entry.subject for entry in ledger.entries(limit=9)} == {"s"}
    assert asked(ledger, content="d", subject="other", may_differ=True) == first
    assert {entry.subject for entry in ledger.entries(limit=9)} == {"other"}
    assert asked(ledger, content="d") == first


def test_what_nobody_will_try_again_is_listed_with_what_failed(database: Database) -> None:
    """A deferred one long after its next try was due, and one left while it was being sent."""
    ledger = EmailLedger(database)
    mail = asked(ledger)
    ledger.settle(mail.id, {A: DEFERRED}, token="t", max_attempts=3)
    ledger.begin(mail.id, [B], "t")

    def listed(ago_s: float, retry_s: float) -> list[str]:
        with database.writing() as connection:
            at = database.now(connection) - ago_s
            connection.execute(update(email_delivery).values(changed_at=at))
        return [
            e.delivery.recipient for e in ledger.entries(only=UNHAPPY, overdue=retry_s, limit=9)
        ]

    assert listed(590, 30) == ["nobody"]
    assert listed(690, 100) == ["nobody"]
    assert listed(640, 30) == [A, B, "nobody"]
    assert [e.delivery.recipient for e in ledger.entries(only=UNHAPPY, limit=9)] == ["nobody"]


def test_only_one_begins_to_send_and_takes_all_or_none(database: Database) -> None:
    ledger = EmailLedger(database)
    mail = asked(ledger)
    assert ledger.begin(mail.id, [A], "mine")
    assert not ledger.begin(mail.id, [A, B], "other")
    assert states(ledger, mail) == ["sending", "pending", "refused"]
    ledger.settle(mail.id, {A: REFUSED}, token="other", max_attempts=3)
    assert states(ledger, mail)[0] == "sending"
    ledger.settle(mail.id, {A: ACCEPTED}, token="mine", max_attempts=3)
    ledger.settle(mail.id, {A: DEFERRED}, token="mine", max_attempts=3)
    assert states(ledger, mail) == ["accepted", "pending", "refused"]
    assert not ledger.begin(mail.id, [A], "mine")


def test_what_is_found_being_sent_is_uncertain_until_its_sender_tells(database: Database) -> None:
    ledger = EmailLedger(database)
    mail = asked(ledger)
    assert ledger.begin(mail.id, [A, B], "mine")

    asked(ledger, "r1")

    assert states(ledger, mail) == ["uncertain", "uncertain", "refused"]
    assert not ledger.begin(mail.id, [A], "other")
    ledger.settle(mail.id, {A: ACCEPTED, B: DEFERRED}, token="mine", max_attempts=5)
    assert states(ledger, mail) == ["accepted", "deferred", "refused"]
    assert ledger.begin(mail.id, [B], "other")


def test_what_was_certainly_not_sent_is_tried_anew_only_when_asked_anew(database: Database) -> None:
    ledger = EmailLedger(database)
    mail = asked(ledger, "r1")
    assert ledger.begin(mail.id, [A], "t")
    ledger.settle(mail.id, {A: ACCEPTED, B: REFUSED}, token="t", max_attempts=3)
    asked(ledger, "r1")
    assert states(ledger, mail) == ["accepted", "refused", "refused"]
    asked(ledger, "r2")
    assert states(ledger, mail) == ["accepted", "pending", "refused"]
    assert ledger.deliveries(mail.id, [B])[0].attempts == 0


def test_one_that_is_deferred_too_often_has_failed(database: Database) -> None:
    ledger = EmailLedger(database)
    mail = asked(ledger)
    seen = []
    for _ in range(4):
        ledger.settle(mail.id, {A: DEFERRED}, token="t", max_attempts=3)
        seen.append(ledger.deliveries(mail.id, [A])[0])
    assert [each.state for each in seen] == ["deferred", "deferred", "failed", "failed"]
    assert (seen[-1].attempts, seen[-1].code, seen[-1].reason) == (3, 451, "later")


def test_failures_are_listed_alone_and_the_newest_mail_first(database: Database) -> None:
    ledger = EmailLedger(database)
    mail = asked(ledger)
    ledger.begin(mail.id, [A], "t")
    ledger.settle(mail.id, {A: ACCEPTED}, token="t", max_attempts=3)
    asked(ledger, key="second")
    assert [entry.key for entry in ledger.entries(limit=4)] == ["second"] * 3 + ["k"]
    failed = ledger.entries(only=UNHAPPY, limit=10)
    assert [(e.key, e.delivery.recipient) for e in failed] == [
        ("second", "nobody"),
        ("k", "nobody"),
    ]


def test_the_tables_are_what_the_migration_makes(database: Database) -> None:
    with database.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    ours = {storage.email_tables.email.name, storage.email_tables.email_delivery.name}
    assert [d for d in differences if any(name in str(d) for name in ours)] == []


def test_a_text_of_any_length_can_be_refused(database: Database) -> None:
    ledger = EmailLedger(database)
    text = "x" * 5000
    mail = ledger.open(
        EmailRequest("k", "<1@x>", "f@example.com", "s", [], [], {text: "y" * 5000}, "r", "c")
    )
    assert ledger.deliveries(mail.id, [text])[0].state is DeliveryState.REFUSED
