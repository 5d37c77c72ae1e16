"""The delivery ledger: what became of each email, recipient by recipient.

It is what makes a mail that is asked for twice arrive once. A recipient is marked ``sending``,
durably, before the content leaves, by whoever wins it; who finds that mark later, with no outcome
behind it, cannot know whether the server took the mail, and does not send it again.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    case,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from storage.database import Database
from storage.email_tables import email, email_delivery

_LONGEST_RECIPIENT = 320
_LONGEST_REASON = 1000


class DeliveryState(StrEnum):
    """What became of a mail to one recipient."""

    PENDING = "pending"
    """Not tried yet."""
    DEFERRED = "deferred"
    """Certainly not taken by the server so far; tried again later."""
    SENDING = "sending"
    """The content may be on its way."""
    ACCEPTED = "accepted"
    """The server has taken responsibility for it."""
    REFUSED = "refused"
    """The server will not have it, or it is no address; certainly not sent."""
    FAILED = "failed"
    """Given up: the server could not be used, or deferred it too often; certainly not sent."""
    UNCERTAIN = "uncertain"
    """It broke off while the content was on its way: it may have arrived, so it is not repeated."""


OPEN = frozenset({DeliveryState.PENDING, DeliveryState.DEFERRED})
NOT_SENT = frozenset({DeliveryState.REFUSED, DeliveryState.FAILED})
UNHAPPY = frozenset({*NOT_SENT, DeliveryState.UNCERTAIN})

_FOUND_SENDING = (
    "the process that sent it ended, or was not heard of, after it began to send the content and "
    "before the server's answer was recorded: it may have arrived, so it is not sent again"
)


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """How an attempt for one recipient ended.

    Attributes:
        code: The server's reply code; None if it gave none.
        reason: The server's words, or ours.
    """

    state: DeliveryState
    code: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One recipient of an email, as the ledger has it.

    Attributes:
        code: The server's reply code; None if it gave none.
        changed_at: Epoch seconds.
    """

    recipient: str
    state: DeliveryState
    attempts: int
    code: int | None
    reason: str | None
    changed_at: float


@dataclass(frozen=True, slots=True)
class RecordedEmail:
    """An email in the ledger.

    Attributes:
        message_id: The header's, the same in every attempt.
        created_at: When it was first asked for, epoch seconds.
    """

    id: int
    message_id: str
    created_at: float


@dataclass(frozen=True, slots=True)
class EmailEntry:
    """An email and one of its recipients, for people."""

    key: str
    message_id: str
    subject: str
    attachments: tuple[str, ...]
    created_at: float
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class EmailRequest:
    """What is asked for.

    Attributes:
        key: Names the mail. Whoever uses it again means the same mail.
        message_id: Its header, unless the key is known already.
        recipients: Addresses.
        refused: Texts that are no address, with the reason.
        request: Id of the task or command. Who comes again under the same id, such as a redelivered
            task, changes nothing that has ended; another one tries anew what was certainly not
            sent.
    """

    key: str
    message_id: str
    sender: str
    subject: str
    attachments: Sequence[str]
    recipients: Sequence[str]
    refused: Mapping[str, str]
    request: str


