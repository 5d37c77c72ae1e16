"""The wire below AKShare: one seam, every request paced and recorded, every failure typed."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
import trustme

from ingest import wire
from ingest.domains import risk_domain
from ingest.pacing import Lane, Permit, UnlimitedBudget
from ingest.source import (
    KnownUnreachableError,
    Outcome,
    SourceError,
    ThrottledError,
    UnreachableError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from tests.fixtures.misbehaving import Answer, MisbehavingServer, respond

URL = "https://push2his.eastmoney.com/api/qt/stock/kline/get?secid=1.600519"
Start = Callable[[Answer], MisbehavingServer]


@dataclass
class CountingBudget:
    """A budget that notes who asked."""

    lanes: list[Lane] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)

    def acquire(
        self, lane: Lane, deadline: float, alive: Callable[[], None], *, ban_deadline: float
    ) -> Permit:
        """Grant and note."""
        alive()
        assert deadline > time.monotonic()
        assert ban_deadline > deadline
        self.lanes.append(lane)
        return Permit(0.0, lambda: self.sent.append(time.monotonic()))


WAYS: dict[str, Callable[[str], object]] = {"requests": requests.get, "ask": wire.ask}
"""How a GET is sent: by a library that knows nothing of the wire, or by the direct reading."""
_way = [WAYS["requests"]]


@pytest.fixture(params=WAYS)
def installed(request: pytest.FixtureRequest) -> Iterator[None]:
    """The wire with short timeouts, taken out again afterwards; ``fetch`` goes each way in turn."""
    wire.install(wire.UpstreamAdapter(connect_timeout_s=1, read_timeout_s=1))
    _way[0] = WAYS[request.param]
    yield
    wire.uninstall()


def fetch(base_url: str, budget: object = None) -> wire.Observation:
    """One request for eastmoney, sent to a base URL instead."""
    upstreams = {"eastmoney": wire.Upstream(budget or UnlimitedBudget(), base_url)}  # type: ignore[arg-type]
    with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 5) as seen:
        _way[0](URL)  # no timeout on purpose: the wire sets one
    return seen


@pytest.mark.usefixtures("installed")
def test_every_request_is_charged_recorded_and_sent_to_the_base_url(misbehaving: Start) -> None:
    """Host and query survive the redirection; count, status and bytes are noted."""
    server, budget = misbehaving(respond(b'{"rc":0}')), CountingBudget()

    seen = fetch(server.url, budget)

    assert budget.lanes == [Lane.LIVE]
    assert len(budget.sent) == 1, "the budget learns when the request really left"
    assert seen.requests == 1
    assert (seen.exchanges[0].status, seen.exchanges[0].received_bytes) == (200, 8)
    assert seen.exchanges[0].body == b'{"rc":0}'
    assert server.heads[0].startswith("GET /api/qt/stock/kline/get?secid=1.600519 ")
    assert "Host: push2his.eastmoney.com" in server.heads[0]


@pytest.mark.usefixtures("installed")
def test_connections_are_kept_between_sessions(misbehaving: Start) -> None:
    """Each requests.get opens a Session of its own; the connection outlives it."""
    connections: set[int] = set()

    def answer(connection: socket.socket, head: str) -> None:
        connections.add(connection.fileno())
        respond(b"{}")(connection, head)

    server = misbehaving(answer)
    for _ in range(5):
        fetch(server.url)

    assert len(server.heads) == 5
    assert len(connections) == 1


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda connection, _head: connection.close(), ThrottledError),
        (respond(b'{"rc":0', length=100), UpstreamTimeoutError),
        (respond(b"slow down", status="429 Too Many Requests"), ThrottledError),
        (respond(b"no", status="403 Forbidden"), ThrottledError),
        (respond(b"oops", status="502 Bad Gateway"), UpstreamFailedError),
        (respond(b"<html>captcha</html>"), ThrottledError),
        (respond(b"gone", status="404 Not Found"), SourceError),
        (lambda _connection, _head: time.sleep(1.5), UpstreamTimeoutError),
    ],
    ids=["closed", "cut", "429", "403", "502", "captcha", "404", "silent"],
)
def test_each_failure_leaves_the_wire_as_a_typed_error(
    misbehaving: Start, answer: Answer, error: type[SourceError]
) -> None:
    """Not one of them is an exception that AKShare's own retry would catch."""
    server = misbehaving(answer)

    with pytest.raises(error) as caught:
        fetch(server.url)

    assert not isinstance(caught.value, requests.RequestException | ValueError)
    assert len(server.heads) == 1


@pytest.mark.usefixtures("installed")
def test_a_cut_body_is_told_from_a_whole_one(misbehaving: Start) -> None:
    """A connection that closes in the middle of the body is no answer."""

    def answer(connection: socket.socket, head: str) -> None:
        respond(b'{"rc":0', length=100)(connection, head)
        connection.shutdown(socket.SHUT_WR)

    with pytest.raises(ThrottledError, match="without a whole response"):
        fetch(misbehaving(answer).url)


