"""The one HTTP seam: every request that any fetch library makes passes here.

AKShare opens a new TLS connection per call, sets no timeout on most of them, and offers no hook.
So ``requests.Session.get_adapter`` is replaced, once and explicitly, by one that returns a
process-wide adapter which keeps connections alive, sets timeouts, waits for the upstream's budget
before **every** request, records it, and can send an upstream's traffic to another base URL (the
simulator). Failures leave as :mod:`ingest.source` errors, which AKShare's own retry loops do not
catch: how often to retry is decided in one place, not in every library.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import cast
from urllib.parse import SplitResult, urlsplit, urlunsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool

from ingest.answers import read_within, refuse_non_answer, translated
from ingest.clock_offset import clock_offset
from ingest.connections import HttpPool, HttpsPool, told_when_sent
from ingest.domains import risk_domain
from ingest.outages import Outages
from ingest.pacing import Budget, Lane, Permit
from ingest.source import (
    DeadlinePassedError,
    SourceError,
    ThrottledError,
    UnreachableError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from ingest.throttling import Answer


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it.

    Attributes:
        status: HTTP status, or None when no response came.
        elapsed_s: From the first byte sent to the last byte read, budget wait excluded.
        clock_off_s: How far ahead of this machine's the upstream's clock is; None: not told.
    """

    domain: str
    path: str
    status: int | None
    received_bytes: int
    elapsed_s: float
    waited_s: float
    body: bytes = b""
    clock_off_s: float | None = None


