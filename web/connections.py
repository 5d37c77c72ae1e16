"""Connections, bounded: uvicorn's protocol, which waits for a client as long as that likes."""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s"
)
_FULL_BODY = (
    b'{"type":"urn:quantsync:problem:busy","title":"Service Unavailable","status":503,'
    b'"detail":"too many connections are open: close some, or raise WEB_CONNECTIONS",'
    b'"instance":"/","remedy":"close some, or raise WEB_CONNECTIONS"}'
)


class BoundedProtocol(H11Protocol):
    """One connection of a bounded number.

    It must send a request's head in a bounded time, and take in what is sent to it.
    """

    most: ClassVar[int]
    patience_s: ClassVar[float]

    _head_due: asyncio.TimerHandle | None = None
    _taken_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a connection, or say that there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(_FULL % (len(_FULL_BODY), _FULL_BODY))
            transport.close()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that is whole begins a cycle."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._expect_nothing()
        elif self._head_due is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()  # one that began on a connection that was kept

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._expect_nothing()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a client that takes in less than is sent, but not for ever."""
        super().pause_writing()
        if self._taken_due is None:
            self._taken_due = self.loop.call_later(self.patience_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it has taken in what was sent."""
        if self._taken_due is not None:
            self._taken_due.cancel()
            self._taken_due = None
        super().resume_writing()

    def _expect_head(self) -> None:
        self._head_due = self.loop.call_later(self.patience_s, self._give_up)

    def _expect_nothing(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _give_up(self) -> None:
        self._head_due = None
        if not self.transport.is_closing():
            self.transport.close()


def bounded_protocol(most: int, patience_s: float) -> type[BoundedProtocol]:
    """The protocol with its bounds.

    Args:
        most: Connections that may be open at once.
        patience_s: Seconds for a request's head.
    """
    return type("Protocol", (BoundedProtocol,), {"most": most, "patience_s": patience_s})
