"""Every page, as everybody, in both languages, light and dark, wide and narrow: nothing in anybody's way."""

import pytest
from flask import Flask
from playwright.sync_api import Browser

from tests.browser import steps, tour
from tests.browser.tour import Tour
from tests.campus import Campus

pytestmark = [pytest.mark.campus, pytest.mark.browser]

PEOPLE = (None, "amira", "zhang.min", "zhou.ting", "he.jing", "gao.yuan")


@pytest.fixture(scope="module")
def past(browser: Browser, campus: Campus) -> None:
    """Somebody has used a lab, and somebody asks for compute, so that no page is empty."""
    with steps.another(browser, campus, "zhang.min") as page:
        steps.ask_for_compute(page, campus)
    with steps.another(browser, campus, "amira") as page:
        steps.go_to_lab_unit(page, campus)
        lab = steps.launch(page)
        steps.arrive_in_jupyterlab(page, campus)
        steps.stop(page, lab)


@pytest.fixture(scope="module")
def tours(app: Flask, campus: Campus, browser: Browser, past: None) -> dict[str | None, Tour]:
    return {key: tour.lead(app, campus, browser, key) for key in PEOPLE}


BAD_PAGE = """<!doctype html><html lang="zh-CN"><title>Bad</title><main><h1>Bad</h1>
<p style="color: #ccc; min-width: 3000px">Pale and wide</p><img src="/static/logo.svg"></main></html>"""


def test_the_tour_notices_what_is_wrong(app: Flask, campus: Campus, browser: Browser) -> None:
    context = browser.new_context()
    policy = {"Content-Security-Policy": "default-src 'self'", "Content-Type": "text/html"}
    context.route("**/courses", lambda route: route.fulfill(body=BAD_PAGE, headers=policy))
    context.route(
        "**/problems",
        lambda route: route.fulfill(body=BAD_PAGE, headers={"Content-Type": "text/html"}),
    )
    guide = tour.Guide(app, campus, context, passed_over=set())

    guide.look_at("/courses")
    guide.look_at("/problems")
    context.close()

    found = {None: guide.tour}
    assert "image-alt" in all_of(found, "barriers")
    assert "color-contrast" in all_of(found, "barriers")
    assert "/problems (en light 360px): " in all_of(found, "overflows")
    assert "Content Security Policy" in all_of(found, "complaints")


def all_of(tours: dict[str | None, Tour], name: str) -> str:
    """What was found, each thing once, to be read."""
    found: set[tuple[str, str | None]] = {(str(one), key) for key, walk in tours.items() for one in getattr(walk, name)}
    return "\n".join(f"{text} [{key}]" for text, key in sorted(found, key=str))


def test_every_page_can_be_reached_by_links(app: Flask, tours: dict[str | None, Tour]) -> None:
    seen = {route for walk in tours.values() for route in walk.seen}

    assert tour.page_routes(app) - seen == set()


def test_no_page_puts_up_a_barrier(tours: dict[str | None, Tour]) -> None:
    assert not (found := all_of(tours, "barriers")), found


def test_no_page_scrolls_sideways(tours: dict[str | None, Tour]) -> None:
    assert not (found := all_of(tours, "overflows")), found


def test_the_browser_has_nothing_to_complain_about(tours: dict[str | None, Tour]) -> None:
    assert not (found := all_of(tours, "complaints")), found
