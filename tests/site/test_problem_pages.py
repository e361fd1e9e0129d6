"""When something goes wrong: the page says what happened and what to do, in the reader's language."""

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from app.db import db
from app.pages import kinds

ENGLISH = {"Accept-Language": "en"}


def test_a_missing_page_says_so_and_where_to_go(client: FlaskClient) -> None:
    answer = client.get("/no/such/page", headers=ENGLISH)
    page = BeautifulSoup(answer.text, "html.parser")

    assert answer.status_code == 404
    assert page.h1 is not None
    assert page.h1.text == "There is no such thing, or you may not see it"
    assert "Check the address" in page.text
    assert {"/", "/courses"} <= {str(a["href"]) for a in page.main.select("a[href]")}  # type: ignore[union-attr]


def test_the_number_of_the_request_is_shown_for_those_who_help(client: FlaskClient) -> None:
    answer = client.get("/no/such/page", headers=ENGLISH)

    number = BeautifulSoup(answer.text, "html.parser").select_one("[data-copy]")

    assert number is not None
    assert number["data-copy"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize("code", sorted(kinds()))
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_code_has_a_page_that_says_what_to_do(client: FlaskClient, code: str, language: str) -> None:
    answer = client.get(f"/problems/{code}", headers={"Accept-Language": language})

    assert answer.status_code == 200
    assert code in answer.text
    assert kinds()[code].advice or code in ("not-possible",), "say what one can do"


def test_an_unknown_code_is_not_found(client: FlaskClient) -> None:
    assert client.get("/problems/nothing-like-it").status_code == 404


def test_the_list_names_every_code(client: FlaskClient) -> None:
    page = BeautifulSoup(client.get("/problems", headers=ENGLISH).text, "html.parser")

    assert {str(a["href"]) for a in page.select("td.main a")} == {f"/problems/{code}" for code in kinds()}


@pytest.fixture
def broken(app: Flask, database: None, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A site whose home page fails, as it would be met outside tests."""

    def fail() -> str:
        raise RuntimeError("a secret from inside")

    monkeypatch.setitem(app.view_functions, "site.home", fail)
    monkeypatch.setattr(app, "testing", False)
    return app.test_client()


def test_a_fault_is_a_page_that_needs_no_database_and_tells_no_secret(broken: FlaskClient) -> None:
    def nothing(*_: object) -> None:
        raise AssertionError("the page of a fault asked the database")

    event.listen(db.engine, "before_cursor_execute", nothing)
    answer = broken.get("/", headers=ENGLISH)
    event.remove(db.engine, "before_cursor_execute", nothing)

    assert answer.status_code == 500
    assert "Something went wrong on our side" in answer.text
    assert "tell us the number below" in answer.text
    assert "secret" not in answer.text


def test_there_is_a_page_even_when_no_page_can_be_drawn(broken: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise RuntimeError("no templates")

    monkeypatch.setattr("app.problems.render_template", fail)
    answer = broken.get("/")

    assert answer.status_code == 500
    assert "系统出了点问题" in answer.text
    assert "Something went wrong on our side" in answer.text
