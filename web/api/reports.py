"""The reports that were made."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import FileResponse, Response

from pipeline.kline_query import NothingHeldError
from pipeline.report_files import ReportFiles, find_report, list_reports
from web.api.parameters import LOOK_UP_PROBLEMS, READ_PROBLEMS, Day, instant
from web.keys import Reader

router = APIRouter(prefix="/api/v1", tags=["reports"])

_PAGE_ALONE = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""A report is a page of its own, with its pictures and styles in it: it may do nothing else."""


class Report(BaseModel):
    """A report that was made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "session": "2025-12-31",
                    "made_at": "2025-12-31T17:30:04+08:00",
                    "html": "/api/v1/reports/2025-12-31?format=html",
                    "pdf": "/api/v1/reports/2025-12-31?format=pdf",
                }
            ]
        }
    )

    session: date
    made_at: datetime
    html: str
    pdf: str | None


class Reports(BaseModel):
    """Reports, the newest first."""

    reports: list[Report]


_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Report,
        "description": "Where its files are, or the file that was asked for.",
        "content": {
            "text/html": {"schema": {"type": "string"}},
            "application/pdf": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    **LOOK_UP_PROBLEMS,
}


@router.get("/reports", summary="Reports that were made", responses=READ_PROBLEMS)
async def reports(
    request: Request, _caller: Reader, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> Reports:
    """One for each session, the newest first."""
    services = request.app.state.services
    found = await services.queries.run(list_reports, services.runtime, limit)
    return Reports(reports=[_report(each) for each in found])


@router.get("/reports/{session}", summary="A report", response_model=Report, responses=_FORMS)
async def report(
    request: Request,
    _caller: Reader,
    session: Annotated[Day, Path(examples=["2025-12-31"])],
    form: Annotated[Literal["json", "html", "pdf"], Query(alias="format")] = "json",
) -> Report | Response:
    """Where its files are; with `format`, the file."""
    services = request.app.state.services
    found: ReportFiles = await services.queries.run(find_report, services.runtime, session)
    if form == "json":
        return _report(found)
    if form == "html":
        headers = {"Content-Security-Policy": _PAGE_ALONE, "Cache-Control": "private, no-cache"}
        return FileResponse(found.html, media_type="text/html; charset=utf-8", headers=headers)
    if found.pdf is None:
        raise NothingHeldError(
            f"the report of {session} has no PDF, as Pango was missing when it was made: `make "
            "services` installs it",
            {"session": session},
        )
    return FileResponse(found.pdf, media_type="application/pdf")


def _report(found: ReportFiles) -> Report:
    place = f"/api/v1/reports/{found.session}"
    return Report(
        session=found.session,
        made_at=instant(found.made_at),
        html=f"{place}?format=html",
        pdf=f"{place}?format=pdf" if found.pdf else None,
    )
