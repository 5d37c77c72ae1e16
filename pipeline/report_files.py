"""The reports that were made, as files."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from admin_tasks.report import HTML_NAME, PDF_NAME
from pipeline.kline_query import NothingHeldError
from pipeline.reporting import reports_folder
from pipeline.runtime import Runtime
from storage.errors import UnwritableError


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """The files of one report.

    Attributes:
        session: What it is about.
        made_at: Epoch seconds.
        html: The page.
        pdf: The same as PDF; None: it could not be made.
    """

    session: date
    made_at: float
    html: Path
    pdf: Path | None


def list_reports(runtime: Runtime, limit: int) -> list[ReportFiles]:
    """The newest reports, newest first.

    Raises:
        UnwritableError: The folder cannot be read.
    """
    folder = reports_folder(runtime)
    try:
        names = sorted((each.name for each in folder.iterdir()), reverse=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnwritableError(
            f"the reports in {folder} cannot be read ({error.strerror}): give permission, or set "
            "REPORTS_DIR"
        ) from error
    found = []
    for name in names:
        files = _files(folder, name)
        if files is not None:
            found.append(files)
        if len(found) == limit:
            break
    return found


def find_report(runtime: Runtime, session: date) -> ReportFiles:
    """The report of a session.

    Raises:
        NothingHeldError: None was made.
    """
    files = _files(reports_folder(runtime), session.isoformat())
    if files is None:
        raise NothingHeldError(
            f"no report of {session} was made: `quantsync report --date {session}` makes it",
            {"session": session},
        )
    return files


def _files(folder: Path, name: str) -> ReportFiles | None:
    """The report in a folder of a session's name; None: it is no such folder, or has none.

    A link that leads out of the reports is no report.
    """
    try:
        session = date.fromisoformat(name)
    except ValueError:
        return None
    root = folder.resolve()
    page = (folder / session.isoformat() / HTML_NAME).resolve()
    printed = (folder / session.isoformat() / PDF_NAME).resolve()
    if not page.is_relative_to(root) or not page.is_file():
        return None
    has_pdf = printed.is_relative_to(root) and printed.is_file()
    return ReportFiles(session, page.stat().st_mtime, page, printed if has_pdf else None)
