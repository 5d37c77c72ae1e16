"""What the delivery ledger holds of emails: states of a recipient, and records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from market.errors import UsageError


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


class OtherContentError(UsageError):
    """A key names a mail with another content already; nothing was sent."""


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
        sent_by: Id of the task or command that sent to it last; None if none did.
    """

    recipient: str
    state: DeliveryState
    attempts: int
    code: int | None
    reason: str | None
    changed_at: float
    sent_by: str | None = None


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
        content: Hash of all that a reader gets: subject, texts and files.
        may_differ: Whether other content under a known key is the same mail, made anew.
    """

    key: str
    message_id: str
    sender: str
    subject: str
    attachments: Sequence[str]
    recipients: Sequence[str]
    refused: Mapping[str, str]
    request: str
    content: str
    may_differ: bool = False
