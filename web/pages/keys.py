"""Who may ask, without what they ask with."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from storage.api_keys import ApiKeys
from web.keys import Reader
from web.pages.rendering import page, services_of
from web.pages.routing import pages

router = pages()


@router.get("/keys")
async def show(request: Request, caller: Reader) -> HTMLResponse:
    """Every key: its scope, its last use, whether it was revoked. A secret is shown nowhere."""
    services = services_of(request)
    keys = await services.queries.run(ApiKeys(services.runtime.database).all)
    return page(request, caller, "keys.html", keys=keys)
