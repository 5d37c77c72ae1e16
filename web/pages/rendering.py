"""Templates, and what every page of them knows: language, theme, who reads, where."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from web.keys import Caller
from web.pages.formats import Formats, direction
from web.pages.texts import LANGUAGES, texts_for
from web.services import Services

_PACKAGE = Path(__file__).parents[1]
STATIC = _PACKAGE / "static"
THEMES = ("auto", "light", "dark")
THEME_COOKIE = "quantsync_theme"
_NO_STORE = {"Cache-Control": "no-store", "Vary": "Cookie, Accept-Language, HX-Request"}


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_PACKAGE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"static": static_url, "direction": direction, "languages": LANGUAGES}
    environment.filters["json"] = partial(json.dumps, ensure_ascii=False)
    return environment


@lru_cache(maxsize=64)
def static_url(name: str) -> str:
    """Where a file below ``static/`` is served; a changed file has another address."""
    content = (STATIC / name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def services_of(request: Request) -> Services:
    """What all requests share."""
    found: Services = request.app.state.services
    return found


def theme_of(request: Request) -> str:
    """The theme that a reader chose; ``auto`` is that of their system."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else THEMES[0]


def is_partial(request: Request) -> bool:
    """Whether a part of a page is asked for, and not a whole one."""
    return request.headers.get("hx-request-type") == "partial"


def render(request: Request, caller: Caller | None, template: str, **context: Any) -> str:
    """A template as text.

    Args:
        request: Who asks for it, in which language.
        caller: Whose rights they have; None: nobody's yet.
        template: Below ``templates/``.
        context: What it shows.
    """
    texts = texts_for(request)
    services = services_of(request)
    session = None if caller is None else caller.session
    query = f"?{request.url.query}" if request.url.query else ""
    shared: dict[str, Any] = {
        "t": texts,
        "lang": texts.language,
        "theme": theme_of(request),
        "caller": caller,
        "csrf": "" if session is None else services.sessions.token(session),
        "here": request.url.path,
        "back": quote(request.url.path + query, safe=""),
        **Formats(texts).all(),
    }
    return _environment().get_template(template).render(shared | context)


def page(
    request: Request,
    caller: Caller | None,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """A page, or a part of one, as an answer; arguments as those of :func:`render`."""
    text = render(request, caller, template, **context)
    return HTMLResponse(text, status, {**_NO_STORE, **(headers or {})})
