"""What the settings of email mean, and what is said when one is missing or wrong."""

from typing import Any

import pytest

from market.errors import ConfigurationError
from pipeline.app import app
from pipeline.mailing import mail_server
from pipeline.settings import Settings, _from_environment

WHOLE: dict[str, Any] = {"smtp_host": "smtp.example.com", "smtp_from": "Data <data@example.com>"}


def settings(**fields: Any) -> Settings:
    """Settings of which only these are set."""
    return Settings(**fields)


@pytest.mark.parametrize(
    ("fields", "variable"),
    [
        ({"smtp_host": None}, "SMTP_HOST"),
        ({"smtp_from": None}, "SMTP_FROM"),
        ({"smtp_user": "u"}, "SMTP_PASSWORD"),
        ({"smtp_password": "hush"}, "SMTP_USER"),
        ({"smtp_user": "u", "smtp_password": "hush", "smtp_security": "none"}, "SMTP_SECURITY"),
    ],
)
def test_what_is_missing_for_an_email_is_named(fields: dict[str, Any], variable: str) -> None:
    with pytest.raises(ConfigurationError, match=variable) as wrong:
        mail_server(settings(**WHOLE | fields))
    assert "hush" not in wrong.value.message


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_follows_from_the_encryption_unless_set(security: str, port: int) -> None:
    server = mail_server(settings(**WHOLE, smtp_security=security))
    assert (server.port, server.verify) == (port, True)
    assert (server.sender.address, server.sender.name) == ("data@example.com", "Data")
    assert mail_server(settings(**WHOLE, smtp_security=security, smtp_port=2525)).port == 2525


def test_a_password_is_in_no_picture_of_the_settings() -> None:
    whole = settings(**WHOLE, smtp_user="u", smtp_password="hush")
    assert mail_server(whole).password == "hush"
    assert "hush" not in repr(whole) + repr(mail_server(whole)) + whole.model_dump_json()


def test_a_password_may_go_unencrypted_only_to_this_machine() -> None:
    local = settings(
        **WHOLE | {"smtp_host": "127.0.0.1"},
        smtp_user="u",
        smtp_password="hush",
        smtp_security="none",
    )
    assert mail_server(local).user == "u"


def test_recipients_of_reports_are_read_one_by_one() -> None:
    text = 'desk@example.com, "Li, Bo" <bo@example.com>,'
    assert settings(report_recipients=text).report_addresses == (
        "desk@example.com",
        '"Li, Bo" <bo@example.com>',
    )
    assert settings().report_addresses == ()


@pytest.mark.parametrize("variable", ["REPORT_RECIPIENTS", "SMTP_FROM"])
def test_a_setting_that_is_no_address_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "desk@example.com, nobody")
    monkeypatch.setenv("SMTP_PASSWORD", "hush")
    with pytest.raises(ConfigurationError, match=f"{variable}=.*is no email address") as wrong:
        _from_environment()
    assert "hush" not in wrong.value.message


def test_an_email_goes_to_its_own_queue_whoever_publishes_it() -> None:
    app.loader.import_default_modules()
    task = app.tasks["admin_tasks.send_email"]
    assert app.amqp.router.route({}, task.name)["queue"].name == "email_queues"
    assert (task.acks_late, task.max_retries, task.default_retry_delay) == (True, 15, 5)
