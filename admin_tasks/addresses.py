"""Email addresses: reading them, and refusing what is none."""

import re
import unicodedata
from dataclasses import dataclass

from market.errors import UsageError

_LONGEST, _LONGEST_LOCAL = 254, 64
_MAILBOX = re.compile(
    r'(?:(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<name>[^"<>,;]*?))\s*<(?P<spec>[^<>]*)>|(?P<bare>[^<>",;]*))'
)
_ONE_OF_SEVERAL = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,])+')
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_LINE_ENDS = "\u2028\u2029"


class InvalidAddressError(UsageError):
    """A text that is no email address."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with a name.

    Attributes:
        address: ``name@domain``, ASCII; an international domain in its ASCII form.
        name: Shown beside it; may be empty.
    """

    address: str
    name: str = ""


def parse_mailbox(text: str) -> Mailbox:
    """Read ``name@domain`` or ``Shown Name <name@domain>``.

    Quoted local parts, address literals and local parts outside ASCII are not taken.

    Raises:
        InvalidAddressError: It is no such address.
    """
    found = None if has_control(text) else _MAILBOX.fullmatch(text.strip())
    if found is None:
        raise _invalid(text, "write name@example.com, or Shown Name <name@example.com>")
    local, at, domain = (found["spec"] or found["bare"] or "").strip().rpartition("@")
    if not at:
        raise _invalid(text, "it has no @")
    if not _LOCAL.fullmatch(local) or len(local) > _LONGEST_LOCAL:
        raise _invalid(text, "what stands before the @ is not letters, digits, dots and the like")
    domain = _ascii_domain(domain)
    if not _DOMAIN.fullmatch(domain) or len(local) + 1 + len(domain) > _LONGEST:
        raise _invalid(text, "what stands behind the @ is no domain")
    name = re.sub(r"\\(.)", r"\1", found["quoted"] or "") or (found["name"] or "").strip()
    return Mailbox(f"{local}@{domain}", name)


def parse_mailboxes(text: str) -> tuple[Mailbox, ...]:
    """Read addresses between commas; a comma within quotes belongs to a name.

    Raises:
        InvalidAddressError: One of them is no address; it is named.
    """
    return tuple(parse_mailbox(each) for each in split_mailboxes(text))


def split_mailboxes(text: str) -> list[str]:
    """The texts between commas, without empty ones; none is read yet."""
    return [each.strip() for each in _ONE_OF_SEVERAL.findall(text) if each.strip()]


def has_control(text: str) -> bool:
    """Whether a text holds control characters or line ends, which could begin a header."""
    return any(unicodedata.category(c) == "Cc" or c in _LINE_ENDS for c in text)


def _ascii_domain(domain: str) -> str:
    try:
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


def _invalid(text: str, why: str) -> InvalidAddressError:
    return InvalidAddressError(f"{text!r} is no email address: {why}", {"address": text})