class EmailLedger:
    """Emails and their recipients. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, asked: EmailRequest) -> RecordedEmail:
        """Record an email and its recipients, or find what was recorded of it. Idempotent.

        A recipient that is found ``sending`` becomes ``uncertain``; if its sender lives after all,
        what that one records later stands.

        Raises:
            StorageError: The database cannot be used.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            insert = _insert(connection)
            connection.execute(
                insert(email)
                .values(
                    key=asked.key,
                    message_id=asked.message_id,
                    sender=asked.sender,
                    subject=asked.subject,
                    attachments=json.dumps(list(asked.attachments)),
                    created_at=now,
                )
                .on_conflict_do_nothing()
            )
            row = connection.execute(select(email).where(email.c.key == asked.key)).one()
            refused = {r[:_LONGEST_RECIPIENT]: why for r, why in asked.refused.items()}
            fresh = {
                "email_id": row.id,
                "state": DeliveryState.PENDING.value,
                "attempts": 0,
                "request": asked.request,
                "changed_at": now,
            }
            rows = [{**fresh, "recipient": r} for r in [*asked.recipients, *refused]]
            connection.execute(insert(email_delivery).on_conflict_do_nothing(), rows)
            named = [str(r["recipient"]) for r in rows]
            _give_up_sending(connection, row.id, named, now)
            _reopen(connection, row.id, named, asked.request, now)
            _settle(
                connection,
                row.id,
                {
                    r: DeliveryOutcome(DeliveryState.REFUSED, None, why)
                    for r, why in refused.items()
                },
                now,
            )
        return RecordedEmail(row.id, row.message_id, row.created_at)

    def deliveries(self, email_id: int, recipients: Collection[str]) -> list[Delivery]:
        """What became of these recipients so far, by address."""
        wanted = [r[:_LONGEST_RECIPIENT] for r in recipients]
        query = (
            select(email_delivery)
            .where(email_delivery.c.email_id == email_id, email_delivery.c.recipient.in_(wanted))
            .order_by(email_delivery.c.recipient)
        )
        with self._database.reading() as connection:
            return [_delivery(row) for row in connection.execute(query).mappings()]

    def begin(self, email_id: int, recipients: Sequence[str], token: str) -> bool:
        """Mark recipients as ``sending``, all of them or none; durable on return.

        Args:
            email_id: Which mail.
            recipients: To whom its content is about to leave.
            token: Of this attempt; :meth:`settle` needs it.

        Returns:
            False if one of them is no longer open: another process sends, or has sent, to it.
        """
        columns = email_delivery.c
        with self._database.writing() as connection:
            began = connection.execute(
                update(email_delivery)
                .where(columns.email_id == email_id, columns.recipient.in_(recipients), _is(OPEN))
                .values(
                    state=DeliveryState.SENDING.value,
                    token=token,
                    began_at=(now := self._database.now(connection)),
                    changed_at=now,
                )
            ).rowcount
            if began != len(recipients):
                connection.rollback()
                return False
        return True

    def settle(
        self,
        email_id: int,
        outcomes: Mapping[str, DeliveryOutcome],
        *,
        token: str,
        max_attempts: int,
    ) -> None:
        """Record how an attempt ended. Idempotent for whoever holds the token.

        What another process has marked as its own, or as ended, stays as it is.

        Args:
            email_id: Which mail.
            outcomes: By recipient.
            token: Of this attempt.
            max_attempts: One that is deferred for so many times has ``failed``.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            _settle(connection, email_id, outcomes, now, token=token, max_attempts=max_attempts)

    def entries(self, *, only: Collection[DeliveryState] = (), limit: int) -> list[EmailEntry]:
        """Emails with their recipients, the newest first; ``only`` with one of these states."""
        query = (
            select(email_delivery, email)
            .join(email)
            .order_by(email.c.created_at.desc(), email.c.id.desc(), email_delivery.c.recipient)
            .limit(limit)
        )
        if only:
            query = query.where(_is(only))
        with self._database.reading() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]


def _give_up_sending(
    connection: Connection, email_id: int, recipients: Sequence[str], now: float
) -> None:
    columns = email_delivery.c
    connection.execute(
        update(email_delivery)
        .where(
            columns.email_id == email_id,
            columns.recipient.in_(recipients),
            _is({DeliveryState.SENDING}),
        )
        .values(
            state=DeliveryState.UNCERTAIN.value,
            attempts=columns.attempts + 1,
            reason=_FOUND_SENDING,
            changed_at=now,
        )
    )


def _reopen(
    connection: Connection, email_id: int, recipients: Sequence[str], request: str, now: float
) -> None:
    columns = email_delivery.c
    connection.execute(
        update(email_delivery)
        .where(
            columns.email_id == email_id,
            columns.recipient.in_(recipients),
            columns.request != request,
            _is(NOT_SENT),
        )
        .values(
            state=DeliveryState.PENDING.value,
            attempts=0,
            request=request,
            code=None,
            reason=None,
            changed_at=now,
        )
    )


def _settle(
    connection: Connection,
    email_id: int,
    outcomes: Mapping[str, DeliveryOutcome],
    now: float,
    *,
    token: str | None = None,
    max_attempts: int = 1,
) -> None:
    if not outcomes:
        return
    columns = email_delivery.c
    attempts = columns.attempts + 1
    deferred = bindparam("new_state") == literal(DeliveryState.DEFERRED.value)
    is_open = _is(OPEN)
    # Found by another meanwhile, it is uncertain to that one; its own sender knows better.
    is_mine = and_(columns.token == token, _is({DeliveryState.SENDING, DeliveryState.UNCERTAIN}))
    statement = (
        update(email_delivery)
        .where(
            columns.email_id == email_id,
            columns.recipient == bindparam("to"),
            is_open if token is None else or_(is_open, is_mine),
        )
        .values(
            state=case(
                (and_(deferred, attempts >= max_attempts), DeliveryState.FAILED.value),
                else_=bindparam("new_state"),
            ),
            attempts=attempts,
            code=bindparam("new_code"),
            reason=bindparam("new_reason"),
            changed_at=now,
        )
    )
    connection.execute(
        statement,
        [
            {
                "to": recipient,
                "new_state": outcome.state.value,
                "new_code": outcome.code,
                "new_reason": outcome.reason and outcome.reason[:_LONGEST_REASON],
            }
            for recipient, outcome in outcomes.items()
        ],
    )


def _is(states: Collection[DeliveryState]) -> ColumnElement[bool]:
    # Not IN: its list is written out anew for each statement, which executemany cannot do.
    return or_(*(email_delivery.c.state == state.value for state in sorted(states)))


def _insert(connection: Connection) -> Any:
    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(
        recipient=row["recipient"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        code=row["code"],
        reason=row["reason"],
        changed_at=row["changed_at"],
    )


def _entry(row: RowMapping) -> EmailEntry:
    return EmailEntry(
        key=row["key"],
        message_id=row["message_id"],
        subject=row["subject"],
        attachments=tuple(json.loads(row["attachments"])),
        created_at=row["created_at"],
        delivery=_delivery(row),
    )
