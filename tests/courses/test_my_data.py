"""Have all of one's data, and have oneself forgotten: nothing is left out, nothing of others goes with it."""

import io
import json
import zipfile
from datetime import timedelta

import pytest
import sqlalchemy as sa

from accounts import passwords
from accounts.errors import AccountGone, LastAdministrator
from accounts.models import Membership, Notice, Person, SignIn
from accounts.services import erasing, invitations, memberships, merging, notices, people
from app.access import SYSTEM, MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import Base, db, transaction
from app.errors import Forbidden, Invalid
from app.jobs import run_job
from courses.models import Enrollment, EnrollmentState
from courses.services import enrollment
from labs import ledger
from labs.models import Hold, HomeRemoval, LabTemplate
from labs.services import sessions
from tests.conftest import as_actor, sign_in
from tests.courses.test_merging import use_lab

PASSWORD = "correct horse battery"


@pytest.fixture
def admin(make):
    make.platform(PlatformRole.ADMINISTRATOR)
    return as_actor(make.platform(PlatformRole.ADMINISTRATOR))


@pytest.fixture
def li(school):
    """Somebody with something everywhere."""
    person = school.make.person(name="Li Nana", email="li@here.example", password_hash=passwords.hashed(PASSWORD))
    school.make.platform(PlatformRole.ADMINISTRATOR)
    memberships.join(
        SYSTEM, partner_id=school.partner.id, person_id=person.id, role=MemberRole.STUDENT, number="S-4711"
    )
    db.session.commit()
    return person


def spoken_of(*words: str) -> list[str]:
    """Every table in which one of the words still stands."""
    found = []
    for table in Base.metadata.sorted_tables:
        rows = db.session.execute(sa.text(f'SELECT "{table.name}"::text FROM "{table.name}"')).scalars()
        for row in rows:
            if any(word.lower() in row.lower() for word in words):
                found.append(f"{table.name}: {row}")
    return found


def read(answer) -> dict[str, list]:
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert archive.testzip() is None
    return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def test_an_export_has_what_each_domain_keeps_and_nobody_elses(app, school, li):
    run, other = school.run(), school.student(name="Somebody Else")
    for person in (li, other):
        enrollment.enroll(as_actor(person), run.id, person.id)
        use_lab(school, run, person)
        notices.notify(person.id, "welcome", "hello", name=person.name)
    browser = sign_in(app, li)

    answer = browser.post("/profile/data/export", buffered=True)
    files = read(answer)

    assert answer.headers["Content-Type"] == "application/zip"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert [row["email"] for row in files["person.json"]] == ["li@here.example"]
    assert [row["number"] for row in files["memberships.json"]] == ["S-4711"]
    assert [row["state"] for row in files["enrollments.json"]] == ["enrolled"]
    assert [row["state"] for row in files["labs.json"]] == ["settled"]
    assert {"reserve", "settle"} <= {row["command"] for row in files["ledger.json"]}
    assert [row["kind"] for row in files["notices.json"]] == ["welcome"]
    assert len(files["sign-ins.json"]) == 1
    assert "membership.join" in {row["action"] for row in files["trail.json"]}
    text = json.dumps(files, ensure_ascii=False)
    assert "Somebody Else" not in text
    assert li.password_hash not in text


def test_an_export_is_asked_for_a_few_times_only(app, li, clock):
    browser = sign_in(app, li)

    codes = [browser.post("/api/v1/me/export", buffered=True).status_code for _n in range(4)]
    clock.shift(timedelta(minutes=16))

    assert codes == [200, 200, 200, 429]
    assert browser.post("/api/v1/me/export", buffered=True).status_code == 200
    assert app.test_client().post("/api/v1/me/export").status_code == 401


