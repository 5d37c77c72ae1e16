"""Answers that go on: server-sent events, and their end, which is told in any case."""

from collections.abc import AsyncIterator, Callable

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

EVENTS = "text/event-stream"


class EventStream(StreamingResponse):
    """An answer that goes on; its end is told also where it never began.

    Args:
        content: The events.
        ended: Told once, when no more will be sent.
    """

    def __init__(self, content: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(content, media_type=EVENTS, headers=headers)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()
