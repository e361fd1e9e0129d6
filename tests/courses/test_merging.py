"""Two accounts of one human become one: what moves, what stands against it, and that it can be undone."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from accounts import queries as accounts_queries
from accounts.errors import AccountGone, AlreadyMerged, CannotMerge, UndoTooLate
from accounts.merging import PARTS
from accounts.models import Identity, Membership, Notice, Person, SignIn
from accounts.models_life import PersonMerge
from accounts.services import memberships, merging, notices, people, signing_in
from app.access import SYSTEM, MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import Base, db, transaction
from app.errors import Forbidden, Invalid
from courses.models import Enrollment, RunTeacher
from courses.services import enrollment, runs
from labs import ledger
from labs.errors import LaunchRefused
from labs.models import Hold, LabSession, LabTemplate, MemberCap
from labs.services import admission, budgets, sessions
from tests.conftest import as_actor

MONTH = timedelta(days=30)


@pytest.fixture
def admin(make):
    return as_actor(make.platform(PlatformRole.ADMINISTRATOR))


@pytest.fixture
def two(school):
    """The same human twice: (kept, merged)."""
    return school.student(name="Li Na"), school.student(name="李娜")


def use_lab(school, run, person, seconds=1800) -> LabSession:
    """A lab that ran for so long and was put away."""
    template = db.session.scalars(sa.select(LabTemplate)).first()
    with transaction():
        session = sessions.request(
            as_actor(person), template_id=template.id, flavor_id=school.flavor.id, minutes=60, budget_id=run.budget_id
        )
        session.attempts = 1
    with transaction():
        ready = sessions.mark_running(session.id).ready_at
    with transaction():
        sessions.end(session.id, ready + timedelta(seconds=seconds), "student")
        sessions.forgotten(session.id)
    return session


def used(run, person) -> int | None:
    cap = db.session.get(MemberCap, (run.budget_id, person.id), populate_existing=True)
    return None if cap is None else cap.used


def everything() -> dict:
    """All rows that name a person, as they are."""
    rows = {}
    for model, columns in (
        (Enrollment, ("id", "person_id", "state", "pool_id")),
        (LabSession, ("id", "person_id")),
        (Hold, ("id", "person_id")),
        (MemberCap, ("budget_id", "person_id", "cap_micro", "held", "used", "is_open")),
        (Membership, ("id", "person_id")),
        (Identity, ("id", "person_id")),
        (Notice, ("id", "person_id")),
        (RunTeacher, ("id", "person_id")),
    ):
        rows[model.__name__] = set(db.session.execute(sa.select(*(getattr(model, c) for c in columns))).all())
    return rows


def test_everything_follows_to_the_account_that_is_kept(school, admin, two):
    kept, merged = two
    run = school.run()
    enrollment.enroll(as_actor(merged), run.id, merged.id)
    session = use_lab(school, run, merged)
    spent = used(run, merged)
    other = school.make.partner()
    memberships.join(SYSTEM, partner_id=other.id, person_id=merged.id, role=MemberRole.TEACHER, number="007")
    db.session.add(Identity(person_id=merged.id, issuer="https://idp.example", subject="1"))
    notices.notify(merged.id, "welcome", "only-here", name="Li Na")
    db.session.commit()

    merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="the same student number")
    db.session.commit()

    assert spent > 0
    assert (used(run, kept), used(run, merged)) == (spent, 0)
    assert db.session.get(LabSession, session.id).person_id == kept.id
    assert accounts_queries.actor(kept.id).memberships[other.id] == {MemberRole.TEACHER}
    assert accounts_queries.identity("https://idp.example", "1").person_id == kept.id
    assert "only-here" in {n.event for n in db.session.scalars(accounts_queries.notices(kept.id))}
    assert db.session.scalar(sa.select(Enrollment.person_id).where(Enrollment.run_id == run.id)) == kept.id
    assert not db.session.get(Person, merged.id).is_active
    assert ledger.audit() == []
    # and the one that is kept goes on with what is left
    use_lab(school, run, kept)
    assert ledger.audit() == []


def test_an_undone_merge_leaves_everything_as_it_was(school, admin, two):
    kept, merged = two
    both, one = school.run(), school.run()
    for person in two:
        budgets.admit(SYSTEM, both.budget_id, person.id, 5_000_000)
        use_lab(school, both, person, 600)
    enrollment.enroll(as_actor(merged), one.id, merged.id)
    use_lab(school, one, merged)
    runs.appoint(school.as_teacher, one.id, merged.id, "teacher")
    notices.notify(merged.id, "welcome", "only-here", name="Li Na")
    db.session.commit()
    before = everything()
    assert ledger.audit() == []

    row = merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
    db.session.commit()
    assert ledger.audit() == []
    assert everything() != before
    merging.undo(admin, row.id, "they are sisters")
    db.session.commit()

    after = everything()
    after["MemberCap"] = {row for row in after["MemberCap"] if row.is_open or row.used or row in before["MemberCap"]}
    assert after == before
    assert ledger.audit() == []
    assert db.session.get(Person, merged.id).is_active


def test_what_came_after_the_merge_stays_with_the_one_that_was_kept(school, admin, two):
    kept, merged = two
    run = school.run()
    enrollment.enroll(as_actor(merged), run.id, merged.id)
    use_lab(school, run, merged, 600)
    before = used(run, merged)
    row = merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
    db.session.commit()
    use_lab(school, run, kept, 1200)
    template = db.session.scalars(sa.select(LabTemplate)).first()
    with transaction():  # and one that still runs
        sessions.request(
            as_actor(kept), template_id=template.id, flavor_id=school.flavor.id, minutes=10, budget_id=run.budget_id
        )

    merging.undo(admin, row.id, "two after all")
    db.session.commit()

    assert used(run, merged) == before
    assert used(run, kept) > before
    assert not db.session.get(MemberCap, (run.budget_id, kept.id)).is_open
    assert ledger.audit() == []


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        ((5, True), (7, True), (12, True)),
        ((None, True), (7, True), (None, True)),
        ((5, False), (7, True), (7, True)),  # what the closed one used is added below
        ((5, True), (7, False), (5, True)),
        ((5, False), (7, False), (12, False)),
    ],
)
def test_one_share_has_left_what_was_left_of_those_that_were_open(school, admin, two, own, other, expected):
    kept, merged = two
    run = school.run()
    spent = {}
    for person in two:
        budgets.admit(SYSTEM, run.budget_id, person.id, 9_000_000)
        use_lab(school, run, person, 600)
        spent[person.id] = used(run, person)
    for person, (limit, is_open) in ((merged, own), (kept, other)):
        cap = db.session.get(MemberCap, (run.budget_id, person.id))
        cap.cap_micro, cap.is_open = limit and limit * 1_000_000, is_open
    db.session.commit()

    merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
    db.session.commit()

    cap = db.session.get(MemberCap, (run.budget_id, kept.id), populate_existing=True)
    limit = None if expected[0] is None else expected[0] * 1_000_000
    if limit is not None and own[1] != other[1]:
        limit += spent[kept.id] if own[1] else spent[merged.id]
    assert (cap.cap_micro, cap.is_open) == (limit, expected[1])
    assert ledger.audit() == []


def test_both_in_one_run_has_to_be_decided_before(school, admin, two):
    kept, merged = two
    run = school.run()
    for person in two:
        enrollment.enroll(as_actor(person), run.id, person.id)
    db.session.commit()

    preview = merging.preview(admin, kept_id=kept.id, merged_id=merged.id)
    assert [o.code for o in preview.obstacles] == ["both-enrolled"]
    with pytest.raises(CannotMerge) as refusal:
        merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
    assert refusal.value.members["obstacles"][0]["code"] == "both-enrolled"
    db.session.rollback()

    enrollment.remove(school.as_teacher, run.id, merged.id, "two accounts")
    db.session.commit()
    merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
    rows = db.session.execute(sa.select(Enrollment.person_id, Enrollment.state).where(Enrollment.run_id == run.id))
    assert {(person, state.value) for person, state in rows} == {(kept.id, "enrolled"), (merged.id, "removed")}
    assert ledger.audit() == []


def test_labs_that_run_are_stopped_before(school, admin, two):
    kept, merged = two
    run = school.run()
    enrollment.enroll(as_actor(merged), run.id, merged.id)
    template = db.session.scalars(sa.select(LabTemplate)).first()
    with transaction():
        session = sessions.request(
            as_actor(merged), template_id=template.id, flavor_id=school.flavor.id, minutes=10, budget_id=run.budget_id
        )

    with pytest.raises(CannotMerge) as refusal:
        merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
    assert [o["code"] for o in refusal.value.members["obstacles"]] == ["labs-run"]
    db.session.rollback()

    with transaction():
        sessions.stop(as_actor(merged), session.id)
    merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
    assert ledger.audit() == []


def test_a_preview_counts_and_warns_and_writes_nothing(school, admin, two):
    kept, merged = two
    run = school.run()
    enrollment.enroll(as_actor(merged), run.id, merged.id)
    use_lab(school, run, merged)
    db.session.commit()
    before = everything()

    preview = merging.preview(admin, kept_id=kept.id, merged_id=merged.id)

    moves = {str(title): (outlook.moves, outlook.stays) for title, outlook in preview.parts}
    assert {moves[name] for name in moves} >= {(1, 0), (0, 1)}  # the lab; the membership that both have
    assert any(merged.id.hex in str(text) for text in preview.warnings)
    assert everything() == before


def test_the_merged_account_is_closed_and_its_browsers_signed_out(school, admin, two):
    kept, merged = two
    key = signing_in.open_sign_in(merged, None, None)
    db.session.commit()

    row = merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
    db.session.commit()

    assert accounts_queries.visitor_by_sign_in(key) is None
    assert db.session.scalars(sa.select(SignIn.ended_at).where(SignIn.person_id == merged.id)).one() is not None
    with pytest.raises(AccountGone):
        people.reopen(admin, merged.id, "please")
    concerned = {
        e.changes["person_id"] for e in db.session.scalars(sa.select(AuditEntry)) if e.action == "person.merge"
    }
    assert concerned == {str(kept.id), str(merged.id)}
    assert row.undo_until - row.created_at == MONTH


def test_a_merge_is_undone_once_within_thirty_days(school, admin, two, clock):
    kept, merged = two
    row = merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
    db.session.commit()

    clock.shift(MONTH)
    with pytest.raises(UndoTooLate):
        merging.undo(admin, row.id, "too late")
    clock.shift(-timedelta(seconds=1))
    merging.undo(admin, row.id, "in time")
    with pytest.raises(AlreadyMerged):
        merging.undo(admin, row.id, "again")


def test_a_chain_of_merges_is_undone_from_its_end(school, admin, two):
    kept, merged = two
    third = school.student()
    first = merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
    second = merging.merge(admin, kept_id=third.id, merged_id=kept.id, reason="same")
    db.session.commit()

    with pytest.raises(AlreadyMerged):
        merging.undo(admin, first.id, "no")
    merging.undo(admin, second.id, "no")
    merging.undo(admin, first.id, "no")
    assert ledger.audit() == []


@pytest.mark.parametrize("who", ["teacher", "token"])
def test_only_the_platforms_administrators_merge_in_person(school, make, two, who):
    kept, merged = two
    actor = school.as_teacher
    if who == "token":
        actor = replace(as_actor(make.platform(PlatformRole.ADMINISTRATOR)), scopes=frozenset({"accounts:write"}))

    for act in (merging.preview, lambda a, **v: merging.merge(a, reason="same", **v)):
        with pytest.raises(Forbidden):
            act(actor, kept_id=kept.id, merged_id=merged.id)


def test_one_account_is_not_merged_with_itself_or_without_a_reason(admin, two):
    kept, merged = two
    with pytest.raises(Invalid):
        merging.merge(admin, kept_id=kept.id, merged_id=kept.id, reason="same")
    with pytest.raises(Invalid):
        merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason=" ")


def test_every_table_that_names_a_person_says_what_a_merge_does_with_it(app):
    """A new table with a person in it has to be decided about: here, or as a part of the merge."""
    stays = {
        *("platform_role_grant", "sign_in", "second_factor", "recovery_code", "personal_token"),  # keys and power
        *("authorization_code", "access_token", "password_reset"),
        *("person_merge", "erasure"),  # say what happened to an account
        "course_version",  # who published it, as it was
        *("hold", "member_cap"),  # move together, with the shares
        "usage_day",  # what was booked on that day stays booked under that account
        *("home_usage", "slurm_user"),  # folder and cluster account stay where they are, and the preview says so
    }
    naming = {
        table.name
        for table in Base.metadata.sorted_tables
        for key in table.foreign_keys
        if key.column.table.name == "person"
    }
    moving = {name.partition(".")[0] for name in PARTS}

    assert naming - moving - stays == set()


def test_of_two_merges_at_once_one_happens(app, committed):
    kept, merged = committed.person(), committed.person()
    admin = as_actor(committed.platform(PlatformRole.ADMINISTRATOR))
    pairs = [(kept.id, merged.id), (merged.id, kept.id)]
    outcomes: list[str] = []
    started = threading.Barrier(2)

    def merge(pair) -> None:
        with app.app_context():
            started.wait()
            try:
                with transaction():
                    merging.merge(admin, kept_id=pair[0], merged_id=pair[1], reason="same")
                outcomes.append("merged")
            except AlreadyMerged:
                outcomes.append("refused")
            finally:
                db.session.remove()

    threads = [threading.Thread(target=merge, args=(pair,)) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["merged", "refused"]
    assert db.session.scalar(sa.select(sa.func.count()).select_from(PersonMerge)) == 1


def test_a_launch_at_the_same_time_waits_and_finds_the_account_closed(app, committed):
    merged, kept = committed.person(), committed.person()
    admin = as_actor(committed.platform(PlatformRole.ADMINISTRATOR))
    flavor = committed.flavor()
    template = committed.template([flavor])
    budget = committed.budget(10, parent=committed.budget(100))
    committed.cap(budget, merged)
    actor, ids = as_actor(merged), (template.id, flavor.id, budget.id)
    outcomes: list[str] = []

    def launch() -> None:
        with app.app_context():
            try:
                with transaction():
                    sessions.request(actor, template_id=ids[0], flavor_id=ids[1], minutes=5, budget_id=ids[2])
                outcomes.append("launched")
            except LaunchRefused as refusal:
                outcomes.append(refusal.code)
            finally:
                db.session.remove()

    thread = threading.Thread(target=launch)
    with transaction():
        merging.merge(admin, kept_id=kept.id, merged_id=merged.id, reason="same")
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()  # it waits
    thread.join()

    assert outcomes == ["not-enrolled-for-compute"]
    assert ledger.audit() == []


def test_a_merge_waits_for_a_launch_that_was_first_and_is_refused(app, committed):
    merged, kept = committed.person(), committed.person()
    admin = as_actor(committed.platform(PlatformRole.ADMINISTRATOR))
    flavor = committed.flavor()
    template = committed.template([flavor])
    budget = committed.budget(10, parent=committed.budget(100))
    committed.cap(budget, merged)
    kept_id, merged_id = kept.id, merged.id
    wanted = {"template_id": template.id, "flavor_id": flavor.id, "budget_id": budget.id, "minutes": 5}
    outcomes: list[str] = []

    def merge() -> None:
        with app.app_context():
            try:
                with transaction():
                    merging.merge(admin, kept_id=kept_id, merged_id=merged_id, reason="same")
                outcomes.append("merged")
            except CannotMerge as refusal:
                outcomes.append(refusal.members["obstacles"][0]["code"])
            finally:
                db.session.remove()

    thread = threading.Thread(target=merge)
    with transaction():
        admission.lock_until_commit("person", merged_id)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()  # it waits, and holds nothing that the launch needs
        sessions.request(as_actor(merged), **wanted)
    thread.join()

    assert outcomes == ["labs-run"]
    assert ledger.audit() == []
