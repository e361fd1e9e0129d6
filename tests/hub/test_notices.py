"""What a person sees of the platform inside JupyterLab, in a real Chromium; and that nothing unsaved is lost."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import browser, context  # noqa: F401  (fixtures)
from tests.hub.conftest import Campus, eventually, name_of_server, name_of_user

pytestmark = [pytest.mark.hub, pytest.mark.browser]

NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": "x = 1"}
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


class Desk:
    """A person before their lab."""

    def __init__(self, campus: Campus, context: BrowserContext, **spec: object) -> None:  # noqa: F811
        self.campus, self.context = campus, context
        self.user, self.server = name_of_user(), name_of_server()
        campus.platform.news[self.server] = news()
        self.lab = campus.lab(self.user, self.server, **spec)
        sign_in(campus, context, self.user)
        self.page = context.new_page()

    def open(self, path: str = "") -> Page:
        self.page.goto(f"{self.lab}lab{path}")
        expect(self.page.locator("#jp-main-dock-panel")).to_be_visible(timeout=60_000)
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=60_000)
        return self.page

    def file(self, path: str) -> Path:
        return self.campus.homes / self.user / path


def sign_in(campus: Campus, context: BrowserContext, user: str) -> None:  # noqa: F811
    context.add_cookies([{"name": "person", "value": user, "domain": "127.0.0.1", "path": "/"}])


def news(*notices: dict[str, object], minutes: int = 45) -> dict[str, object]:
    ends_at = datetime.now(UTC) + timedelta(minutes=minutes, seconds=30)
    return {
        **{"owner": "王伟", "lease_ends_at": ends_at.isoformat(), "keep_alive_until": None},
        "notices": list(notices),
    }


def notice(name: str, kind: str, text: str, tone: str = "warning") -> dict[str, object]:
    return {"id": name, "kind": kind, "tone": tone, "text": text, "url": "http://platform.test/labs/1"}


@pytest.fixture
def desk(campus: Campus, context: BrowserContext) -> Iterator[Desk]:  # noqa: F811
    desk = Desk(campus, context)
    yield desk
    campus.client.remove(desk.user, desk.server)


def test_a_notice_appears_with_its_button_and_goes_when_it_no_longer_holds(desk: Desk) -> None:
    page = desk.open()
    toast = page.locator(".Toastify__toast")
    expect(page.locator(".chancai-time")).to_have_text(re.compile(r"45 min left"))

    desk.campus.platform.news[desk.server] = news(notice("idle-1", "lab-idle", "Nothing runs in this lab."))

    expect(toast).to_contain_text("Nothing runs in this lab.")
    toast.get_by_role("button", name="Keep running").click()
    expect(page.locator(".Toastify__toast").last).to_contain_text("was asked to keep this lab running")
    clicks = eventually(lambda: [r for r in desk.campus.platform.reports[desk.server] if r["keep_alive_minutes"]])
    assert [row["keep_alive_minutes"] for row in clicks] == [60]
    desk.campus.platform.news[desk.server] = news(notice("ends-10", "lab-ends-soon", "It ends."), minutes=9)
    expect(page.get_by_text("Nothing runs in this lab.")).to_have_count(0)
    expect(page.locator(".chancai-time")).to_have_text(re.compile(r"9 min left"))
    with page.expect_popup() as popup:
        page.locator(".Toastify__toast", has_text="It ends.").get_by_role("button", name="Extend").click()
    assert popup.value.url in ("http://platform.test/labs/1", "about:blank", "chrome-error://chromewebdata/")


def test_what_is_not_saved_is_in_the_file_after_a_stop(desk: Desk) -> None:
    desk.file("work.ipynb").write_text(json.dumps(NOTEBOOK))
    desk.file("work.ipynb").chmod(0o666)
    page = desk.open("/tree/work.ipynb")
    cell = page.locator(".jp-Notebook .jp-Cell .cm-content").first
    expect(cell).to_contain_text("x = 1", timeout=60_000)
    cell.click()
    page.keyboard.press("Control+a")
    page.keyboard.type("not = 'saved'")
    expect(cell).to_contain_text("not = 'saved'")
    eventually(lambda: desk.campus.platform.reports[desk.server][-1]["last_seen_person_at"])
    assert "not = 'saved'" not in desk.file("work.ipynb").read_text()

    desk.campus.client.stop(desk.user, desk.server)

    eventually(lambda: not desk.campus.processes_of(desk.server))
    assert "not = 'saved'" in desk.file("work.ipynb").read_text()


def test_the_lab_speaks_chinese_to_who_reads_it(campus: Campus, context: BrowserContext) -> None:  # noqa: F811
    desk = Desk(campus, context, language="zh_CN")
    campus.platform.news[desk.server] = news(notice("idle-1", "lab-idle", "实验室空闲。"))

    page = desk.open()

    expect(page.locator(".Toastify__toast")).to_contain_text("实验室空闲。")
    expect(page.locator(".Toastify__toast").get_by_role("button", name="保持运行")).to_be_visible()
    expect(page.locator(".chancai-time")).to_have_text(re.compile(r"剩余 4[45] min"))
    campus.client.remove(desk.user, desk.server)


def test_a_stop_waits_for_nobody_who_is_not_there(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    campus.lab(user, server)
    eventually(lambda: campus.platform.reports.get(server))

    campus.client.stop(user, server)
    eventually(lambda: (user, server) in campus.platform.ended)

    assert f"{user}:{server} did not save" not in campus.log
    assert f"{user}:{server} has saved" not in campus.log
