"""How people get in, in both languages: claim an account, sign in at home, add a second factor, invite a teacher."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from app import clock
from tests.accounts.identity_provider import CLIENT_ID, CLIENT_SECRET, CampusProvider, running
from tests.browser import steps
from tests.browser.tour import AXE, RULES
from tests.campus import Campus

pytestmark = [pytest.mark.campus, pytest.mark.browser]
PASSWORD = "quiet river stone"
LOOKS = [(theme, width) for theme in ("light", "dark") for width in (1280, 360)]


@dataclass
class Reader:
    """Somebody with a browser of their own, who reads one language and looks at each page they pass."""

    page: Page
    campus: Campus
    language: str

    def go(self, path: str) -> None:
        self.page.goto(self.campus.platform_url + path)

    def looks(self, name: str) -> None:
        """Examine the page in the light and in the dark, wide and narrow; keep pictures of it when asked to."""
        self.page.evaluate(AXE)
        for theme, width in LOOKS:
            self.page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
            self.page.set_viewport_size({"width": width, "height": 800})
            found = self.page.evaluate("rules => axe.run(document, rules)", RULES)["violations"]
            where = f"{name}, {self.language} {theme} {width}px"
            assert [(v["id"], [n["target"] for n in v["nodes"]]) for v in found] == [], where
            assert self.page.evaluate("document.documentElement.scrollWidth") <= width, where
            if folder := os.environ.get("SCREENSHOTS"):
                path = Path(folder) / f"{name}-{self.language}-{theme}-{width}.png"
                self.page.screenshot(path=path, animations="disabled", full_page=True)
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": 1280, "height": 800})

    def is_in(self) -> bool:
        return self.page.request.get(f"{self.campus.platform_url}/api/v1/me").status == 200

    def sign_out(self) -> None:
        self.page.locator("details.menu summary.avatar-button").click()
        self.page.locator("form[action='/sign-out'] button").click()
        expect(self.page.locator("a[href='/sign-in']").first).to_be_visible()


@pytest.fixture(params=["en", "zh_CN"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reader(browser: Browser, campus: Campus, language: str) -> Iterator[Callable[..., Reader]]:
    """Makes readers: of nobody in particular, or of somebody who is signed in."""
    contexts = []

    def make(key: str | None = None) -> Reader:
        context = browser.new_context(locale="en-US", timezone_id="Asia/Shanghai")
        contexts.append(context)
        context.set_default_timeout(20_000)
        context.route(re.compile(r"^https?://(?!127\.0\.0\.1|localhost)"), lambda route: route.abort())
        context.add_cookies([{"name": "language", "value": language, "url": campus.platform_url}])
        page = context.new_page()
        if key:
            steps.sign_in(page, campus, key)
        return Reader(page, campus, language)

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def home(campus: Campus) -> Iterator[CampusProvider]:
    """Haibin University's own identity provider: a real one."""
    if not (shutil.which("node") and shutil.which("npm")):
        assert not os.environ.get("CI"), "node and npm are needed to start the identity provider"
        pytest.skip("no node and npm: nobody signs in at home in this run")
    with running(f"{campus.platform_url}/sign-in/back") as provider:
        yield provider


@contextmanager
def connected(administrator: Reader, home: CampusProvider) -> Iterator[None]:
    page = administrator.page
    administrator.go("/partners/haibin/sign-on")
    administrator.looks("sign-on")
    page.locator("#issuer").fill(home.issuer)
    page.locator("#client_id").fill(CLIENT_ID)
    page.locator("#client_secret").fill(CLIENT_SECRET)
    page.locator("form[action$='/sign-on'] button").click()
    expect(page.locator("button[commandfor=disconnect]").first).to_be_visible()
    administrator.looks("sign-on-connected")
    try:
        yield
    finally:
        administrator.go("/partners/haibin/sign-on")
        page.locator("button[commandfor=disconnect]").first.click()
        page.locator("dialog#disconnect button.btn-danger").click()
        expect(page.locator("#issuer")).to_be_visible()


