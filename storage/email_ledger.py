"""The delivery ledger: what became of each email, recipient by recipient.

It is what makes a mail that is asked for twice arrive once. A recipient is marked ``sending``,
durably, before the content leaves, by whoever wins it; who finds that mark later, with no outcome
behind it, cannot know whether the server took the mail, and does not send it again.
"""

import json
from collections.abc import Collection, Mapping, Sequence
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

from storage.database import Database
from storage.email_records import (
    NOT_SENT,
    OPEN,
    Delivery,
    DeliveryOutcome,
    DeliveryState,
    EmailEntry,
    EmailRequest,
    OtherContentError,
    RecordedEmail,
)
from storage.email_tables import email, email_delivery
from storage.upserts import insert_into

_LONGEST_RECIPIENT = 320
_LONGEST_REASON = 1000
_LONGEST_PAUSE_S = 600.0
_OVERDUE_AFTER_S = 600.0
"""As long as one process may go on sending before the last recipient has its turn."""


_FOUND_SENDING = (
    "the process that sent it ended, or was not heard of, after it began to send the content and "
    "before the server's answer was recorded: it may have arrived, so it is not sent again"
)


def retry_pause_s(attempts: int, retry_s: float) -> float:
    """How long after so many tries the next one follows: ``retry_s``, then twice as long each."""
    return min(retry_s * 2.0 ** max(0, attempts - 1), _LONGEST_PAUSE_S)


class EmailLedger:
    """Emails and their recipients. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, asked: EmailRequest) -> RecordedEmail:
        """Record an email and its recipients, or find what was recorded of it. Idempotent.

        A recipient that is found ``sending`` becomes ``uncertain``; if its sender lives after all,
        what that one records later stands.

        Raises:
            OtherContentError: The key is another mail's; nothing is changed.
            StorageError: The database cannot be used.
        """
        with self._database.writing() as connection:
            now = self._database.now(connection)
            connection.execute(
                insert_into(connection, email)
                .values(
                    key=asked.key,
                    message_id=asked.message_id,
                    sender=asked.sender,
                    subject=asked.subject,
                    attachments=json.dumps(list(asked.attachments)),
                    content=asked.content,
                    created_at=now,
                )
                .on_conflict_do_nothing()
            )
            row = connection.execute(select(email).where(email.c.key == asked.key)).one()
            if row.content != asked.content:
                _renew(connection, row, asked)
            refused = {r[:_LONGEST_RECIPIENT]: why for r, why in asked.refused.items()}
            fresh = {
                "email_id": row.id,
                "state": DeliveryState.PENDING.value,
                "attempts": 0,
                "request": asked.request,
                "changed_at": now,
            }
            rows = [{**fresh, "recipient": r} for r in [*asked.recipients, *refused]]
            connection.execute(
                insert_into(connection, email_delivery).on_conflict_do_nothing(), rows
            )
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

    def begin(
        self, email_id: int, recipients: Sequence[str], token: str, sent_by: str | None = None
    ) -> bool:
        """Mark recipients as ``sending``, all of them or none; durable on return.

        Args:
            email_id: Which mail.
            recipients: To whom its content is about to leave.
            token: Of this attempt; :meth:`settle` needs it.
            sent_by: Id of the task or command that sends.

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
                    sent_by=sent_by,
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

    def entries(
        self,
        *,
        only: Collection[DeliveryState] = (),
        key: str | None = None,
        overdue: float | None = None,
        limit: int,
    ) -> list[EmailEntry]:
        """Emails with their recipients, the newest first.

        Args:
            only: Those with one of these states; none: all.
            key: Those of this mail.
            overdue: Besides ``only``, those that nobody will try again: not settled long after
                their next try was due, if the pause before a second try is so many seconds.
            limit: At most so many recipients.
        """
        query = (
            select(email_delivery, email)
            .join(email)
            .order_by(email.c.created_at.desc(), email.c.id.desc(), email_delivery.c.recipient)
            .limit(limit)
        )
        if key is not None:
            query = query.where(email.c.key == key)
        with self._database.reading() as connection:
            wanted = [_is(only)] if only else []
            if overdue is not None:
                wanted.append(_overdue(self._database.now(connection), overdue))
            if wanted:
                query = query.where(or_(*wanted))
            return [_entry(row) for row in connection.execute(query).mappings()]


def _renew(connection: Connection, known: Any, asked: EmailRequest) -> None:
    if not asked.may_differ:
        raise OtherContentError(
            f"the key {asked.key} is that of another email already ({known.subject!r}), with "
            "another subject, text or file; nothing was sent: use another key",
            {"key": asked.key},
        )
    connection.execute(
        update(email)
        .where(email.c.id == known.id)
        .values(
            subject=asked.subject,
            attachments=json.dumps(list(asked.attachments)),
            content=asked.content,
        )
    )


def _overdue(now: float, retry_s: float) -> ColumnElement[bool]:
    columns = email_delivery.c
    pauses = [(columns.attempts == n, retry_pause_s(n, retry_s)) for n in range(20)]
    pause = case(*pauses, else_=_LONGEST_PAUSE_S)
    return and_(
        _is({*OPEN, DeliveryState.SENDING}), columns.changed_at + pause < now - _OVERDUE_AFTER_S
    )


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


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(
        recipient=row["recipient"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        code=row["code"],
        reason=row["reason"],
        changed_at=row["changed_at"],
        sent_by=row["sent_by"],
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
