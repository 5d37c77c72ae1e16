"""Logging in with a key, logging out, and what a reader prefers."""

from typing import Annotated

from fastapi import Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from web.keys import Caller, caller_of
from web.pages.forms import FormToken
from web.pages.rendering import THEME_COOKIE, THEMES, page, services_of
from web.pages.routing import pages
from web.pages.texts import COOKIE as LANGUAGE_COOKIE
from web.pages.texts import LANGUAGES
from web.sessions import COOKIE

router = pages()

_A_YEAR = 365 * 86_400


def local_path(text: str) -> str:
    """A path of this application; the first page for anything that leads elsewhere."""
    plain = text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if plain and text.isprintable() else "/"


@router.get("/login")
async def show_login(
    request: Request, to: Annotated[str, Query(max_length=2000)] = "/"
) -> HTMLResponse:
    """Ask for a key."""
    ended = COOKIE in request.cookies
    return page(request, None, "login.html", to=local_path(to), refused="", ended=ended)


@router.post("/login")
async def log_in(
    request: Request,
    key: Annotated[str, Form(max_length=200)] = "",
    to: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Take a key, and begin a session that stands for it.

    No token is asked for: there is no session yet, and whoever sends a form from elsewhere would
    have to know the key.
    """
    services = services_of(request)
    await services.queries.run(services.keys.refresh)
    found = services.keys.opened_by(key.strip())
    if found is None:
        services.limits.refuse(request.client.host if request.client else "")
        return page(
            request, None, "login.html", status=403, to=local_path(to), refused=True, ended=False
        )
    answer = RedirectResponse(local_path(to), 303)
    secure = request.url.scheme == "https"
    services.sessions.set_cookie(answer, services.sessions.begin(found), secure=secure)
    return answer


@router.post("/logout", dependencies=[FormToken])
async def log_out(
    request: Request, caller: Annotated[Caller, Depends(caller_of)]
) -> RedirectResponse:
    """End the session: its cookie opens nothing any more, whoever kept it.

    Raises:
        StorageError: The database is away, and the session goes on.
    """
    services = services_of(request)
    if caller.session is not None:
        await services.writers.run(services.keys.end, caller.session, services.sessions.seconds)
    answer = RedirectResponse("/login", 303)
    services.sessions.remove_cookie(answer)
    return answer


@router.get("/preferences")
async def prefer(
    request: Request,
    language: Annotated[str, Query(max_length=10)] = "",
    theme: Annotated[str, Query(max_length=10)] = "",
    back: Annotated[str, Query(max_length=2000)] = "/",
) -> RedirectResponse:
    """Remember a language or a theme in the reader's own browser; nothing is kept here."""
    answer = RedirectResponse(local_path(back), 303)
    secure = request.url.scheme == "https"
    for cookie, value, known in (
        (LANGUAGE_COOKIE, language, LANGUAGES),
        (THEME_COOKIE, theme, THEMES),
    ):
        if value in known:
            answer.set_cookie(cookie, value, max_age=_A_YEAR, samesite="lax", secure=secure)
    return answer
