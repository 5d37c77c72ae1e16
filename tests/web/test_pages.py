"""The pages without a browser: who gets in, what is refused, and how that is told to people."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from pipeline.runtime import Runtime
from pipeline.settings import Settings
from storage.api_keys import ApiKeys, Scope
from tests.fixtures.cli import wait_for
from tests.fixtures.web_app import LAST, MOUTAI, WebApp
from web.keys import KeyRing
from web.sessions import COOKIE, Sessions, read_secret

HTML = {"Accept": "text/html"}
PAGES = (
    "/", "/symbols", f"/symbols/{MOUTAI}", "/symbols/BK0477", "/boards", "/boards?kind=concept",
    f"/boards?on={LAST}", "/boards/BK0477", "/boards/changes", "/operations", "/runs",
    "/quarantine", "/quarantine?status=dropped", "/quarantine/b1", "/reports", "/schedule", "/keys",
)  # fmt: skip
WRITES = (
    "/operations/plan", "/operations/start", "/runs/20200101T000000-00000000/abandon",
    "/quarantine", "/reports", "/logout",
)  # fmt: skip


@contextmanager
def enter(app: WebApp, scope: Scope, language: str = "en") -> Iterator[httpx.Client]:
    """Somebody who has logged in."""
    headers = {**HTML, "Accept-Language": language}
    with httpx.Client(base_url=app.url, headers=headers, timeout=30) as client:
        answer = client.post("/login", data={"key": app.keys[scope], "to": "/runs"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
        yield client


def token(client: httpx.Client) -> str:
    """The CSRF token of a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/operations").text)
    assert found
    return found[1]


@pytest.fixture
def operator(web_app: WebApp) -> Iterator[httpx.Client]:
    with enter(web_app, Scope.OPERATE) as client:
        yield client


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_whole_in_both_languages_and_holds_no_style_or_script(
    web_app: WebApp, language: str
) -> None:
    """Inline ones would need a policy that lets everybody's in."""
    with enter(web_app, Scope.READ, language) as client:
        for path in PAGES:
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.text)
            text = answer.text
            assert f'<html lang="{"zh-CN" if language == "zh" else "en"}"' in text, path
            assert text.rstrip().endswith("</html>")
            assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text), path
            assert not re.search(r'(?:src|href)="(?:https?:)?//(?!www\.tradingview)', text), path
            policy = answer.headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert answer.headers["cache-control"] == "no-store"


def test_every_page_asks_whoever_has_no_key_to_log_in(web_app: WebApp) -> None:
    for path in PAGES:
        answer = httpx.get(web_app.url + path, headers=HTML)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/login?to=%2F")
    script = {"HX-Request": "true", "HX-Current-URL": f"{web_app.url}/boards?kind=concept"}
    part = httpx.get(f"{web_app.url}/overview/freshness", headers=script)
    told = (part.status_code, part.headers["hx-redirect"])
    assert told == (204, "/login?to=%2Fboards%3Fkind%3Dconcept")


def test_a_key_that_opens_nothing_is_refused_and_sets_no_cookie(web_app: WebApp) -> None:
    wrong = web_app.keys[Scope.READ][:-1] + ("x" if web_app.keys[Scope.READ][-1] != "x" else "y")
    answer = httpx.post(f"{web_app.url}/login", data={"key": wrong}, headers=HTML)
    assert answer.status_code == 403
    assert "opens nothing" in answer.text
    assert wrong not in answer.text
    assert "set-cookie" not in answer.headers


