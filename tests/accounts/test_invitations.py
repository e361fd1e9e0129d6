"""Invitations: made by a partner, taken once by whoever brings the code, with an old or a new account."""

import re
import threading
from contextvars import Context
from datetime import timedelta

import pytest
import sqlalchemy as sa

from accounts import queries
from accounts.errors import InvitationUnknown
from accounts.models import Invitation, Membership, Person, fingerprint
from accounts.services import invitations
from app.access import MemberRole
from app.audit import AuditEntry
from app.db import db
from app.errors import Forbidden, Invalid, NotFound
from tests.accounts.conftest import PASSWORD
from tests.conftest import as_actor, sign_in

ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
def qdu(make):
    return make.partner(slug="qdu", title_en="Qingdao University")


@pytest.fixture
def administrator(make, qdu):
    return make.member(qdu, MemberRole.ADMINISTRATOR)


@pytest.fixture
def invited(qdu, administrator) -> str:
    """The code of an invitation for student 007."""
    _row, code = invitations.invite(
        as_actor(administrator), partner_id=qdu.id, role=MemberRole.STUDENT, name="李娜", number="007"
    )
    return code


def roles(person) -> list[tuple[str, str | None]]:
    return [(row.role.value, row.number) for row in queries.memberships(person.id)]


def bring(client, code, action="", address="10.0.0.1", **form):
    return client.post(
        f"/claim{action}", data={"code": code, **form}, headers=ENGLISH, environ_base={"REMOTE_ADDR": address}
    )


def test_the_partner_gets_a_link_once(app, administrator, qdu):
    browser = sign_in(app, administrator)

    made = browser.post("/partners/qdu/invitations", data={"name": "李娜", "role": "teacher", "number": "T7"})
    link = re.search(r'data-copy="http://localhost/claim\?code=([A-Z2-9-]{19})"', made.text)
    again = browser.get("/partners/qdu/people").text

    row = db.session.scalars(sa.select(Invitation)).one()
    assert made.status_code == 201
    assert row.sha256 == fingerprint(link[1].replace("-", ""))
    assert "李娜" in again
    assert link[1] not in again
    assert link[1] not in str([e.changes for e in db.session.scalars(sa.select(AuditEntry))])


def test_looking_takes_nothing(client, invited, qdu):
    form = client.get(f"/claim?code={invited}")
    review = bring(client, invited)

    assert f'value="{invited}"' in form.text
    assert review.status_code == 200
    assert "Qingdao University" in review.text
    assert "李娜" in review.text
    assert invitations.look_up(invited)


def test_a_signed_in_person_takes_the_role_with_the_number(app, student, invited, qdu):
    browser = sign_in(app, student)

    taken = bring(browser, invited.lower().replace("-", " "), "/accept")

    assert (taken.status_code, taken.location) == (303, "/profile")
    assert roles(student) == [("student", "007")]
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "invitation.accept")).one()
    assert (entry.actor_id, entry.partner_id) == (student.id, qdu.id)


def test_a_newcomer_makes_an_account_and_is_in(client, invited):
    done = bring(client, invited, "/new", name="李娜", email="li@qdu.example", password=PASSWORD)

    person = queries.person_by_email("li@qdu.example")
    assert (done.status_code, done.location) == (303, "/")
    assert client.get("/api/v1/me").json["id"] == str(person.id)
    assert roles(person) == [("student", "007")]
    assert person.language == "en"


def test_a_taken_e_mail_or_a_weak_password_costs_nothing(client, make, invited):
    make.person(email="li@qdu.example")

    taken = bring(client, invited, "/new", name="李娜", email="LI@qdu.example", password=PASSWORD)
    weak = bring(client, invited, "/new", name="李娜", email="na@qdu.example", password="short")

    assert (taken.status_code, weak.status_code) == (409, 422)
    assert "There is an account with this e-mail address already" in taken.text
    assert queries.person_by_email("na@qdu.example") is None
    assert invitations.look_up(invited)


