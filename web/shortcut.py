"""Bars that were asked for before, and have not changed since: answered before anything else.

What a request means is worked out once, by its route. Asked again in the same words, with a key
that opens, it is answered here where the answer is at hand; everything else goes its usual way.
"""

from collections import OrderedDict
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import URL, Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from market.errors import QuantsyncError
from web.bars import Answer, Ask
from web.encoding import MEDIA_TYPES
from web.problems import problem_of

if TYPE_CHECKING:
    from web.services import Services

_MOST = 4096
_BEARER = "bearer "

Words = tuple[str, bytes, str]


class KnownAsks:
    """What requests mean, by their words; the longest unused goes first."""

    def __init__(self) -> None:
        self._asks: OrderedDict[Words, tuple[Ask, str]] = OrderedDict()

    def remember(self, words: Words, ask: Ask, codes: str) -> None:
        """Note what a request means while symbols bear these codes."""
        self._asks[words] = (replace(ask, known=()), codes)
        self._asks.move_to_end(words)
        if len(self._asks) > _MOST:
            self._asks.popitem(last=False)

    def get(self, words: Words, codes: str) -> Ask | None:
        """What a request means; None: it was not asked for, or a symbol was renumbered since."""
        found = self._asks.get(words)
        return found[0] if found is not None and found[1] == codes else None


def words_of(scope: Scope, headers: Headers) -> Words:
    """The words of a request: all that decides what it means."""
    return scope["path"], scope["query_string"], headers.get("accept", "")


class Shortcut:
    """Answers what is at hand; hands on the rest.

    Args:
        app: The application.
        services: Its services.
        prefix: Of the paths that bars are asked for by.
    """

    def __init__(self, app: ASGIApp, services: "Services", prefix: str) -> None:
        self._app, self._services, self._prefix = app, services, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_asked = scope["type"] == "http" and scope["method"] == "GET"
        if not is_asked or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        ask = self._ask(scope, headers)
        answer = None if ask is None else self._services.bars.at_hand(ask)
        if ask is None or answer is None:
            await self._app(scope, receive, send)
            return
        key = self._services.keys.opened_by(headers["authorization"][len(_BEARER) :])
        if key is None:
            await self._app(scope, receive, send)  # it knows how to say so
            return
        try:
            self._services.limits.take_read(key.key_id)
        except QuantsyncError as error:
            await problem_of(error, scope["path"])(scope, receive, send)
            return
        await bars_response(ask, answer, scope)(scope, receive, send)

    def _ask(self, scope: Scope, headers: Headers) -> Ask | None:
        services = self._services
        if not headers.get("authorization", "").lower().startswith(_BEARER):
            return None
        if not (services.keys.is_fresh and services.bars.aliases_are_fresh):
            return None
        ask = services.known_asks.get(words_of(scope, headers), services.bars.codes)
        if ask is None:
            return None
        tags = headers.get("if-none-match")
        return ask if tags is None else replace(ask, known=read_tags(tags))


def read_tags(text: str) -> tuple[str, ...]:
    """The entity tags of ``If-None-Match``."""
    return tuple(tag.strip().removeprefix("W/") for tag in text.split(","))


def bars_response(ask: Ask, answer: Answer, scope: Scope) -> Response:
    """The answer to a request for bars, whichever way it took."""
    headers = {
        "ETag": answer.etag,
        "Cache-Control": "private, no-cache",
        "Vary": "Accept, Authorization, Cookie",
    }
    if answer.body is None or "*" in ask.known:  # any bars at all, and there are some
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if answer.more_after is not None:
        following = URL(scope=scope).include_query_params(cursor=answer.more_after)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return Response(answer.body, media_type=MEDIA_TYPES[ask.form], headers=headers)
