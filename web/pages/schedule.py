"""What the schedule begins within a day."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from web.keys import Reader
from web.pages.overview import looks_of
from web.pages.rendering import page, services_of
from web.pages.routing import pages

router = pages()


@router.get("/schedule")
async def show(request: Request, caller: Reader) -> HTMLResponse:
    """The coming 24 hours, and what the gate of each run will say."""
    coming = await services_of(request).readers.run(looks_of(request).schedule.get)
    return page(request, caller, "schedule.html", coming=coming)
