"""The trail: who may see which part, search, and that it tells no secret."""

from datetime import timedelta

import pytest

from accounts.services import memberships, people, platform_roles, second_factor, signing_in, tokens
from accounts.trail import ACTIONS
from app.access import SYSTEM, MemberRole, PlatformRole
from app.db import db
from tests.accounts.conftest import PASSWORD
from tests.conftest import as_actor, sign_in


@pytest.fixture
def qdu(make):
    return make.partner(slug="qdu")


@pytest.fixture
def administrator(make):
    return make.platform(PlatformRole.ADMINISTRATOR)


def actions(client, path, **query) -> list[str]:
    return [row["action"] for row in client.get(f"/api/v1/{path}", query_string=query).json]


def test_a_partner_sees_its_own_part_only(app, make, qdu):
    ouc = make.partner(slug="ouc")
    own, other = make.member(qdu, MemberRole.ADMINISTRATOR), make.person()
    memberships.join(as_actor(own), partner_id=qdu.id, person_id=other.id, role=MemberRole.TEACHER)
    memberships.join(SYSTEM, partner_id=ouc.id, person_id=other.id, role=MemberRole.STUDENT)
    browser = sign_in(app, own)

    assert actions(browser, "partners/qdu/trail") == ["membership.join"]
    assert browser.get("/api/v1/partners/ouc/trail").status_code == 404
    assert browser.get("/partners/ouc/trail").status_code == 404
    assert browser.get("/operations/trail").status_code == 404
    assert browser.get("/api/v1/trail").status_code == 404
    page = browser.get("/partners/qdu/trail").text
    assert "Role given" in page
    assert "127.0.0.1" not in page


@pytest.mark.parametrize("role", [MemberRole.STUDENT, MemberRole.TEACHER])
def test_other_members_see_no_trail_of_the_partner(app, make, qdu, role):
    browser = sign_in(app, make.member(qdu, role))

    assert browser.get("/partners/qdu/trail").status_code == 404


def test_people_see_what_was_done_to_their_account_by_whom(app, make, qdu, administrator, student):
    people.set_password(as_actor(administrator), student.id, "another fine password")
    platform_roles.grant(as_actor(administrator), person_id=student.id, role=PlatformRole.OPERATOR, reason="duty")
    people.change_profile(as_actor(make.person()), name="somebody else", language="en", time_zone="Asia/Shanghai")
    browser = sign_in(app, student)

    mine = actions(browser, "me/trail")
    page = browser.get("/profile/trail").text

    assert set(mine) == {"person.set-password", "platform-role.grant", "sign-in.open"}
    assert administrator.name in page
    assert "Password set" in page
    assert "somebody else" not in page


def test_administrators_search_by_who_what_which_and_when(app, make, administrator, student, clock):
    people.change_profile(as_actor(student), name="王小伟", language="en", time_zone="Asia/Shanghai")
    db.session.commit()
    db.session.commit()
    clock.shift(timedelta(days=2))
    people.close(as_actor(administrator), student.id, "left")
    browser = sign_in(app, administrator)

    assert "person.change" in actions(browser, "trail")
    assert actions(browser, "trail", who="王") == ["person.change"]
    assert set(actions(browser, "trail", action="person")) == {"person.change", "person.close"}
    assert actions(browser, "trail", action="person.close") == ["person.close"]
    assert actions(browser, "trail", action="pers") == []
    assert set(actions(browser, "trail", subject_id=str(student.id))) == {"person.change", "person.close"}
    assert actions(browser, "trail", action="person", from_at="2026-03-03T00:00:00Z") == ["person.close"]
    assert actions(browser, "trail", action="person", until_at="2026-03-03T00:00:00Z") == ["person.change"]
    assert actions(browser, "trail", who="%") == []


def test_days_on_the_page_are_those_of_the_reader_and_the_last_one_counts(app, make, administrator, clock):
    clock.move_to("2026-03-01T23:30:00+00:00")  # the second of March in Shanghai
    people.create(as_actor(administrator), email="li@qdu.example", name="李娜")
    browser = sign_in(app, administrator)

    def found(**days: str) -> bool:
        return "李娜" in browser.get("/operations/trail", query_string={"action": "person", **days}).text

    assert found(**{"from": "2026-03-02", "until": "2026-03-02"})
    assert not found(until="2026-03-01")


@pytest.mark.parametrize("wrong", ["x", "2026-13-01", "9999-12-31", "0000-01-01"])
def test_what_is_no_day_is_said(app, administrator, wrong):
    assert sign_in(app, administrator).get(f"/operations/trail?until={wrong}").status_code == 422


def test_no_secret_is_in_the_trail(app, make, administrator, wang):
    secret = tokens.make(as_actor(wang), name="x", scopes=["labs:read"], days=1)[1]
    key = signing_in.open_sign_in(wang, "10.0.0.1", "browser")
    factor = second_factor.begin(wang.id)
    people.change_password(as_actor(wang), current=PASSWORD, new="another fine password", keep_sign_in=None)

    text = sign_in(app, administrator).get("/api/v1/trail?page_size=100").text

    for hidden in (secret, key, second_factor.secret(factor), PASSWORD, "another fine", wang.password_hash):
        assert hidden not in text


def test_every_act_of_ours_has_words():
    import re
    from pathlib import Path

    import accounts

    folder = Path(accounts.__file__).parent
    used = {
        name
        for file in folder.rglob("*.py")
        for name in re.findall(r'(?:audit\.record\(\w+, |_remove\(actor, person_id, )"([\w.-]+)"', file.read_text())
    }

    assert len(used) > 20
    assert used <= set(ACTIONS)


def test_before_and_after_are_shown_and_markup_is_not(app, administrator, student):
    people.change_profile(as_actor(student), name="<b>x</b>", language="en", time_zone="Europe/Berlin")

    page = sign_in(app, administrator).get("/operations/trail").text

    assert "Asia/Shanghai, Europe/Berlin" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x</b>" not in page
