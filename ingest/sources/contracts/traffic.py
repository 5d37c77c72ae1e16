"""What AKShare sends while it is looked at: noted at the wire, answered here, never sent out."""

import ipaddress
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from ingest import wire
from ingest.pacing import Lane, UnlimitedBudget
from ingest.sources.contracts.replacing import replaced
from market.errors import QuantsyncError

_DEADLINE_S = 60.0


class WentAroundTheWireError(QuantsyncError):
    """Something was to be sent past the wire; it was not sent."""


class Traffic:
    """Requests in the order sent.

    Attributes:
        urls: Of those that passed the wire.
        strayed: Hosts that something tried to reach past the wire; nothing was sent to them.
    """

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.strayed: list[str] = []

    def facts(self) -> list[dict[str, object]]:
        """Each request: where to, and what was asked. A page tells only what differs from the last.

        Numbers of milliseconds, which defeat caches, are left out: they differ every time.
        """
        told: list[dict[str, object]] = []
        before: tuple[str, dict[str, str]] = ("", {})
        for url in self.urls:
            parts = urlsplit(url)
            to = f"{parts.scheme}://{parts.netloc}{parts.path}"
            query = {k: v for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != "_"}
            if to == before[0] and query.keys() == before[1].keys():
                changed = {k: v for k, v in query.items() if v != before[1][k]}
                told.append({"again": changed})
            else:
                told.append({"to": to, "query": query})
            before = (to, query)
        return told


class _NotingAdapter(wire.UpstreamAdapter):
    def __init__(self, traffic: Traffic) -> None:
        super().__init__(connect_timeout_s=2.0, read_timeout_s=10.0)
        self._traffic = traffic

    def send(  # type: ignore[override]  # as its base: all options are passed through
        self, request: requests.PreparedRequest, **options: object
    ) -> requests.Response:
        self._traffic.urls.append(str(request.url))
        return super().send(request, **options)


class _Everywhere(Mapping[str, wire.Upstream]):
    """Whatever upstream is asked for stands at one address of this machine."""

    def __init__(self, base_url: str) -> None:
        self._upstream = wire.Upstream(UnlimitedBudget(), base_url)

    def __getitem__(self, domain: str) -> wire.Upstream:
        return self._upstream

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@contextmanager
def observed_at(base_url: str) -> Iterator[Traffic]:
    """Send everything inside to a server of this machine, whatever host it is meant for."""
    traffic = Traffic()
    with ExitStack() as stack:
        wire.install(_NotingAdapter(traffic))
        stack.callback(wire.uninstall)
        stack.enter_context(_only_loopback(traffic))
        deadline = time.monotonic() + _DEADLINE_S
        stack.enter_context(wire.observed(_Everywhere(base_url), lane=Lane.LIVE, deadline=deadline))
        yield traffic


@contextmanager
def _only_loopback(traffic: Traffic) -> Iterator[None]:
    """Refuse connections that leave this machine, by the socket or by libcurl."""
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def refuse(host: str) -> None:
        traffic.strayed.append(host)
        raise WentAroundTheWireError(f"a request to {host} would not pass the wire: not sent")

    def connect_here(this: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            refuse(str(address[0]))
        connect(this, address)

    def resolve_here(host: Any, *more: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not _is_loopback(name):
            refuse(name)
        return resolve(host, *more, **options)

    def perform_nothing(*_: Any, **__: Any) -> None:
        refuse("an address that only libcurl knows")

    with ExitStack() as stack:
        stack.enter_context(replaced(socket.socket, "connect", connect_here))
        stack.enter_context(replaced(socket, "getaddrinfo", resolve_here))
        curl = sys.modules.get("curl_cffi")
        if curl is not None:
            stack.enter_context(replaced(curl.Curl, "perform", perform_nothing))
        yield


def _is_loopback(host: str) -> bool:
    if host in ("localhost", "None"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
