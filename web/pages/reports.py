"""Reports: those there are, reading one, and having one made."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.asking import ask_for_report
from pipeline.report_files import list_reports
from web.api.tasks import check_session
from web.audit import audited
from web.keys import Operator, Reader
from web.pages.forms import FormToken, read_day
from web.pages.rendering import is_partial, page, services_of
from web.pages.routing import pages

router = pages()

_SHOWN = 90


@router.get("/reports")
async def show(request: Request, caller: Reader) -> HTMLResponse:
    """The reports there are, the newest session first."""
    services = services_of(request)
    made = await services.queries.run(list_reports, services.runtime, _SHOWN)
    return page(request, caller, "reports.html", made=made)


@router.post("/reports", dependencies=[FormToken])
async def make(
    request: Request, caller: Operator, session: Annotated[str, Form(max_length=10)] = ""
) -> Response:
    """Have a report made, by the admin worker."""
    services, day = services_of(request), read_day(session, "session")
    who = caller.key.name if caller.key else caller.name
    async with audited(request, caller, {"session": day}) as entry:
        await services.writers.run(check_session, services.runtime, day, "session")
        task_id = await services.writers.run(ask_for_report, who, day)
        entry.about["task_id"] = task_id
    if is_partial(request):
        status = HTTPStatus.ACCEPTED
        return page(request, caller, "part/asked.html", status=status, task_id=task_id)
    return RedirectResponse("/reports", 303)
