"""Connections that tell a permit when its request has left.

On a busy machine a thread may wake, connect or write late, and the budget must count from the
instant at which the last byte was sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ingest.pacing import Permit

_permit: ContextVar[Permit | None] = ContextVar("quantsync_permit", default=None)


@contextmanager
def told_when_sent(permit: Permit) -> Iterator[None]:
    """Let the connection that sends the request tell the permit when it did."""
    token = _permit.set(permit)
    try:
        yield
    finally:
        _permit.reset(token)


class _HttpConnection(HTTPConnection):
    def request(self, *arguments: Any, **options: Any) -> None:
        super().request(*arguments, **options)
        _tell_permit()


class _HttpsConnection(HTTPSConnection):
    def request(self, *arguments: Any, **options: Any) -> None:
        super().request(*arguments, **options)
        _tell_permit()


def _tell_permit() -> None:
    permit = _permit.get()
    if permit is not None:
        permit.left()


class HttpPool(HTTPConnectionPool):
    """Of plain connections."""

    ConnectionCls = _HttpConnection


class HttpsPool(HTTPSConnectionPool):
    """Of secured ones."""

    ConnectionCls = _HttpsConnection