@pytest.mark.usefixtures("installed")
def test_a_body_that_trickles_is_given_up(misbehaving: Start) -> None:
    """Bytes that keep coming do not keep a worker for ever."""

    def answer(connection: socket.socket, _head: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(30):
            connection.sendall(b"x")
            time.sleep(0.1)

    server, began = misbehaving(answer), time.monotonic()

    with pytest.raises(UpstreamTimeoutError):
        fetch(server.url)

    assert time.monotonic() - began < 2.5


@pytest.mark.usefixtures("installed")
def test_an_unreachable_upstream_is_tried_twice_and_then_remembered() -> None:
    """5,000 symbols do not each wait for the same refused connection."""
    budget = CountingBudget()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = f"http://127.0.0.1:{listener.getsockname()[1]}"

    for _ in range(2):
        with pytest.raises(UnreachableError, match="eastmoney is unreachable"):
            fetch(nowhere, budget)
    with pytest.raises(KnownUnreachableError) as caught:
        fetch(nowhere, budget)

    assert len(budget.lanes) == 2, "the third request cost no permit"
    assert caught.value.outcome is Outcome.UNREACHABLE
    assert "0x" not in caught.value.message


def silent(_connection: socket.socket, _head: str) -> None:
    """Take the request and say nothing for longer than anybody waits."""
    time.sleep(3)


@pytest.mark.usefixtures("installed")
def test_an_upstream_that_takes_connections_and_says_nothing_is_remembered(
    misbehaving: Start,
) -> None:
    """Two timeouts without a byte: the third request is not sent, and the reason is said."""
    server, budget = misbehaving(silent), CountingBudget()

    for _ in range(2):
        with pytest.raises(UpstreamTimeoutError, match="did not answer in time"):
            fetch(server.url, budget)
    with pytest.raises(KnownUnreachableError, match="accepts connections but does not answer"):
        fetch(server.url, budget)

    assert len(server.heads) == len(budget.lanes) == 2


@pytest.mark.usefixtures("installed")
def test_an_answer_in_between_makes_silence_chance_again(misbehaving: Start) -> None:
    """One slow request in two is no outage; nor is an answer that began."""
    whole, begun = respond(b"{}"), respond(b'{"rc":0', length=100)
    server = misbehaving(silent)
    for answer in (silent, whole, silent, begun):
        server.answer = answer
        if answer is whole:
            fetch(server.url)
        else:
            with pytest.raises(UpstreamTimeoutError):
                fetch(server.url)
    server.answer = whole

    assert fetch(server.url).exchanges[0].status == 200


@pytest.mark.usefixtures("installed")
def test_a_host_without_a_budget_is_refused() -> None:
    """Nothing is ever sent that nobody counts."""
    upstreams = {"eastmoney": wire.Upstream(UnlimitedBudget())}
    with (
        wire.observed(upstreams, lane=Lane.BULK, deadline=time.monotonic() + 5),
        pytest.raises(SourceError, match=r"no request budget is configured for example\.test"),
    ):
        requests.get("https://example.test/", timeout=1)


@pytest.mark.usefixtures("installed")
def test_a_fetch_outside_an_observation_is_refused() -> None:
    """A forgotten ``observed`` block shows at once."""
    with pytest.raises(SourceError, match="no request budget"):
        requests.get(URL, timeout=1)


def test_importing_the_wire_patches_nothing() -> None:
    """Only install does, and uninstall undoes it."""
    original = requests.Session.get_adapter
    wire.install(wire.UpstreamAdapter())
    assert requests.Session.get_adapter is not original
    wire.uninstall()

    assert requests.Session.get_adapter is original


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("push2his.eastmoney.com", "eastmoney"),
        ("82.push2.eastmoney.com", "eastmoney"),
        ("noteastmoney.com", "noteastmoney.com"),
        ("quotes.sina.cn", "sina"),
        ("web.ifzq.gtimg.cn", "tencent"),
    ],
)
def test_all_hosts_of_an_upstream_are_one_risk_domain(host: str, domain: str) -> None:
    """A ban falls on the upstream, whichever of its hosts was asked."""
    assert risk_domain(host) == domain


@contextlib.contextmanager
def secured(ca: trustme.CA) -> Iterator[str]:
    """A server on loopback with a certificate, and its address."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost").configure_cert(context)

    def talk() -> None:
        with contextlib.suppress(OSError):
            while True:
                with (
                    contextlib.suppress(ssl.SSLError),
                    context.wrap_socket(listener.accept()[0], server_side=True) as connection,
                ):
                    connection.recv(65_536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        yield f"https://localhost:{listener.getsockname()[1]}"


@pytest.mark.usefixtures("installed")
def test_a_certificate_is_held_against_the_bundle_that_requests_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever way: the machine's own bundle, if it has one, is not asked."""
    ca = trustme.CA()
    with secured(ca) as url:
        with pytest.raises(UnreachableError, match="certificate verify failed"):
            fetch(url)
        ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "ca.pem"))
        wire.install(wire.UpstreamAdapter(connect_timeout_s=1, read_timeout_s=1))
        assert fetch(url).exchanges[0].body == b"{}"


def test_a_proxy_is_told_the_whole_address(misbehaving: Start) -> None:
    """Of an upstream without encryption; one with it is reached through a tunnel."""
    server = misbehaving(respond(b"{}"))
    wire.install(wire.UpstreamAdapter(proxy_url=server.url))
    upstreams = {"eastmoney": wire.Upstream(UnlimitedBudget())}
    for way in WAYS.values():
        with wire.observed(upstreams, lane=Lane.LIVE, deadline=time.monotonic() + 5):
            way("http://push2his.eastmoney.com/api?x=1")
    wire.uninstall()

    heads = [head.splitlines()[0] for head in server.heads]
    assert heads == ["GET http://push2his.eastmoney.com/api?x=1 HTTP/1.1"] * 2


def test_nothing_is_asked_before_the_wire_is_installed() -> None:
    """A request without a budget would be the first step to a ban."""
    with pytest.raises(SourceError, match=r"before wire\.install"):
        wire.ask(URL)
