"""The task of backups: thin, as all tasks are."""

import logging
from typing import Any

from celery import shared_task

from admin_tasks.handed import handed

log = logging.getLogger(__name__)


@shared_task(name="admin_tasks.database_backup", acks_late=True, max_retries=0)
def database_backup() -> dict[str, Any]:
    """Back the database up, prove the backup, and let old ones go."""
    from admin_tasks.backup import Backups  # noqa: PLC0415
    from admin_tasks.backup_files import BackupBusyError  # noqa: PLC0415

    try:
        made = handed(Backups).make()
    except BackupBusyError as error:
        # A message that came twice: the other one's backup is as good.
        log.warning("%s", error)
        return {"skipped": error.message}
    for notice in made.notices:
        log.warning("%s", notice)
    backup = made.backup
    return {
        "file": backup.file,
        "size": backup.size,
        "removed": list(made.removed),
        "notices": list(made.notices),
    }
