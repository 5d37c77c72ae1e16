"""An email before it is sent: what may be in one, and the bytes that it is."""

import hashlib
import mimetypes
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from admin_tasks.addresses import (
    InvalidAddressError,
    Mailbox,
    has_control,
    parse_mailbox,
    split_mailboxes,
)
from market.errors import UsageError

MAX_RECIPIENTS = 1000
MAX_TEXT_BYTES = 1 << 20
MAX_ATTACHED_BYTES = 20 << 20
SHOWN_RECIPIENTS = 50
_MAX_SUBJECT, _MAX_KEY = 500, 200
_ENCODED_WORD = "=?"
# Plain ASCII lines, so that no server on the way has reason to rewrite them.
_POLICY = SMTP.clone(cte_type="7bit")


class InvalidEmailError(UsageError):
    """An email that cannot be meant; nothing of it was sent."""


class HeaderInjectionError(InvalidEmailError):
    """A line end or control character where it could begin a header; nothing was sent."""


class AttachmentError(InvalidEmailError):
    """A file that cannot be attached; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Email:
    """An email that may be sent; :func:`compose` makes one.

    Attributes:
        key: Names the mail: whatever is asked for under one key reaches each recipient once.
        recipients: Each address once.
        refused: Texts that are no address, with the reason.
        attachments: Files, absolute or relative to the reports folder.
    """

    key: str
    recipients: tuple[Mailbox, ...]
    refused: dict[str, str]
    subject: str
    text: str
    html: str | None
    attachments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file's name, type and bytes."""

    name: str
    content_type: str
    content: bytes


def compose(
    to: str | Iterable[str],
    subject: str,
    text: str,
    *,
    key: str,
    html: str | None = None,
    attachments: Sequence[str] = (),
) -> Email:
    """Check what is asked for and make an email of it.

    Args:
        to: Addresses; one text may hold several between commas. Those that are none are refused
            singly.
        subject: One line.
        text: The body for readers without HTML.
        key: Names the mail.
        html: The body for readers with HTML.
        attachments: Files below the reports folder.

    Raises:
        HeaderInjectionError: A control character in a subject, an address, a name or a file name.
        InvalidEmailError: No recipient or too many, or too long.
    """
    texts = [to] if isinstance(to, str) else list(to)
    names = [str(name) for name in attachments]
    _check_one_line(key, subject, texts, names)
    _check_size(subject, text, html, key)
    recipients, refused = _recipients(texts)
    if not recipients and not refused:
        raise InvalidEmailError(
            "the email has no recipient: name at least one", {"key": key, "part": "to"}
        )
    if len(recipients) > MAX_RECIPIENTS:
        raise InvalidEmailError(
            f"the email has {len(recipients):,} recipients, and at most {MAX_RECIPIENTS:,} are "
            "sent to at once: use a mailing list's address, or several emails",
            {"key": key, "part": "to"},
        )
    return Email(key, recipients, refused, subject, text, html, tuple(names))


def _check_one_line(key: str, subject: str, to: Sequence[str], names: Sequence[str]) -> None:
    for part, what, values in (
        ("subject", "the subject", [subject]),
        ("to", "an address", to),
        ("attachments", "the name of an attachment", names),
        ("key", "the key", [key]),
    ):
        for value in values:
            # An encoded word may hold a line end, too; as a subject it is sent letter by letter.
            is_encoded = value is not subject and _ENCODED_WORD in value
            if has_control(value) or is_encoded:
                raise HeaderInjectionError(
                    f"{what} holds {_ENCODED_WORD if is_encoded else 'a line end or control'} "
                    f"characters, which could begin a header of its own ({value[:80]!r}), and "
                    "nothing was sent: take them out",
                    {"key": key[:_MAX_KEY], "part": part},
                )


def _check_size(subject: str, text: str, html: str | None, key: str) -> None:
    if not key.strip() or len(key) > _MAX_KEY:
        raise InvalidEmailError(f"the key of an email has 1 to {_MAX_KEY} characters, not {key!r}")
    if len(subject) > _MAX_SUBJECT:
        raise InvalidEmailError(
            f"the subject has {len(subject):,} characters: at most {_MAX_SUBJECT}",
            {"key": key, "part": "subject"},
        )
    try:
        size = sum(len(each.encode()) for each in (subject, text, html or ""))
    except UnicodeEncodeError as error:
        raise InvalidEmailError(
            f"the email holds a character that UTF-8 cannot write ({error.reason})", {"key": key}
        ) from error
    if size > MAX_TEXT_BYTES:
        raise InvalidEmailError(
            f"the text of the email is {size:,} bytes: at most {MAX_TEXT_BYTES:,}; attach it as a "
            "file",
            {"key": key},
        )


