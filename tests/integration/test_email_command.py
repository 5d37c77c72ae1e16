"""What ``quantsync email`` refuses, run in this process: nothing of it is sent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from admin_tasks.message import AttachmentError, InvalidEmailError
from pipeline.cli_email import _email
from pipeline.settings import Settings
from tests.fixtures.smtp_server import MailHost

A = "a@example.com"


@pytest.fixture
def reports(tmp_path: Path, mail_host: MailHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The reports folder of a home that sends to the mail host, which is sent nothing."""
    folder = tmp_path / "home" / "reports"
    (folder / "folder").mkdir(parents=True)
    settings = Settings(
        quantsync_home=folder.parent,
        smtp_host="127.0.0.1",
        smtp_port=mail_host.port,
        smtp_security="none",
        smtp_from="quantsync@example.com",
        email_max_attempts=1,
    )
    monkeypatch.setattr("pipeline.cli_email.read_settings", lambda: settings)
    monkeypatch.chdir(folder.parent)
    yield folder
    assert mail_host.received == []


def ask(**more: Any) -> None:
    """The command, with these options besides."""
    _email([A], "subject", "body", **more)


def test_a_file_that_lies_elsewhere_is_not_attached_by_a_person_either(reports: Path) -> None:
    """By its full name, behind a link, or by a way out of the folder."""
    secret = reports.parent / "secret.txt"
    secret.write_text("secret")
    (reports / "link.txt").symlink_to(secret)
    for file in (secret, "secret.txt", "reports/link.txt", "link.txt", "reports/../secret.txt"):
        with pytest.raises(AttachmentError, match="does not lie below the reports folder"):
            ask(attach=[Path(file)])
    with pytest.raises(AttachmentError, match="it is a folder"):
        ask(attach=[Path("reports/folder")])


@pytest.mark.usefixtures("reports")
def test_an_empty_key_is_refused_and_not_taken_for_none() -> None:
    with pytest.raises(InvalidEmailError, match="1 to 200 characters"):
        ask(key="")
