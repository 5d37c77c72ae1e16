"""Runs, tasks and everything else that the API reads and writes, on real queues and stores."""

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.bench.processes import worker
from storage.api_keys import Scope
from storage.ledger import Ledger
from tests.fixtures.cli import wait_for
from tests.fixtures.web_app import ABSENT, LAST, MOUTAI, PINGAN, REPORTED, SESSIONS, WebApp

WINDOW = {"from": "2025-12-01", "to": "2025-12-31"}
ONE = {"dataset": "stocks", "symbols": ["000001"], **WINDOW}


def run_ids(app: WebApp) -> set[str]:
    """The runs that the ledger holds."""
    database = app.database()
    found = {run.run_id for run in Ledger(database).runs(200)}
    database.dispose()
    return found


def test_a_sync_runs_to_its_end_and_tells_its_progress_as_it_happens(
    web_app: WebApp, web_settings: dict[str, str], tmp_path: Path
) -> None:
    """By a real worker, as a page would follow it; then its bars are there."""
    begun = web_app.post("/api/v1/syncs", ONE | {"from": "2024-12-02", "to": "2025-01-10"})
    assert begun.status_code == 202, begun.text
    assert begun.headers["location"] == begun.json()["run"]
    variables = {**os.environ, **web_settings, "QUANTSYNC_HOME": str(web_app.home)}
    working = worker(variables, tmp_path / "worker.log", threads=2)
    try:
        events = follow(web_app, begun.json()["events"])
    finally:
        working.kill()  # all that it did is committed
        working.wait()

    kinds, last = [kind for kind, _ in events], events[-1][1]
    assert kinds[0] == "progress"
    assert kinds[-1] == "end"
    assert (last["state"], last["outcomes"]) == ("committed", {"ok": 1})
    detail = web_app.get(begun.json()["run"]).json()
    assert {name: detail[name] for name in last} == last
    assert (detail["failures"], detail["outlook"]) == ([], [])
    bars = web_app.get("/api/v1/klines/000001?to=2025-01-10").json()["bars"]
    assert len(bars) == last["bars_written"] > 20


