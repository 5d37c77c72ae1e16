"""What went wrong, as a page for people who came by a browser; all others get the document."""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from market.errors import QuantsyncError
from web.keys import identify
from web.pages.rendering import is_partial, page
from web.pages.routing import UnforeseenError
from web.problems import UnauthorizedError, unforeseen

_Handler = Callable[[Request, Exception], Awaitable[Response]]


def install(app: FastAPI) -> None:
    """Show people a page where the application would answer with a problem document."""
    for kind in (QuantsyncError, RequestValidationError, HTTPException):
        document: Any = app.exception_handlers[kind]
        app.add_exception_handler(kind, _for_people(document))


def _for_people(document: _Handler) -> _Handler:
    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, UnforeseenError):
            told: Response = unforeseen(request.url.path)
        else:
            told = await document(request, error)
        if not is_for_people(request):
            return told
        if isinstance(error, UnauthorizedError):
            return _to_login(request)
        if not hasattr(request.state, "caller"):
            with suppress(QuantsyncError):  # whoever is lost need not have a key
                request.state.caller = await identify(request, None)
        return _shown(request, told)

    return answer


def _shown(request: Request, told: Response) -> Response:
    """A problem document as a page."""
    problem = json.loads(bytes(told.body))
    if told.status_code == HTTPStatus.NOT_FOUND and problem["type"].endswith(":not-found"):
        problem["remedy"] = None  # it speaks of the API
    kept = {name: told.headers[name] for name in ("Retry-After", "Allow") if name in told.headers}
    template = "part/problem.html" if is_partial(request) else "problem.html"
    caller = getattr(request.state, "caller", None)
    return page(request, caller, template, status=told.status_code, headers=kept, problem=problem)


def is_for_people(request: Request) -> bool:
    """Whether a browser shows the answer: it asks for a page, or our own script does."""
    if request.url.path.startswith(("/api/", "/static/")):
        return False
    return "hx-request" in request.headers or "text/html" in request.headers.get("accept", "")


def _to_login(request: Request) -> Response:
    """Where a key is asked for, and back from there; a part of a page leaves the whole page."""
    if "hx-request" in request.headers:
        shown = urlsplit(request.headers.get("hx-current-url", "/"))
        back = quote(shown.path + (f"?{shown.query}" if shown.query else ""), safe="")
        return Response(status_code=204, headers={"HX-Redirect": f"/login?to={back}"})
    query = f"?{request.url.query}" if request.url.query else ""
    back = request.url.path + query if request.method == "GET" else "/"
    return RedirectResponse(f"/login?to={quote(back, safe='')}", 303)
