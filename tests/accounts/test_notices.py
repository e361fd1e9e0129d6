"""Notices: once for each event, in the reader's language and zone, and only one's own."""

from datetime import UTC, datetime

import pytest

from accounts import queries
from accounts.services import notices
from app.db import db
from app.errors import NotFound
from tests.conftest import as_actor, sign_in


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    monkeypatch.setattr(notices, "KINDS", dict(notices.KINDS))
    notices.describe("seat", "You have a seat in %(course)s", "Until %(ends_at)s, for %(price_micro)s: %(odd)s")


def tell(person, event="seat:1", **facts):
    notices.notify(
        person.id, "seat", event, url="/courses/ml", course_zh="机器学习", course_en="Machine learning", **facts
    )


def all_of(person):
    return list(db.session.scalars(queries.notices(person.id)))


def test_nobody_hears_twice_of_the_same_event(student, make):
    other = make.person()

    tell(student)
    tell(student)
    tell(student, "seat:2")
    tell(other)

    assert [n.event for n in all_of(other)] == ["seat:1"]
    assert {n.event for n in all_of(student)} == {"seat:1", "seat:2"}


def test_a_notice_reads_in_the_readers_language_zone_and_numbers(app, student):
    tell(student, ends_at=datetime(2026, 3, 2, 10, 0, tzinfo=UTC), price_micro=1_500_000, odd="100 % <b>")
    browser = sign_in(app, student)

    english = browser.get("/api/v1/me/notices").json[0]
    browser.set_cookie("language", "zh_CN")
    chinese = browser.get("/api/v1/me/notices").json[0]

    assert english["title"] == "You have a seat in Machine learning"
    assert "18:00" in english["text"]  # in Shanghai
    assert "for 1.5: 100 % <b>" in english["text"]
    assert chinese["title"] == "You have a seat in 机器学习"
    assert "&lt;b&gt;" in browser.get("/notices").text


def test_a_notice_outlives_the_words_for_its_kind(app, student):
    tell(student)
    notices.notify(student.id, "long-gone", "x")
    browser = sign_in(app, student)

    page = browser.get("/notices")

    assert page.status_code == 200
    assert "Until –, for –: –" in page.text
    assert "long-gone" in page.text


def test_opening_a_notice_marks_it_as_read_and_goes_there(app, student):
    tell(student)
    browser = sign_in(app, student)
    notice = all_of(student)[0]

    before = browser.get("/").text
    response = browser.post(f"/notices/{notice.id}/open")

    assert "1 unread notice" in before
    assert (response.status_code, response.location) == (303, "/courses/ml")
    assert queries.unread_notices(student.id) == 0
    assert browser.get("/api/v1/me/notices?unread=true").json == []


def test_all_can_be_marked_as_read(app, student, make):
    other = make.person()
    for event in ("a", "b"):
        tell(student, event)
    tell(other)
    browser = sign_in(app, student)

    assert browser.post("/notices/read").status_code == 303

    assert queries.unread_notices(student.id) == 0
    assert queries.unread_notices(other.id) == 1


def test_somebody_elses_notice_does_not_exist(app, student, make):
    other = make.person()
    tell(other)
    notice = all_of(other)[0]

    with pytest.raises(NotFound):
        notices.mark_read(as_actor(student), notice.id)
    assert sign_in(app, student).post(f"/notices/{notice.id}/open").status_code == 404
    assert notice.read_at is None


def test_notices_come_in_pages(app, student):
    for n in range(23):
        tell(student, f"seat:{n}")
    browser = sign_in(app, student)

    first = browser.get("/api/v1/me/notices?page_size=10")
    page = browser.get("/notices?page=2")

    assert len(first.json) == 10
    assert '"total": 23' in first.headers["X-Pagination"]
    assert "Page 2 of 2" in page.text
