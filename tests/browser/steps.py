"""What people do on the pages, for the journeys: sign in, enroll, launch, work in JupyterLab, stop."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from tests.campus import Campus

COURSE = "Deep learning, first steps"
LAB_UNIT = "Lab: one neuron"
NOTEBOOK = "1-one-neuron.ipynb"

START_WITHIN = 120_000  # milliseconds from Launch to JupyterLab on two shared cores


def person(campus: Campus, key: str) -> dict[str, Any]:
    """Somebody of the demo campus: li.na and amira study, zhang.min teaches, zhou.ting and he.jing administer."""
    return next(one for one in campus.sign_ins if one["key"] == key)


def sign_in(page: Page, campus: Campus, key: str) -> None:
    who = person(campus, key)
    page.goto(f"{campus.platform_url}/sign-in")
    page.locator("#email").fill(who["login"])
    page.locator("#password").fill(who["password"])
    page.locator("#password").press("Enter")
    page.wait_for_url(re.compile(re.escape(campus.platform_url) + r"/(?!sign-in)"))


@contextmanager
def another(browser: Browser, campus: Campus, key: str) -> Iterator[Page]:
    """The same platform in another person's browser."""
    context = browser.new_context(locale="en-US", timezone_id="Asia/Shanghai", viewport={"width": 1280, "height": 800})
    context.add_cookies([{"name": "language", "value": "en", "url": campus.platform_url}])
    try:
        page = context.new_page()
        sign_in(page, campus, key)
        yield page
    finally:
        context.close()


def in_english(page: Page, campus: Campus) -> None:
    page.context.add_cookies([{"name": "language", "value": "en", "url": campus.platform_url}])


def find_course(page: Page, campus: Campus) -> None:
    """From the catalog to the run."""
    page.goto(f"{campus.platform_url}/courses")
    page.get_by_label("Search").fill("neuron")
    page.locator("main form").get_by_role("button", name="Show").click()
    page.get_by_role("link", name=COURSE).click()
    page.locator("main").get_by_role("link", name=re.compile("Show")).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(COURSE)


def enroll(page: Page) -> None:
    page.locator("#seat").get_by_role("button", name="Enroll").click()
    expect(page.locator("#seat")).to_contain_text("Enrolled")


def open_lab_unit(page: Page) -> None:
    page.locator("#units").get_by_role("link", name=LAB_UNIT).click()
    expect(page.locator("#launch")).to_be_visible()


def go_to_lab_unit(page: Page, campus: Campus) -> None:
    """From anywhere to the unit with the lab, with a seat taken on the way if there is none yet."""
    find_course(page, campus)
    if page.locator("#seat").get_by_role("button", name="Enroll").is_visible():
        enroll(page)
    open_lab_unit(page)


def launch(page: Page) -> str:
    """Press Launch; returns the address of the lab's page on the platform."""
    page.locator("#launch").get_by_role("button", name="Launch").click()
    page.wait_for_url(re.compile(r"/labs/[0-9a-f-]{36}"))
    return page.url.split("?")[0]


def arrive_in_jupyterlab(page: Page, campus: Campus) -> None:
    """The lab's page goes inside by itself. JupyterLab is ready when its notebook is."""
    page.wait_for_url(re.compile(re.escape(campus.labs_url) + "/user/"), timeout=START_WITHIN)
    expect(page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook")).to_be_visible(timeout=START_WITHIN)
    expect(page.locator(".jp-NotebookPanel .jp-Toolbar-kernelName")).to_contain_text("Python 3", timeout=START_WITHIN)
    expect(page.locator(".jp-NotebookPanel [data-status=idle]").first).to_be_visible(timeout=START_WITHIN)


def tab(page: Page) -> Locator:
    return page.locator(".lm-TabBar-tab.lm-mod-current", has_text=NOTEBOOK)


def run_in_new_cell(page: Page, code: str) -> str:
    """Put a cell under the first one, run it, save the notebook, and return what the cell said."""
    cells = page.locator(".jp-Notebook .jp-Cell")
    cells.first.click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    cell = cells.nth(1)
    expect(cell).to_have_class(re.compile("jp-mod-active"))
    editor = cell.locator(".cm-content")
    editor.click()
    page.keyboard.insert_text(code)
    expect(editor).to_have_text(code)
    page.keyboard.press("Control+Enter")
    output = cell.locator(".jp-OutputArea-output").first
    expect(output).to_be_visible(timeout=START_WITHIN)
    page.keyboard.press("Control+s")
    expect(tab(page)).not_to_have_class(re.compile("jp-mod-dirty"))
    return output.inner_text().strip()


def ask_for_compute(page: Page, campus: Campus) -> None:
    """Who looks after a run's budget asks for more, on its page."""
    page.goto(f"{campus.platform_url}/budgets")
    page.locator("main table a", has_text=COURSE).first.click()
    page.get_by_role("link", name="Ask for compute").click()
    page.locator("#amount").fill("12.5")
    page.locator("#reason").fill("两个班一起做最后一章")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_url(re.compile(r"/requests/[0-9a-f-]{36}$"))


def stop(page: Page, lab: str) -> None:
    """Stop the lab on its page and wait until it is settled."""
    page.goto(lab)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Stop the lab").click()
    ended = re.compile("This lab has ended|Nothing was charged")  # the second, when it had not started yet
    expect(page.locator("#lab-status")).to_contain_text(ended, timeout=START_WITHIN)
