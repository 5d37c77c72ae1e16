"""Talking to a mail server: one connection, and what the server said for each recipient.

The one thing that must be told apart: whether a mail was certainly not taken, which may be tried
again, or may have been, which must not. An error of this module always means the former.
"""

import contextlib
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from admin_tasks.addresses import Mailbox
from ingest.causes import plain_cause
from market.errors import ConfigurationError, QuantsyncError
from storage.email_records import DeliveryOutcome, DeliveryState

_START, _CLOSING, _TOO_MANY = 354, 421, 452
_BARE_LINE_END = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT = re.compile(rb"(?m)^\.")


class MailServerError(QuantsyncError):
    """The mail server cannot be used; what was to be sent was certainly not.

    ``transient`` says whether trying again may succeed without anybody's hand. The context's
    ``code`` is the server's reply code, where it gave one.
    """

    transient = False


class MailServerUnreachableError(MailServerError):
    """No connection, it broke, or the server asks to come again later."""

    transient = True


class MailServerUnusableError(MailServerError):
    """It is there, and is not to be used as configured: certificate, login, or encryption."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """How to reach a mail server.

    Attributes:
        security: ``tls`` from the first byte, ``starttls`` before anything else is said, or
            ``none``.
        verify: Whether its certificate must be valid and its own.
        ca_file: Certificates trusted instead of the system's.
        timeout_s: How long one answer is waited for.
    """

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    sender: Mailbox
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    verify: bool = True
    ca_file: Path | None = None
    timeout_s: float = 60.0

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"


class Session:
    """A connection to a mail server, open while its block runs.

    Raises:
        MailServerError: On entering: it cannot be reached, or used as configured.
        ConfigurationError: On entering: the CA file cannot be read.
    """

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        server, context = self._server, _tls_context(self._server)
        smtp: smtplib.SMTP | None = None
        try:
            smtp = _connected(server, context)
            # smtplib would ask the DNS for this machine's name, for seconds where it has none.
            smtp.local_hostname = _own_name(smtp)
            smtp.ehlo_or_helo_if_needed()
            if server.security == "starttls":
                smtp.starttls(context=context)
                smtp.ehlo_or_helo_if_needed()
            if server.user is not None:
                smtp.login(server.user, server.password or "")
        except OSError as error:
            if smtp is not None:
                smtp.close()
            raise self._translated(error) from error
        self._smtp = smtp
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._smtp is None:
            return
        if kind is None:
            with contextlib.suppress(OSError):  # the answer is in hand; this is politeness
                self._smtp.quit()
        self._smtp.close()
        self._smtp = None

    @property
    def is_open(self) -> bool:
        """Whether another mail can be sent."""
        return self._smtp is not None

    def send(
        self, recipients: Sequence[str], content: bytes, begin: Callable[[list[str]], bool]
    ) -> Mapping[str, DeliveryOutcome]:
        """Send one mail in one transaction.

        Args:
            recipients: Addresses, ASCII.
            content: The mail; ASCII.
            begin: Called with the recipients that the server takes, before the content leaves;
                with False nothing is sent.

        Returns:
            Outcomes of those for whom the transaction decided: ``accepted``, ``deferred``,
            ``refused`` or ``uncertain``. Those left out belong to another transaction.

        Raises:
            MailServerUnreachableError: The connection broke before any content left.
        """
        smtp = self._smtp
        assert smtp is not None
        outcomes: dict[str, DeliveryOutcome] = {}
        try:
            size = [f"size={len(content)}"] if smtp.has_extn("size") else []
            code, words = self._heard(smtp.mail(self._server.sender.address, size))
            if not _is_yes(code):
                smtp.rset()
                return dict.fromkeys(recipients, _refusal(code, words))
            taken: list[str] = []
            for each in recipients:
                code, words = self._heard(smtp.rcpt(each))
                if _is_yes(code):
                    taken.append(each)
                elif not (code == _TOO_MANY and taken):
                    outcomes[each] = _refusal(code, words)
            if not taken or not begin(taken):
                smtp.rset()
                return outcomes
            code, words = self._heard(smtp.docmd("DATA"))
            if code != _START:
                smtp.rset()
                return outcomes | dict.fromkeys(taken, _refusal(code, words))
        except OSError as error:
            self._drop()
            raise self._translated(error) from error
        return outcomes | dict.fromkeys(taken, self._content(smtp, content))

    def _content(self, smtp: smtplib.SMTP, content: bytes) -> DeliveryOutcome:
        """From here on the server may take the mail without our hearing of it."""
        lines = _BARE_LINE_END.sub(b"\r\n", content).removesuffix(b"\r\n")
        try:
            smtp.send(_LEADING_DOT.sub(b"..", lines) + b"\r\n.\r\n")
            code, raw = smtp.getreply()
        except OSError as error:
            self._drop()
            return DeliveryOutcome(
                DeliveryState.UNCERTAIN,
                None,
                f"the connection to {self._server.address} broke after the content began to leave, "
                f"and before the server's answer ({_cause(error)}): it may have arrived, so it is "
                "not sent again",
            )
        words = self._plain(raw)
        if _is_yes(code):
            return DeliveryOutcome(DeliveryState.ACCEPTED, code, words)
        if code // 100 in (4, 5):
            return _refusal(code, words)
        self._drop()
        return DeliveryOutcome(
            DeliveryState.UNCERTAIN,
            code if code > 0 else None,
            f"{self._server.address} answered the content with what is no SMTP reply ({words!r}): "
            "it may have arrived, so it is not sent again",
        )

    def _heard(self, reply: tuple[int, bytes]) -> tuple[int, str]:
        code, words = reply[0], self._plain(reply[1])
        if code == _CLOSING:
            raise smtplib.SMTPResponseException(code, words)
        return code, words

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    def _plain(self, raw: bytes | str) -> str:
        """A server's words in one line, without the password should it repeat it."""
        text = raw.decode("utf-8", errors="replace") if isinstance(raw, bytes) else raw
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text.replace(self._server.password, "***") if self._server.password else text

    def _translated(self, error: OSError) -> MailServerError:
        server = self._server
        where = f"the mail server {server.address}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return MailServerUnusableError(
                f"{where} shows a certificate that is not trusted ({error.verify_message}): check "
                "SMTP_HOST, or name its authority in SMTP_CA_FILE; nothing was sent"
            )
        if isinstance(error, smtplib.SMTPResponseException):
            return self._answered(where, error)
        if isinstance(error, smtplib.SMTPNotSupportedError):
            lacks = "STARTTLS" if "STARTTLS" in str(error) else "a login"
            return MailServerUnusableError(
                f"{where} offers no {lacks.removeprefix('a ')}: check SMTP_PORT and SMTP_SECURITY "
                "(tls for port 465), or unset SMTP_USER if it wants none; nothing was sent"
            )
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return MailServerUnusableError(
                f"{where} does not speak TLS there ({error.reason or plain_cause(error)}): check "
                "SMTP_PORT and SMTP_SECURITY (tls for port 465, starttls for 587)"
            )
        if type(error) is smtplib.SMTPException:
            return MailServerUnusableError(
                f"{where} takes no login of a kind that is known here ({self._plain(str(error))})"
            )
        return MailServerUnreachableError(
            f"{where} cannot be reached, or does not go on ({_cause(error)}): it is tried again"
        )

    def _answered(self, where: str, error: smtplib.SMTPResponseException) -> MailServerError:
        code, said = error.smtp_code, self._plain(error.smtp_error)
        if code < 0:
            return MailServerUnreachableError(
                f"{where} answers with what is no SMTP reply ({said!r})"
            )
        context = {"code": code}
        if code // 100 != 5:  # noqa: PLR2004  (the class of permanent refusals)
            return MailServerUnreachableError(f"{where} answered {code} {said}", context)
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return MailServerUnusableError(
                f"{where} refuses the login ({code} {said}): check SMTP_USER and SMTP_PASSWORD",
                context,
            )
        return MailServerUnusableError(
            f"{where} refuses to serve ({code} {said}): check SMTP_HOST and SMTP_PORT", context
        )


def _tls_context(server: MailServer) -> ssl.SSLContext | None:
    if server.security == "none":
        return None
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"SMTP_CA_FILE={server.ca_file} cannot be read as certificates "
            f"({error.strerror or plain_cause(error)})"
        ) from error
    if not server.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _connected(server: MailServer, context: ssl.SSLContext | None) -> smtplib.SMTP:
    if server.security == "tls":
        return smtplib.SMTP_SSL(
            server.host, server.port, "localhost", timeout=server.timeout_s, context=context
        )
    return smtplib.SMTP(server.host, server.port, "localhost", timeout=server.timeout_s)


def _own_name(smtp: smtplib.SMTP) -> str:
    assert smtp.sock is not None
    address = str(smtp.sock.getsockname()[0])
    return f"[IPv6:{address}]" if smtp.sock.family == socket.AF_INET6 else f"[{address}]"


def _is_yes(code: int) -> bool:
    return code // 100 == 2  # noqa: PLR2004  (the class of positive replies)


def _refusal(code: int, words: str) -> DeliveryOutcome:
    for_good = code // 100 == 5  # noqa: PLR2004  (the class of permanent refusals)
    state = DeliveryState.REFUSED if for_good else DeliveryState.DEFERRED
    return DeliveryOutcome(state, code if code > 0 else None, words)


def _cause(error: OSError) -> str:
    words = plain_cause(error).removeprefix("Connection unexpectedly closed: ")
    return words[:1].lower() + words[1:]
