"""The clean-up of this installation, put together from its settings."""

from admin_tasks.cleanup import CleanUp, Retention
from pipeline.runtime import Runtime


def clean_up_of(runtime: Runtime) -> CleanUp:
    """The installation's clean-up."""
    settings = runtime.settings
    retention = Retention(
        log_days=settings.log_retention_days,
        ledger_days=settings.ledger_retention_days,
        revision_days=settings.revision_retention_days,
        minute_days=settings.sql_minute_retention,
        orphan_s=settings.run_deadline_s,
    )
    logs = settings.home / "logs"
    return CleanUp(runtime.database, runtime.lake, runtime.staging, logs, retention)
