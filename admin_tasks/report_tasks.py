"""The tasks that make reports and send them on; the pipeline gives them the means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from celery import current_app, shared_task

from admin_tasks.handed import handed
from market.errors import ConfigurationError

if TYPE_CHECKING:
    from admin_tasks.report import MadeReport

EMAIL_TASK, EMAIL_QUEUE = "admin_tasks.send_email", "email_queues"


@dataclass(frozen=True, slots=True)
class Means:
    """What the tasks work with.

    Attributes:
        make: Makes the report of a session (None: the latest settled one) for a user.
        recipients: Who is sent reports unless a task names others.
    """

    make: "Callable[[str, date | None], MadeReport]"
    recipients: Callable[[], Sequence[str]]


@shared_task(name="admin_tasks.generate_report", acks_late=True, max_retries=0)
def generate_report(user_id: str, session: str | None = None) -> dict[str, Any]:
    """Make the report of a session (ISO 8601; None: the latest settled one). Idempotent."""
    return handed(Means).make(user_id, _day(session)).as_json()


@shared_task(name="admin_tasks.send_report", acks_late=True, max_retries=0)
def send_report(
    session: str | None = None, user_id: str = "schedule", to: Sequence[str] | None = None
) -> dict[str, Any]:
    """Make the report of a session and mail it: its key lets the same one be sent only once."""
    means = handed(Means)
    recipients = list(means.recipients() if to is None else to)
    if not recipients:
        raise ConfigurationError("nobody is to be sent the report: set REPORT_RECIPIENTS")
    made = means.make(user_id, _day(session))
    current_app.send_task(
        EMAIL_TASK,
        kwargs={
            "to": recipients,
            "subject": made.subject,
            "body": made.summary.text(),
            "html": made.mail_html(),
            "attachments": [str(path) for path in made.files],
            "key": f"report:{made.session}",
            "may_differ": True,
        },
        queue=EMAIL_QUEUE,
    )
    return made.as_json()


def _day(session: str | None) -> date | None:
    return None if session is None else date.fromisoformat(session)
