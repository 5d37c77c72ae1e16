"""What every request and answer must pass: hosts, sizes, patience, headers."""

import asyncio
import ipaddress
import logging
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.listening import is_loopback
from web.problems import answer, document, unforeseen

log = logging.getLogger(__name__)

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""Set on every answer that does not set them itself. No answer allows another origin (CORS)."""


class Guard:
    """Refuses what must not get as far as the application.

    A host that is neither an address nor named in WEB_HOSTS (a page elsewhere may let its own name
    point here); a body that is too large, or comes too slowly.

    Args:
        app: The application.
        names: Hosts it may be asked by, beside addresses and ``localhost``.
        most_bytes: Of a body.
        patience_s: For a body.
    """

    def __init__(
        self, app: ASGIApp, *, names: Collection[str], most_bytes: int, patience_s: float
    ) -> None:
        self._app = app
        self._names = names
        self._most = most_bytes
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, self._most, self._patience_s)
        headers = dict(scope["headers"])
        refusal = self._refusal(scope["path"], headers)
        if refusal is not None:
            await refusal(scope, exchange.receive, exchange.send)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001  (answered, and logged)
            await self._failed(scope, exchange, error)

    async def _failed(self, scope: Scope, exchange: "_Exchange", error: Exception) -> None:
        path = scope["path"]
        if isinstance(error, _TooLargeError):
            refusal = self._too_large(path)
        elif isinstance(error, _TooSlowError):
            refusal = self._too_slow(path)
        else:
            log.error("%s %s failed", scope["method"], path, exc_info=error)
            refusal = unforeseen(path)
        if exchange.has_answered:
            raise ConnectionAbortedError(f"the answer to {path} was cut off") from error
        exchange.failure = None
        await refusal(scope, exchange.receive, exchange.send)

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> Response | None:
        host = _without_port(headers.get(b"host", b"").decode("latin-1").lower())
        if not (is_loopback(host) or _is_address(host) or host in self._names):
            return _problem(
                421,
                "unknown-host",
                f"the host {host[:80]!r} is not known here: ask by an address, or name it in "
                "WEB_HOSTS",
                path,
            )
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most:
            return self._too_large(path)
        return None

    def _too_large(self, path: str) -> Response:
        return _problem(
            413,
            "too-large",
            f"the body is larger than {self._most // 1024} KiB: send less, or raise WEB_BODY_KIB",
            path,
        )

    def _too_slow(self, path: str) -> Response:
        return _problem(
            408,
            "too-slow",
            f"the body did not come within {self._patience_s:g} s: send it faster",
            path,
        )


class _TooLargeError(Exception):
    pass


class _TooSlowError(Exception):
    pass


class _Exchange:
    """One request and its answer, measured."""

    def __init__(self, receive: Receive, send: Send, most: int, patience_s: float) -> None:
        self._receive, self._send = receive, send
        self._left = most
        self._patience_s = patience_s
        self._until = asyncio.get_running_loop().time() + patience_s
        self._whole = False
        self.has_answered = False
        self.failure: Exception | None = None

    async def receive(self) -> Message:
        """The next part of the body; once it is whole, whether the client has gone."""
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            self.failure = _TooSlowError()
            raise self.failure from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._left < 0:
                self.failure = _TooLargeError()
                raise self.failure
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer, with the headers that every one has.

        Raises:
            Exception: What ended the body: whoever reads it may have taken that for a fault of
                the client's writing.
        """
        if self.failure is not None and not self.has_answered:
            raise self.failure
        if message["type"] == "http.response.start":
            self.has_answered = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if message["status"] in (408, 413):
                headers["Connection"] = "close"  # what is left of the body is not read
        await self._send(message)


def _problem(status: int, kind: str, detail: str, path: str) -> Response:
    return answer(status, document(status, kind, detail, path))


def _without_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    return host if host and port.isdigit() and (":" not in host or host[-1] == "]") else text


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
