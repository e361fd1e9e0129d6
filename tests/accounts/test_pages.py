"""The pages of accounts: profile, tokens, sign-ins, people, language."""

import re

import pytest
import sqlalchemy as sa

from accounts import queries
from accounts.models import PersonalToken
from accounts.services import memberships
from app.access import SYSTEM, MemberRole, PlatformRole
from app.db import db
from tests.accounts.conftest import PASSWORD
from tests.conftest import sign_in


@pytest.fixture
def browser(app, wang):
    return sign_in(app, wang)


def test_the_profile_shows_roles_and_this_browser(app, make, wang, browser):
    qdu = make.partner(title_en="Qingdao University")
    memberships.join(SYSTEM, partner_id=qdu.id, person_id=wang.id, role=MemberRole.TEACHER, number="T-1")

    page = browser.get("/profile").text

    assert "Qingdao University" in page
    assert "Teacher · T-1" in page
    assert "This browser" in page


def test_the_profile_is_changed_and_the_language_follows(browser, wang):
    form = {"name": "王大伟", "language": "zh_CN", "time_zone": "Europe/Berlin"}

    response = browser.post("/profile", data=form)

    db.session.expire_all()
    assert (response.status_code, response.location) == (303, "/profile")
    assert (wang.name, wang.language, wang.time_zone) == ("王大伟", "zh_CN", "Europe/Berlin")
    assert '<html lang="zh-CN">' in browser.get("/profile").text


def test_nonsense_in_the_profile_is_said_on_the_page(browser, wang):
    response = browser.post("/profile", data={"name": "", "language": "en", "time_zone": "Asia/Shanghai"})

    assert response.status_code == 422
    assert "A name has 1 to 100 characters." in response.text
    assert wang.name == "王伟"


@pytest.mark.parametrize(
    ("chosen", "own", "accepts", "shown"),
    [
        (None, "en", "zh-CN", "en"),
        (None, "zh_CN", "en", "zh-CN"),
        ("en", "zh_CN", "zh-CN", "en"),
        ("xx", "en", "zh-CN", "en"),
    ],
)
def test_the_choice_on_this_site_comes_before_ones_own_language_before_the_browsers(
    app, make, chosen, own, accepts, shown
):
    browser = sign_in(app, make.person(language=own))
    if chosen:
        browser.set_cookie("language", chosen)

    page = browser.get("/profile", headers={"Accept-Language": accepts})

    assert f'<html lang="{shown}">' in page.text


def test_a_token_is_made_shown_once_and_revoked(browser, wang):
    form = {"purpose": "my script", "scopes": ["courses:read", "labs:read"], "days": "30"}

    made = browser.post("/profile/tokens", data=form)
    secret = re.search(r"chancai_[\w-]+", made.text)
    again = browser.get("/profile").text
    row = db.session.scalars(sa.select(PersonalToken)).one()
    revoked = browser.post(f"/profile/tokens/{row.id}/revoke")

    assert made.status_code == 201
    assert secret is not None
    assert made.headers["Cache-Control"] == "private, no-store"
    assert "my script" in again
    assert secret.group() not in again
    assert revoked.status_code == 303
    assert queries.tokens(wang.id) == []


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"scopes": []}, 422),
        ({"purpose": ""}, 422),
        ({"days": "x"}, 400),
        ({"days": "0"}, 422),
        ({"scopes": ["*"]}, 422),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(browser, wang, wrong, status):
    form = {"purpose": "my script", "scopes": ["courses:read"], "days": "30"} | wrong

    assert browser.post("/profile/tokens", data=form).status_code == status
    assert queries.tokens(wang.id) == []


def test_the_password_is_changed_and_this_browser_stays(app, browser, wang):
    elsewhere = sign_in(app, wang)
    new = "another fine password"

    wrong = browser.post("/profile/password", data={"current": "guess guess", "new": new})
    weak = browser.post("/profile/password", data={"current": PASSWORD, "new": "short"})
    right = browser.post("/profile/password", data={"current": PASSWORD, "new": new})

    assert (wrong.status_code, weak.status_code, right.status_code) == (401, 422, 303)
    assert "The current password is not right." in wrong.text
    assert browser.get("/profile").status_code == 200
    assert elsewhere.get("/profile").status_code == 302


def test_guessing_the_current_password_is_slowed_down_too(browser, wang):
    answers = [
        browser.post("/profile/password", data={"current": "guess guess", "new": "another fine password"}).status_code
        for _attempt in range(9)
    ]

    assert answers == [401] * 8 + [429]


def test_another_browser_is_signed_out_and_then_this_one(app, browser, wang):
    here = queries.live_sign_ins(wang.id)[0]
    elsewhere = sign_in(app, wang)
    there = next(row for row in queries.live_sign_ins(wang.id) if row.id != here.id)

    first = browser.post(f"/profile/sign-ins/{there.id}/end")
    second = browser.post(f"/profile/sign-ins/{here.id}/end")

    assert (first.status_code, second.location) == (303, "/")
    assert elsewhere.get("/profile").status_code == 302
    assert browser.get("/profile").status_code == 302


def test_a_partners_people_in_pages(app, make):
    qdu = make.partner(slug="qdu", title_en="Qingdao University")
    administrator = make.member(qdu, MemberRole.ADMINISTRATOR)
    for n in range(55):
        make.member(qdu, name=f"Student {n:02}")
    browser = sign_in(app, administrator)

    first, last = browser.get("/partners/qdu/people"), browser.get("/partners/qdu/people?page=2")

    assert "Qingdao University" in first.text
    assert "56 entries" in first.text
    assert "Student 00" in first.text
    assert "Student 54" in last.text
    assert "Student 54" not in first.text


def test_the_platforms_administrator_sees_every_partners_people(app, make):
    make.partner(slug="qdu")
    administrator = make.platform(PlatformRole.ADMINISTRATOR)

    assert "Nobody yet" in sign_in(app, administrator).get("/partners/qdu/people").text


@pytest.mark.parametrize("path", ["/sign-in", "/profile", "/notices", "/partners/qdu/people"])
def test_pages_hold_no_inline_script_or_style(app, make, path):
    browser = sign_in(app, make.member(make.partner(slug="qdu"), MemberRole.ADMINISTRATOR))
    page = (app.test_client() if path == "/sign-in" else browser).get(path)

    assert page.status_code == 200
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page.text)


def test_names_cannot_carry_markup(app, make):
    person = make.person(name="<script>alert(1)</script>")

    assert "<script>alert" not in sign_in(app, person).get("/profile").text
