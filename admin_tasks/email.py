"""Sending an email: at most once to each recipient, whoever dies at whatever moment.

A mail is known by its key, in the delivery ledger. What the server certainly did not take is tried
again; from the moment at which the content begins to leave, a recipient without a recorded answer
is ``uncertain`` and left to a person.
"""

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

from admin_tasks.mailing import Mailing
from admin_tasks.message import Email, content_hash, message_id, read_attachments, render
from admin_tasks.smtp import MailServerError, Session
from storage.email_ledger import retry_pause_s
from storage.email_records import (
    OPEN,
    UNHAPPY,
    Delivery,
    DeliveryOutcome,
    DeliveryState,
    EmailRequest,
    RecordedEmail,
)
from storage.errors import StorageError
from storage.killpoints import KillPoint, reach

log = logging.getLogger(__name__)

RECIPIENTS_AT_ONCE = 50  # every server takes a hundred (RFC 5321, 4.5.3.1.8)
_BEGIN_UNTIL_S = 600.0
_RECORD_PATIENCE_S = 60.0
_INTERRUPTED = (
    "the process was interrupted after it began to send the content: it may have arrived, so it is "
    "not sent again"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of an email so far.

    Attributes:
        request: Id of the task or command that asked.
        retry_in_s: Ask again after so many seconds; None if every recipient's fate is settled.
    """

    key: str
    message_id: str
    request: str
    deliveries: tuple[Delivery, ...]
    retry_in_s: float | None

    @property
    def is_accepted(self) -> bool:
        """Whether every recipient's server took it."""
        return all(each.state is DeliveryState.ACCEPTED for each in self.deliveries)

    @property
    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "key": self.key,
            "message_id": self.message_id,
            "recipients": {
                each.recipient: {
                    "state": each.state.value,
                    "code": each.code,
                    "reason": each.reason,
                    "attempts": each.attempts,
                    "at": each.changed_at,
                    "had_already": self._had_already(each),
                }
                for each in self.deliveries
            },
        }

    def _had_already(self, each: Delivery) -> bool:
        return each.state is DeliveryState.ACCEPTED and each.sent_by != self.request


def deliver(
    email: Email,
    mailing: Mailing,
    *,
    request: str,
    may_retry: bool = True,
    may_differ: bool = False,
) -> Sent:
    """Send an email to every recipient that has not had it, as far as that goes now.

    Idempotent: a second call with the same key sends nothing to whom the first one sent.

    Args:
        email: What to send.
        mailing: What to send it with.
        request: Id of the task or command; a repetition has the same one. One with another id tries
            anew what was certainly not sent (``refused``, ``failed``).
        may_retry: Whether the caller would come again; without, what is deferred has failed.
        may_differ: Whether other content under the same key is the same mail, made anew: it goes
            to those who have not had the earlier one.

    Raises:
        AttachmentError: A file cannot be attached; nothing was sent.
        OtherContentError: The key is that of a mail with another content; nothing was sent.
        ConfigurationError: The mail server's CA file cannot be read; nothing was sent.
        StorageError: The ledger cannot be used; what had no mark there was not sent.
    """
    attachments = read_attachments(email.attachments, mailing.reports)
    sender = mailing.server.sender
    addresses = [each.address for each in email.recipients]
    opened = mailing.ledger.open(
        EmailRequest(
            key=email.key,
            message_id=message_id(email.key, sender),
            sender=sender.address,
            subject=email.subject,
            attachments=email.attachments,
            recipients=addresses,
            refused=email.refused,
            request=request,
            content=content_hash(email, attachments),
            may_differ=may_differ,
        )
    )
    everyone = [*addresses, *email.refused]
    waiting = {
        each.recipient for each in mailing.ledger.deliveries(opened.id, everyone) if _is_open(each)
    }
    if waiting:
        content = render(
            email,
            sender=sender,
            message_id=opened.message_id,
            created_at=opened.created_at,
            attachments=attachments,
        )
        tries = mailing.max_attempts if may_retry else 1
        attempt = _Attempt(mailing, opened, content, tries, request)
        attempt.send([address for address in addresses if address in waiting])
    return _sent(email, opened, mailing, everyone, request)


