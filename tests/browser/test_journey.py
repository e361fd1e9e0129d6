"""The main job, for real: from the catalog into JupyterLab and back, and what everybody else sees of it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import steps
from tests.campus import Campus

pytestmark = [pytest.mark.campus, pytest.mark.browser]

Picture = Callable[..., None]


def test_a_student_learns_in_a_real_lab_and_everybody_sees_their_part(
    page: Page, browser: Browser, campus: Campus, picture: Picture
) -> None:
    steps.in_english(page, campus)
    page.goto(campus.platform_url)
    picture(page, "home", chinese=True)
    steps.sign_in(page, campus, "li.na")

    # A course, a seat, the unit with the lab: price, what is left and the lease are said before anything is spent.
    page.goto(f"{campus.platform_url}/courses")
    picture(page, "catalog", chinese=True)
    steps.find_course(page, campus)
    steps.enroll(page)
    picture(page, "run")
    steps.open_lab_unit(page)
    panel = page.locator("#launch")
    expect(panel).to_contain_text("1 credit/h")
    expect(panel).to_contain_text("20 left of 20")
    expect(panel.get_by_label("Lease in minutes")).to_have_value("60")
    picture(page, "launch", chinese=True)

    # Into JupyterLab: no second sign-in, and the notebook of the lesson is open.
    addresses: list[str] = []
    page.on("framenavigated", lambda frame: addresses.append(frame.url) if frame == page.main_frame else None)
    lab = steps.launch(page)
    picture(page, "starting")
    steps.arrive_in_jupyterlab(page, campus)
    expect(steps.tab(page)).to_be_visible()
    assert not [url for url in addresses if "/sign-in" in url or ("/hub/login" in url and "oauth" not in url)]
    assert steps.run_in_new_cell(page, "open('mine.txt', 'w').write('kept'); print(6 * 7)") == "42"
    picture(page, "jupyterlab")

    # While it runs: the student's own page, the teacher's class, the operator's console, the partner's budget.
    page.goto(lab)
    expect(page.locator("#lab-status")).to_contain_text("Running")
    picture(page, "lab", chinese=True)
    with steps.another(browser, campus, "zhang.min") as teacher:
        teacher.goto(f"{campus.platform_url}/teaching")
        teacher.get_by_role("row", name=re.compile(steps.COURSE)).get_by_role("link", name=re.compile("Class")).click()
        expect(teacher.get_by_role("row", name=re.compile("李娜"))).to_contain_text("Running")
        picture(teacher, "class", chinese=True)
    with steps.another(browser, campus, "he.jing") as operator:
        operator.goto(f"{campus.platform_url}/operations")
        expect(operator.locator("#sessions")).to_contain_text("李娜")
        center = operator.locator("tr", has=operator.locator("button[commandfor^=center-embedded-]"))
        expect(center).to_contain_text("answers")
        expect(operator.locator("#budgets")).to_contain_text(steps.COURSE)
        picture(operator, "operations", chinese=True)

    # Back on the platform: stop, and see what was charged, to the second.
    steps.stop(page, lab)
    charged = page.request.get(f"{campus.platform_url}/api/v1/lab-sessions/{lab.rsplit('/', 1)[1]}").json()
    assert charged["state"] == "settled"
    assert charged["seconds_used"] > 0
    assert charged["charged_micro"] == charged["seconds_used"] * charged["price_micro"] // 3600
    said = f"{charged['charged_micro'] / 1_000_000:.4f}".rstrip("0")
    expect(page.locator("#lab-status")).to_contain_text(f"charged {said} credits")
    picture(page, "ended")
    with steps.another(browser, campus, "zhou.ting") as administrator:
        administrator.goto(f"{campus.platform_url}/partners/haibin/budget")
        expect(administrator.get_by_role("row", name=re.compile("李娜")).first).to_contain_text(said)
        picture(administrator, "partner-budget", chinese=True)

    # The next day: the same files.
    page.goto(campus.platform_url)
    picture(page, "dashboard", chinese=True)
    page.get_by_role("link", name=re.compile(f"^{steps.COURSE}")).first.click()
    steps.open_lab_unit(page)
    again = steps.launch(page)
    assert again != lab
    steps.arrive_in_jupyterlab(page, campus)
    expect(page.locator(".jp-Notebook .jp-Cell").nth(1)).to_contain_text("42")
    assert steps.run_in_new_cell(page, "print(open('mine.txt').read())") == "kept"
    inside = page.url

    # Whoever comes to this screen after a sign-out finds neither the platform nor the lab open.
    page.goto(again)
    page.get_by_label(re.compile("Account of")).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("main").get_by_role("link", name="Sign in").first).to_be_visible()
    assert page.url.startswith(campus.platform_url)
    page.goto(inside)
    page.wait_for_url(re.compile(re.escape(campus.platform_url) + "/sign-in"))
    steps.sign_in(page, campus, "li.na")
    steps.stop(page, again)


def test_a_double_click_launches_one_lab(page: Page, campus: Campus) -> None:
    steps.in_english(page, campus)
    steps.sign_in(page, campus, "amira")
    steps.go_to_lab_unit(page, campus)

    page.locator("#launch").get_by_role("button", name="Launch").dblclick()
    page.wait_for_url(re.compile(r"/labs/|/user/"))

    live = page.request.get(f"{campus.platform_url}/api/v1/lab-sessions/?live=true").json()
    assert len(live) == 1
    steps.stop(page, f"{campus.platform_url}/labs/{live[0]['id']}")


def test_a_refusal_says_why_and_what_to_do_on_the_same_page(page: Page, campus: Campus, picture: Picture) -> None:
    steps.in_english(page, campus)
    steps.sign_in(page, campus, "amira")
    steps.go_to_lab_unit(page, campus)
    page.evaluate("document.getElementById('minutes').removeAttribute('max')")
    page.get_by_label("Lease in minutes").fill("600")

    page.locator("#launch").get_by_role("button", name="Launch").click()

    refusal = page.locator("#alerts .refusal")
    expect(refusal).to_contain_text("That is longer than this lab may run at a stretch")
    expect(refusal).to_contain_text("lease-too-long")
    expect(refusal).to_contain_text("3 h 00 min")
    expect(refusal.get_by_role("link", name="About this message")).to_have_attribute("href", "/problems/lease-too-long")
    expect(refusal).to_be_in_viewport()
    picture(page, "refusal")
