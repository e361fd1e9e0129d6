"""The frame of every page: by keyboard, on a phone, without JavaScript, in the look and language one chose."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import steps
from tests.campus import Campus, until

pytestmark = [pytest.mark.campus, pytest.mark.browser]


@pytest.fixture
def home(page: Page, campus: Campus) -> Page:
    steps.in_english(page, campus)
    page.goto(campus.platform_url)
    return page


@pytest.fixture
def phone(browser: Browser, campus: Campus) -> Iterator[Page]:
    context = browser.new_context(
        locale="zh-CN", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    yield context.new_page()
    context.close()


@pytest.fixture
def plain(browser: Browser, campus: Campus) -> Iterator[Page]:
    """A browser without JavaScript."""
    context = browser.new_context(locale="en-US", java_script_enabled=False)
    yield context.new_page()
    context.close()


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent.trim()"))


def reload_until_it_says(page: Page, text: str) -> None:
    def says() -> bool:
        page.reload()
        return text in page.locator("#lab-status").inner_text()

    until(says, within=steps.START_WITHIN / 1000)


def test_the_first_tab_leads_past_the_navigation(home: Page) -> None:
    home.keyboard.press("Tab")
    assert focused(home) == "Skip to the content"
    expect(home.locator(".skip-link")).to_be_in_viewport()

    home.keyboard.press("Enter")
    home.keyboard.press("Tab")

    assert focused(home) == "See the courses"


def test_tab_goes_through_the_bar_in_the_order_one_reads(home: Page) -> None:
    seen = []
    for _ in range(6):
        home.keyboard.press("Tab")
        seen.append(
            home.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText")
        )

    assert [text.split("\n")[0] for text in seen] == [
        "Skip to the content", "Chancai", "Courses", "中文", "Light or dark", "Sign in",
    ]  # fmt: skip


def test_a_menu_opens_and_closes_by_keyboard_and_keeps_the_place(home: Page) -> None:
    menu = home.locator("summary[aria-label='Light or dark']")
    menu.focus()
    home.keyboard.press("Enter")
    expect(home.get_by_role("button", name="Dark")).to_be_visible()

    home.keyboard.press("Escape")

    expect(home.get_by_role("button", name="Dark")).to_be_hidden()
    expect(menu).to_be_focused()


def test_a_menu_closes_when_one_goes_on(home: Page) -> None:
    home.locator("summary[aria-label='Light or dark']").click()

    home.get_by_role("link", name="See the courses").focus()

    expect(home.get_by_role("button", name="Dark")).to_be_hidden()


def test_the_look_stays_as_chosen_and_follows_the_device_before(home: Page, campus: Campus) -> None:
    html = home.locator("html")
    home.emulate_media(color_scheme="dark")
    expect(html).to_have_attribute("data-bs-theme", "dark")

    home.locator("summary[aria-label='Light or dark']").click()
    home.get_by_role("button", name="Light", exact=True).click()
    home.goto(f"{campus.platform_url}/courses")

    expect(html).to_have_attribute("data-bs-theme", "light")
    home.locator("summary[aria-label='Light or dark']").click()
    expect(home.get_by_role("button", name="Light", exact=True)).to_have_attribute("aria-pressed", "true")


def test_the_language_changes_on_the_page_one_is_on(home: Page, campus: Campus) -> None:
    home.goto(f"{campus.platform_url}/courses?q=neuron&level=beginner")

    home.get_by_role("button", name="中文").click()

    expect(home.get_by_role("heading", level=1)).to_have_text("课程")
    assert home.url == f"{campus.platform_url}/courses?q=neuron&level=beginner"
    expect(home.locator("html")).to_have_attribute("lang", "zh-CN")
    home.get_by_role("button", name="English").click()
    expect(home.get_by_role("heading", level=1)).to_have_text("Courses")


def test_a_dialog_takes_the_keyboard_and_gives_it_back(home: Page, campus: Campus) -> None:
    steps.sign_in(home, campus, "amira")
    steps.find_course(home, campus)
    if home.locator("#seat").get_by_role("button", name="Enroll").is_visible():
        steps.enroll(home)
    opener = home.locator("#seat").get_by_role("button", name="Withdraw").first
    opener.focus()

    home.keyboard.press("Enter")
    dialog = home.get_by_role("dialog", name="Give your seat back?")
    expect(dialog).to_be_visible()
    for _ in range(4):
        home.keyboard.press("Tab")
        assert home.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    home.keyboard.press("Escape")

    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()


def test_the_navigation_opens_on_a_phone(phone: Page, campus: Campus) -> None:
    steps.sign_in(phone, campus, "zhang.min")
    expect(phone.locator(".topbar").get_by_role("link", name="教学")).to_have_count(0)  # none that can be seen

    phone.get_by_label("菜单").tap()
    phone.locator(".nav-phone").get_by_role("link", name="教学").tap()

    expect(phone.get_by_role("heading", level=1)).to_have_text("教学")


def test_everything_works_without_javascript(plain: Page, campus: Campus) -> None:
    steps.in_english(plain, campus)
    steps.sign_in(plain, campus, "amira")
    steps.go_to_lab_unit(plain, campus)
    steps.launch(plain)
    reload_until_it_says(plain, "Open JupyterLab")
    plain.get_by_role("button", name="Stop", exact=True).click()
    with plain.expect_navigation():
        plain.get_by_role("dialog").get_by_role("button", name="Stop the lab").click()

    reload_until_it_says(plain, "This lab has ended")
    expect(plain.locator("#lab-status")).to_contain_text("was charged")


def test_a_page_that_is_not_there_says_so_and_leads_on(home: Page, campus: Campus) -> None:
    response = home.goto(f"{campus.platform_url}/no/such/page")

    assert response is not None
    assert response.status == 404
    home.get_by_role("link", name="To the courses").click()
    expect(home.get_by_role("heading", level=1)).to_have_text("Courses")


def test_the_api_page_can_be_filtered(home: Page, campus: Campus) -> None:
    home.goto(f"{campus.platform_url}/api/docs")
    everything = home.locator(".operation:visible").count()

    home.get_by_label("Filter").fill("post launch")

    expect(home.locator(".operation:visible")).to_have_count(1)
    assert everything > 10
