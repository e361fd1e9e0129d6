"""Opening runs: their budget, their teachers, who sees them."""

from datetime import timedelta

import pytest

from app import clock as app_clock
from app.access import NOBODY, SYSTEM, MemberRole
from app.db import db
from app.errors import Forbidden, Invalid, NotFound
from courses import queries
from courses.errors import SlugTaken
from courses.models import RunState, TeachingRole
from courses.services import catalog, enrollment, runs
from labs import queries as labs_queries
from labs.errors import TransferTooLarge
from labs.models import BudgetManager, MemberCap
from tests.courses.conftest import CREDIT
from tests.make import as_actor


def test_a_run_has_a_budget_of_its_own_below_the_partners(school):
    run = school.run(fund_micro=40 * CREDIT, member_cap_micro=2 * CREDIT)

    budget = labs_queries.budget(run.budget_id)
    assert budget.parent_id == school.budget.id
    assert budget.purse.available == 40 * CREDIT
    assert labs_queries.budget(school.budget.id).purse.available == 960 * CREDIT
    assert budget.member_cap_micro == 2 * CREDIT
    assert db.session.get(BudgetManager, (budget.id, school.teacher.id))
    assert db.session.get(MemberCap, (budget.id, school.teacher.id)).is_open


def test_a_run_cannot_take_more_than_the_partner_has(school):
    with pytest.raises(TransferTooLarge):
        school.run(fund_micro=1001 * CREDIT)


def test_a_run_keeps_its_version_when_a_new_one_is_published(school):
    course = school.course()
    run = school.run(course)
    catalog.revise(school.as_teacher, course.id)
    school.text(course)
    newer = catalog.publish(school.as_teacher, course.id)

    assert run.version_id != newer.id
    assert len(queries.units(run.version_id)) == 2
    assert school.run(course).version_id == newer.id


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"ends_at": timedelta(days=-2)}, "#/ends_at"),
        ({"enroll_until_at": timedelta(days=-20)}, "#/enroll_until_at"),
        ({"enroll_until_at": timedelta(days=100)}, "#/enroll_until_at"),
    ],
)
def test_dates_make_sense(school, change, pointer):
    now = app_clock.now()

    with pytest.raises(Invalid) as refusal:
        school.run(**{name: now + shift for name, shift in change.items()})

    assert pointer in {error["pointer"] for error in refusal.value.members["errors"]}


def test_seats_are_not_negative(school):
    with pytest.raises(Invalid):
        school.run(seats={None: -1})


def test_a_term_is_opened_once(school):
    course = school.course()
    school.run(course, slug="spring")

    with pytest.raises(SlugTaken):
        school.run(course, slug="spring")


def test_students_and_strangers_open_no_runs(school):
    course = school.course()
    for person in (school.student(), school.make.member(None, MemberRole.TEACHER)):
        school.as_teacher = as_actor(person)
        with pytest.raises(Forbidden):
            school.run(course)


def test_who_sees_a_run(school):
    """Those with seats they could have; those who teach, take or answer for it. Nobody else."""
    other = school.make.partner()
    run = school.run(seats={other.id: 5})
    guest_teacher = school.make.member(None, MemberRole.TEACHER)
    runs.appoint(school.as_teacher, run.id, guest_teacher.id, TeachingRole.ASSISTANT)
    taking = school.student(other)
    enrollment.enroll(as_actor(taking), run.id, taking.id)

    see = [
        school.as_teacher,
        SYSTEM,
        as_actor(guest_teacher),
        as_actor(taking),
        as_actor(school.student(other)),
        as_actor(school.make.member(school.partner, MemberRole.ADMINISTRATOR)),
    ]
    do_not = [
        NOBODY,
        as_actor(school.student()),
        as_actor(school.make.member(None, MemberRole.ADMINISTRATOR)),
        as_actor(school.make.member(school.partner, MemberRole.TEACHER)),
    ]
    for actor in see:
        assert queries.run(actor, run.id).id == run.id
        assert run.course_id in queries.runs_of(actor, [run.course_id])
    for actor in do_not:
        with pytest.raises(NotFound):
            queries.run(actor, run.id)
        assert queries.runs_of(actor, [run.course_id]) == {}


def test_a_run_with_shared_seats_is_public(school):
    run = school.run()

    assert queries.run(NOBODY, run.id).id == run.id


def test_a_planned_run_is_seen_by_its_teachers_only(school):
    run = school.run()
    run.state = RunState.PLANNED

    assert queries.run(school.as_teacher, run.id)
    with pytest.raises(NotFound):
        queries.run(as_actor(school.student()), run.id)


def test_assistants_teach_but_do_not_lead(school):
    run = school.run()
    assistant = school.make.person()
    runs.appoint(school.as_teacher, run.id, assistant.id, TeachingRole.ASSISTANT)

    assert enrollment.enroll(as_actor(assistant), run.id, school.student().id).has_seat
    with pytest.raises(Forbidden):
        runs.set_seats(as_actor(assistant), run.id, None, 99)
    with pytest.raises(Forbidden):
        runs.cancel(as_actor(assistant), run.id, "No")


def test_my_courses_go_on_with_the_first_unit(school):
    run, student = school.run(), school.student()
    enrollment.enroll(as_actor(student), run.id, student.id)

    mine = queries.my_courses(student.id)

    assert [(row.run.id, row.next_unit.title_en) for row in mine] == [(run.id, "Introduction")]


def test_courses_that_are_over_are_not_mine_any_more(school, clock):
    run, student = school.run(), school.student()
    enrollment.enroll(as_actor(student), run.id, student.id)
    clock.shift(timedelta(days=91))

    assert queries.my_courses(student.id) == []
