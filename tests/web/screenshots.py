"""Pictures of every page, in both themes and at a phone's width, to be looked at.

    python -m tests.web.screenshots http://127.0.0.1:8000 FOLDER < key

The key stands on the first line of standard input. Says what a browser complains about, too.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
WIDTHS = {"wide": (1360, 900), "phone": (390, 844)}


def pages_of(browser_page: Page, url: str) -> Iterator[tuple[str, str]]:
    """Name and address of each page; those of a run and a board as the application links them."""
    yield from (
        ("overview", "/"),
        ("symbols", "/symbols"),
        ("symbols-found", "/symbols?q=60"),
        ("boards", "/boards"),
        ("boards-concept", "/boards?kind=concept"),
        ("changes", "/boards/changes"),
        ("operations", "/operations"),
        ("runs", "/runs"),
        ("quarantine", "/quarantine"),
        ("reports", "/reports"),
        ("schedule", "/schedule"),
        ("keys", "/keys"),
        ("problem", "/symbols/999999.SH"),
    )
    for name, listed, selector in (
        ("symbol", "/symbols?q=600519", "#found a"),
        ("board", "/boards", ".heat a"),
        ("run", "/runs", ".data a"),
    ):
        browser_page.goto(url + listed)
        found = browser_page.locator(selector).first
        if found.count():
            address = found.get_attribute("href") or "/"
            yield name, address
            if name == "symbol":
                yield "symbol-qfq-weekly", f"{address}?period=weekly&adjust=qfq"
                yield "symbol-5m", f"{address}?period=5m"


def complain(told: ConsoleMessage) -> None:
    """Say what a browser says."""
    sys.stderr.write(f"  console: {told.text}\n")


def photograph(browser: Browser, url: str, key: str, folder: Path, only: str) -> None:
    """Take all pictures."""
    for size, (width, height) in WIDTHS.items():
        for theme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=theme,
                locale="zh-CN" if theme == "dark" else "en",
            )
            page = context.new_page()
            page.on("console", complain)
            page.goto(f"{url}/login")
            page.screenshot(path=folder / f"login-{size}-{theme}.png")
            page.fill("#key", key)
            page.click(".lone .button")
            page.wait_for_url(f"{url}/")
            for name, address in list(pages_of(page, url)):
                if only and only not in name:
                    continue
                page.goto(url + address)
                page.wait_for_timeout(2500 if name in ("overview", "symbol") else 700)
                page.screenshot(path=folder / f"{name}-{size}-{theme}.png", full_page=True)
                wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                if wider > 0:
                    sys.stderr.write(f"  {name} {size} {theme}: {wider} px wider than the window\n")
            context.close()


def main() -> None:
    """Read what is wanted, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="Pages whose name has this.")
    options = parser.parse_args()
    key = sys.stdin.readline().strip()
    options.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        photograph(browser, options.url.rstrip("/"), key, options.folder, options.only)
        browser.close()


if __name__ == "__main__":
    main()
