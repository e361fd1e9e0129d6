"""A real Chromium for the journeys: `page` is a fresh visitor; `picture` keeps a screenshot when asked to."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app.embedded import chromium
from tests.one_playwright import one_playwright

ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 20_000  # milliseconds: two cores, shared with all that is being looked at


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = chromium.find()
    if program is None:
        reason = "No Chromium: install it, or set CHROMIUM to its path (see `chancai doctor`)."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE)
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    browser = one_playwright().chromium.launch(executable_path=program, args=[*ARGUMENTS, *as_root])
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor of their own: no cookies of anybody else, English, a middling screen."""
    context = browser.new_context(locale="en-US", timezone_id="Asia/Shanghai", viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def picture() -> Callable[..., None]:
    """Keep a picture of the page in the folder SCREENSHOTS (`make screenshots`); otherwise do nothing.

    With `chinese`, take it once more as a Chinese reader sees it, in the dark, and on a phone.
    """
    folder = os.environ.get("SCREENSHOTS")

    def take(page: Page, name: str, chinese: bool = False) -> None:
        if folder is None:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.evaluate("window.scrollTo(0, 0)")  # the bar sticks to the top, wherever that is
        page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled", full_page=True)
        if chinese:
            _take_in_chinese(page, Path(folder), name)

    return take


def _take_in_chinese(page: Page, folder: Path, name: str) -> None:
    def speak(language: str) -> None:
        page.context.add_cookies([{"name": "language", "value": language, "url": page.url}])

    speak("zh_CN")
    other = page.context.new_page()
    other.emulate_media(color_scheme="dark")
    other.goto(page.url)
    other.screenshot(path=folder / f"{name}-zh-dark.png", animations="disabled", full_page=True)
    other.emulate_media(color_scheme="light")
    other.set_viewport_size({"width": 390, "height": 844})
    other.screenshot(path=folder / f"{name}-zh-phone.png", animations="disabled", full_page=True)
    other.close()
    speak("en")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "No Chromium" in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line("")
        terminalreporter.write_line(
            f"NOT TESTED: {len(skipped)} journeys in a browser, for there is no Chromium here.", red=True, bold=True
        )
