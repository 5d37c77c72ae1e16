"""The page in a real browser: from the login to a bar that is read, in both languages."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from market.adjustments import Adjustment
from market.periods import Period
from pipeline.bench.processes import stop, worker
from storage.api_keys import Scope
from storage.api_requests import ApiRequests
from storage.ex_right import ExRights
from storage.lake import Lake
from storage.queries import klines
from tests.fixtures.cli import wait_for
from tests.fixtures.web_app import EX_SESSION, LAST, MOUTAI, REPORTED, SESSIONS, WebApp, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
FILLED_FROM = date(2025, 3, 3)

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium: `make services`"),
]


@dataclass(slots=True)
class Reader:
    """Somebody at a browser.

    Attributes:
        complaints: What the browser wrote to its console, and errors of scripts.
    """

    page: "Page"
    app: WebApp
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a page, and wait until its scripts are there."""
        self.page.goto(self.app.url + path)
        self.page.wait_for_function("window.htmx !== undefined")

    def log_in(self) -> None:
        """Give the key that operates, where the page asks for one."""
        self.page.fill("#key", self.app.keys[Scope.OPERATE])
        self.page.press("#key", "Enter")

    def legend(self) -> dict[str, str]:
        """The bar that is read out: its time, and each value by its label."""
        read = """legend => Object.fromEntries([
            ["at", legend.querySelector("time").textContent],
            ...[...legend.querySelectorAll("span")].map(
                each => [each.querySelector("i").textContent, each.querySelector("b").textContent]),
        ])"""
        found: dict[str, str] = self.page.locator("#legend").evaluate(read)
        return found

    def until_shown(self, choice: str) -> None:
        """Wait until the chart shows a choice of period, adjustment and method."""
        self.page.wait_for_selector(f'#chart[data-shown="{choice}"]:not([aria-busy])')

    def violations(self, **options: Any) -> list[str]:
        """What axe finds to be serious, or worse, on the page that is open."""
        run = "options => axe.run(document, options)"
        found = self.page.evaluate(run, {"resultTypes": ["violations"], **options})
        return [
            f"{self.page.url} {each['id']}: {each['nodes'][0]['html'][:200]}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory,
    filled_home: tuple[Path, dict[Scope, str]],
    web_settings: dict[str, str],
) -> Iterator[WebApp]:
    """The application on a filled home of its own, with a worker that fetches."""
    home = tmp_path_factory.mktemp("page") / "home"
    shutil.copytree(filled_home[0], home)
    environment = {**os.environ, "QUANTSYNC_HOME": str(home), **web_settings}
    fetching: subprocess.Popen[bytes] = worker(environment, home / "worker.log", threads=2)
    try:
        with serving(home, filled_home[1], **web_settings) as app:
            yield app
    finally:
        stop(fetching)


