"""The part of the configuration that is about reports, email, backups and retention.

Read by :class:`pipeline.settings.Settings`, as all of it.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from admin_tasks.addresses import (
    InvalidAddressError,
    parse_mailbox,
    parse_mailboxes,
    split_mailboxes,
)

SHORTEST_MINUTES = 90
LONGEST_DAYS = 36_500
"""A century: what is longer is no day of any calendar."""
_MOST_KEPT = 10_000


class AdminSettings(BaseSettings):
    """What can be configured of it, with its default."""

    reports_dir: Path | None = Field(
        default=None, description="Folder of the reports; unset: reports in the home"
    )
    report_font: Path | None = Field(
        default=None, description="Font file with Chinese; unset: the best one installed"
    )
    backup_dir: Path | None = Field(
        default=None, description="Folder of the backups; unset: backups in the home"
    )
    backup_keep_daily: int = Field(
        default=7,
        ge=0,
        le=_MOST_KEPT,
        description="So many days with a backup keep their newest one",
    )
    backup_keep_weekly: int = Field(default=4, ge=0, le=_MOST_KEPT, description="So many weeks")
    backup_keep_monthly: int = Field(default=12, ge=0, le=_MOST_KEPT, description="So many months")
    pg_bin_dir: Path | None = Field(
        default=None, description="Folder of pg_dump and pg_restore; unset: on the PATH"
    )
    log_retention_days: float = Field(
        default=30.0, ge=0, le=LONGEST_DAYS, description="0: logs stay for ever"
    )
    ledger_retention_days: float = Field(
        default=365.0,
        ge=0,
        le=LONGEST_DAYS,
        description="Runs that nothing rests on leave the ledger; 0: never",
    )
    revision_retention_days: float = Field(
        default=0.0,
        ge=0,
        le=LONGEST_DAYS,
        description="Bars that others replaced are dropped; 0: never",
    )
    sql_minute_retention: int = Field(
        default=0,
        ge=0,
        le=LONGEST_DAYS,
        description="Days of minute bars in SQL; the lake keeps all; 0: all",
    )
    smtp_host: str | None = Field(
        default=None, description="Mail server; unset: no email can be sent"
    )
    smtp_port: int | None = Field(
        default=None, ge=1, le=65535, description="Unset: 587, 465 or 25, by SMTP_SECURITY"
    )
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str | None = Field(default=None, description="Unset: no login")
    smtp_password: SecretStr | None = None
    smtp_from: str | None = Field(default=None, description="Address that emails come from")
    smtp_verify: bool = Field(
        default=True, description="Whether the mail server's certificate is checked"
    )
    smtp_ca_file: Path | None = Field(
        default=None, description="Certificates trusted instead of the system's"
    )
    smtp_timeout_s: float = Field(
        default=60.0, gt=0, description="An answer of the mail server is waited for so long"
    )
    email_max_attempts: int = Field(
        default=5, ge=1, le=10, description="A recipient that is deferred so often is given up"
    )
    email_retry_s: float = Field(
        default=30.0, gt=0, description="Pause before the second try, then twice as long each time"
    )
    report_recipients: str | None = Field(
        default=None, description="Who gets reports: addresses between commas"
    )

    @field_validator("smtp_from")
    @classmethod
    def _one_address(cls, text: str | None) -> str | None:
        try:
            _ = text is None or parse_mailbox(text)
        except InvalidAddressError as error:
            raise ValueError(error.message) from error
        return text

    @field_validator("report_recipients")
    @classmethod
    def _addresses(cls, text: str | None) -> str | None:
        try:
            _ = parse_mailboxes(text or "")
        except InvalidAddressError as error:
            raise ValueError(error.message) from error
        return text

    @field_validator("sql_minute_retention")
    @classmethod
    def _longer_than_the_reach(cls, days: int) -> int:
        if 0 < days < SHORTEST_MINUTES:
            raise ValueError(
                f"give 0 or {SHORTEST_MINUTES} and more: what is fetched is compared with the bars "
                "in SQL, and 5m bars reach back 40 sessions"
            )
        return days

    @property
    def report_addresses(self) -> tuple[str, ...]:
        """Who gets reports, each as it was written; none if nobody does."""
        return tuple(split_mailboxes(self.report_recipients or ""))