def test_a_person_asks_waits_and_is_forgotten(app, school, li, clock):
    browser = sign_in(app, li)
    assert browser.post("/profile/data/erase", data={"password": "wrong"}).status_code == 401
    assert browser.post("/profile/data/erase", data={"password": PASSWORD}).status_code == 303
    assert "Keep my account" in browser.get("/profile/data").text

    run_job(app, app.extensions["jobs"]["erase_people"])
    assert db.session.get(Person, li.id, populate_existing=True).is_active
    clock.shift(timedelta(days=14))
    db.session.commit()
    assert run_job(app, app.extensions["jobs"]["erase_people"]) == 1

    db.session.expire_all()
    assert db.session.get(Person, li.id).name == erasing.pseudonym(li.id)
    assert spoken_of("Li Nana", "li@here.example", "S-4711") == []


def test_who_thinks_better_of_it_stays(app, li, clock):
    browser = sign_in(app, li)
    assert browser.post("/api/v1/me/erasure", json={"password": PASSWORD}).status_code == 202
    assert browser.post("/api/v1/me/erasure", json={"password": PASSWORD}).status_code == 409
    assert browser.delete("/api/v1/me/erasure").status_code == 204
    assert browser.delete("/api/v1/me/erasure").status_code == 404
    assert browser.post("/profile/data/erase", data={"password": PASSWORD}).status_code == 303
    assert browser.post("/profile/data/keep").status_code == 303

    clock.shift(timedelta(days=20))
    db.session.commit()
    assert run_job(app, app.extensions["jobs"]["erase_people"]) == 0


def test_an_administrator_erases_for_good(school, admin, li):
    run = school.run()
    enrollment.enroll(as_actor(li), run.id, li.id)
    use_lab(school, run, li)
    _invitation, code = invitations.invite(
        SYSTEM, partner_id=school.partner.id, role=MemberRole.ASSISTANT, name="Li Nana", email="li@here.example"
    )
    invitations.accept(as_actor(li), code)
    people.change_profile(as_actor(li), name="Li Na-na", language="en", time_zone="Asia/Tokyo")
    notices.notify(li.id, "welcome", "hello", name="Li Nana")
    db.session.commit()

    erasing.order(admin, li.id, confirmation="LI@here.example", reason="asked by letter")
    db.session.commit()

    assert spoken_of("Li Nana", "Li Na-na", "li@here.example", "S-4711") == []
    assert not db.session.get(Person, li.id).is_active
    assert db.session.scalar(sa.select(Enrollment.state).where(Enrollment.person_id == li.id)) == "enrolled"
    assert db.session.scalar(sa.select(sa.func.count()).where(Hold.person_id == li.id)) == 1
    assert db.session.scalars(sa.select(HomeRemoval.hub_name)).all() == [li.id.hex]
    for gone in (SignIn, Notice):
        assert db.session.scalar(sa.select(sa.func.count()).where(gone.person_id == li.id)) == 0
    assert set(db.session.scalars(sa.select(Membership.number).where(Membership.person_id == li.id))) == {None}
    actions = {entry.action for entry in db.session.scalars(sa.select(AuditEntry)) if entry.subject_id == li.id}
    assert {"person.change", "person.ask-erasure", "person.erase"} <= actions
    assert ledger.audit() == []
    with pytest.raises(AccountGone):
        people.reopen(admin, li.id, "please")
    with pytest.raises(AccountGone):
        erasing.order(admin, li.id, confirmation=f"{li.id.hex}@erased.invalid", reason="again")


def test_somebody_elses_names_stay(school, admin, li):
    other = school.student(name="Wang Wei", email="wang@here.example")
    people.create(SYSTEM, email="third@here.example", name="Third One")
    people.change_profile(as_actor(other), name="Wang Weiwei", language="en", time_zone="Asia/Tokyo")
    db.session.commit()
    before = spoken_of("Wang", "Third One")

    erasing.order(admin, li.id, confirmation=li.email, reason="asked")
    db.session.commit()

    assert spoken_of("Wang", "Third One") == before


