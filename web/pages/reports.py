"""Reports: those there are, reading one, and having one made."""

from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import Form, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from admin_tasks.report import HTML_NAME, PDF_NAME
from pipeline.asking import ask_for_report
from pipeline.kline_query import NothingHeldError
from pipeline.reporting import reports_folder
from pipeline.runtime import Runtime
from web.audit import audited
from web.keys import Operator, Reader
from web.pages.forms import FormToken, read_day
from web.pages.rendering import is_partial, page, services_of
from web.pages.routing import pages

router = pages()

_SHOWN = 90
_FILES = {"html": (HTML_NAME, "text/html; charset=utf-8"), "pdf": (PDF_NAME, "application/pdf")}
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox allow-popups"
)
"""A report is one file with its styles and pictures in it. It runs no script, and asks nobody."""


@dataclass(frozen=True, slots=True)
class Made:
    """A report that lies in its place.

    Attributes:
        made_at: Epoch seconds.
        size: Bytes of its page.
        has_pdf: Whether there is a PDF, too.
    """

    session: date
    made_at: float
    size: int
    has_pdf: bool


@router.get("/reports")
async def show(request: Request, caller: Reader) -> HTMLResponse:
    """The reports there are, the newest session first."""
    services = services_of(request)
    made = await services.readers.run(list_reports, services.runtime)
    return page(request, caller, "reports.html", made=made)


@router.get("/reports/{session}/{form}")
async def read(
    request: Request,
    _caller: Reader,
    session: date,
    form: Annotated[str, InPath(pattern="^(html|pdf)$")],
) -> FileResponse:
    """One report."""
    services = services_of(request)
    name, media_type = _FILES[form]
    # The folder's name is made of a date, so it leads nowhere else.
    path = reports_folder(services.runtime) / session.isoformat() / name
    if not await services.readers.run(path.is_file):
        raise NothingHeldError(
            f"there is no report of {session} as {form}: `quantsync report --date {session}` "
            "makes it",
            {"session": session},
        )
    shown = f"quantsync-{session}.{form}"
    headers = {"Cache-Control": "no-store"}
    if form == "html":
        headers["Content-Security-Policy"] = _POLICY
    return FileResponse(
        path, media_type=media_type, filename=shown, headers=headers,
        content_disposition_type="inline",
    )  # fmt: skip


@router.post("/reports", dependencies=[FormToken])
async def make(
    request: Request, caller: Operator, session: Annotated[str, Form(max_length=10)] = ""
) -> Response:
    """Have a report made, by the admin worker."""
    services, day = services_of(request), read_day(session, "session")
    who = caller.key.name if caller.key else caller.name
    async with audited(request, caller, {"session": day}) as entry:
        task_id = await services.writers.run(ask_for_report, who, day)
        entry["task_id"] = task_id
    if is_partial(request):
        status = HTTPStatus.ACCEPTED
        return page(request, caller, "part/asked.html", status=status, task_id=task_id)
    return RedirectResponse("/reports", 303)


def list_reports(runtime: Runtime) -> list[Made]:
    """The reports there are, the newest session first."""
    found = []
    for place in sorted(reports_folder(runtime).glob("????-??-??"), reverse=True)[:_SHOWN]:
        made = _made(place)
        if made is not None:
            found.append(made)
    return found


def _made(place: Path) -> Made | None:
    try:
        session = date.fromisoformat(place.name)
        about = (place / HTML_NAME).stat()
    except (ValueError, FileNotFoundError):
        return None  # another folder, or a report that is being made
    return Made(session, about.st_mtime, about.st_size, (place / PDF_NAME).is_file())