def follow(app: WebApp, path: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream until it is closed."""
    found, kind = [], ""
    with app.client() as client, client.stream("GET", path, timeout=90) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                found.append((kind, json.loads(value)))
    return found


def test_a_plan_is_told_and_nothing_is_begun(web_app: WebApp) -> None:
    before = run_ids(web_app)
    plan = web_app.post("/api/v1/backfills?dry_run=1", ONE | {"from": "2024-01-02"})
    assert plan.status_code == 200
    assert plan.json()["requests"] == {"klines": 1}
    assert plan.json()["lane"] == "bulk"
    assert plan.json()["window"] == {"from": "2024-01-02", "to": "2025-12-31"}
    assert run_ids(web_app) == before


@pytest.mark.parametrize("query", ["dry-run=1", "dryrun=1", "dry_run=1&dry_run=0"])
def test_a_mistyped_dry_run_begins_nothing(web_app: WebApp, query: str) -> None:
    before = run_ids(web_app)
    refused = web_app.post(f"/api/v1/syncs?{query}", ONE)
    assert refused.status_code == 422, refused.text
    assert refused.json()["field"] == f"query.{query.partition('=')[0]}"
    assert refused.json()["remedy"] in ("write dry_run", "give it once")
    assert run_ids(web_app) == before


def test_a_request_with_a_name_is_done_once(web_app: WebApp) -> None:
    before = run_ids(web_app)
    first = web_app.post("/api/v1/backfills", ONE, Idempotency_Key="nightly-1")
    again = web_app.post("/api/v1/backfills", ONE, Idempotency_Key="nightly-1")
    other = web_app.post(
        "/api/v1/backfills", ONE | {"symbols": ["600519"]}, Idempotency_Key="nightly-1"
    )
    unnamed = web_app.post("/api/v1/backfills", ONE)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json() | {"repeated": True}
    assert (other.status_code, other.json()["field"]) == (422, "header.Idempotency-Key")
    assert unnamed.json()["run_id"] != first.json()["run_id"]
    begun = {first.json()["run_id"], unnamed.json()["run_id"]}
    assert run_ids(web_app) - before == begun
    for run_id in begun:
        with web_app.client(Scope.OPERATE) as client:
            ended = client.delete(f"/api/v1/runs/{run_id}")
            assert (ended.status_code, ended.json()["state"]) == (200, "failed")
            assert ended.json()["reason"] == "abandoned on request"
            assert client.delete(f"/api/v1/runs/{run_id}").status_code == 409


def test_a_run_that_nobody_knows_is_not_found(web_app: WebApp) -> None:
    for path in ("", "/events"):
        answer = web_app.get(f"/api/v1/runs/20200101T000000-00000000{path}")
        assert (answer.status_code, "no run" in answer.json()["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"dataset": "bonds"}, "body.dataset"),
        ({"symbols": []}, "body.symbols"),
        ({"symbols": ["600519", "60051"]}, "body.symbols"),
        ({"symbols": ["510300"]}, "body.symbols"),
        ({"dataset": "concepts", "period": "5m"}, "body.period"),
        ({"from": "2025-12-31", "to": "2025-12-01"}, "body.to"),
        ({"from": "2199-01-05"}, "body.from"),
        ({"from": "1990-01-01"}, "body.from"),
        ({"to": "1990-01-01"}, "body.to"),
        ({"from": "2025-01-04", "to": "2025-01-05"}, "body.from"),
        ({"form": "2025-12-31"}, "body.form"),
        ({"from": "tomorrow"}, "body.from"),
        ([], "body"),
    ],
)
def test_a_sync_that_cannot_be_meant_names_its_field(
    web_app: WebApp, body: object, field: str
) -> None:
    answer = web_app.post("/api/v1/syncs", body)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert answer.json()["remedy"]


def test_a_body_that_is_no_json_is_told_so(web_app: WebApp) -> None:
    with web_app.client(Scope.OPERATE) as client:
        headers = {"Content-Type": "application/json"}
        answer = client.post("/api/v1/syncs", content="{", headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "body")
    assert answer.json()["detail"].startswith("body: it is no JSON (")
    assert answer.json()["remedy"] == "send one JSON document in UTF-8"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("coverage?symbol=999999", "query.symbol"),
        ("quarantine?subject=999999", "query.subject"),
        ("quarantine?from=2025-12-31&to=2025-01-01", "query.to"),
        ("symbols?limit=0", "query.limit"),
    ],
)
def test_a_question_that_cannot_be_meant_names_its_field(
    web_app: WebApp, path: str, field: str
) -> None:
    answer = web_app.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.json().get("field")) == (422, field), answer.text
    assert answer.json()["remedy"]


@pytest.mark.parametrize("session", ["2025-01-04", "2190-01-04", "1990-01-01"])
def test_a_report_that_cannot_be_made_is_refused_at_once(web_app: WebApp, session: str) -> None:
    answer = web_app.post("/api/v1/reports", {"session": session})
    assert (answer.status_code, answer.json().get("field")) == (422, "body.session"), answer.text
    assert answer.json()["remedy"]


def test_an_email_and_a_report_become_tasks_that_can_be_followed(web_app: WebApp) -> None:
    """Nobody takes them here: they stay PENDING. The email's attachment lies in the reports."""
    mail = {"to": ["desk@example.com"], "subject": "s", "body": "b", "key": "k1"}
    mailed = web_app.post(
        "/api/v1/emails", mail | {"attachments": [f"{REPORTED}/report.pdf"]}, Idempotency_Key="m1"
    )
    again = web_app.post(
        "/api/v1/emails", mail | {"attachments": [f"{REPORTED}/report.pdf"]}, Idempotency_Key="m1"
    )
    made = web_app.post("/api/v1/reports", {"session": "2025-12-31"})

    assert (mailed.status_code, made.status_code) == (202, 202), mailed.text
    assert mailed.json()["key"] == "api:k1"
    assert again.json() == mailed.json() | {"repeated": True}
    for each in (mailed, made):
        state = web_app.get(each.json()["task"]).json()
        assert state == {
            "task_id": each.json()["task_id"],
            "state": "PENDING",
            "result": None,
            "error": None,
        }


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": []},
        {"to": ["desk@example.com", "nope: pay X"]},
        {"subject": "pay\nnow: pay X"},
        {"attachments": ["/etc: pay X"]},
    ],
)
def test_an_email_that_cannot_be_meant_is_refused(
    web_app: WebApp, wrong: dict[str, object]
) -> None:
    """At once, by its field; what was asked with is nobody's advice."""
    mail = {"to": ["desk@example.com"], "subject": "s", "body": "b"}
    answer = web_app.post("/api/v1/emails", mail | wrong)
    assert (answer.status_code, answer.json().get("field")) == (422, f"body.{next(iter(wrong))}")
    assert answer.json()["remedy"]
    assert "pay X" not in answer.json()["remedy"]


