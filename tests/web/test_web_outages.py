"""The broker or the database away: what can be read is, what writes says why, all comes back."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from pipeline.bench.redis_server import RedisServer
from storage.database import Database
from storage.ledger import Ledger
from tests.fixtures.cli import wait_for
from tests.fixtures.tcp_proxy import TcpProxy, proxied
from tests.fixtures.web_app import MOUTAI, PINGAN, WebApp, fill_home, serving

SYNC = {"dataset": "stocks", "symbols": ["600519"], "from": "2025-01-02", "to": "2025-01-31"}
RUNS = "/api/v1/runs"


def away(app: WebApp) -> set[str]:
    """The parts that ``/readyz`` says are away; each with a sentence."""
    answer = app.get("/readyz")
    parts = [part for part in answer.json()["parts"] if not part["ok"]]
    assert (answer.status_code == 503) == bool(parts) == ("retry-after" in answer.headers)
    assert all(part["says"] for part in parts)
    return {part["part"] for part in parts}


def refused(answer: httpx.Response, *words: str) -> None:
    """503, when to ask again, and a sentence with the remedy."""
    problem = answer.json()
    assert answer.status_code == 503, problem
    assert int(answer.headers["retry-after"]) > 0
    assert problem["remedy"]
    assert all(word in problem["detail"] for word in words), problem


def without_broker(app: WebApp, broker: TcpProxy, ledger: Ledger) -> None:
    mail = {"to": ["desk@example.com"], "subject": "s", "body": "b"}
    refused(app.post("/api/v1/emails", mail), "no mail server is configured", "set SMTP_HOST")
    broker.cut()
    before = len(ledger.runs())
    refused(app.post("/api/v1/syncs", SYNC, Idempotency_Key="once"), "does not answer")
    refused(app.post("/api/v1/reports", {}), "does not answer")
    refused(app.get("/api/v1/tasks/5d5e9a0e-7d1c-4c8e-9d43-3a3f6f7f2b11"), "does not answer")
    assert len(ledger.runs()) == before
    assert app.get(f"/api/v1/klines/{MOUTAI}").status_code == 200
    assert app.get(RUNS).status_code == 200
    assert app.get("/api/v1/budget").json()["reachable"] is False
    # What was seen a second ago is told again.
    wait_for("the end of the broker", lambda: away(app) == {"broker", "results"}, 15)
    assert app.get("/healthz").status_code == 200

    broker.restore()
    wait_for("all parts", lambda: not away(app), 15)
    assert app.post("/api/v1/syncs", SYNC, Idempotency_Key="once").status_code == 202
    assert len(ledger.runs()) == before + 1


def with_a_silent_broker(app: WebApp, broker: TcpProxy, ledger: Ledger) -> None:
    """Connections stay open and nothing comes: that is told in seconds, and which parts it is."""
    before = len(ledger.runs())
    broker.swallow()
    answers = [
        lambda: app.post("/api/v1/syncs", SYNC),
        lambda: app.post("/api/v1/reports", {}),
    ]
    with ThreadPoolExecutor(3) as pool:
        pending = [pool.submit(ask) for ask in answers]
        seen = pool.submit(wait_for, "it", lambda: away(app) == {"broker", "results"}, 15)
        for each in pending:
            refused(each.result(), "the broker", "does not answer")
            assert each.result().elapsed.total_seconds() < 5
        seen.result()
    asked = app.get("/readyz")
    assert asked.elapsed.total_seconds() < 5
    assert len(ledger.runs()) == before
    broker.restore()
    wait_for("all parts", lambda: not away(app), 15)


def without_database(app: WebApp, database: TcpProxy) -> None:
    database.cut()
    wait_for("the end of the database", lambda: away(app) == {"database"}, 15)
    refused(app.get(RUNS), "the database", "check DATABASE_URL")
    refused(app.post("/api/v1/syncs", SYNC), "the database")
    refused(app.post("/api/v1/syncs?dry_run=1", SYNC), "the database")
    served_by_the_lake(app)

    database.restore()
    wait_for("all parts", lambda: not away(app), 15)
    assert app.get(RUNS).status_code == 200
    assert app.post("/api/v1/syncs", SYNC).status_code == 202


def served_by_the_lake(app: WebApp) -> None:
    """Keys that were known go on opening; adjusted prices say whose ex-rights they go by."""
    for path in (f"{MOUTAI}?limit=3", f"{PINGAN}?period=monthly", f"{PINGAN}?format=csv"):
        answer = app.get(f"/api/v1/klines/{path}")
        assert answer.status_code == 200, path
        # What waits for the database itself is told so after 15 s.
        assert answer.elapsed.total_seconds() < 10, path
    adjusted = app.get(f"/api/v1/klines/{MOUTAI}?adjust=qfq")
    assert adjusted.json()["notices"] == [
        "the database is away: the ex-rights are those of the lake's copy"
    ]
    raw = app.get(f"/api/v1/klines/{MOUTAI}").json()["bars"][0]
    assert adjusted.json()["bars"][0]["close"] == pytest.approx(raw["close"] * 1376 / 1404)


def with_a_silent_database(app: WebApp, database: TcpProxy) -> None:
    """Connections stay open and nothing comes: readers of the lake are not kept waiting by it."""
    database.swallow()
    wait_for("the silence", lambda: away(app) == {"database"}, 15)
    time.sleep(1.2)  # what was read of the keys is not fresh any more
    with app.client() as client:
        pending = [httpx.Client(base_url=app.url, headers=client.headers) for _ in range(12)]
        try:
            for each in pending:
                with pytest.raises(httpx.TimeoutException):
                    each.get(RUNS, timeout=0.05)
            served_by_the_lake(app)
        finally:
            for each in pending:
                each.close()
    database.restore()
    wait_for("the database", lambda: app.get(RUNS).status_code == 200, 20)
    wait_for("all parts", lambda: not away(app), 15)


@contextlib.contextmanager
def on_postgresql(
    folder: Path,
    redis: RedisServer,
    settings: dict[str, str],
    url: str,
    unix_socket: tuple[str, str],
) -> Iterator[tuple[WebApp, TcpProxy, TcpProxy, Ledger]]:
    """An application behind proxies: to PostgreSQL, and to Redis."""
    direct = Database(url)
    direct.migrate()
    home = folder / "home"
    home.mkdir()
    keys = fill_home(home, direct)
    path, name = unix_socket
    with proxied(path) as sql, proxied(redis.port) as broker:
        own = {
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{sql.port}/{name}",
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{broker.port}/3",
            "CELERY_RESULT_BACKEND": f"redis://127.0.0.1:{broker.port}/4",
        }
        with serving(home, keys, **settings | own) as app:
            assert away(app) == set()
            assert app.get(f"/api/v1/klines/{MOUTAI}").status_code == 200
            yield app, sql, broker, Ledger(direct)
            assert app.process.poll() is None
            assert "Traceback" not in app.log.read_text(), app.log.read_text()
    direct.dispose()


def test_what_is_away_stops_only_what_needs_it_and_all_comes_back(
    tmp_path: Path,
    redis_process: RedisServer,
    web_settings: dict[str, str],
    postgresql_url: str,
    postgresql_socket: tuple[str, str],
) -> None:
    """One process through all of it; it is never restarted."""
    where = (tmp_path, redis_process, web_settings, postgresql_url, postgresql_socket)
    with on_postgresql(*where) as (app, sql, broker, ledger):
        without_broker(app, broker, ledger)
        with_a_silent_broker(app, broker, ledger)
        without_database(app, sql)


@pytest.mark.lengthy
def test_a_database_that_says_nothing_keeps_no_reader_of_the_lake_waiting(
    tmp_path: Path,
    redis_process: RedisServer,
    web_settings: dict[str, str],
    postgresql_url: str,
    postgresql_socket: tuple[str, str],
) -> None:
    where = (tmp_path, redis_process, web_settings, postgresql_url, postgresql_socket)
    with on_postgresql(*where) as (app, sql, _broker, _ledger):
        with_a_silent_database(app, sql)
