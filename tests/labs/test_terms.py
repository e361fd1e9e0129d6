"""Terms of use of a center: who launches has accepted the latest."""

import pytest

from app.access import PlatformRole
from app.db import transaction
from app.errors import Forbidden, NotFound
from labs import errors
from labs.models import SessionState
from labs.services import terms
from tests.make import as_actor, sign_in


@pytest.fixture
def operator(campus):
    return as_actor(campus.make.platform(PlatformRole.OPERATOR))


def publish(operator, text="Be kind."):
    with transaction():
        return terms.publish(operator, "embedded", text_zh="请友善。", text_en=text)


def accept(person, number):
    with transaction():
        terms.accept(as_actor(person), "embedded", number)


def test_nobody_launches_before_they_have_accepted_the_terms(campus, operator):
    published = publish(operator)

    with pytest.raises(errors.TermsNotAccepted) as refusal:
        campus.launch()

    assert refusal.value.members["terms"] == {
        "center": "embedded",
        "number": published.number,
        "url": "/centers/embedded/terms",
    }
    accept(campus.student, published.number)
    assert campus.launch().state is SessionState.RESERVED


def test_new_terms_are_accepted_anew_and_old_ones_not_any_more(campus, operator):
    publish(operator)
    accept(campus.student, 1)
    publish(operator, "Be very kind.")

    with pytest.raises(errors.TermsNotAccepted):
        campus.launch()
    with pytest.raises(terms.TermsAreOld):
        accept(campus.student, 1)
    accept(campus.student, 2)
    accept(campus.student, 2)  # twice is once
    assert campus.launch().state is SessionState.RESERVED


def test_terms_that_do_not_exist_are_not_accepted(campus, operator):
    with pytest.raises(NotFound):
        accept(campus.student, 1)
    publish(operator)
    for number in (0, 2):
        with pytest.raises(NotFound):
            accept(campus.student, number)


def test_only_operators_publish(campus):
    with pytest.raises(Forbidden):
        publish(as_actor(campus.student))


def test_the_page_shows_the_terms_and_takes_a_yes(app, campus, operator):
    browser = sign_in(app, campus.student)
    assert browser.get("/centers/embedded/terms").status_code == 200
    publish(operator)
    publish(operator, "Be very kind.\n<b>Really.</b>")

    page = browser.get("/centers/embedded/terms").text
    assert "In force: version 2" in page
    assert "&lt;b&gt;Really.&lt;/b&gt;" in page
    assert "Be kind." in page  # the version before
    assert browser.post("/centers/embedded/terms/accept", data={"number": "1"}).status_code == 409
    assert browser.post("/centers/embedded/terms/accept", data={"number": "2"}).status_code == 303
    assert "You accepted them on Mar 2, 2026 17:00" in browser.get("/centers/embedded/terms").text


def test_operators_publish_on_the_page_in_both_languages(app, campus):
    browser = sign_in(app, campus.make.platform(PlatformRole.OPERATOR))

    empty = browser.post("/centers/embedded/terms", data={"text_zh": "请友善。", "text_en": " "})
    done = browser.post("/centers/embedded/terms", data={"text_zh": "请友善。", "text_en": "Be kind."})

    assert (empty.status_code, done.status_code) == (422, 303)
    student = sign_in(app, campus.student)
    assert "Be kind." in student.get("/centers/embedded/terms").text
    assert student.post("/centers/embedded/terms", data={"text_zh": "x", "text_en": "x"}).status_code == 403
    assert "/centers/embedded/terms" in browser.get("/operations").text
