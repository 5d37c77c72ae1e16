"""What sending needs, handed in by the composition root: this package reads no configuration."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the app imports this module, and is to start without SQLAlchemy
    from admin_tasks.smtp import MailServer
    from storage.email_ledger import EmailLedger


@dataclass(frozen=True, slots=True)
class Mailing:
    """What an email is sent with.

    Attributes:
        server: How the mail server is reached.
        ledger: Where deliveries are recorded.
        reports: The folder attachments come from.
        max_attempts: So many tries a recipient is worth.
        retry_s: Pause before the second try; before each later one it is twice as long.
    """

    server: "MailServer"
    ledger: "EmailLedger"
    reports: Path
    max_attempts: int = 5
    retry_s: float = 30.0