@dataclass(slots=True)
class Observation:
    """The requests made within one ``observed`` block.

    Attributes:
        throttled: Whether any of them met a throttling sign or a ban, so that time was lost which
            is not the batch's fault.
    """

    upstreams: Mapping[str, "Upstream"]
    lane: Lane
    deadline: float
    alive: Callable[[], None]
    ban_deadline: float = math.inf
    exchanges: list[Exchange] = field(default_factory=list)
    throttled: bool = False
    _unjudged: tuple[Permit, str] | None = None

    @property
    def requests(self) -> int:
        """How many were sent."""
        return len(self.exchanges)

    def _judge(self, error: BaseException | None = None) -> None:
        """Tell the budget of the last answer, which was whole: fine, unless the source saw more."""
        if self._unjudged is None:
            return
        (permit, question), self._unjudged = self._unjudged, None
        if isinstance(error, ThrottledError):
            error.banned = permit.answered(Answer.SIGN, error.message, question)
            self.throttled = True
        else:
            permit.answered(Answer.OK)

    @contextmanager
    def _judged_at_the_end(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._judge(error)
            raise
        self._judge()


_HEADERS = dict(requests.utils.default_headers())

_observation: ContextVar[Observation | None] = ContextVar("quantsync_observation", default=None)


@contextmanager
def observed(
    upstreams: Mapping[str, "Upstream"],
    *,
    lane: Lane,
    deadline: float,
    alive: Callable[[], None] = lambda: None,
    ban_deadline: float = math.inf,
) -> Iterator[Observation]:
    """Note every request made inside, and say how, in which lane and until when it is sent.

    A :class:`ThrottledError` that leaves the block is a sign for the budget of the last request,
    whether the wire raised it or a source did that saw in a whole answer that it was none.

    Args:
        upstreams: How each risk domain is reached. A request to any other is refused, so that
            nothing is ever sent without a budget.
        lane: Whose budget lane the requests wait in.
        deadline: ``time.monotonic()`` instant after which nothing is sent, and no permit waited
            for.
        alive: Called before and after every request, and about once a second while a permit is
            waited for. What it raises ends the fetch.
        ban_deadline: ``time.monotonic()`` instant up to which a request waits for the end of a ban;
            0: it fails at once, for whoever has another upstream to ask.
    """
    observation = Observation(upstreams, lane, deadline, alive, ban_deadline)
    token = _observation.set(observation)
    try:
        with observation._judged_at_the_end():  # noqa: SLF001  (one module)
            yield observation
    finally:
        _observation.reset(token)


@contextmanager
def observed_within(*, ban_deadline: float = math.inf) -> Iterator[Observation]:
    """Note the requests made inside with their bodies; the block around notes them without.

    Args:
        ban_deadline: As in :func:`observed`, if the block around does not say an earlier one.

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
        ban_deadline=min(outer.ban_deadline, ban_deadline),
    ) as inner:
        try:
            yield inner
        finally:
            outer.throttled |= inner.throttled
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


@dataclass(frozen=True, slots=True)
class _Sending:
    """How a request is to be sent: to ``base`` instead of its own host, if there is one."""

    target: SplitResult
    base: SplitResult | None
    timeout: tuple[float, float]
    proxies: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Answered:
    """What came back, its body still to be read."""

    status: int
    headers: Mapping[str, str]
    raw: urllib3.BaseHTTPResponse
    response: requests.Response | None = None

    def keep(self, body: bytes) -> None:
        """Give the body to whoever reads it from the response."""
        if self.response is not None:
            # requests has no public way to hand it a body that was read for it.
            self.response._content = body  # noqa: SLF001
            self.response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001


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
        self.poolmanager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
        self._timeout = (connect_timeout_s, read_timeout_s)
        self._proxy_url = proxy_url
        self._outages = Outages()
        self._pools: dict[tuple[str, str, str | None], HTTPConnectionPool] = {}

    def send(  # type: ignore[override]  # the base names each option; all are passed through
        self, request: requests.PreparedRequest, **options: object
    ) -> requests.Response:
        """Send one request when its budget permits.

        Raises:
            SourceError: No permit, no connection, no answer in time, or a status that is no answer.
        """

        def transmit(sending: _Sending) -> _Answered:
            target = sending.target
            options["timeout"], options["proxies"] = sending.timeout, sending.proxies
            if sending.base is not None:
                request.headers["Host"] = target.netloc
                request.url = urlunsplit((*sending.base[:2], target.path, target.query, ""))
            response = super(UpstreamAdapter, self).send(request, **options)  # type: ignore[arg-type]
            return _Answered(response.status_code, response.headers, response.raw, response)

        return cast("requests.Response", self._exchange(str(request.url), transmit).response)

    def ask(self, url: str) -> None:
        """Send a GET, and nothing but it: half of a small request's CPU is what requests adds.

        What came is in the observation around.

        Raises:
            SourceError: As :meth:`send`.
        """

        def transmit(sending: _Sending) -> _Answered:
            target, place = sending.target, sending.base or sending.target
            path = ("", "", target.path, target.query, "")
            if sending.proxies and place.scheme == "http":
                path = ("http", place.netloc, *path[2:])  # a proxy is told the whole address
            raw = self._pool(place, sending.proxies).urlopen(
                "GET",
                urlunsplit(path),
                headers={**_HEADERS, "Host": target.netloc},
                redirect=False,
                assert_same_host=False,
                retries=False,
                timeout=urllib3.Timeout(*sending.timeout),
                preload_content=False,
            )
            return _Answered(raw.status, raw.headers, raw)

        self._exchange(url, transmit)

    def _pool(self, place: SplitResult, proxies: dict[str, str]) -> HTTPConnectionPool:
        """The connections to a place, as requests would choose and secure them."""
        key = (place.scheme, place.netloc, proxies.get(place.scheme))
        pool = self._pools.get(key)
        if pool is None or pool.pool is None:  # closed: more upstreams are in use than are kept
            asked = requests.Request("GET", f"{place.scheme}://{place.netloc}/").prepare()
            found = self.get_connection_with_tls_context(asked, verify=True, proxies=proxies)
            self.cert_verify(found, str(asked.url), verify=True, cert=None)  # type: ignore[no-untyped-call]
            pool = self._pools[key] = cast("HTTPConnectionPool", found)
        return pool

    def _exchange(self, url: str, transmit: "Callable[[_Sending], _Answered]") -> "_Answered":
        """One request under its budget, recorded; ``transmit`` puts it on the network."""
        target = urlsplit(url)
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
        # Before the next permit: this very thread may hold the sole right to ask.
        observation._judge()  # noqa: SLF001  (one module)
        permit = upstream.budget.acquire(
            observation.lane,
            observation.deadline,
            observation.alive,
            ban_deadline=observation.ban_deadline,
        )
        observation.throttled |= permit.in_ban
        connect_s, read_s = self._timeout
        # A second silence in a row decides: it need not be waited for as long as the first.
        timeout = (connect_s, read_s / 2 if in_doubt else read_s)
        base = urlsplit(upstream.base_url) if upstream.base_url is not None else None
        sending = _Sending(target, base, timeout, self._proxies(upstream))
        began = time.monotonic()
        answered: _Answered | None = None
        body, off_s = b"", None
        try:
            with _judging(permit, observation), told_when_sent(permit):
                with translated(target.hostname or "", domain):
                    answered = transmit(sending)
                    off_s = clock_offset(answered.headers.get("Date"), time.time())
                    body = read_within(answered.raw, answered.headers, read_s)
                    answered.keep(body)
                self._outages.clear(outage)
                refuse_non_answer(answered.status, body, domain, target.path)
        except UnreachableError as error:
            self._outages.note(outage, error.message)
            raise
        except UpstreamTimeoutError:
            if answered is None:
                who = "the proxy of PROXY_URL" if sending.proxies else target.hostname
                self._outages.note(
                    outage,
                    f"{domain} is unreachable: {who} accepts connections but does not answer",
                )
            raise
        finally:
            elapsed = time.monotonic() - began
            status = answered.status if answered is not None else None
            waited = permit.waited_s
            observation.exchanges.append(
                Exchange(domain, target.path, status, len(body), elapsed, waited, body, off_s)
            )
        observation._unjudged = (permit, f"{target.path}?{target.query}")  # noqa: SLF001
        observation.alive()
        return answered

    def _proxies(self, upstream: Upstream) -> dict[str, str]:
        if upstream.base_url is not None or self._proxy_url is None:
            return {}
        return {"http": self._proxy_url, "https": self._proxy_url}

    def close(self) -> None:
        """Do nothing: sessions close their adapters, and this one outlives them all."""


@contextmanager
def _judging(permit: Permit, observation: Observation) -> Iterator[None]:
    """Tell the permit's budget of an answer that is none; a whole one is judged by its reader."""
    try:
        yield
    except ThrottledError as error:
        error.banned = permit.answered(Answer.SIGN, error.message)
        observation.throttled = True
        raise
    except UpstreamFailedError as error:
        permit.answered(Answer.FAILED, error.message)
        raise
    except SourceError as error:
        heard = not isinstance(error, UnreachableError | UpstreamTimeoutError)
        permit.answered(Answer.OK if heard else Answer.SILENT, error.message)
        raise
    except BaseException:
        permit.answered(Answer.SILENT)
        raise


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


def ask(url: str) -> None:
    """Send a GET through the adapter that is installed; see :meth:`UpstreamAdapter.ask`.

    Raises:
        SourceError: None is installed; or the request came to nothing.
    """
    if _installed is None:
        raise SourceError("a fetch was tried before wire.install: nothing was sent")
    _installed.ask(url)


def _get_adapter(session: requests.Session, url: str | bytes) -> HTTPAdapter:
    if _installed is not None:
        return _installed
    return _original_get_adapter(session, url)  # type: ignore[return-value,arg-type]
