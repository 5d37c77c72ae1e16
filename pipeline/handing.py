"""Hands the tasks of lower packages what they work with; nothing is imported before a task asks."""

from admin_tasks.handed import hand_over


def hand_over_upkeep() -> None:
    """Let the tasks of backups and clean-up have what they work with."""
    hand_over("admin_tasks.backup.Backups", _backups)
    hand_over("admin_tasks.cleanup.CleanUp", _clean_up)


def _backups() -> object:
    from pipeline.backups import backups_of  # noqa: PLC0415
    from pipeline.runtime import current_runtime  # noqa: PLC0415

    return backups_of(current_runtime())


def _clean_up() -> object:
    from pipeline.cleaning import clean_up_of  # noqa: PLC0415
    from pipeline.runtime import current_runtime  # noqa: PLC0415

    return clean_up_of(current_runtime())
