"""Compute as everybody meets it, for real and in both languages: asking for it, and running the centers."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import psutil
import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from playwright.sync_api import Browser, Locator, Page, expect

from app.catalogs import FOLDER
from tests.browser import steps
from tests.campus import Campus

pytestmark = [pytest.mark.campus, pytest.mark.browser]

Picture = Callable[..., None]
UNTIL_SEEN = 40_000  # milliseconds: the worker asks the hub every ten seconds, and gives it some to answer
SLUG = "deep-learning-first-steps"
ASKED, APPROVED = "12.5", "7.25"


@cache
def _catalog(language: str) -> Catalog:
    with (FOLDER / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file)


@dataclass
class Reader:
    """Somebody with a browser of their own, who reads one language."""

    page: Page
    campus: Campus
    language: str

    def go(self, path: str) -> None:
        self.page.goto(self.campus.platform_url + path)

    def says(self, text: str, **values: object) -> str:
        """A text of the platform in the reader's language; one that has no translation fails here."""
        if self.language == "en":
            return text % values
        message = _catalog(self.language).get(text)
        assert message is not None, f"not among the texts: {text}"
        assert message.string, f"not translated: {text}"
        return str(message.string) % values

    def button(self, text: str, within: Locator | None = None) -> Locator:
        return (within or self.page.locator("main")).get_by_role("button", name=self.says(text), exact=True)

    def api(self, path: str) -> Any:
        return self.page.request.get(f"{self.campus.platform_url}/api/v1{path}").json()


