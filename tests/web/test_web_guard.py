"""Who is refused by the web application, and what is refused before it gets that far."""

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from starlette.responses import Response

from pipeline.bench.redis_server import free_port
from storage.api_keys import ApiKeys, Scope
from storage.api_requests import ApiRequests
from storage.ledger import Ledger
from storage.run_records import BatchPlan, Item, RunPlan, RunState, WavePlan, Work
from tests.fixtures.cli import wait_for
from tests.fixtures.web_app import MOUTAI, REPORTED, WebApp
from web.security import HEADERS
from web.sessions import COOKIE, CSRF_HEADER, Session, Sessions, read_secret

JSON_TYPE = "application/problem+json"
SYNC = {"dataset": "stocks", "symbols": ["600519"], "from": "2025-12-01", "to": "2025-12-31"}
READS = [
    "klines/600519", "symbols", "boards", "boards/BK0477/members", "coverage", "budget",
    "quarantine", "runs", "runs/20251231T080000-1a2b3c4d", "reports", f"reports/{REPORTED}",
    "runs/20251231T080000-1a2b3c4d/events", "tasks/5d5e9a0e-7d1c-4c8e-9d43-3a3f6f7f2b11",
]  # fmt: skip
WRITES = [("syncs", SYNC), ("backfills", SYNC), ("reports", {}), ("emails", {
    "to": ["a@example.com"], "subject": "s", "body": "b"})]  # fmt: skip


@pytest.fixture
def sessions(web_app: WebApp) -> Sessions:
    """The logins of the application, as its own secret makes them."""
    return Sessions(read_secret(web_app.home), hours=1)


@pytest.fixture
def login(web_app: WebApp, sessions: Sessions) -> tuple[Session, dict[str, str]]:
    """A session of the operating key, and its cookie."""
    database = web_app.database()
    key = next(key for key in ApiKeys(database).all() if key.scope is Scope.OPERATE)
    database.dispose()
    session = sessions.begin(key)
    return session, cookie_of(sessions, session)


def cookie_of(sessions: Sessions, session: Session) -> dict[str, str]:
    """The header with which a browser sends a login's cookie."""
    made = Response()
    sessions.set_cookie(made, session, secure=False)
    return {"Cookie": made.headers["set-cookie"].partition(";")[0]}


def refused(answer: httpx.Response, status: int, kind: str) -> None:
    """A problem document of a kind, with a sentence and a remedy."""
    problem = answer.json()
    assert (answer.status_code, problem["type"].rpartition(":")[2]) == (status, kind), problem
    assert answer.headers["content-type"] == JSON_TYPE
    assert problem["detail"]


def test_nothing_is_read_without_a_key(web_app: WebApp) -> None:
    with web_app.client(None) as client:
        for path in READS:
            refused(client.get(f"/api/v1/{path}"), 401, "unauthorized")
        refused(client.get("/metrics"), 401, "unauthorized")
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.head("/healthz").status_code == 200
        assert client.head("/readyz").status_code in (200, 503)
        assert {part["says"] for part in client.get("/readyz").json()["parts"]} == {None}


