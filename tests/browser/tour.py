"""A walk over every page there is, as everybody there is, in every look; what it finds is judged by the tests.

Pages are found as people find them: by links, from the home page on, one page for each route. So a new page is
looked at without anybody adding it to a list.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from tests.browser import steps
from tests.browser.conftest import PATIENCE
from tests.campus import Campus

LANGUAGES = ("zh_CN", "en")
THEMES = ("light", "dark")
WIDTHS = (1280, 360)
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES: dict[str, Any] = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
AXE = Axe().axe_script
# What the page does when its size changes is done before the second frame: nobody sees it sooner.
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
NO_PAGES = {
    "home_sign_in.depart",  # to the sign-in of a university, and back
    "home_sign_in.arrive",
    "second_factor.show",  # for those who have begun to turn it on
    "sign_in.show_code",  # between the password and the code of one's phone
    "password_reset.show_reset",  # for those who got a link by mail
    "partner.show_logo",
    "labs.open_lab",  # leads to the lab, on another host
    "labs.status",  # parts of pages, which htmx asks for
    "teaching.live",
    "labs.budget_csv",  # files
    "labs.partner_budget_csv",
    "labs.requests_csv",
    "labs.decisions_csv",
    "teaching.export",
    "labs.partner_statement_file",
    "labs.budget_statement_file",
    "labs.my_usage_file",
    "labs.my_usage_now",  # lead to the current month
    "labs.budget_statement_now",
}
SAME_FOR_ALL = {"apidocs.show", "problems.index", "problems.show"}  # looked at once, by the first who comes
NOT_FOR_EYES = ("/api/v1", "/static/", "/oauth", "/internal", "/.well-known", "/healthz", "/readyz", "/metrics")


@dataclass(frozen=True)
class Look:
    language: str
    theme: str
    width: int

    def __str__(self) -> str:
        return f"{self.language} {self.theme} {self.width}px"

    @property
    def is_examined(self) -> bool:
        """Four of the eight looks are enough for axe: each pair of language, theme and width is among them."""
        return (self.language == LANGUAGES[0]) ^ (self.theme == THEMES[0]) ^ (self.width == WIDTHS[0])


@dataclass
class Finding:
    path: str
    look: str
    text: str

    def __str__(self) -> str:
        return f"{self.path} ({self.look}): {self.text}"


@dataclass
class Tour:
    """What one person saw: the address seen for each route, and what was wrong there."""

    seen: dict[str, str] = field(default_factory=dict)
    barriers: list[Finding] = field(default_factory=list)  # found by axe
    overflows: list[Finding] = field(default_factory=list)
    complaints: list[Finding] = field(default_factory=list)  # of the browser: errors, refused by CSP


class Guide:
    """Leads one person over all pages they can reach."""

    def __init__(self, app: Flask, campus: Campus, context: BrowserContext, passed_over: set[str]) -> None:
        self.routes = app.url_map.bind("localhost")
        self.pages = page_routes(app) - passed_over
        self.base = campus.platform_url
        self.page = context.new_page()
        self.context = context
        self.tour = Tour()
        self.at = Finding("", "", "")
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self._complain(f"script error: {error}"))

    def lead(self) -> Tour:
        waiting = deque(["/", "/sign-in", "/courses", "/problems", "/api/docs"])
        while waiting:
            path = waiting.popleft()
            route = self._route(path)
            if route is None or route in self.tour.seen:
                continue
            self.tour.seen[route] = path
            waiting.extend(self.look_at(path))
        return self.tour

    def look_at(self, path: str) -> list[str]:
        links: list[str] = []
        for language in LANGUAGES:
            self.context.add_cookies([{"name": "language", "value": language, "url": self.base}])
            for look in (Look(language, theme, width) for theme in THEMES for width in WIDTHS):
                self._put_on(path, look, reload=look == Look(language, THEMES[0], WIDTHS[0]))
                self._judge(path, look)
            links = self._links()
        return links

    def _put_on(self, path: str, look: Look, reload: bool) -> None:
        self.at = Finding(path, str(look), "")
        self.page.emulate_media(color_scheme="dark" if look.theme == "dark" else "light", reduced_motion="reduce")
        self.page.set_viewport_size({"width": look.width, "height": 800})
        if reload:
            response = self.page.goto(self.base + path)
            if response is None or response.status >= 400:
                self._complain(f"answers {response and response.status}")
            self.page.evaluate(AXE)
        self.page.evaluate(TWO_FRAMES)

    def _judge(self, path: str, look: Look) -> None:
        found = (
            self.page.evaluate("rules => axe.run(document, rules)", RULES) if look.is_examined else {"violations": []}
        )
        for violation in found["violations"]:
            where = "; ".join(str(node["target"]) for node in violation["nodes"][:4])
            self.tour.barriers.append(Finding(path, str(look), f"{violation['id']}: {violation['help']} at {where}"))
        width = self.page.evaluate("document.documentElement.scrollWidth")
        if width > look.width:
            self.tour.overflows.append(Finding(path, str(look), f"{width}px wide: {self._widest(look.width)}"))

    def _widest(self, width: int) -> str:
        """The innermost elements that reach over the edge, to know what to mend."""
        script = """limit => [...document.querySelectorAll("body *")]
            .filter(e => e.getBoundingClientRect().right > limit + 1 && ![...e.children].some(
                c => c.getBoundingClientRect().right > limit + 1))
            .slice(0, 3).map(e => `${e.tagName.toLowerCase()}.${e.className?.baseVal ?? e.className}`)"""
        return ", ".join(self.page.evaluate(script, width))

    def _links(self) -> list[str]:
        hrefs: list[str] = self.page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
        return [path for href in hrefs if (path := self._own(href)) is not None]

    def _own(self, href: str) -> str | None:
        if not href.startswith(self.base + "/"):
            return None
        parts = urlsplit(href)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def _route(self, path: str) -> str | None:
        try:
            endpoint, _values = self.routes.match(urlsplit(path).path, method="GET")
        except (HTTPException, RequestRedirect):
            return f"no route: {path}"
        return str(endpoint) if endpoint in self.pages else None

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complain(f"{message.type}: {message.text}")

    def _complain(self, text: str) -> None:
        self.tour.complaints.append(Finding(self.at.path, self.at.look, text))


def lead(app: Flask, campus: Campus, browser: Browser, key: str | None) -> Tour:
    """Walk over every page as this person; None is somebody who has not signed in."""
    context = browser.new_context(locale="zh-CN", timezone_id="Asia/Shanghai")
    context.set_default_timeout(PATIENCE)
    try:
        if key is not None:
            page = context.new_page()
            steps.sign_in(page, campus, key)
            page.close()
        return Guide(app, campus, context, passed_over=SAME_FOR_ALL if key else set()).lead()
    finally:
        context.close()


def page_routes(app: Flask) -> set[str]:
    """Every route that shows a page."""
    return {
        str(rule.endpoint)
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and not rule.rule.startswith(NOT_FOR_EYES) and rule.endpoint not in NO_PAGES
    }
