"""Parts of pages that follow what happens: sent as server-sent events while they change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Request
from starlette.responses import StreamingResponse

from web.pages.rendering import services_of
from web.problems import BusyError

_LOOK_EVERY_S = 1.0
_SIGN_EVERY = 15
_CLOSED = "event: close\ndata: \n\n"

Look = Callable[[], Awaitable[tuple[str, bool]]]
"""Gives the part as it is now, and whether it can still change."""


def message(html: str) -> str:
    """A part of a page as one event without a name, which htmx swaps in."""
    return "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"


async def follow(request: Request, look: Look) -> StreamingResponse:
    """Send a part whenever it has changed, until it can change no more.

    Raises:
        BusyError: Too many streams are open.
    """
    services = services_of(request)

    async def events() -> AsyncIterator[str]:
        shown, silent = "", 0
        while not services.stopping.is_set():
            html, may_change = await look()
            silent += 1
            if html != shown:
                shown, silent = html, 0
                yield message(html)
            elif silent % _SIGN_EVERY == 0:
                yield ": still here\n\n"
            if not may_change:
                yield _CLOSED
                return
            try:
                await asyncio.wait_for(services.stopping.wait(), _LOOK_EVERY_S)
            except TimeoutError:
                continue

    _ = BusyError
    return StreamingResponse(
        events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )
