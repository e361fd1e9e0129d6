"""What happens while a lab runs, for real: more time, keep running, one's files, and a teacher's look inside."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import steps
from tests.browser.tour import AXE, RULES
from tests.campus import Campus

pytestmark = [pytest.mark.campus, pytest.mark.browser]

Picture = Callable[..., None]


def examine(page: Page, campus: Campus) -> None:
    """Axe finds no barrier on this page, in neither language."""
    for language in ("zh_CN", "en"):
        page.context.add_cookies([{"name": "language", "value": language, "url": campus.platform_url}])
        page.reload()
        page.evaluate(AXE)
        found = page.evaluate("rules => axe.run(document, rules)", RULES)["violations"]
        assert found == [], [f"{v['id']} at {v['nodes'][0]['target']}" for v in found]
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_student_gets_more_time_keeps_it_running_and_finds_the_files_again(
    page: Page, campus: Campus, picture: Picture
) -> None:
    steps.in_english(page, campus)
    steps.sign_in(page, campus, "li.na")
    steps.go_to_lab_unit(page, campus)
    lab = steps.launch(page)
    steps.arrive_in_jupyterlab(page, campus)
    assert steps.run_in_new_cell(page, "print(open('mine.txt', 'w').write('kept'))") == "4"

    page.goto(lab)
    status = page.locator("#lab-status")
    expect(status).to_contain_text("more are possible now")
    examine(page, campus)
    before = _lab(page, lab)
    page.locator("#more-15").dblclick()
    expect(status).to_contain_text("for 75 minutes")
    after = _lab(page, lab)
    assert after["extended_minutes"] - before["extended_minutes"] == 15
    page.locator("#more-own").fill("7")
    page.get_by_role("button", name="Extend", exact=True).click()
    expect(status).to_contain_text("for 82 minutes")
    page.locator("#keep-running").click()
    expect(status).to_contain_text("It is kept running until")
    expect(status).to_contain_text("2 times left in this session")
    picture(page, "more-time", chinese=True)
    steps.stop(page, lab)

    page.goto(f"{campus.platform_url}/labs")
    examine(page, campus)
    picture(page, "my-labs", chinese=True)
    page.locator("#storage").get_by_role("button", name="Open my files").click()
    page.wait_for_url(re.compile(re.escape(campus.labs_url) + "/user/"), timeout=steps.START_WITHIN)
    expect(page.locator("#jp-main-dock-panel, .jp-LabShell").first).to_be_visible(timeout=steps.START_WITHIN)
    live = page.request.get(f"{campus.platform_url}/api/v1/lab-sessions/?live=true").json()
    assert [(one["flavor"], one["held_micro"]) for one in live] == [("rescue", 0)]
    steps.stop(page, f"{campus.platform_url}/labs/{live[0]['id']}")


def test_a_teacher_extends_a_students_lab_and_looks_inside_with_a_yes(
    page: Page, browser: Browser, campus: Campus, picture: Picture
) -> None:
    steps.in_english(page, campus)
    steps.sign_in(page, campus, "li.na")
    steps.go_to_lab_unit(page, campus)
    lab = steps.launch(page)
    steps.arrive_in_jupyterlab(page, campus)
    page.goto(lab)

    with steps.another(browser, campus, "zhang.min") as teacher:
        teacher.goto(f"{campus.platform_url}/teaching")
        teacher.get_by_role("row", name=re.compile(steps.COURSE)).get_by_role("link", name=re.compile("Class")).click()
        examine(teacher, campus)
        teacher.get_by_label("Name or address").fill("李娜")
        teacher.locator("main form").get_by_role("button", name="Show").click()
        row = teacher.get_by_role("row", name=re.compile("李娜"))
        expect(row).to_contain_text("Running")
        row.get_by_role("checkbox").check()
        teacher.get_by_label("Minutes", exact=True).fill("10")
        teacher.locator("#class-together").get_by_role("button", name="Extend").click()
        expect(teacher.locator("#class-results")).to_contain_text("1 of 1")
        expect(row).to_contain_text("+10 min")
        expect(row.get_by_role("checkbox")).to_be_checked()  # the refresh has kept the tick

        picture(teacher, "live-class", chinese=True)
        row.get_by_role("link", name=re.compile("Show")).click()
        teacher.get_by_role("button", name="Ask to look").click()
        dialog = teacher.get_by_role("dialog")
        dialog.get_by_label("Reason").fill("The plot is empty")
        dialog.get_by_role("button", name="Ask").click()
        expect(teacher.locator("#lab-status")).to_contain_text("has not answered yet")
        examine(teacher, campus)

        page.reload()
        expect(page.locator("#lab-status")).to_contain_text("张敏 asks to look into this lab")
        examine(page, campus)
        picture(page, "asked-to-look", chinese=True)
        page.get_by_role("button", name="Yes, let them look").click()
        expect(page.locator("#lab-status")).to_contain_text("张敏 can look into this lab")

        look = teacher.get_by_role("button", name="Look inside")
        expect(look).to_be_visible(timeout=60_000)
        examine(teacher, campus)
        look.click()
        teacher.wait_for_url(re.compile(re.escape(campus.labs_url) + "/user/"), timeout=steps.START_WITHIN)
        expect(teacher.locator("#jp-main-dock-panel, .jp-LabShell").first).to_be_visible(timeout=steps.START_WITHIN)

        page.get_by_role("button", name="End it").click()
        expect(page.locator("#lab-status")).to_contain_text("went inside")
        teacher.goto(lab)
        expect(teacher.get_by_role("button", name="Look inside")).to_have_count(0)
    steps.stop(page, lab)


def _lab(page: Page, lab: str) -> dict[str, int]:
    origin, _, session_id = lab.rpartition("/labs/")
    return dict(page.request.get(f"{origin}/api/v1/lab-sessions/{session_id}").json())
