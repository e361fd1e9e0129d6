"""Partners, people, memberships, platform roles: who may change what, and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from accounts import passwords, queries
from accounts.errors import AlreadyMember, EmailTaken, SlugTaken, WeakPassword, WrongCredentials
from accounts.models import Membership, PartnerKind, SignIn
from accounts.services import memberships, notices, partners, people, platform_roles, signing_in
from app import clock
from app.access import SYSTEM, MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import db
from app.errors import Forbidden, Invalid, NotFound
from tests.accounts.conftest import PASSWORD
from tests.conftest import as_actor


@pytest.fixture
def admin(make):
    return as_actor(make.platform(PlatformRole.ADMINISTRATOR))


def trail() -> list[tuple[str, dict]]:
    return [(e.action, e.changes) for e in db.session.scalars(sa.select(AuditEntry))]


def test_an_actor_carries_roles_at_every_partner_and_live_platform_roles(make):
    qdu, ouc = make.partner(slug="qdu"), make.partner(slug="ouc")
    person = make.member(qdu, MemberRole.TEACHER)
    for partner, role in ((qdu, MemberRole.ADMINISTRATOR), (ouc, MemberRole.STUDENT)):
        memberships.join(SYSTEM, partner_id=partner.id, person_id=person.id, role=role)
    now = clock.now()
    periods = [
        (PlatformRole.OPERATOR, now - timedelta(days=1), now + timedelta(seconds=1)),
        (PlatformRole.COORDINATOR, now - timedelta(days=2), now),
        (PlatformRole.ADMINISTRATOR, now + timedelta(days=1), None),
    ]
    for role, from_at, until_at in periods:
        platform_roles.grant(SYSTEM, person_id=person.id, role=role, reason="duty", from_at=from_at, until_at=until_at)

    actor = as_actor(person)

    assert actor.memberships == {
        qdu.id: {MemberRole.TEACHER, MemberRole.ADMINISTRATOR},
        ouc.id: {MemberRole.STUDENT},
    }
    assert actor.partners[ouc.id] == ("ouc", ouc.title_zh, ouc.title_en)
    assert actor.platform_roles == {PlatformRole.OPERATOR}
    assert [slug for slug, _name in actor.administered_partners] == ["qdu"]


def test_a_partner_administrator_brings_somebody_in(make):
    qdu = make.partner()
    administrator = as_actor(make.member(qdu, MemberRole.ADMINISTRATOR))

    person = people.create(administrator, email="li@qdu.example", name="  李   娜 ", password=PASSWORD)
    row = memberships.join(
        administrator, partner_id=qdu.id, person_id=person.id, role=MemberRole.STUDENT, number="0020261"
    )

    assert (person.name, row.number) == ("李 娜", "0020261")
    assert signing_in.check_password("LI@qdu.example", PASSWORD) == person
    assert [notices.read(n).title for n in db.session.scalars(queries.notices(person.id))]
    assert {action for action, _changes in trail()} == {"person.create", "membership.join"}
    assert PASSWORD not in str(trail())


def test_members_without_that_role_bring_nobody_in(make):
    teacher = as_actor(make.member(role=MemberRole.TEACHER))

    with pytest.raises(Forbidden):
        people.create(teacher, email="li@qdu.example", name="李娜")


def test_an_administrator_of_one_partner_changes_nothing_at_another(make):
    other = make.partner()
    administrator = as_actor(make.member(role=MemberRole.ADMINISTRATOR))
    member = make.member(other)
    row = db.session.scalars(sa.select(Membership).where(Membership.person_id == member.id)).one()

    with pytest.raises(Forbidden):
        memberships.join(administrator, partner_id=other.id, person_id=member.id, role=MemberRole.TEACHER)
    with pytest.raises(NotFound):
        memberships.leave(administrator, row.id)


def test_a_role_is_taken_away_and_the_trail_remembers(make):
    qdu = make.partner()
    administrator = as_actor(make.member(qdu, MemberRole.ADMINISTRATOR))
    student = make.member(qdu)
    row = db.session.scalars(sa.select(Membership).where(Membership.person_id == student.id)).one()

    memberships.leave(administrator, row.id)

    assert queries.memberships(student.id) == []
    assert trail() == [("membership.leave", {"person_id": str(student.id), "role": "student", "number": None})]


def test_one_e_mail_is_one_account_in_any_case(make, admin):
    make.person(email="li@qdu.example")

    with pytest.raises(EmailTaken):
        people.create(admin, email="LI@QDU.example", name="李娜")
    assert people.create(admin, email="na@qdu.example", name="李娜")  # the transaction goes on


def test_a_number_belongs_to_one_person_in_a_role(make, admin):
    qdu = make.partner()
    first, second = make.person(), make.person()
    memberships.join(admin, partner_id=qdu.id, person_id=first.id, role=MemberRole.STUDENT, number="007")

    with pytest.raises(AlreadyMember):
        memberships.join(admin, partner_id=qdu.id, person_id=second.id, role=MemberRole.STUDENT, number="007")
    with pytest.raises(AlreadyMember):
        memberships.join(admin, partner_id=qdu.id, person_id=first.id, role=MemberRole.STUDENT)
    assert memberships.join(admin, partner_id=qdu.id, person_id=second.id, role=MemberRole.STUDENT, number="7")


@pytest.mark.parametrize("email", ["", "wang", "@qdu.example", "wang@", "wa ng@qdu.example", "w@" + "x" * 300])
def test_what_is_no_e_mail_address_is_refused(admin, email):
    with pytest.raises(Invalid):
        people.create(admin, email=email, name="王伟")


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "王\u202e伟"])
def test_a_name_is_short_and_printable(admin, name):
    with pytest.raises(Invalid):
        people.create(admin, email="wang@qdu.example", name=name)


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "wang@qdu.example", "WANG@qdu.example"])
def test_weak_passwords_are_refused_with_the_rule(admin, password):
    with pytest.raises(WeakPassword) as refusal:
        people.create(admin, email="wang@qdu.example", name="王伟", password=password)

    assert refusal.value.members == {"shortest": 10}


def test_an_endless_password_is_refused_before_it_is_hashed(admin):
    with pytest.raises(Invalid):
        people.create(admin, email="wang@qdu.example", name="王伟", password="abcdefghij" * 21)


def test_changing_the_password_needs_the_old_one_and_ends_other_sign_ins(make, wang):
    key = signing_in.open_sign_in(wang, None, "here")
    signing_in.open_sign_in(wang, None, "elsewhere")
    here = queries.visitor_by_sign_in(key)
    new = "another fine password"

    with pytest.raises(WrongCredentials):
        people.change_password(here.actor, current="wrong", new=new, keep_sign_in=here.sign_in_id)
    people.change_password(here.actor, current=PASSWORD, new=new, keep_sign_in=here.sign_in_id)

    assert passwords.matches(wang.password_hash, new)
    assert [row.browser for row in queries.live_sign_ins(wang.id)] == ["here"]
    assert "another" not in str(trail())


def test_only_the_platform_sets_somebody_elses_password(make, wang, admin):
    signing_in.open_sign_in(wang, None, None)
    partner_admin = as_actor(make.member(role=MemberRole.ADMINISTRATOR))

    with pytest.raises(Forbidden):
        people.set_password(partner_admin, wang.id, "another fine password")
    people.set_password(admin, wang.id, "another fine password")

    assert signing_in.check_password(wang.email, "another fine password") == wang
    assert queries.live_sign_ins(wang.id) == []


def test_closing_an_account_is_said_with_a_reason_and_can_be_undone(make, wang, admin):
    signing_in.open_sign_in(wang, None, None)

    people.close(admin, wang.id, "left the university")
    ended = db.session.scalars(sa.select(SignIn.ended_at)).one()
    people.reopen(admin, wang.id, "came back")

    assert ended is not None
    assert wang.is_active
    assert ("person.close", {"reason": "left the university"}) in trail()


def test_a_profile_changes_only_what_is_different_and_says_so(make, student):
    actor = as_actor(student)

    people.change_profile(actor, name=student.name, language="zh_CN", time_zone="Europe/Berlin")

    assert trail() == [
        ("person.change", {"language": ["en", "zh_CN"], "time_zone": ["Asia/Shanghai", "Europe/Berlin"]})
    ]


@pytest.mark.parametrize(
    "wrong", [{"language": "fr"}, {"time_zone": "Mars/Olympus"}, {"time_zone": "../etc/passwd"}, {"name": ""}]
)
def test_a_profile_takes_no_nonsense(student, wrong):
    with pytest.raises(Invalid):
        people.change_profile(
            as_actor(student), **{"name": "王", "language": "en", "time_zone": "Asia/Shanghai"} | wrong
        )


def test_partners_are_opened_by_the_platform_with_a_slug_of_their_own(make, admin):
    words = {"kind": PartnerKind.UNIVERSITY, "title_zh": "青岛大学", "title_en": "Qingdao University"}
    partners.open_partner(admin, slug="qdu", **words)

    with pytest.raises(SlugTaken):
        partners.open_partner(admin, slug="qdu", **words)
    with pytest.raises(Forbidden):
        partners.open_partner(as_actor(make.member(role=MemberRole.ADMINISTRATOR)), slug="ouc", **words)
    for slug in ("", "Q", "-a", "a/b", "a" * 41):
        with pytest.raises(Invalid):
            partners.open_partner(admin, slug=slug, **words)


def test_platform_roles_are_granted_by_administrators_with_a_reason_and_taken_back(make, admin):
    person = make.person()
    granted = platform_roles.grant(admin, person_id=person.id, role=PlatformRole.OPERATOR, reason="runs the cluster")
    held = as_actor(person).may_operate

    platform_roles.end(admin, granted.id, "moved on")

    assert held
    assert not as_actor(person).may_operate
    with pytest.raises(Invalid):
        platform_roles.grant(admin, person_id=person.id, role=PlatformRole.OPERATOR, reason=" ")
    with pytest.raises(Invalid):
        platform_roles.grant(
            admin,
            person_id=person.id,
            role=PlatformRole.OPERATOR,
            reason="x",
            until_at=datetime(2020, 1, 1, tzinfo=UTC),
        )
    with pytest.raises(Forbidden):
        platform_roles.grant(
            as_actor(make.platform(PlatformRole.OPERATOR)),
            person_id=person.id,
            role=PlatformRole.ADMINISTRATOR,
            reason="more power",
        )


def test_a_role_that_has_not_begun_can_be_taken_back(make, admin):
    person = make.person()
    later = clock.now() + timedelta(days=1)
    granted = platform_roles.grant(
        admin, person_id=person.id, role=PlatformRole.OPERATOR, reason="from tomorrow", from_at=later
    )

    platform_roles.end(admin, granted.id, "not needed")

    assert not granted.holds(later)
