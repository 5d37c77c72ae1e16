"""Parts of pages that follow what happens: sent as server-sent events while they change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial

from fastapi import Request

from web.keys import Caller
from web.pages.rendering import services_of
from web.streams import EventStream

_LOOK_EVERY_S = 1.0
_SIGN_EVERY = 15
_LONGEST = 3600
_CLOSE = b"event: close\ndata: \n\n"
"""What ``hx-sse:close`` waits for: nothing more will change."""

Look = Callable[[], Awaitable[tuple[str, bool]]]
"""Gives the part as it is now, and whether it can still change."""


def message(html: str) -> bytes:
    """A part of a page as an event without a name, which htmx swaps in."""
    lines = "".join(f"data: {line}\n" for line in html.splitlines() if line.strip())
    return f"{lines}\n".encode()


def follow(request: Request, caller: Caller, look: Look) -> EventStream:
    """Send a part whenever it has changed, until it can change no more.

    Args:
        request: As it came.
        caller: Who listens; the stream ends soon after their key is revoked or they log out.
        look: Gives the part.

    Raises:
        BusyError: Too many streams are open.
    """
    services = services_of(request)
    services.watcher.enter(caller.name)

    async def may_listen() -> bool:
        if services.stopping.is_set():
            return False
        if not services.keys.is_fresh:
            await services.queries.run(services.keys.refresh)
        return services.keys.still_admits(caller)

    async def events() -> AsyncIterator[bytes]:
        shown, silent = "", 0
        for _ in range(_LONGEST):
            if not await may_listen():
                return
            html, may_change = await look()
            silent += 1
            if html != shown:
                shown, silent = html, 0
                yield message(html)
            elif silent % _SIGN_EVERY == 0:
                yield b": still here\n\n"
            if not may_change:
                yield _CLOSE
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(services.stopping.wait(), _LOOK_EVERY_S)

    return EventStream(events(), partial(services.watcher.leave, caller.name))
