"""Reaching a mail server: encryption, certificates, logins and silence."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from admin_tasks.email import Sent, deliver
from admin_tasks.mailing import Mailing
from admin_tasks.message import compose
from market.errors import ConfigurationError
from tests.fixtures.smtp_server import LOGIN, Authority, MailHost, run_mail_host

A = "a@example.com"


def send(mailing: Mailing, host: MailHost, **server: Any) -> Sent:
    """Send a mail to a server reached in this way."""
    reached = replace(mailing.server, port=host.port, **server)
    mail = compose(A, "Subject", "Text", key="k")
    return deliver(mail, replace(mailing, server=reached), request="r1")


def outcome(sent: Sent) -> tuple[str, str]:
    """State and reason of the one recipient."""
    (delivery,) = sent.deliveries
    return delivery.state.value, str(delivery.reason)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_is_encrypted_and_the_login_made_under_it(
    mailing: Mailing, authority: Authority, security: Literal["starttls", "tls"]
) -> None:
    with run_mail_host(security, authority.context, **LOGIN) as host:
        login = {"user": "quantsync", "password": "secret", "ca_file": authority.ca_file}
        sent = send(mailing, host, security=security, **login)

    assert sent.is_accepted, sent
    (mail,) = host.received
    assert mail.is_encrypted
    assert mail.login == "quantsync"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_is_not_trusted_is_refused_unless_that_is_set(
    mailing: Mailing, authority: Authority, security: Literal["starttls", "tls"]
) -> None:
    """One of an unknown authority, and one of another host; it is not tried again by itself."""
    with run_mail_host(security, authority.wrong_name) as host:
        for ca_file in (None, authority.ca_file):
            state, reason = outcome(send(mailing, host, security=security, ca_file=ca_file))
            assert state == "failed"
            assert "certificate that is not trusted" in reason
            assert "SMTP_CA_FILE" in reason
        assert host.received == []
        mail = compose(A, "Subject", "Text", key="unchecked")
        server = replace(mailing.server, port=host.port, security=security, verify=False)
        assert deliver(mail, replace(mailing, server=server), request="r1").is_accepted


def test_a_server_that_offers_no_encryption_gets_nothing_in_the_clear(
    mail_host: MailHost, mailing: Mailing
) -> None:
    for security in ("starttls", "tls"):
        key = compose(A, "Subject", "Text", key=security)
        server = replace(mailing.server, security=security)
        state, reason = outcome(deliver(key, replace(mailing, server=server), request="r1"))
        assert state == "failed"
        assert "SMTP_SECURITY" in reason
    assert mail_host.received == []


def test_a_refused_login_is_told_without_the_password(
    mailing: Mailing, authority: Authority
) -> None:
    with run_mail_host("starttls", authority.context, **LOGIN) as host:
        login = {"user": "quantsync", "password": "wrong-one", "ca_file": authority.ca_file}
        state, reason = outcome(send(mailing, host, security="starttls", **login))
    assert state == "failed"
    assert "535" in reason
    assert "SMTP_USER" in reason
    assert "wrong-one" not in reason + repr(replace(mailing.server, password="wrong-one"))


def test_a_login_that_the_server_does_not_offer_is_said(
    mail_host: MailHost, mailing: Mailing
) -> None:
    state, reason = outcome(send(mailing, mail_host, user="quantsync", password="secret"))
    assert state == "failed"
    assert "unset SMTP_USER" in reason


def test_a_file_that_holds_no_certificate_is_named(mailing: Mailing, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "gone.pem"):
        server = replace(mailing.server, security="tls", ca_file=tmp_path / name)
        mail = compose(A, "Subject", "Text", key="k")
        with pytest.raises(ConfigurationError, match=f"SMTP_CA_FILE=.*{name}"):
            deliver(mail, replace(mailing, server=server), request="r1")


@contextlib.contextmanager
def scripted(*lines: bytes) -> Iterator[int]:
    """A server that says one line to each of its client's, then nothing more, and stays."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as heard:
                    for line in lines:
                        connection.sendall(line)
                        if not heard.readline():
                            return
                    heard.read()

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(30)


@pytest.mark.parametrize(
    ("lines", "state", "says"),
    [
        ([], "deferred", "timed out"),
        ([b"220 hi\r\n", b"250 hi\r\n"], "deferred", "timed out"),
        ([b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n"], "deferred", "timed out"),
        ([b"421 later\r\n"], "deferred", "421 later"),
        ([b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"421 going\r\n"], "deferred", "421 going"),
        ([b"554 go away\r\n"], "failed", "554 go away"),
        ([b"220 hi\r\n", b"250 hi\r\n", b"451 busy\r\n", b"250 ok\r\n", b"221 ok\r\n"],
         "deferred", "busy"),
        ([b"220 hi\r\n", b"250 hi\r\n", b"550 not you\r\n", b"250 ok\r\n", b"221 ok\r\n"],
         "refused", "not you"),
        ([b"\x00\xff\r\n"], "deferred", "no SMTP reply"),
    ],
    ids=["silent", "silent-after-ehlo", "silent-at-data", "busy", "going", "closed",
         "sender-deferred", "sender-refused", "no-smtp"],
)  # fmt: skip
def test_silence_and_refusals_before_the_content_are_certain(
    mailing: Mailing, lines: list[bytes], state: str, says: str
) -> None:
    """So what is deferred may be tried again; nothing is uncertain."""
    with scripted(*lines) as port:
        server = replace(mailing.server, port=port, timeout_s=0.5)
        mail = compose(A, "Subject", "Text", key="k")
        found = outcome(deliver(mail, replace(mailing, server=server), request="r1"))
    assert found[0] == state
    assert says in found[1]
