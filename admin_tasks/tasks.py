"""The tasks of email: decode primitives, call one function, return a small dict."""

from collections.abc import Sequence
from typing import Any

from celery import shared_task

from admin_tasks.handed import handed
from storage.errors import DatabaseUnreachableError, DiskFullError


@shared_task(
    bind=True,
    name="admin_tasks.send_email",
    acks_late=True,
    max_retries=15,
    default_retry_delay=5,
    autoretry_for=(DatabaseUnreachableError, DiskFullError),
    retry_backoff=5,
    retry_backoff_max=60,
    retry_jitter=False,
)
def send_email(
    self: Any,
    to: str | Sequence[str],
    subject: str,
    body: str,
    html: str | None = None,
    attachments: Sequence[str] = (),
    key: str | None = None,
    *,
    may_differ: bool = False,
) -> dict[str, Any]:
    """Send an email, once to each recipient, however often this is delivered.

    Args:
        self: The task.
        to: Addresses; a text may hold several between commas.
        subject: One line.
        body: Plain text.
        html: The same for readers with HTML.
        attachments: Files below the reports folder.
        key: Names the mail, such as ``report:2025-12-31``; asked for again under it, the mail goes
            only to those who have certainly not had it. Default: this task's id.
        may_differ: Whether other content under the same key is the same mail, made anew, such as a
            report. Otherwise it is refused.

    Returns:
        ``key``, ``message_id`` and ``recipients``: by address, state, code, reason and attempts,
        ``at`` (epoch seconds) and ``had_already``: whether another task or command sent it.
    """
    from admin_tasks.email import deliver  # noqa: PLC0415
    from admin_tasks.mailing import Mailing  # noqa: PLC0415
    from admin_tasks.message import compose  # noqa: PLC0415

    name = f"task:{self.request.id}" if key is None else key
    email = compose(to, subject, body, html=html, attachments=attachments, key=name)
    again = self.request.retries < self.max_retries
    sent = deliver(
        email,
        handed(Mailing),
        request=self.request.id,
        may_retry=again,
        may_differ=may_differ,
    )
    if again and sent.retry_in_s is not None:
        raise self.retry(countdown=sent.retry_in_s)
    return sent.document
