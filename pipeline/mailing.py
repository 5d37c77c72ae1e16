"""What emails are sent with, from the settings."""

import ipaddress

from admin_tasks.addresses import parse_mailbox
from admin_tasks.mailing import Mailing
from admin_tasks.smtp import MailServer
from market.errors import ConfigurationError
from pipeline.runtime import Runtime
from pipeline.settings import Settings
from storage.email_ledger import EmailLedger

_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def mailing_of(runtime: Runtime) -> Mailing:
    """Server, ledger and reports folder of an installation.

    Raises:
        ConfigurationError: No mail server is configured, or not wholly.
    """
    settings = runtime.settings
    return Mailing(
        server=mail_server(settings),
        ledger=EmailLedger(runtime.database),
        reports=settings.reports_path,
        max_attempts=settings.email_max_attempts,
        retry_s=settings.email_retry_s,
    )


def mail_server(settings: Settings) -> MailServer:
    """The mail server of the settings.

    Raises:
        ConfigurationError: ``SMTP_HOST`` or ``SMTP_FROM`` is not set, or half a login is; or a
            password would travel unencrypted.
    """
    if settings.smtp_host is None:
        raise ConfigurationError(
            "no mail server is configured, so no email can be sent: set SMTP_HOST and SMTP_FROM, "
            "and SMTP_USER and SMTP_PASSWORD if it wants a login"
        )
    if settings.smtp_from is None:
        raise ConfigurationError(
            "SMTP_FROM is not set: emails need the address they come from, such as "
            "quantsync@example.com"
        )
    user, secret = settings.smtp_user, settings.smtp_password
    if (user is None) != (secret is None):
        raise ConfigurationError(
            f"{'SMTP_USER' if user is None else 'SMTP_PASSWORD'} is not set, and a login needs "
            "SMTP_USER and SMTP_PASSWORD: set both or none"
        )
    if user is not None and settings.smtp_security == "none" and not _is_here(settings.smtp_host):
        raise ConfigurationError(
            f"SMTP_SECURITY=none would send SMTP_PASSWORD to {settings.smtp_host} for everybody on "
            "the way to read: use starttls or tls, or unset SMTP_USER"
        )
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port or _PORTS[settings.smtp_security],
        security=settings.smtp_security,
        sender=parse_mailbox(settings.smtp_from),
        user=user,
        password=None if secret is None else secret.get_secret_value(),
        verify=settings.smtp_verify,
        ca_file=None if settings.smtp_ca_file is None else settings.smtp_ca_file.expanduser(),
        timeout_s=settings.smtp_timeout_s,
    )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
