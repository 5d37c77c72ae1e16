"""What may be in an email, and the bytes that it becomes."""

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from admin_tasks.addresses import Mailbox
from admin_tasks.message import (
    MAX_ATTACHED_BYTES,
    MAX_RECIPIENTS,
    MAX_TEXT_BYTES,
    AttachmentError,
    HeaderInjectionError,
    InvalidEmailError,
    compose,
    message_id,
    read_attachments,
    render,
)

SENDER = Mailbox("quantsync@example.com", "Market, Data")


def bytes_of(to: str | list[str], text: str, **more: Any) -> bytes:
    """A rendered mail."""
    attachments = more.pop("attachments", [])
    asked = compose(to, more.pop("subject", "Subject"), text, key="k", **more)
    return render(
        asked, sender=SENDER, message_id="<1@example.com>", created_at=0.0, attachments=attachments
    )


def read(content: bytes) -> EmailMessage:
    """A mail as its reader's program sees it."""
    return email.message_from_bytes(content, policy=email.policy.default)


ENCODED = "=?utf-8?q?x=0D=0ABcc:_all@example.com?="
PLACES = ("to", "name", "subject", "attachment", "key")


@pytest.mark.parametrize(
    ("where", "evil"),
    [(where, evil) for where in PLACES for evil in ("\n", "\r\n", "\r", "\0", "\x85", "\u2028")]
    + [(where, ENCODED) for where in PLACES if where != "subject"],
)
def test_a_line_end_where_a_header_could_begin_is_refused(where: str, evil: str) -> None:
    asked: dict[str, Any] = {"to": "a@example.com", "subject": "s", "attachments": [], "key": "k"}
    bad = f"x{evil}Bcc: all@example.com"
    match where:
        case "to":
            asked["to"] = ["b@example.com", f"a@example.com{evil}Bcc: all@example.com"]
        case "name":
            asked["to"] = f"{bad} <a@example.com>"
        case "attachment":
            asked["attachments"] = [f"{bad}.pdf"]
        case _:
            asked[where] = bad
    with pytest.raises(HeaderInjectionError, match="nothing was sent"):
        compose(asked.pop("to"), asked.pop("subject"), "text", **asked)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"to": []}, "no recipient"),
        ({"to": " , "}, "no recipient"),
        ({"to": [f"a{n}@example.com" for n in range(MAX_RECIPIENTS + 1)]}, "1,001 recipients"),
        ({"subject": "s" * 501}, "501 characters"),
        ({"text": "x" * (MAX_TEXT_BYTES + 1)}, "attach it"),
        ({"text": "\ud800"}, "UTF-8"),
        ({"key": ""}, "key"),
        ({"key": "k" * 201}, "key"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(asked: dict[str, Any], says: str) -> None:
    asked = {"to": "a@example.com", "subject": "s", "text": "t", "key": "k"} | asked
    with pytest.raises(InvalidEmailError, match=says):
        compose(asked["to"], asked["subject"], asked["text"], key=asked["key"])


def test_an_address_that_is_none_is_refused_alone_and_each_is_meant_once() -> None:
    asked = compose(["a@example.com, nobody", "A@EXAMPLE.com"], "s", "t", key="k")
    assert [each.address for each in asked.recipients] == ["a@example.com"]
    assert list(asked.refused) == ["nobody"]
    assert "no @" in asked.refused["nobody"]


def test_text_html_and_files_arrive_as_they_were_given(tmp_path: Path) -> None:
    text, html = "涨 " + "x" * 2000 + "\n.\n..\nFrom here\n", "<p>跌</p>" + "y" * 2000
    (tmp_path / "日报.pdf").write_bytes(bytes(range(256)))
    (tmp_path / "bars.csv").write_text("a,b\n")

    files = read_attachments(["日报.pdf", str(tmp_path / "bars.csv")], tmp_path)
    content = bytes_of(
        "李 <li@example.com>", text, subject="日报 " * 30, html=html, attachments=files
    )

    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) < 998
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    message = read(content)
    assert message["Subject"] == "日报 " * 30
    assert message["From"] == '"Market, Data" <quantsync@example.com>'
    assert message["To"] == "李 <li@example.com>"
    assert message["Date"] == "Thu, 01 Jan 1970 00:00:00 +0000"
    plain, rich = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert plain.get_content().splitlines() == text.splitlines()
    assert rich is not None
    assert rich.get_content().strip() == html
    pdf, csv = message.iter_attachments()
    assert (pdf.get_filename(), pdf.get_content_type()) == ("日报.pdf", "application/pdf")
    assert pdf.get_content() == bytes(range(256))
    assert (csv.get_filename(), csv.get_content_type()) == ("bars.csv", "text/csv")


@pytest.mark.parametrize(
    "subject",
    [
        "Daily report",
        "a b" * 160,
        "x" * 500,
        "日报 2025-12-31: a b c " * 20,
        ENCODED,
    ],
)
def test_a_subject_arrives_as_it_was_given(subject: str) -> None:
    assert read(bytes_of("a@example.com", "t", subject=subject))["Subject"] == subject


def test_what_becomes_a_header_that_was_not_meant_is_not_sent() -> None:
    """Even if it came past every check of what is asked for."""
    asked = replace(
        compose("a@example.com", "s", "t", key="k"),
        recipients=(Mailbox("a@example.com", ENCODED),),
    )
    with pytest.raises(HeaderInjectionError, match="not come out"):
        render(asked, sender=SENDER, message_id="<1@x>", created_at=0.0, attachments=[])


def test_a_mail_is_ascii_whatever_it_says() -> None:
    assert bytes_of("李 <li@example.com>", "涨", subject="跌", html="<p>平</p>").isascii()


def test_a_long_list_is_not_shown_to_those_on_it() -> None:
    shown = read(bytes_of([f"a{n}@example.com" for n in range(50)], "t"))
    hidden = bytes_of([f"a{n}@example.com" for n in range(51)], "t")
    assert len(shown["To"].addresses) == 50
    assert b"a1@example.com" not in hidden
    assert read(hidden)["To"] == "undisclosed-recipients:;"


def test_a_key_always_has_the_same_message_id() -> None:
    assert message_id("report:1", SENDER) == message_id("report:1", SENDER)
    assert message_id("report:1", SENDER) != message_id("report:2", SENDER)
    assert message_id("report:1", SENDER).endswith("@example.com>")


def test_only_files_of_the_reports_folder_are_attached(tmp_path: Path) -> None:
    reports, secret = tmp_path / "reports", tmp_path / "secret.txt"
    reports.mkdir()
    secret.write_text("secret")
    (reports / "link.txt").symlink_to(secret)
    (tmp_path / "reports-old").mkdir()
    (tmp_path / "reports-old" / "old.txt").write_text("old")
    for name in ("../secret.txt", str(secret), "link.txt", "../reports-old/old.txt", "/etc/passwd"):
        with pytest.raises(AttachmentError, match="below the reports folder"):
            read_attachments([name], reports)
    with pytest.raises(AttachmentError, match="no such file"):
        read_attachments(["gone.pdf"], reports)
    for name in (".", ""):
        with pytest.raises(AttachmentError, match="it is a folder"):
            read_attachments([name], reports)


def test_attachments_are_small_all_together(tmp_path: Path) -> None:
    for name in ("a.bin", "b.bin"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(MAX_ATTACHED_BYTES // 2 + 1)
    assert len(read_attachments(["a.bin"], tmp_path)[0].content) == MAX_ATTACHED_BYTES // 2 + 1
    with pytest.raises(AttachmentError, match="20 MiB"):
        read_attachments(["a.bin", "b.bin"], tmp_path)