def _is_open(delivery: Delivery) -> bool:
    return delivery.state in OPEN


def _sent(
    email: Email, opened: RecordedEmail, mailing: Mailing, everyone: Sequence[str], request: str
) -> Sent:
    deliveries = tuple(mailing.ledger.deliveries(opened.id, everyone))
    for each in deliveries:
        if each.state in UNHAPPY:
            log.warning(
                "email %s to %s: %s (%s)", email.key, each.recipient, each.state, each.reason
            )
    tries = [each.attempts for each in deliveries if _is_open(each)]
    pause = None
    if tries:
        pause = retry_pause_s(max(tries), mailing.retry_s)
    return Sent(email.key, opened.message_id, request, deliveries, pause)


class _Attempt:
    """One connection's worth of sending."""

    def __init__(
        self,
        mailing: Mailing,
        opened: RecordedEmail,
        content: bytes,
        max_attempts: int,
        request: str,
    ) -> None:
        self._mailing, self._opened, self._content = mailing, opened, content
        self._max_attempts, self._request = max_attempts, request
        self._token = uuid.uuid4().hex

    def send(self, recipients: list[str]) -> None:
        """Send to as many as the connection and the time allow; the others are deferred."""
        until = time.monotonic() + _BEGIN_UNTIL_S
        waiting = list(recipients)
        try:
            with Session(self._mailing.server) as session:
                while waiting and session.is_open and time.monotonic() < until:
                    waiting = self._send_some(session, waiting)
        except MailServerError as error:
            state = DeliveryState.DEFERRED if error.transient else DeliveryState.FAILED
            code = error.context.get("code")
            outcome = DeliveryOutcome(state, code if isinstance(code, int) else None, error.message)
        else:
            outcome = DeliveryOutcome(
                DeliveryState.DEFERRED, None, "the connection, or the time, ended before its turn"
            )
        # Whoever has an outcome already keeps it.
        self._settle(dict.fromkeys(waiting, outcome))

    def _send_some(self, session: Session, waiting: list[str]) -> list[str]:
        """Send one transaction; who still waits after it."""
        batch = waiting[:RECIPIENTS_AT_ONCE]
        begun: list[str] = []

        def begin(taken: list[str]) -> bool:
            ledger = self._mailing.ledger
            if not ledger.begin(self._opened.id, taken, self._token, self._request):
                return False
            begun.extend(taken)
            reach(KillPoint.MAIL_BEGUN)
            return True

        try:
            outcomes = session.send(batch, self._content, begin)
        except (MailServerError, StorageError):
            raise  # certainly not sent
        except BaseException:
            unknown = DeliveryOutcome(DeliveryState.UNCERTAIN, None, _INTERRUPTED)
            self._settle(dict.fromkeys(begun, unknown))
            raise
        reach(KillPoint.MAIL_ANSWERED)
        self._settle(outcomes)
        left = [each for each in batch if each not in outcomes]
        if not outcomes:
            # Another process has taken some of them; what it left is ours.
            left = self._still_open(left)
        return left + waiting[RECIPIENTS_AT_ONCE:]

    def _still_open(self, recipients: Sequence[str]) -> list[str]:
        found = self._mailing.ledger.deliveries(self._opened.id, recipients)
        return [each.recipient for each in found if _is_open(each)]

    def _settle(self, outcomes: Mapping[str, DeliveryOutcome]) -> None:
        """Record outcomes; a database that is away for a moment must not cost the knowledge."""
        if outcomes:
            _patiently(
                lambda: self._mailing.ledger.settle(
                    self._opened.id,
                    outcomes,
                    token=self._token,
                    max_attempts=self._max_attempts,
                )
            )


def _patiently(call: Callable[[], None]) -> None:
    Retrying(
        stop=stop_after_delay(_RECORD_PATIENCE_S),
        wait=wait_exponential(multiplier=0.2, max=5),
        retry=retry_if_exception(lambda e: isinstance(e, StorageError) and e.transient),
        reraise=True,
    )(call)