def test_a_lab_is_stopped_first_and_a_job_finishes(app, school, admin, li):
    run = school.run()
    enrollment.enroll(as_actor(li), run.id, li.id)
    template = db.session.scalars(sa.select(LabTemplate)).first()
    with transaction():
        session = sessions.request(
            as_actor(li), template_id=template.id, flavor_id=school.flavor.id, minutes=10, budget_id=run.budget_id
        )
        session.attempts = 1
        sessions.mark_running(session.id)

    with transaction():
        row = erasing.order(admin, li.id, confirmation=li.email, reason="asked")
    assert (row.done_at, session.state.value, db.session.get(Person, li.id).is_active) == (None, "stopping", False)
    assert run_job(app, app.extensions["jobs"]["erase_people"]) == 0
    with transaction():
        sessions.end(session.id, session.ready_at, "student")
        sessions.forgotten(session.id)
    assert run_job(app, app.extensions["jobs"]["erase_people"]) == 1

    db.session.expire_all()
    assert db.session.get(Person, li.id).name == erasing.pseudonym(li.id)
    assert ledger.audit() == []


def test_who_waits_for_a_seat_waits_no_more(school, admin, li):
    run = school.run(seats={None: 1})
    first = school.student()
    for person in (first, li):
        enrollment.enroll(as_actor(person), run.id, person.id)
    erasing.order(admin, li.id, confirmation=li.email, reason="asked")

    state = db.session.scalar(sa.select(Enrollment.state).where(Enrollment.person_id == li.id))
    assert state is EnrollmentState.WITHDRAWN


def test_an_account_that_went_up_in_it_goes_too(school, admin, li):
    other = school.student(name="Li Nana old", email="old@here.example")
    merging.merge(admin, kept_id=li.id, merged_id=other.id, reason="same")
    db.session.commit()

    erasing.order(admin, li.id, confirmation=li.email, reason="asked")
    db.session.commit()

    assert spoken_of("Li Nana", "old@here.example") == []


@pytest.mark.parametrize("wrong", [{"confirmation": "yes"}, {"reason": " "}])
def test_without_confirmation_or_reason_nothing_is_erased(admin, li, wrong):
    with pytest.raises(Invalid):
        erasing.order(admin, li.id, **{"confirmation": li.email, "reason": "asked"} | wrong)


def test_who_may_not_erase(school, make, admin, li):
    with pytest.raises(Forbidden):
        erasing.order(school.as_teacher, li.id, confirmation=li.email, reason="asked")
    with pytest.raises(Invalid):
        erasing.order(admin, admin.person_id, confirmation=admin.email, reason="asked")


def test_the_last_administrator_stays(make):
    only = make.platform(PlatformRole.ADMINISTRATOR, password_hash=passwords.hashed(PASSWORD))

    with pytest.raises(LastAdministrator):
        erasing.ask(as_actor(only), PASSWORD)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_entry",
        "UPDATE audit_entry SET actor_name = 'x'",
        "UPDATE audit_entry SET changes = '{}'",
    ],
)
def test_the_trail_stays_append_only(li, statement):
    with pytest.raises(sa.exc.DatabaseError, match="append-only"), db.session.begin_nested():
        db.session.execute(sa.text(statement))


@pytest.mark.parametrize(
    "change",
    ["action = 'x'", "actor_id = NULL", "created_at = now()", "changes = '{}'", "subject_id = gen_random_uuid()"],
)
def test_while_erasing_only_names_of_that_person_change(school, li, change):
    other = school.student()
    people.change_profile(as_actor(li), name="Li", language="en", time_zone="Asia/Tokyo")
    people.change_profile(as_actor(other), name="Wang", language="en", time_zone="Asia/Tokyo")
    db.session.execute(sa.select(sa.func.set_config("chancai.erasing", str(li.id), True)))
    own = f"WHERE actor_id = '{li.id}' AND changes <> '{{}}'"

    with pytest.raises(sa.exc.DatabaseError, match="append-only"), db.session.begin_nested():
        db.session.execute(sa.text(f"UPDATE audit_entry SET {change} {own}"))
    with pytest.raises(sa.exc.DatabaseError, match="append-only"), db.session.begin_nested():
        db.session.execute(sa.text(f"UPDATE audit_entry SET actor_name = 'x' WHERE actor_id = '{other.id}'"))
    db.session.execute(sa.text(f"UPDATE audit_entry SET actor_name = 'x' {own}"))
    db.session.execute(sa.select(sa.func.set_config("chancai.erasing", "", True)))
