"""How pages are routed: what fails in a way that nobody foresaw is a page, too."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from market.errors import QuantsyncError

log = logging.getLogger(__name__)


class UnforeseenError(QuantsyncError):
    """The application failed; its log has the traceback."""


class _Page(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except (QuantsyncError, RequestValidationError, HTTPException):
                raise
            except Exception as error:
                log.exception("%s %s failed", request.method, request.url.path)
                raise UnforeseenError(
                    "the server met something that nobody foresaw: its log has the traceback"
                ) from error

        return answer


def pages() -> APIRouter:
    """A router of pages."""
    return APIRouter(route_class=_Page, include_in_schema=False)
