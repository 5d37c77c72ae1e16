"""The task of the clean-up: thin, as all tasks are."""

from dataclasses import asdict
from typing import Any

from celery import shared_task

from admin_tasks.handed import handed


@shared_task(name="admin_tasks.clean_up", acks_late=True, max_retries=0)
def clean_up() -> dict[str, Any]:
    """Remove what the installation needs no more."""
    from admin_tasks.cleanup import CleanUp  # noqa: PLC0415

    return asdict(handed(CleanUp).run())
