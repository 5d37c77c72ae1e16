"""Hands the tasks of lower packages what they work with; nothing is imported before a task asks."""

from datetime import date

from admin_tasks.handed import hand_over


def hand_over_means() -> None:
    """Let the tasks of email, reports, backups and clean-up have what they work with."""
    hand_over("admin_tasks.mailing.Mailing", _mailing)
    hand_over("admin_tasks.report_tasks.Means", _reports)
    hand_over("admin_tasks.backup.Backups", _backups)
    hand_over("admin_tasks.cleanup.CleanUp", _clean_up)


def _mailing() -> object:
    from pipeline.mailing import mailing_of  # noqa: PLC0415
    from pipeline.runtime import current_runtime  # noqa: PLC0415

    return mailing_of(current_runtime())


def _reports() -> object:
    from admin_tasks.report import MadeReport  # noqa: PLC0415
    from admin_tasks.report_tasks import Means  # noqa: PLC0415
    from pipeline.reporting import make_report  # noqa: PLC0415
    from pipeline.runtime import current_runtime  # noqa: PLC0415

    def make(user_id: str, session: date | None) -> MadeReport:
        return make_report(current_runtime(), user_id, session)

    return Means(make, recipients=lambda: current_runtime().settings.report_addresses)


def _backups() -> object:
    from pipeline.backups import backups_of  # noqa: PLC0415
    from pipeline.runtime import current_runtime  # noqa: PLC0415

    return backups_of(current_runtime())


def _clean_up() -> object:
    from pipeline.cleaning import clean_up_of  # noqa: PLC0415
    from pipeline.runtime import current_runtime  # noqa: PLC0415

    return clean_up_of(current_runtime())