def test_the_cookie_is_kept_from_scripts_and_other_sites_and_stands_for_its_key(
    web_app: WebApp,
) -> None:
    """A key that is revoked ends its sessions; logging out ends one."""
    database = web_app.database()
    key, text = ApiKeys(database).create("a visitor", Scope.READ, "test@here")
    with httpx.Client(base_url=web_app.url, headers=HTML) as client:
        wait_for("the key is known", lambda: client.post("/login", data={"key": text}).is_redirect)
        cookie = client.post("/login", data={"key": text}).headers["set-cookie"]
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
        assert text not in cookie
        assert client.get("/").status_code == 200
        kept = {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
        assert web_app.get("/api/v1/boards", None, headers=kept).status_code == 200
        left = client.post("/logout", data={"csrf_token": token(client)})
        assert left.headers["location"] == "/login"
        assert COOKIE not in client.cookies
        # Whoever kept the cookie opens nothing with it: at once, and by what every process reads.
        assert web_app.get("/api/v1/boards", None, headers=kept).status_code == 401
        other = KeyRing(Runtime(Settings(quantsync_home=web_app.home)))
        other.refresh()
        session = Sessions(read_secret(web_app.home), hours=1).read(kept["Cookie"].split("=", 1)[1])
        assert session is not None
        assert other.has_ended(session)
        other.close()
        client.post("/login", data={"key": text})
        ApiKeys(database).revoke(key.key_id)
        wait_for("the session has ended", lambda: client.get("/").status_code == 303, 5)
    database.dispose()


def test_nothing_leads_out_of_the_application_after_a_login(web_app: WebApp) -> None:
    with httpx.Client(base_url=web_app.url, headers=HTML) as client:
        for to in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:1"):
            told = client.post("/login", data={"key": web_app.keys[Scope.READ], "to": to})
            assert told.headers["location"] == "/", to
            told = client.get("/preferences", params={"theme": "dark", "back": to})
            assert told.headers["location"] == "/", to


@pytest.mark.parametrize("path", WRITES)
def test_no_form_is_taken_without_its_token(
    web_app: WebApp, operator: httpx.Client, path: str
) -> None:
    """Neither without one, nor with that of another login."""
    with enter(web_app, Scope.OPERATE) as other:
        strange = token(other)
    for fields in ({}, {"csrf_token": "x"}, {"csrf_token": strange}):
        answer = operator.post(path, data=fields)
        assert answer.status_code == 403, path
        assert "CSRF" in answer.text
    assert operator.post(path, headers={"X-CSRF-Token": strange}).status_code == 403


@pytest.mark.parametrize("path", [path for path in WRITES if path != "/logout"])
def test_a_key_that_may_read_can_write_nothing(web_app: WebApp, path: str) -> None:
    with enter(web_app, Scope.READ) as client:
        answer = client.post(path, data={"csrf_token": token(client)})
    assert answer.status_code == 403
    assert "may only read" in answer.text


def test_what_cannot_be_meant_is_told_as_a_page_that_names_the_remedy(
    operator: httpx.Client,
) -> None:
    for path, status, said in (
        ("/symbols/60051", 422, "600519"),
        ("/symbols/600000.SH", 404, "quantsync sync stocks"),
        ("/boards?on=yesterday", 422, "write it as 2025-12-31"),
        ("/boards/BK0477?on=2020-01-02", 404, "known since"),
        ("/runs/20200101T000000-00000000", 404, "quantsync runs"),
        ("/quarantine/b999", 404, "b999"),
        ("/nowhere", 404, "Look whether the address is right"),
    ):
        answer = operator.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (
            status,
            "text/html; charset=utf-8",
        ), path
        assert said in answer.text, path
    asked = operator.get("/nowhere", headers={"Accept": "application/json"})
    assert asked.headers["content-type"] == "application/problem+json"


def test_what_somebody_types_is_shown_as_text(operator: httpx.Client) -> None:
    for path in ("/symbols?q=<script>alert(1)</script>", "/operations?symbols=<script>alert(1)"):
        text = operator.get(path).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;" in text


def test_marks_say_where_a_bar_should_be_and_why_it_is_not(operator: httpx.Client) -> None:
    """The last session is held, and can still change; an ex-right has its numbers."""
    found = operator.get(f"/symbols/{MOUTAI}/marks").json()
    (event,) = found["ex_rights"]
    assert event["cash"] == 28.0
    assert event["factor"] == pytest.approx(1404.0 / (1404.0 - 28.0))


def test_assets_have_addresses_that_change_with_them_and_may_be_kept(
    operator: httpx.Client,
) -> None:
    found = re.findall(r'(?:src|href)="(/static/[^"]+)"', operator.get("/").text)
    assert len(found) >= 5
    for address in found:
        answer = operator.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/vendor/../../keys.py"):
        assert operator.get(path).status_code == 404