def read(app: WebApp, path: str) -> httpx.Response:
    answer = app.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer


def test_the_catalog_is_told_page_by_page(web_app: WebApp) -> None:
    first = read(web_app, "symbols?limit=2").json()
    rest = read(web_app, f"symbols?cursor={first['next']}").json()
    symbols = [row["symbol"] for row in first["symbols"] + rest["symbols"]]
    assert (symbols, rest["next"]) == ([PINGAN, ABSENT, MOUTAI], None)
    assert first["symbols"][0]["name"] == "平安银行"
    assert read(web_app, "boards?kind=concept").json() == {"boards": []}
    (board,) = read(web_app, "boards").json()["boards"]
    assert (board["board"], board["name"], board["kind"]) == ("BK0477", "白酒", "industry")


def test_members_are_those_of_the_day_and_not_known_before(web_app: WebApp) -> None:
    found = read(web_app, f"boards/bk0477/members?on={LAST}").json()
    assert found["members"] == [{"symbol": MOUTAI, "name": "贵州茅台"}]
    assert found["known_from"] == LAST.isoformat()
    for query, status in (
        ("BK0477/members?on=2025-12-30", 404),
        ("BK9999/members", 404),
        ("BK0477/members?on=2199-01-01", 422),
    ):
        assert web_app.get(f"/api/v1/boards/{query}").status_code == status


def test_coverage_is_held_against_the_calendar(web_app: WebApp) -> None:
    found = read(web_app, "coverage?symbol=600519").json()
    daily = next(row for row in found["held"] if row["period"] == "daily")
    settled = date.fromisoformat(found["settled"])
    assert settled == LAST
    assert (daily["series"], daily["sessions_late"]) == (2, 1)
    assert daily["complete_to"] == SESSIONS[-2].isoformat()
    assert found["coverage"] == [
        {
            "dataset": "kline",
            "period": "daily",
            "ranges": [{"from": SESSIONS[0].isoformat(), "to": SESSIONS[-2].isoformat()}],
            "watermark": SESSIONS[-2].isoformat(),
        }
    ]


def test_what_is_in_quarantine_says_why(web_app: WebApp) -> None:
    found = read(web_app, "quarantine").json()
    assert [(row["subject"], row["reasons"]) for row in found["bars"]] == [
        (PINGAN, ["high_below_close"])
    ]
    assert read(web_app, "quarantine?status=dropped").json() == {"bars": [], "lists": []}
    assert read(web_app, "quarantine?subject=600519").json()["bars"] == []


def test_budget_metrics_and_reports_are_told(web_app: WebApp) -> None:
    budget = read(web_app, "budget").json()
    assert (budget["reachable"], budget["domains"][0]["domain"]) == (True, "simulator")
    metrics = web_app.get("/metrics")
    assert metrics.text.endswith("# EOF\n")
    assert "quantsync_broker_up 1.0" in metrics.text
    reports = read(web_app, "reports").json()["reports"]
    assert reports[0]["html"] == f"/api/v1/reports/{REPORTED}?format=html"
    wait_for("readiness", lambda: web_app.get("/readyz").json()["ready"], 5)