def test_a_code_is_taken_once(app, make, student, invited):
    invitations.accept(as_actor(student), invited)
    other = make.person()

    again = bring(sign_in(app, other), invited, "/accept")

    assert again.status_code == 404
    assert "This code is not valid" in again.text
    assert roles(other) == []


def test_a_code_ends_after_its_days(student, invited, clock):
    clock.shift(timedelta(days=14))

    with pytest.raises(InvitationUnknown):
        invitations.accept(as_actor(student), invited)


def test_a_code_that_was_taken_back_opens_nothing(app, student, administrator, invited):
    row = db.session.scalars(sa.select(Invitation)).one()

    answer = sign_in(app, administrator).post(f"/partners/qdu/invitations/{row.id}/take-back")

    assert answer.status_code == 303
    with pytest.raises(InvitationUnknown):
        invitations.accept(as_actor(student), invited)
    assert db.session.scalars(queries.invitations(row.partner_id)).all() == []


def test_having_the_role_already_does_not_use_the_code_up(app, make, qdu, invited):
    member = make.member(qdu)

    assert bring(sign_in(app, member), invited, "/accept").status_code == 409
    assert invitations.look_up(invited)


def test_wrong_codes_are_slowed_down_by_address(client, invited):
    wrong = {bring(client, "WRONG", address="10.6.6.6").status_code for _attempt in range(20)}

    assert wrong == {404}
    assert bring(client, invited, address="10.6.6.6").status_code == 429
    assert bring(client, invited).status_code == 200


def test_a_class_claims_its_accounts_from_one_room(client, invited):
    assert {bring(client, invited).status_code for _student in range(30)} == {200}


@pytest.mark.parametrize("role", [MemberRole.STUDENT, MemberRole.TEACHER])
def test_only_administrators_of_the_partner_invite(app, make, qdu, role, invited):
    member, stranger = make.member(qdu, role), make.member(role=MemberRole.ADMINISTRATOR)
    row = db.session.scalars(sa.select(Invitation)).one()

    for person in (member, stranger):
        browser = sign_in(app, person)
        assert browser.post("/partners/qdu/invitations", data={"name": "x", "role": "student"}).status_code == 404
        assert browser.post(f"/partners/qdu/invitations/{row.id}/take-back").status_code == 404
        with pytest.raises(Forbidden):
            invitations.invite(as_actor(person), partner_id=qdu.id, role=role, name="x")
        with pytest.raises(NotFound):
            invitations.take_back(as_actor(person), row.id)


@pytest.mark.parametrize("wrong", [{"name": ""}, {"email": "nobody"}, {"days": 0}, {"days": 91}])
def test_an_invitation_makes_sense(administrator, qdu, wrong):
    with pytest.raises(Invalid):
        invitations.invite(
            as_actor(administrator), partner_id=qdu.id, **{"role": MemberRole.STUDENT, "name": "李娜"} | wrong
        )


def test_the_page_says_what_is_wrong(app, administrator, qdu):
    browser = sign_in(app, administrator)

    assert browser.post("/partners/qdu/invitations", data={"name": "x", "role": "king"}).status_code == 422
    assert (
        "is not an e-mail address"
        in browser.post("/partners/qdu/invitations", data={"name": "x", "role": "student", "email": "nobody"}).text
    )


def test_of_two_who_bring_a_code_at_a_time_one_gets_it(app, committed):
    partner = committed.partner(slug="qdu")
    administrator = committed.member(partner, MemberRole.ADMINISTRATOR)
    _row, code = invitations.invite(
        as_actor(administrator), partner_id=partner.id, role=MemberRole.STUDENT, name="x", number="7"
    )
    db.session.commit()
    browsers = [sign_in(app, committed.person()) for _ in range(2)]
    together, answers = threading.Barrier(2), []

    def go(browser) -> None:
        together.wait(timeout=10)
        answers.append(Context().run(bring, browser, code, "/accept").status_code)

    threads = [threading.Thread(target=go, args=(browser,)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    assert sorted(answers) == [303, 404]
    numbered = sa.select(sa.func.count()).select_from(Membership).where(Membership.number == "7")
    assert db.session.scalar(numbered) == 1
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Person)) == 3