@pytest.fixture(params=["en", "zh_CN"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reader(browser: Browser, campus: Campus, language: str) -> Iterator[Callable[[str], Reader]]:
    """Makes readers who are signed in."""
    contexts = []

    def make(key: str) -> Reader:
        context = browser.new_context(locale="en-US", timezone_id="Asia/Shanghai")
        contexts.append(context)
        context.set_default_timeout(20_000)
        context.add_cookies([{"name": "language", "value": language, "url": campus.platform_url}])
        page = context.new_page()
        steps.sign_in(page, campus, key)
        return Reader(page, campus, language)

    yield make
    for context in contexts:
        context.close()


def test_a_teacher_asks_the_administrator_gives_less_and_a_lab_is_charged_to_it(
    reader: Callable[[str], Reader], language: str, picture: Picture
) -> None:
    teacher, administrator, student = reader("zhang.min"), reader("zhou.ting"), reader("amira")
    _to_lab_unit(student)
    budget_id = _budget_of_the_run(teacher)
    before = teacher.api(f"/budgets/{budget_id}")

    # The teacher asks, on the page of the run's budget.
    teacher.go(f"/budgets/{budget_id}")
    teacher.page.get_by_role("link", name=teacher.says("Ask for compute")).click()
    teacher.page.locator("#amount").fill(ASKED)
    teacher.page.locator("#reason").fill("两个班一起做最后一章 · Both classes do the last chapter")
    picture(teacher.page, f"ask-{language}")
    teacher.button("Ask").click()
    expect(teacher.page.locator("main")).to_contain_text(teacher.says("Waiting for an answer"))
    asked = teacher.page.url.removeprefix(teacher.campus.platform_url)

    # The administrator finds it among what waits, sees what matters, and gives less.
    administrator.go("/requests")
    administrator.page.locator(f"main a[href='{asked}']").click()
    expect(administrator.page.locator("main blockquote")).to_contain_text("Both classes")
    expect(administrator.page.locator("#amount")).to_have_value(ASKED)
    picture(administrator.page, f"decide-{language}")
    administrator.page.locator("#amount").fill(APPROVED)
    administrator.page.locator("#note").fill("先用这些 · Use these first")
    administrator.button("Approve").click()
    expect(administrator.page.locator("#decide")).to_have_count(0)
    expect(administrator.page.locator("main")).to_contain_text(administrator.says("Approved"))

    # The teacher is told how much it became, and why.
    teacher.go(asked)
    expect(teacher.page.locator("main")).to_contain_text(teacher.says("%(credits)s credits", credits=APPROVED))
    expect(teacher.page.locator("main")).to_contain_text("Use these first")
    after = teacher.api(f"/budgets/{budget_id}")
    assert after["purse"]["total"] - before["purse"]["total"] == 7_250_000

    # A student's lab on that budget is charged to it, and the partner's statement says so.
    with _running_lab(student) as lab:
        pass
    charged = student.api(f"/lab-sessions/{lab}")["charged_micro"]
    assert charged > 0
    assert student.api(f"/lab-sessions/{lab}")["budget_id"] == budget_id
    assert teacher.api(f"/budgets/{budget_id}")["purse"]["used"] - after["purse"]["used"] == charged
    administrator.go("/partners/haibin/budget")
    administrator.page.get_by_role("link", name=administrator.says("Statements")).first.click()
    administrator.page.locator("main table a").first.click()
    sheet = administrator.page.locator("main")
    expect(sheet.get_by_role("row", name=re.compile("Amira Hassan"))).to_be_visible()
    event = sheet.get_by_role("row", name=re.compile("Both classes"))
    expect(event.first).to_contain_text("7.25")
    picture(administrator.page, f"statement-{language}")


def test_an_operator_closes_a_center_reads_why_ends_a_lab_and_sees_drift_go(
    reader: Callable[[str], Reader], language: str, picture: Picture
) -> None:
    operator, student = reader("he.jing"), reader("amira")
    unit = _to_lab_unit(student)
    console = operator.page.locator("main")

    # Closed for maintenance: nothing starts, and whoever tries is told why.
    operator.go("/operations")
    _set_center(operator, "maintenance")
    row = console.locator("tr", has=operator.page.locator("button[commandfor^=center-embedded-]"))
    closed = row.locator("td .tag", has_text=operator.says("Maintenance: no new labs"))
    expect(closed).to_have_count(1)
    refused = _refused_launch(student, unit)
    operator.page.reload()
    _set_center(operator, "up")
    expect(closed).to_have_count(0)

    # "Why was I refused at 10:03?" is answered later, with the numbers of that moment.
    line = operator.page.locator("#decisions tbody tr").first
    expect(line).to_contain_text("Amira Hassan")
    expect(line).to_contain_text(operator.says("The computing center takes no new labs now"))
    picture(operator.page, f"console-{language}")
    line.get_by_role("link").first.click()
    expect(console).to_contain_text(operator.says("The computing center takes no new labs now"))
    expect(console).to_contain_text(operator.says("Maintenance: no new labs"))
    assert operator.page.url.endswith(refused)
    picture(operator.page, f"decision-{language}")
    student.go("/labs/decisions")
    student.page.locator("main tbody tr").first.get_by_role("link").click()
    assert student.page.url.endswith(refused)

    # The hub hangs: the console says so, the lab's page says that its charge is provisional, and both come right.
    with _running_lab(student, stop=False) as lab:
        student.go(f"/labs/{lab}")
        if language == "zh_CN":  # takes forty seconds, and the words of both languages are tested elsewhere
            _hang_and_come_back(operator, student, lab, picture)

        # The operator ends the lab; its person reads who did.
        operator.go("/operations")
        operator.page.locator(f"#sessions a[href='/labs/{lab}']").click()
        _stop(operator)
        expect(console).to_contain_text(operator.says("Stopped by an operator."), timeout=steps.START_WITHIN)
        student.page.reload()
        expect(student.page.locator("#lab-status")).to_contain_text(student.says("Stopped by an operator."))


def _hang_and_come_back(operator: Reader, student: Reader, lab: str, picture: Picture) -> None:
    """While the hub hangs there is drift, and what the lab costs is provisional; then both come right by themselves."""
    status = student.page.locator("#lab-status")
    with _hanging(operator.campus):
        _seen(operator, "/operations", "#drift", operator.says("The hub does not answer"))
        picture(operator.page, "drift")
        _seen(student, f"/labs/{lab}", "#lab-status", student.says("provisional"))
        picture(student.page, "provisional")
    _seen(operator, "/operations", "#drift", operator.says("No drift"))
    _seen(student, f"/labs/{lab}", "#lab-status", student.says("Running"))
    expect(status).not_to_contain_text(student.says("provisional"))


def _to_lab_unit(student: Reader) -> str:
    """Take a seat if there is none yet, and open the unit with the lab; returns its path."""
    page = student.page
    student.go(f"/courses/{SLUG}")
    page.locator("main ul.list a[href^='/runs/']").first.click()
    enroll = page.locator("#seat form[action$='/enroll'] button")
    if enroll.is_visible():
        enroll.click()
        expect(page.locator("#seat form[action$='/enroll']")).to_have_count(0)
    page.locator("#units li", has_text=student.says("Lab")).first.get_by_role("link").click()
    expect(page.locator("#launch")).to_be_visible()
    return page.url.removeprefix(student.campus.platform_url)


def _budget_of_the_run(teacher: Reader) -> str:
    """The budget of the run that students can use now."""
    budgets = teacher.api("/budgets/")
    return str(next(one["id"] for one in budgets if "neuron" in one["title_en"] or "learning" in one["title_en"]))


@contextmanager
def _running_lab(student: Reader, stop: bool = True) -> Iterator[str]:
    """Launch from the unit's page; the lab runs inside, and is stopped at the end if nobody did."""
    page = student.page
    if "/units/" not in page.url:
        _to_lab_unit(student)
    page.locator("#launch button[type=submit]").click()
    page.wait_for_url(re.compile(r"/labs/[0-9a-f-]{36}"))
    lab = re.findall(r"/labs/([0-9a-f-]{36})", page.url)[0]
    page.wait_for_url(re.compile(re.escape(student.campus.labs_url) + "/user/"), timeout=steps.START_WITHIN)
    yield str(lab)
    if stop:
        student.go(f"/labs/{lab}")
        _stop(student)
        ended = student.says("This lab has ended")
        expect(page.locator("#lab-status")).to_contain_text(ended, timeout=steps.START_WITHIN)


def _stop(reader: Reader) -> None:
    reader.button("Stop").click()
    reader.button("Stop the lab", reader.page.get_by_role("dialog")).click()


def _set_center(operator: Reader, state: str) -> None:
    operator.page.locator(f"button[commandfor=center-embedded-{state}]").first.click()
    operator.page.locator(f"dialog#center-embedded-{state} .dialog-actions button:not([type=button])").click()
    expect(operator.page.locator(f"button[commandfor=center-embedded-{state}]")).to_have_count(0)


def _refused_launch(student: Reader, unit: str) -> str:
    """Press Launch while the center is closed; returns the path of the decision."""
    student.page.locator("#launch button[type=submit]").click()
    refusal = student.page.locator("#alerts .refusal")
    expect(refusal).to_contain_text(student.says("The computing center takes no new labs now"))
    latest = student.api("/decisions/")[0]
    assert latest["reason"] == "CENTER_MAINTENANCE"
    return f"/labs/decisions/{latest['id']}"


def _seen(reader: Reader, path: str, where: str, text: str) -> None:
    """Load the page until it says so: nobody pushes these changes to a browser."""
    deadline = UNTIL_SEEN // 1000
    for _attempt in range(deadline):
        reader.go(path)
        if text in reader.page.locator(where).inner_text():
            return
        reader.page.wait_for_timeout(1000)
    raise AssertionError(f"{text} is not said in {where} of {path} within {deadline} seconds")


@contextmanager
def _hanging(campus: Campus) -> Iterator[None]:
    """The hub takes calls and answers none, as a process does that swaps or waits for a disk."""
    hub = psutil.Process(campus.parts["hub"])
    hub.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        hub.send_signal(signal.SIGCONT)