@pytest.fixture(scope="module")
def reader(stack: WebApp) -> Iterator[Reader]:
    """Somebody who comes to it with a fresh browser."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  (slow to import)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(locale="en", color_scheme="light", timezone_id="UTC")
        context.set_default_timeout(15_000)
        page = context.new_page()
        found = Reader(page, stack)
        page.on(
            "console",
            lambda told: (
                found.complaints.append(f"{page.url}: {told.text}")
                if told.type in ("error", "warning")
                else None
            ),
        )
        page.on("pageerror", lambda error: found.complaints.append(f"{page.url}: {error}"))
        yield found
        browser.close()


@pytest.fixture
def known(reader: Reader) -> Reader:
    """The same, logged in."""
    reader.open("/")
    if "/login" in reader.page.url:
        reader.log_in()
        reader.page.wait_for_url(f"{reader.app.url}/")
    return reader


def bar_of(app: WebApp, session: date, adjust: Adjustment) -> dict[str, Any]:
    """A daily bar as the stores have it, read without the application."""
    events = ExRights(app.database(), app.home / "lake").read([MOUTAI])
    bars = klines(
        Lake(app.home / "lake"), MOUTAI, Period.DAILY, adjust=adjust, events=events
    ).to_pylist()
    found: dict[str, Any] = next(bar for bar in bars if bar["end_at"].date() == session)
    return found


def shown(price: float) -> str:
    return f"{price:,.2f}"


def test_a_backfill_is_planned_confirmed_and_watched_to_its_end_and_its_bars_are_read(
    reader: Reader, stack: WebApp
) -> None:
    """As one goes through it: no page is loaded again, and the browser never complains."""
    page = reader.page
    reader.open("/operations")
    assert page.url == f"{stack.url}/login?to=%2Foperations", "nobody gets in without a key"
    reader.log_in()
    page.wait_for_url(f"{stack.url}/operations")

    page.check("input[name=lane][value=bulk]")
    page.fill("#symbols", "sh600519")
    page.fill("#from", FILLED_FROM.isoformat())
    page.fill("#to", "2025-06-30")
    page.evaluate("window.isTheSamePage = true")
    page.click("#ask-plan")
    plan = page.locator("#plan .plan")
    assert "1 to" in plan.inner_text()
    assert "1 for klines" in plan.inner_text()
    assert stack.get("/api/v1/runs").json()["runs"] == [], "a plan begins nothing"
    page.click("#confirm")
    page.wait_for_selector("#begun .run[data-state=committed]")
    assert page.evaluate("window.isTheSamePage"), "the page was loaded again"
    (run,) = stack.get("/api/v1/runs").json()["runs"]
    assert (run["state"], run["lane"], run["symbols"]) == ("committed", "bulk", [MOUTAI])
    assert f"{run['bars_written']:,} bars" in page.locator("#begun").inner_text()
    assert run["bars_written"] > 50

    page.click(f"#begun a[href='/symbols/{MOUTAI}']")
    reader.until_shown("daily none ratio")
    last = bar_of(stack, LAST, Adjustment.NONE)
    assert reader.legend()["at"] == LAST.isoformat()
    assert reader.legend()["Close"] == shown(last["close"])
    assert "provisional" in page.locator("#legend").inner_text()

    read_by_the_crosshair(reader, stack)
    read_by_keys(reader, stack)
    prefer(reader)
    assert reader.complaints == []


def read_by_the_crosshair(reader: Reader, stack: WebApp) -> None:
    """The bar under the mouse is read out, whichever it is."""
    box = reader.page.locator("#chart").bounding_box()
    assert box is not None
    reader.page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.4)
    wait_for("another bar is read", lambda: reader.legend()["at"] != LAST.isoformat(), 5)
    told = reader.legend()
    bar = bar_of(stack, date.fromisoformat(told["at"]), Adjustment.NONE)
    prices = {name: told[name] for name in ("Open", "High", "Low", "Close")}
    assert prices == {name: shown(bar[name.lower()]) for name in prices}
    reader.page.mouse.move(0, 0)


def read_by_keys(reader: Reader, stack: WebApp) -> None:
    """The bars around the ex-right are read one by one, in each adjustment."""
    before = SESSIONS[SESSIONS.index(EX_SESSION) - 1]
    closes = set()
    for adjust in (Adjustment.NONE, Adjustment.QFQ, Adjustment.HFQ):
        reader.page.check(f"input[name=adjust][value={adjust}]", force=True)
        reader.until_shown(f"daily {adjust} ratio")
        reader.page.focus("#chart")
        reader.page.keyboard.press("End")
        pages, steps = divmod(len(SESSIONS) - 1 - SESSIONS.index(before), 20)
        for key in ["PageUp"] * pages + ["ArrowLeft"] * steps:
            reader.page.keyboard.press(key)
        first = reader.legend()
        reader.page.keyboard.press("ArrowRight")
        second = reader.legend()
        for told, session in ((first, before), (second, EX_SESSION)):
            assert told["at"] == session.isoformat()
            assert told["Close"] == shown(bar_of(stack, session, adjust)["close"])
        assert second["ex-right"] == "Cash 28.0000"
        closes.add((first["Close"], second["Close"]))
    assert len(closes) == 3, "each adjustment shows other prices"


def prefer(reader: Reader) -> None:
    """Language and theme are switched, and stay so on the next page."""
    page = reader.page
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.click("#language")
    page.wait_for_selector("html[lang=zh-CN][data-theme=dark]")
    assert page.locator("nav.main a").all_inner_texts() == ["概览", "证券", "板块", "操作"]
    assert "adjust=hfq" in page.url, "what was chosen is kept"
    reader.until_shown("daily hfq ratio")
    page.click("#language")
    page.wait_for_selector("html[lang=en]")


def test_no_page_has_a_serious_violation_of_accessibility_in_either_theme(
    known: Reader, stack: WebApp
) -> None:
    """Every page by axe, whole in one theme and for its colours in the other."""
    page = known.page
    run = stack.get("/api/v1/runs").json()["runs"][0]["run_id"]
    found = []
    for path in (
        "/", "/symbols?q=6", f"/symbols/{MOUTAI}", "/boards", "/boards/BK0477", "/boards/changes",
        "/operations", "/runs", f"/runs/{run}", "/quarantine", "/quarantine/b1", "/reports",
        "/schedule", "/keys", "/login", "/runs/20200101T000000-00000000",
    ):  # fmt: skip
        known.open(path)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found += known.violations()
        page.click("#theme")
        found += known.violations(runOnly={"type": "rule", "values": ["color-contrast"]})
    assert found == []
    # The last of them is meant to be answered by 404, which a browser notes.
    assert [each for each in known.complaints if "404" not in each] == []


def test_a_bar_in_quarantine_is_dropped_by_whoever_is_named(known: Reader, stack: WebApp) -> None:
    """Who decided is kept with the decision, and the audit has it."""
    page = known.page
    known.open("/quarantine")
    page.check("input[name=ids][value=b1]")
    page.fill("#note", "not on the exchange's page")
    page.click("button[value=drop]")
    page.wait_for_selector("text=Nothing is here")
    (bar,) = stack.get("/api/v1/quarantine?status=dropped").json()["bars"]
    assert (bar["id"], bar["note"]) == ("b1", "not on the exchange's page")
    assert bar["decided_by"].startswith("test operate (key ")
    database = stack.database()
    entry = ApiRequests(database).entries(1)[0]
    database.dispose()
    assert (entry.path, entry.via) == ("/quarantine", "session")
    assert entry.about["decision"] == "drop"


def test_a_symbol_is_found_while_its_name_is_typed(known: Reader) -> None:
    """From anywhere, by the key that goes to the search; then letter by letter."""
    page = known.page
    known.open("/boards")
    page.keyboard.press("/")
    page.keyboard.type("6")
    page.keyboard.press("Enter")
    page.wait_for_url("**/symbols?q=6")
    known.open("/symbols")
    page.locator("#q").press_sequentially("茅台")
    page.wait_for_selector("#found li:only-child")
    assert page.locator("#found a").inner_text().split() == [MOUTAI, "贵州茅台"]
    page.locator("#q").fill("nobody")
    page.wait_for_selector("text=Nothing is called “nobody”")


def test_a_report_is_shown_as_it_was_made_and_runs_no_script(known: Reader) -> None:
    known.open("/reports")
    known.page.click("text=Page")
    assert known.page.locator("h1").inner_text() == "All is well"
    assert f"/reports/{REPORTED}" in known.page.url
    assert json.loads(known.page.evaluate("JSON.stringify(document.scripts.length)")) == 0
