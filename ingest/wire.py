"""The one HTTP seam: every request that any fetch library makes passes here.

AKShare opens a new TLS connection per call, sets no timeout on most of them, and offers no hook.
So ``requests.Session.get_adapter`` is replaced, once and explicitly, by one that returns a
process-wide adapter which keeps connections alive, sets timeouts, waits for the upstream's budget
before **every** request, records it, and can send an upstream's traffic to another base URL (the
simulator). Failures leave as :mod:`ingest.source` errors, which AKShare's own retry loops do not
catch: how often to retry is decided in one place, not in every library.
"""

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ingest.causes import plain_cause
from ingest.pacing import Budget, Lane, Permit
from ingest.source import (
    DeadlinePassedError,
    KnownUnreachableError,
    SourceError,
    ThrottledError,
    UnreachableError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)

_DOMAINS = {
    "eastmoney.com": "eastmoney",
    "sina.com.cn": "sina",
    "sinajs.cn": "sina",
    "sina.cn": "sina",
    "qq.com": "tencent",
    "gtimg.cn": "tencent",
}


def risk_domain(host: str) -> str:
    """The upstream whose ban a request to this host can cause; all its hosts share one budget."""
    for suffix, domain in _DOMAINS.items():
        if host == suffix or host.endswith("." + suffix):
            return domain
    return host


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it.

    Attributes:
        status: HTTP status, or None when no response came.
        elapsed_s: From the first byte sent to the last byte read, budget wait excluded.
    """

    domain: str
    path: str
    status: int | None
    received_bytes: int
    elapsed_s: float
    waited_s: float
    body: bytes = b""


@dataclass(slots=True)
class Observation:
    """The requests made within one ``observed`` block."""

    upstreams: Mapping[str, "Upstream"]
    lane: Lane
    deadline: float
    alive: Callable[[], None]
    wait_out_ban: bool = True
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many were sent."""
        return len(self.exchanges)


_observation: ContextVar[Observation | None] = ContextVar("quantsync_observation", default=None)


@contextmanager
def observed(
    upstreams: Mapping[str, "Upstream"],
    *,
    lane: Lane,
    deadline: float,
    alive: Callable[[], None] = lambda: None,
    wait_out_ban: bool = True,
) -> Iterator[Observation]:
    """Note every request made inside, and say how, in which lane and until when it is sent.

    Args:
        upstreams: How each risk domain is reached. A request to any other is refused, so that
            nothing is ever sent without a budget.
        lane: Whose budget lane the requests wait in.
        deadline: ``time.monotonic()`` instant after which nothing is sent, and no permit waited
            for.
        alive: Called before and after every request, and about once a second while a permit is
            waited for. What it raises ends the fetch.
        wait_out_ban: Whether a request waits for the end of a ban, up to the deadline; else it
            fails at once, for whoever has another upstream to ask.
    """
    observation = Observation(upstreams, lane, deadline, alive, wait_out_ban)
    token = _observation.set(observation)
    try:
        yield observation
    finally:
        _observation.reset(token)


@contextmanager
def observed_within(*, wait_out_ban: bool | None = None) -> Iterator[Observation]:
    """Note the requests made inside with their bodies; the block around notes them without.

    Args:
        wait_out_ban: As in :func:`observed`; None: as the block around has it.

    Raises:
        SourceError: There is no block around, so nobody says how to reach an upstream.
    """
    outer = _observation.get()
    if outer is None:
        raise SourceError("a fetch was tried outside wire.observed: it has no budget")
    with observed(
        outer.upstreams,
        lane=outer.lane,
        deadline=outer.deadline,
        alive=outer.alive,
        wait_out_ban=outer.wait_out_ban if wait_out_ban is None else wait_out_ban,
    ) as inner:
        try:
            yield inner
        finally:
            outer.exchanges.extend(replace(e, body=b"") for e in inner.exchanges)


@dataclass(frozen=True, slots=True)
class Upstream:
    """How one risk domain is reached.

    Attributes:
        budget: Who permits its requests.
        base_url: Where its traffic goes instead, e.g. ``http://127.0.0.1:8900``; None: as asked.
    """

    budget: Budget
    base_url: str | None = None