def invite(administrator: Reader, name: str, role: str, number: str) -> str:
    """Let a role wait; return the address to give to whom it waits for."""
    page = administrator.page
    administrator.go("/partners/haibin/people")
    administrator.looks("people")
    form = page.locator("form[action$='/invitations']")
    form.locator("#name").fill(name)
    form.locator("#role").select_option(role)
    form.locator("#number").fill(number)
    form.locator("#email").fill(f"{number}@haibin.example")
    form.locator("button.btn-primary").click()
    address = page.locator("#invite .copyable code").inner_text()
    administrator.looks("invited")
    return address


def claim(newcomer: Reader, address: str, email: str) -> None:
    """Bring the code, make an account, and be in."""
    page = newcomer.page
    page.goto(address)
    newcomer.looks("claim")
    page.locator("form[action='/claim'] button.btn-primary").click()
    expect(page.locator("form[action='/claim/new']")).to_be_visible()
    newcomer.looks("claim-review")
    form = page.locator("form[action='/claim/new']")
    form.locator("#email").fill(email)
    form.locator("#password").fill(PASSWORD)
    form.locator("button.btn-primary").click()
    page.wait_for_url(re.compile(re.escape(newcomer.campus.platform_url) + r"/$"))
    assert newcomer.is_in()


def sign_in_there(page: Page, home: CampusProvider, back: str) -> None:
    """Go through the provider's own pages, until it sends us back."""
    for _page in range(4):
        if not page.url.startswith(home.issuer):
            break
        if page.locator("input[name=login]").is_visible():
            page.locator("input[name=login]").fill("claimant")
            page.locator("input[name=password]").fill("any")
        here = page.url
        page.locator("button[type=submit]").first.click()
        page.wait_for_function("here => location.href !== here", arg=here)
        page.wait_for_load_state()
    page.wait_for_url(re.compile(re.escape(back)))


def test_a_student_claims_an_account_and_signs_in_at_home(
    reader: Callable[..., Reader], campus: Campus, home: CampusProvider
) -> None:
    number = f"s{uuid4().hex[:8]}"
    with connected(reader("gao.yuan"), home):
        student = reader()
        page = student.page
        claim(student, invite(reader("zhou.ting"), "林晓", "student", number), f"{number}@haibin.example")

        # The account is there; now it is reached from home, too.
        student.go("/profile")
        expect(page.locator("main")).to_contain_text(number)
        student.looks("profile")
        page.locator("#identities a.btn").click()
        sign_in_there(page, home, f"{campus.platform_url}/")
        student.looks("connect")
        page.locator("form[action='/profile/identities'] button.btn-primary").click()
        expect(page.locator("#identities")).to_contain_text(home.issuer)
        student.sign_out()
        assert not student.is_in()

        student.go("/sign-in")
        student.looks("sign-in")
        page.locator("a[href*='/sign-in/with/haibin']").click()
        sign_in_there(page, home, f"{campus.platform_url}/")
        me = page.request.get(f"{campus.platform_url}/api/v1/me").json()
        assert [(m["role"], m["number"]) for m in me["memberships"]] == [("student", number)]

        student.go("/profile")
        page.locator("form[action$='/unlink'] button").click()  # the next reader starts anew
        expect(page.locator("form[action$='/unlink']")).to_have_count(0)


