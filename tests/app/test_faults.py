"""When the database is away, and when people or programs send what they should not."""

import pytest
import sqlalchemy as sa

from app.db import db
from app.factory import create_app
from tests.make import sign_in


@pytest.fixture
def cut_off(settings):
    """The application with a database that nobody answers at."""
    from dataclasses import replace

    app = create_app(replace(settings, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none"), hubs={})
    app.testing = True
    return app.test_client()


def test_a_database_that_is_away_is_503_with_a_retry_in_the_api(cut_off):
    response = cut_off.get("/api/v1/me", headers={"Authorization": "Bearer chancai_x"})

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "3"
    assert response.json["code"] == "unavailable"
    assert "127.0.0.1" not in response.text


def test_a_database_that_is_away_is_a_page_that_says_so(cut_off):
    with cut_off.session_transaction() as session:
        session["sign_in"] = "some-key"

    response = cut_off.get("/courses", headers={"Accept-Language": "en"})

    assert response.status_code == 503
    assert "does not answer" in response.text
    assert response.headers["Retry-After"] == "3"
    assert cut_off.get("/healthz").status_code == 200
    assert cut_off.get("/readyz").status_code == 503


def test_a_lock_that_is_held_too_long_is_503_and_nothing_is_half_done(app, committed, hub):
    """Somebody else holds the purse: the launch waits four seconds at the most, then says so."""
    from tests.labs.conftest import build

    campus = build(app, committed, hub)
    db.session.execute(sa.text("SET lock_timeout = '300ms'"))
    with db.engine.connect() as other, other.begin():
        other.execute(sa.text("SELECT 1 FROM purse FOR UPDATE"))
        with pytest.raises(sa.exc.OperationalError) as waited:
            campus.launch()
    db.session.rollback()

    from app.problems import _database_error

    with app.app_context(), app.test_request_context("/api/v1/lab-sessions"):
        response = _database_error(waited.value)
    assert response.status_code == 503
    assert campus.purse() == (100_000_000, 0, 0)
    assert campus.launch().state == "reserved"


def test_a_connection_that_breaks_in_the_middle_is_503_and_the_next_request_works(app, committed):
    """The server ends our connection (as when PostgreSQL restarts) between two requests."""
    person = committed.person()
    browser = sign_in(app, person)
    assert browser.get("/profile").status_code == 200
    with db.engine.connect() as other:
        other.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    db.session.rollback()

    assert browser.get("/profile").status_code == 200  # the pool finds out and connects again


def test_another_site_cannot_act_for_me(as_student):
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        response = as_student.post("/language", data={"language": "en"}, headers=headers)

        assert response.status_code == 403
        assert "did not come from our own page" in response.text


def test_a_cookie_without_a_word_of_where_it_comes_from_is_refused(app, as_student):
    from contextvars import Context

    from flask.testing import FlaskClient

    response = Context().run(FlaskClient.open, as_student, "/language", method="POST", data={"language": "en"})

    assert response.status_code == 403


def test_nobody_is_sent_elsewhere_after_choosing_a_language(client):
    for target in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""):
        response = client.post("/language", data={"language": "en", "next": target})

        assert (response.status_code, response.location) == (303, "/")
    assert client.post("/language", data={"language": "tlh"}).status_code == 400


def test_the_language_follows_the_choice_then_the_browser(client):
    assert 'lang="zh-CN"' in client.get("/").text
    assert 'lang="en"' in client.get("/", headers={"Accept-Language": "en-GB,en;q=0.9"}).text
    client.post("/language", data={"language": "zh_CN", "next": "/"})
    assert 'lang="zh-CN"' in client.get("/", headers={"Accept-Language": "en"}).text


def test_pages_forbid_what_they_do_not_need(client):
    headers = client.get("/").headers

    assert "script-src" not in headers["Content-Security-Policy"] or "unsafe" not in headers["Content-Security-Policy"]
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_an_unknown_page_is_a_page_and_an_unknown_resource_a_problem(client):
    page = client.get("/no-such-page")
    resource = client.get("/api/v1/no-such-thing")

    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert (resource.status_code, resource.mimetype) == (404, "application/problem+json")
    assert resource.json["code"] == "not-found"


def test_secrets_never_reach_the_log(caplog):
    import logging

    from app.logs import Redact

    record = logging.LogRecord("x", logging.INFO, "", 0, "POST token=abc123 Authorization: Bearer xyz", (), None)
    Redact().filter(record)

    assert "abc123" not in record.getMessage()
    assert "xyz" not in record.getMessage()