class UpstreamAdapter(HTTPAdapter):
    """Sends requests paced, timed, recorded and, if so configured, elsewhere.

    Args:
        connect_timeout_s: Longest wait for a connection.
        read_timeout_s: Longest silence, and longest time for the whole body.
        proxy_url: Proxy for upstreams reached at their own address.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 10.0,
        proxy_url: str | None = None,
    ) -> None:
        super().__init__(pool_connections=32, pool_maxsize=32, max_retries=0)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        self._timeout = (connect_timeout_s, read_timeout_s)
        self._proxy_url = proxy_url
        self._outages = _Outages()

    def send(  # type: ignore[override]  # the base names each option; all are passed through
        self, request: requests.PreparedRequest, **options: object
    ) -> requests.Response:
        """Send one request when its budget permits.

        Raises:
            SourceError: No permit, no connection, no answer in time, or a status that is no answer.
        """
        target = urlsplit(str(request.url))
        domain = risk_domain(target.hostname or "")
        observation = _observation.get()
        upstream = observation.upstreams.get(domain) if observation else None
        if observation is None or upstream is None:
            raise SourceError(
                f"no request budget is configured for {target.hostname}: the request was not sent",
                {"host": target.hostname},
            )
        outage = (domain, upstream.base_url)
        in_doubt = self._outages.check(outage)
        if time.monotonic() > observation.deadline:
            raise DeadlinePassedError(
                f"the batch's deadline passed before {target.hostname} was asked",
                {"host": target.hostname},
            )
        permit = upstream.budget.acquire(
            observation.lane,
            observation.deadline,
            observation.alive,
            wait_out_ban=observation.wait_out_ban,
        )
        connect_s, read_s = self._timeout
        # A second silence in a row decides: it need not be waited for as long as the first.
        options["timeout"] = (connect_s, read_s / 2 if in_doubt else read_s)
        options["proxies"] = self._proxies(upstream)
        if upstream.base_url is not None:
            base = urlsplit(upstream.base_url)
            request.headers["Host"] = target.netloc
            request.url = urlunsplit((base.scheme, base.netloc, target.path, target.query, ""))
        began = time.monotonic()
        status: int | None = None
        body = b""
        try:
            with _translated(target.hostname or "", domain), _told_when_sent(permit):
                response = super().send(request, **options)  # type: ignore[arg-type]
                status = response.status_code
                body = _read_within(response, read_s)
            self._outages.clear(outage)
            _refuse_non_answer(response, body, domain, target.path)
        except UnreachableError as error:
            self._outages.note(outage, error.message)
            raise
        except UpstreamTimeoutError:
            if status is None:
                who = "the proxy of PROXY_URL" if options["proxies"] else target.hostname
                self._outages.note(
                    outage,
                    f"{domain} is unreachable: {who} accepts connections but does not answer",
                )
            raise
        finally:
            elapsed = time.monotonic() - began
            observation.exchanges.append(
                Exchange(domain, target.path, status, len(body), elapsed, permit.waited_s, body)
            )
        observation.alive()
        return response

    def _proxies(self, upstream: Upstream) -> dict[str, str]:
        if upstream.base_url is not None or self._proxy_url is None:
            return {}
        return {"http": self._proxy_url, "https": self._proxy_url}

    def close(self) -> None:
        """Do nothing: sessions close their adapters, and this one outlives them all."""


_permit: ContextVar[Permit | None] = ContextVar("quantsync_permit", default=None)


@contextmanager
def _told_when_sent(permit: Permit) -> Iterator[None]:
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


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


_Outage = tuple[str, str | None]
"""Risk domain and the base URL its traffic is sent to."""


class _Outages:
    """Remembers that an upstream cannot be reached, so that 5,000 symbols don't each wait.

    It cannot be connected to, or takes a connection and says nothing: after two such failures in a
    row, requests fail at once with the same reason for ``retry_after_s``.
    """

    def __init__(self, retry_after_s: float = 10.0) -> None:
        self._retry_after_s = retry_after_s
        self._lock = threading.Lock()
        self._down: dict[_Outage, tuple[int, float, str]] = {}

    def check(self, outage: _Outage) -> bool:
        """Whether the last request failed so; raises if the upstream is known to be unreachable."""
        with self._lock:
            failures, until, reason = self._down.get(outage, (0, 0.0, ""))
            if failures >= 2 and time.monotonic() < until:  # noqa: PLR2004  (once may be chance)
                raise KnownUnreachableError(reason, {"domain": outage[0]})
            return failures > 0

    def note(self, outage: _Outage, reason: str) -> None:
        with self._lock:
            failures = self._down.get(outage, (0, 0.0, ""))[0] + 1
            self._down[outage] = (failures, time.monotonic() + self._retry_after_s, reason)

    def clear(self, outage: _Outage) -> None:
        with self._lock:
            self._down.pop(outage, None)


@contextmanager
def _translated(host: str, domain: str) -> Iterator[None]:
    """Turn the HTTP stack's exceptions into ours, once."""
    context = {"host": host, "domain": domain}
    try:
        yield
    except requests.exceptions.ConnectTimeout as error:
        raise UnreachableError(
            f"{domain} is unreachable: {host} accepted no connection in time", context
        ) from error
    except (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError) as error:
        raise UpstreamTimeoutError(f"{host} did not answer in time", context) from error
    except (requests.exceptions.ProxyError, requests.exceptions.SSLError) as error:
        raise UnreachableError(f"{domain} is unreachable: {plain_cause(error)}", context) from error
    except (
        requests.exceptions.ConnectionError,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.ProtocolError,
    ) as error:
        if _was_connected(error):
            raise ThrottledError(
                f"{host} closed the connection without a whole response, as when throttling",
                context,
            ) from error
        raise UnreachableError(f"{domain} is unreachable: {plain_cause(error)}", context) from error


