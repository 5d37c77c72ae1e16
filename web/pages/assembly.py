"""The pages, put on the application."""

from fastapi import APIRouter, FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from web.pages import (
    boards,
    errors,
    keys,
    login,
    operations,
    overview,
    quarantine,
    reports,
    runs,
    schedule,
    symbols,
)
from web.pages.looks import Looks
from web.pages.rendering import STATIC

_PAGES = (
    login, overview, symbols, boards, operations, runs, quarantine, reports, schedule, keys,
)  # fmt: skip
_A_YEAR = 365 * 86_400


class _Assets(StaticFiles):
    """Files of the package; their addresses change with them, so they may be kept."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        if b"v=" in scope.get("query_string", b""):
            answer.headers["Cache-Control"] = f"public, max-age={_A_YEAR}, immutable"
        return answer


def install(app: FastAPI) -> None:
    """Add the pages and their assets, after everything else has its routes and handlers."""
    pages = APIRouter(include_in_schema=False)
    for module in _PAGES:
        pages.include_router(module.router)
    app.include_router(pages)
    app.state.looks = Looks(app.state.services.runtime)
    app.mount("/static", _Assets(directory=STATIC), name="static")
    errors.install(app)