def test_an_administrator_turns_on_a_second_factor_and_is_asked_for_it(
    reader: Callable[..., Reader], campus: Campus
) -> None:
    administrator = reader("gao.yuan")
    page = administrator.page
    administrator.go("/profile")
    page.locator("#second-factor button").click()
    secret = page.locator(".copyable code").inner_text().replace(" ", "")
    administrator.looks("second-factor-setup")
    page.locator("#code").fill("000000")
    page.locator("form[action$='/confirm'] button").click()
    expect(page.locator("main .note-danger")).to_be_visible()
    administrator.looks("second-factor-wrong")

    first = clock.now()
    page.locator("#code").fill(pyotp.TOTP(secret).at(first))
    page.locator("form[action$='/confirm'] button").click()
    expect(page.locator("main li code")).to_have_count(10)
    spare = page.locator("main li code").all_inner_texts()
    administrator.looks("recovery-codes")
    try:
        administrator.sign_out()
        again = reader()
        again.go("/sign-in")
        who = steps.person(campus, "gao.yuan")
        again.page.locator("#email").fill(who["login"])
        again.page.locator("#password").fill(who["password"])
        again.page.locator("#password").press("Enter")
        again.page.wait_for_url(re.compile("/sign-in/code"))
        again.looks("sign-in-code")
        assert not again.is_in()
        again.page.locator("#code").fill(pyotp.TOTP(secret).at(first + timedelta(seconds=30)))
        again.page.locator("#code").press("Enter")
        again.page.wait_for_url(f"{campus.platform_url}/")
        assert again.is_in()
        again.go("/profile/second-factor")
        again.looks("second-factor")
    finally:
        _turn_off(reader, campus, spare)


def _turn_off(reader: Callable[..., Reader], campus: Campus, spare: list[str]) -> None:
    """Leave the demo's administrator as everybody knows him."""
    last = reader()
    last.go("/sign-in")
    who = steps.person(campus, "gao.yuan")
    last.page.locator("#email").fill(who["login"])
    last.page.locator("#password").fill(who["password"])
    last.page.locator("#password").press("Enter")
    last.page.locator("#code").fill(spare[0])
    last.page.locator("#code").press("Enter")
    last.page.wait_for_url(f"{campus.platform_url}/")
    last.go("/profile/second-factor")
    last.page.locator("#off-code").fill(spare[1])
    last.page.locator("#off-code").press("Enter")
    expect(last.page.locator("#second-factor form[action='/profile/second-factor']")).to_be_visible()


def test_a_partners_administrator_invites_a_teacher_who_accepts(reader: Callable[..., Reader], campus: Campus) -> None:
    number = f"t{uuid4().hex[:8]}"
    administrator, teacher = reader("zhou.ting"), reader()

    claim(teacher, invite(administrator, "陈老师", "teacher", number), f"{number}@haibin.example")

    teacher.looks("welcome")
    expect(teacher.page.locator("nav a[href='/teaching']").first).to_be_attached()
    administrator.go("/partners/haibin/people")
    expect(administrator.page.get_by_role("row", name=re.compile(number))).to_contain_text("陈老师")
    again = reader()
    again.go("/claim")
    expect(again.page.locator("#code")).to_be_visible()


def test_who_forgot_the_password_finds_the_way(reader: Callable[..., Reader], campus: Campus) -> None:
    person = reader()
    person.go("/sign-in")
    person.page.locator("a[href='/sign-in/forgot']").click()
    person.looks("forgot")
    person.page.locator("#email").fill(f"nobody-{uuid4().hex[:6]}@haibin.example")
    person.page.locator("#email").press("Enter")
    expect(person.page.locator("main form")).to_have_count(0)
    person.looks("forgot-asked")
    person.go("/sign-in/reset?key=wrong")
    expect(person.page.locator("main .note-danger")).to_be_visible()
    person.looks("reset-wrong")


def test_a_partner_has_tokens_of_its_own(reader: Callable[..., Reader], campus: Campus) -> None:
    administrator = reader("zhou.ting")
    page = administrator.page
    administrator.go("/partners/haibin/tokens")
    administrator.looks("service-tokens")
    name = f"registry {uuid4().hex[:6]}"
    page.locator("#purpose").fill(name)
    page.locator("input[value='accounts:read']").check()
    page.locator("#make button.btn-primary").click()
    secret = page.locator(".copyable code").inner_text()
    administrator.looks("service-token-made")

    answer = page.request.get(
        f"{campus.platform_url}/api/v1/partners/haibin/members", headers={"Authorization": f"Bearer {secret}"}
    )
    assert answer.status == 200
    administrator.go("/partners/haibin/tokens")
    row = page.get_by_role("row", name=re.compile(name))
    row.locator("button").first.click()
    row.locator("dialog button.btn-danger").click()
    expect(page.get_by_role("row", name=re.compile(name))).to_have_count(0)