def _was_connected(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(
            seen,
            http.client.HTTPException
            | ConnectionResetError
            | BrokenPipeError
            | urllib3.exceptions.IncompleteRead,
        ):
            return True
        reason = getattr(seen, "reason", None)
        nested = next((a for a in seen.args if isinstance(a, BaseException)), None)
        seen = reason if isinstance(reason, BaseException) else nested or seen.__cause__
    return False


def _read_within(response: requests.Response, seconds: float) -> bytes:
    """The whole body; a body that trickles is given up after ``seconds``."""
    deadline = time.monotonic() + seconds
    chunks: list[bytes] = []
    while chunk := response.raw.read1(decode_content=True):
        chunks.append(chunk)
        if time.monotonic() > deadline:
            response.close()
            raise requests.exceptions.ReadTimeout("the body did not end in time")
    body = b"".join(chunks)
    expected = response.headers.get("Content-Length")
    if expected is not None and "Content-Encoding" not in response.headers:
        missing = int(expected) - len(body)
        if missing > 0:
            raise requests.exceptions.ChunkedEncodingError(
                urllib3.exceptions.IncompleteRead(len(body), missing)
            )
    # requests has no public way to hand it a body that was read for it.
    response._content = body  # noqa: SLF001
    response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
    response.raw.release_conn()
    return body


_THROTTLING_STATUS = frozenset({403, 418, 429, 436, 456, 618})


def _refuse_non_answer(response: requests.Response, body: bytes, domain: str, path: str) -> None:
    status = response.status_code
    context = {"domain": domain, "path": path, "status": status}
    if status in _THROTTLING_STATUS:
        raise ThrottledError(f"{domain} refused the request with HTTP {status}", context)
    if status >= 500:  # noqa: PLR2004
        raise UpstreamFailedError(f"{domain} answered {path} with HTTP {status}", context)
    if status >= 400:  # noqa: PLR2004
        raise SourceError(f"{domain} answered {path} with HTTP {status}", context)
    if body.lstrip()[:1] == b"<":
        raise ThrottledError(
            f"{domain} answered {path} with a web page instead of data, as its captcha does",
            context,
        )


_install_lock = threading.Lock()
_installed: UpstreamAdapter | None = None
_original_get_adapter = requests.Session.get_adapter


def install(adapter: UpstreamAdapter) -> None:
    """Send all traffic of ``requests`` in this process through an adapter.

    Idempotent; a second adapter replaces the first.
    """
    global _installed  # noqa: PLW0603  (one per process is the point)
    with _install_lock:
        _installed = adapter
        requests.Session.get_adapter = _get_adapter  # type: ignore[method-assign,assignment]


def uninstall() -> None:
    """Give ``requests`` its own adapters back."""
    global _installed  # noqa: PLW0603
    with _install_lock:
        _installed = None
        requests.Session.get_adapter = _original_get_adapter  # type: ignore[method-assign]


def _get_adapter(session: requests.Session, url: str | bytes) -> HTTPAdapter:
    if _installed is not None:
        return _installed
    return _original_get_adapter(session, url)  # type: ignore[return-value,arg-type]