def _recipients(texts: Sequence[str]) -> tuple[tuple[Mailbox, ...], dict[str, str]]:
    found: dict[str, Mailbox] = {}
    refused = {}
    for text in texts:
        for each in split_mailboxes(text):
            try:
                mailbox = parse_mailbox(each)
            except InvalidAddressError as error:
                refused[each] = error.message
            else:
                found.setdefault(mailbox.address.casefold(), mailbox)
    return tuple(found.values()), refused


def read_attachments(names: Sequence[str], folder: Path) -> list[Attachment]:
    """Read the files to attach.

    Args:
        names: Absolute, or relative to the folder.
        folder: The installation's reports; nothing outside it is read, through links neither.

    Raises:
        AttachmentError: One lies outside, is missing or no file, or all together are too large.
    """
    attachments: list[Attachment] = []
    left = MAX_ATTACHED_BYTES
    root = folder.resolve()
    for name in names:
        path = _inside(name, root)
        content = _content(name, path, left)
        left -= len(content)
        kind, packed = mimetypes.guess_type(path.name)
        content_type = "application/octet-stream" if packed or not kind else kind
        attachments.append(Attachment(Path(name).name, content_type, content))
    return attachments


def _inside(name: str, root: Path) -> Path:
    try:
        path = (root / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise AttachmentError(f"{name!r} is no path of a file ({error})") from error
    if not path.is_relative_to(root):
        raise AttachmentError(
            f"{name} is not attached: it does not lie below the reports folder {root}, or is a "
            "link that leads out of it, and no other file is ever sent; copy it there first",
            {"attachment": name, "part": "attachments"},
        )
    if path.is_dir():
        raise AttachmentError(
            f"{name} cannot be attached: it is a folder; attach its files singly, or as an archive",
            {"attachment": name, "part": "attachments"},
        )
    if not path.is_file():
        raise AttachmentError(
            f"{name} cannot be attached: there is no such file below {root}; workers on other "
            "hosts must see that folder too",
            {"attachment": name, "part": "attachments"},
        )
    return path


def _content(name: str, path: Path, left: int) -> bytes:
    try:
        # What was looked at is what is read: a link put in its place since is not followed.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            content = file.read(left + 1)
    except OSError as error:
        raise AttachmentError(
            f"{name!r} cannot be attached, as {path} cannot be read ({error.strerror})",
            {"attachment": name, "part": "attachments"},
        ) from error
    if len(content) > left:
        raise AttachmentError(
            f"with {name} the attachments are more than {MAX_ATTACHED_BYTES >> 20} MiB, which most "
            "servers refuse: send a link instead",
            {"attachment": name, "part": "attachments"},
        )
    return content


def content_hash(email: Email, attachments: Sequence[Attachment]) -> str:
    """SHA-256 of all that a reader gets, whoever they are: subject, texts, and files by name."""
    digest = hashlib.sha256()
    parts = [email.subject.encode(), email.text.encode()]
    parts += [b"" if email.html is None else b"html" + email.html.encode()]
    for each in attachments:
        parts += [each.name.encode(), each.content]
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


def message_id(key: str, sender: Mailbox) -> str:
    """The Message-ID of a mail: always the same one, so that servers can tell a double."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"<{digest}@{sender.address.rpartition('@')[2]}>"


def render(
    email: Email,
    *,
    sender: Mailbox,
    message_id: str,
    created_at: float,
    attachments: Sequence[Attachment],
) -> bytes:
    """The email as bytes: ASCII lines that end in CRLF.

    Args:
        email: What to send. A list of more recipients than are sent to in one transaction is not
            shown to any of them.
        sender: Its ``From``.
        message_id: With its angle brackets.
        created_at: Its ``Date``, epoch seconds.
        attachments: Their bytes.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = _address(sender)
    if len(email.recipients) > SHOWN_RECIPIENTS:
        message["To"] = "undisclosed-recipients:;"
    else:
        message["To"] = [_address(each) for each in email.recipients]
    if email.subject.isascii() and _ENCODED_WORD not in email.subject:
        message["Subject"] = email.subject
    else:
        # The policy would decode encoded words, line ends in them too, and loses the spaces at
        # which it breaks its own.
        folded = Header(email.subject, "utf-8", header_name="Subject").encode(linesep="\r\n")
        message.set_raw("Subject", folded)
    message["Date"] = format_datetime(datetime.fromtimestamp(created_at, UTC))
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # no one's absence notice should answer
    message.set_content(email.text)
    if email.html is not None:
        message.add_alternative(email.html, subtype="html")
    for each in attachments:
        main, _, sub = each.content_type.partition("/")
        message.add_attachment(each.content, maintype=main, subtype=sub, filename=each.name)
    content = message.as_bytes()
    if BytesHeaderParser().parsebytes(content).keys() != message.keys():
        raise HeaderInjectionError(
            f"the headers of email {email.key} did not come out as they were meant; nothing was "
            "sent",
            {"key": email.key},
        )
    return content


def _address(mailbox: Mailbox) -> Address:
    return Address(display_name=mailbox.name, addr_spec=mailbox.address)