@pytest.mark.parametrize(
    "key", ["qs_", "qs_000000000000_" + "A" * 43, "' OR 1=1 --", "qs_\x7f", "a" * 4000]
)
def test_a_key_that_is_none_opens_nothing(web_app: WebApp, key: str) -> None:
    with web_app.client(None) as client:
        answer = client.get("/api/v1/symbols", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code in (401, 429)


def test_a_key_with_another_secret_opens_nothing(web_app: WebApp) -> None:
    head, _, secret = web_app.keys[Scope.OPERATE].rpartition("_")
    other = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    answer = web_app.get(
        "/api/v1/symbols", None, headers={"Authorization": f"Bearer {head}_{other}"}
    )
    refused(answer, 401, "unauthorized")


def test_a_key_that_may_read_writes_nothing(web_app: WebApp) -> None:
    for path, body in WRITES:
        refused(web_app.post(f"/api/v1/{path}", body, Scope.READ), 403, "forbidden")
    with web_app.client() as client:
        refused(client.delete("/api/v1/runs/20251231T080000-1a2b3c4d"), 403, "forbidden")
        refused(client.post("/api/v1/syncs?dry_run=1", json=SYNC), 403, "forbidden")


def test_a_revoked_key_opens_nothing_and_ends_its_sessions(
    web_app: WebApp, sessions: Sessions
) -> None:
    database = web_app.database()
    keys = ApiKeys(database)
    key, text = keys.create("for a moment", Scope.READ, "test@here")
    mine = {"Authorization": f"Bearer {text}"}
    cookie = cookie_of(sessions, sessions.begin(key))

    def status(headers: dict[str, str]) -> int:
        return web_app.get("/api/v1/boards", None, headers=headers).status_code

    wait_for("the new key", lambda: status(mine) == 200, 5)
    assert status(cookie) == 200
    keys.revoke(key.key_id)
    database.dispose()
    wait_for("the end of the key", lambda: status(mine) == 401, 5)
    assert status(cookie) == 401


def test_a_session_reads_as_its_key_does(
    web_app: WebApp, login: tuple[Session, dict[str, str]]
) -> None:
    assert web_app.get("/api/v1/boards", None, headers=login[1]).status_code == 200


def test_a_forged_cookie_opens_nothing(
    web_app: WebApp, login: tuple[Session, dict[str, str]]
) -> None:
    session, cookie = login
    value = cookie["Cookie"].partition("=")[2]
    forger = Sessions("another secret, as long as the real one is", hours=1)
    for forged in (
        cookie_of(forger, session)["Cookie"],
        f"{COOKIE}={value[:-2]}xx",
        f"{COOKIE}={session.key_id}",
        f"{COOKIE}=",
    ):
        answer = web_app.get("/api/v1/boards", None, headers={"Cookie": forged})
        refused(answer, 401, "unauthorized")


def test_a_session_writes_with_its_own_token_only(
    web_app: WebApp, login: tuple[Session, dict[str, str]], sessions: Sessions
) -> None:
    session, cookie = login
    stranger = Session(session.key_id, "another nonce")
    path = "/api/v1/syncs?dry_run=1"
    for token in ({}, {CSRF_HEADER: "x"}, {CSRF_HEADER: sessions.token(stranger)}):
        refused(web_app.post(path, SYNC, None, **cookie, **token), 403, "forbidden")
    mine = {CSRF_HEADER: sessions.token(session)}
    assert web_app.post(path, SYNC, None, **cookie, **mine).status_code == 200


def test_a_name_that_another_lets_point_here_is_not_served(web_app: WebApp) -> None:
    """DNS rebinding; an address and localhost are this machine's own, and nobody else's."""
    port = web_app.url.rpartition(":")[2]
    for host, status in (
        ("evil.example", 421),
        (f"evil.example:{port}", 421),
        (f"127.0.0.1.evil.example:{port}", 421),
        (f"localhost:{port}", 200),
        (f"[::1]:{port}", 200),
        ("192.0.2.7", 200),
    ):
        answer = web_app.get("/healthz", headers={"Host": host})
        assert answer.status_code == status, host


def test_every_answer_has_the_headers_and_none_lets_another_origin_in(web_app: WebApp) -> None:
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    with web_app.client() as client:
        answers = [
            client.get("/healthz", headers=origin),
            client.get("/api/v1/boards", headers=origin),
            client.get("/nothing", headers=origin),
            client.options("/api/v1/boards", headers=origin),
            client.get("/healthz", headers={"Host": "evil.example"}),
        ]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_report_is_a_page_that_may_do_nothing(web_app: WebApp) -> None:
    page = web_app.get(f"/api/v1/reports/{REPORTED}?format=html")
    assert page.text == "<h1>All is well</h1>"
    assert page.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert web_app.get(f"/api/v1/reports/{REPORTED}?format=pdf").content.startswith(b"%PDF")


@pytest.mark.parametrize(
    "name",
    [
        "../quantsync.db", "..%2fquantsync.db", "%2e%2e/%2e%2e/etc/passwd", "2025-12-31/../..",
        "..\\quantsync.db", "2025-12-31%00.html", "/etc/passwd", "....//....//web.secret",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_reports_or_into_the_lake(web_app: WebApp, name: str) -> None:
    """Sent as it is: a client would tidy it."""
    secret = (web_app.home / "web.secret").read_text()
    for path in (f"/api/v1/reports/{name}", f"/api/v1/klines/{name}"):
        answer = raw(web_app, f"GET {path} HTTP/1.1")
        status = int(answer.split(b" ", 2)[1])
        assert status in (400, 404, 422), answer[:200]
        assert b"SQLite format" not in answer
        assert secret.encode() not in answer
        assert b"root:" not in answer


def test_a_link_out_of_the_reports_is_no_report(web_app: WebApp) -> None:
    folder = web_app.home / "reports" / "2025-12-30"
    folder.mkdir()
    (folder / "report.html").symlink_to(web_app.home / "web.secret")
    refused(web_app.get("/api/v1/reports/2025-12-30?format=html"), 404, "nothing-held")
    listed = web_app.get("/api/v1/reports").json()["reports"]
    assert [each["session"] for each in listed] == [REPORTED.isoformat()]


SQL = [
    "' OR '1'='1",
    "1; DROP TABLE api_key; --",
    '" UNION SELECT secret_hash FROM api_key --',
    "%",
]


def test_sql_in_any_parameter_is_text_and_nothing_else(web_app: WebApp) -> None:
    """Every parameter and body field that the schema names, with each piece of SQL."""
    schema = web_app.get("/api/v1/openapi.json").json()
    asked = 0
    with web_app.client(Scope.OPERATE) as client:
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                for sql in SQL:
                    places = {p["name"]: p["in"] for p in operation.get("parameters", [])}
                    url = path
                    for name, where in places.items():
                        if where == "path":
                            url = url.replace(f"{{{name}}}", quote(sql, safe=""))
                    query = {name: sql for name, where in places.items() if where == "query"}
                    for one in query or {"none": sql}:
                        body = {"symbols": [sql], "from": sql, "subject": sql, "session": sql}
                        answer = client.request(
                            method.upper(), url, params={one: sql},
                            json=body if method == "post" else None,
                        )  # fmt: skip
                        asked += 1
                        assert answer.status_code < 500, (method, url, one, answer.text)
                        assert "secret_hash" not in answer.text or sql in answer.text
    assert asked > 100
    assert web_app.get("/api/v1/symbols").status_code == 200
    database = web_app.database()
    assert len(ApiKeys(database).all()) >= 2
    database.dispose()


def place(app: WebApp) -> tuple[str, int]:
    """Where it listens."""
    host, port = app.url.removeprefix("http://").split(":")
    return host, int(port)


def raw_head(app: WebApp, *lines: str) -> bytes:
    """The head of a request as it is sent, with the operating key."""
    host, port = place(app)
    key = app.keys[Scope.OPERATE]
    head = [*lines, f"Host: {host}:{port}", f"Authorization: Bearer {key}"]
    return "\r\n".join([*head, "", ""]).encode()


def raw(app: WebApp, *lines: str, body: bytes = b"", wait_s: float = 10) -> bytes:
    """Send bytes as they are; all that comes back until the end."""
    with socket.create_connection(place(app), timeout=wait_s) as connection:
        connection.sendall(raw_head(app, *lines, "Connection: close"))
        with contextlib.suppress(ConnectionError):  # it may have answered and gone
            connection.sendall(body)
        return drain(connection)


def drain(connection: socket.socket) -> bytes:
    """All that comes until the other end closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_a_body_of_100_mb_is_refused_before_it_is_read(web_app: WebApp) -> None:
    began = time.monotonic()
    size = 100 << 20
    declared = raw(
        web_app, "POST /api/v1/syncs HTTP/1.1", f"Content-Length: {size}", body=b"x" * 1000
    )
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    chunked = raw(
        web_app, "POST /api/v1/syncs HTTP/1.1", "Content-Type: application/json",
        "Transfer-Encoding: chunked", body=chunk * 32,
    )  # fmt: skip

    for answer in (declared, chunked):
        assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
        assert b"raise WEB_BODY_KIB" in answer
    assert time.monotonic() - began < 10
    assert memory_mib(web_app) < 600


def memory_mib(app: WebApp) -> float:
    """The most that the process has ever held."""
    text = Path(f"/proc/{app.process.pid}/status").read_text()
    line = next(each for each in text.splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def test_a_slow_client_is_let_go(web_app: WebApp) -> None:
    """One that sends no head, one that sends no body, one that takes nothing in: 2 s each."""

    def silent() -> bytes:
        with socket.create_connection(place(web_app), timeout=20) as connection:
            return drain(connection)

    def half_a_head() -> bytes:
        with socket.create_connection(place(web_app), timeout=20) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
            return drain(connection)

    def no_body() -> bytes:
        lines = ("POST /api/v1/syncs HTTP/1.1", "Content-Length: 20")
        return raw(web_app, *lines, body=b'{"a"', wait_s=20)

    def takes_nothing_in() -> bytes:
        """The answers fill the buffers on the way; then the connection is cut."""
        request = raw_head(web_app, f"GET /api/v1/klines/{MOUTAI}?period=5m HTTP/1.1")
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(20)
            connection.connect(place(web_app))
            connection.sendall(request * 400)
            time.sleep(6)
            got = drain(connection)
            assert got.count(b"HTTP/1.1 200") < 400
            return b""

    with ThreadPoolExecutor(4) as pool:
        began = time.monotonic()
        work = [pool.submit(each) for each in (silent, half_a_head, no_body, takes_nothing_in)]
        answers = [each.result() for each in work]
        took = time.monotonic() - began

    assert answers[:2] == [b"", b""]
    assert answers[2].startswith(b"HTTP/1.1 408 "), answers[2][:100]
    assert b"send it faster" in answers[2]
    assert took < 15
    assert web_app.get("/healthz").status_code == 200


@pytest.fixture
def running_run(web_app: WebApp) -> Iterator[str]:
    """A run that goes on, as nobody fetches it."""
    run_id = "20251231T080000-0000beef"
    database = web_app.database()
    ledger = Ledger(database)
    wave = WavePlan("quant_stock_queues", (BatchPlan(Work.SYMBOL_LIST, (Item("symbols"),)),))
    plan = RunPlan(run_id, "stocks", None, "live", "live", {}, (wave,))
    ledger.open_run(plan)
    yield run_id
    ledger.end_run(run_id, RunState.FAILED, "the test is over")
    database.dispose()


def test_of_a_thousand_event_streams_a_bounded_number_is_served_and_the_rest_told_so(
    web_app: WebApp, running_run: str
) -> None:
    """WEB_STREAMS is 24, and half of them is one key's. Closed, they make room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    request = raw_head(web_app, f"GET /api/v1/runs/{running_run}/events HTTP/1.1")
    try:
        with contextlib.ExitStack() as opened:
            heads = []
            for _ in range(1000):
                connection = opened.enter_context(socket.create_connection(place(web_app), 30))
                connection.sendall(request)
                heads.append(connection.recv(4096))
            served = [head for head in heads if head.startswith(b"HTTP/1.1 200 ")]
            told = [head for head in heads if head.startswith(b"HTTP/1.1 503 ")]
            assert (len(served), len(told)) == (12, 988)
            assert all(b"retry-after:" in head.lower() for head in told)
            assert web_app.get("/api/v1/symbols").status_code == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def is_served() -> bool:
        with socket.create_connection(place(web_app), 30) as connection:
            connection.sendall(request)
            return connection.recv(4096).startswith(b"HTTP/1.1 200 ")

    wait_for("room for a stream", is_served, 10)


def test_an_address_that_others_can_reach_needs_a_key(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {**os.environ, "QUANTSYNC_HOME": str(home)}
    command = [sys.executable, "-m", "web", "--listen", f"0.0.0.0:{free_port()}"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "there is no key: `quantsync keys create --scope operate` makes one" in done.stderr


def test_a_port_in_use_is_said_in_one_sentence(web_app: WebApp, tmp_path: Path) -> None:
    listen = web_app.url.removeprefix("http://")
    environment = {**os.environ, "QUANTSYNC_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "web", "--listen", listen],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        f"error: {listen} cannot be listened at (Address already in use): name another address "
        "with WEB_LISTEN or --listen\n"
    )


def test_every_write_is_in_the_audit_with_its_end(web_app: WebApp) -> None:
    """One that is refused for what it asks, too."""
    body = {"to": ["a@example.com"], "subject": "s", "body": "b", "attachments": ["../web.secret"]}
    # Nobody chooses the address that is entered: no proxy is trusted unless it is named.
    answer = web_app.post("/api/v1/emails", body, X_Forwarded_For="203.0.113.9")
    refused(answer, 422, "attachment")
    database = web_app.database()
    entry = ApiRequests(database).entries(1)[0]
    key = next(each for each in ApiKeys(database).all() if each.scope is Scope.OPERATE)
    database.dispose()

    assert (entry.method, entry.path, entry.status) == ("POST", "/api/v1/emails", 422)
    assert (entry.key_id, entry.via, entry.address) == (key.key_id, "key", "127.0.0.1")
    assert entry.about["to"] == ["a@example.com"]
    assert "is not attached" in entry.about["refused"]
    assert json.dumps(entry.about).find(web_app.keys[Scope.OPERATE]) == -1
