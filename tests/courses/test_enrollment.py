"""Seats: who gets one, who waits, who moves up. The rules, whatever the edge."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from accounts.models import Notice
from app import clock as app_clock
from app.audit import AuditEntry
from app.db import db
from app.errors import Forbidden, NotFound
from courses import queries
from courses.errors import (
    AlreadyEnrolled,
    EnrollmentClosed,
    NoSeatsForPartner,
    NotEnrolled,
    RemovedFromRun,
    RunCanceled,
    RunEnded,
    RunFull,
    SeatsTaken,
)
from courses.models import EnrollmentState, SeatPool
from courses.services import enrollment, runs
from labs.models import MemberCap
from tests.make import as_actor


def enroll(run, person):
    return enrollment.enroll(as_actor(person), run.id, person.id)


def used(run):
    rows = db.session.execute(sa.select(SeatPool.partner_id, SeatPool.used).where(SeatPool.run_id == run.id))
    return {partner: number for partner, number in rows}


def test_a_student_takes_a_seat_and_may_draw_on_the_budget(school):
    run, student = school.run(), school.student()

    row = enroll(run, student)

    assert row.state is EnrollmentState.ENROLLED
    assert used(run) == {None: 1}
    cap = db.session.get(MemberCap, (run.budget_id, student.id))
    assert cap.is_open
    assert cap.cap_micro == 10_000_000


def test_the_own_partners_seats_go_first_then_the_shared_ones(school):
    other = school.make.partner()
    run = school.run(seats={None: 1, school.partner.id: 1, other.id: 5})

    states = [enroll(run, school.student()).state for _ in range(3)]

    assert states == [EnrollmentState.ENROLLED, EnrollmentState.ENROLLED, EnrollmentState.WAITLISTED]
    assert used(run) == {None: 1, school.partner.id: 1, other.id: 0}


def test_who_comes_too_late_waits_and_is_told_the_place(school):
    run = school.run(seats={None: 1})
    enroll(run, school.student())

    rows = [enroll(run, school.student()) for _ in range(3)]

    assert [queries.place(row) for row in rows] == [1, 2, 3]
    assert db.session.get(MemberCap, (run.budget_id, rows[0].person_id)) is None
    assert queries.waiting_count(run.id) == 3


def test_a_run_without_waiting_list_is_full(school):
    run = school.run(seats={None: 1}, has_waiting_list=False)
    enroll(run, school.student())

    with pytest.raises(RunFull) as refusal:
        enroll(run, school.student())

    assert refusal.value.members == {"seats": 1}


def test_a_seat_given_back_goes_to_the_first_who_waits(school):
    run = school.run(seats={None: 1})
    first, second, third = school.student(), school.student(), school.student()
    for person in (first, second, third):
        enroll(run, person)

    left = enrollment.withdraw(as_actor(first), run.id)

    assert left.state is EnrollmentState.WITHDRAWN
    assert queries.enrollment(run.id, second.id).state is EnrollmentState.ENROLLED
    assert queries.place(queries.enrollment(run.id, third.id)) == 1
    assert used(run) == {None: 1}
    assert not db.session.get(MemberCap, (run.budget_id, first.id), populate_existing=True).is_open
    assert db.session.get(MemberCap, (run.budget_id, second.id)).is_open
    notice = db.session.scalars(sa.select(Notice).where(Notice.person_id == second.id)).one()
    assert notice.kind == "enrollment.moved-up"
    assert notice.url == f"/runs/{run.id}"


def test_a_partners_seat_passes_over_those_who_may_not_have_it(school):
    stranger = school.student(school.make.partner())
    run = school.run(seats={None: 1, school.partner.id: 1})
    local, keeper = school.student(), school.student(school.make.partner())
    enroll(run, local)
    enroll(run, keeper)
    enroll(run, stranger)
    waiting = school.student()
    enroll(run, waiting)

    enrollment.withdraw(as_actor(local), run.id)

    assert queries.enrollment(run.id, waiting.id).state is EnrollmentState.ENROLLED
    assert queries.enrollment(run.id, stranger.id).state is EnrollmentState.WAITLISTED


def test_a_seat_nobody_may_have_stays_free(school):
    run = school.run(seats={None: 0, school.partner.id: 1})
    local = school.student()
    enroll(run, local)
    enroll(run, school.student(school.make.partner()))

    enrollment.withdraw(as_actor(local), run.id)

    assert used(run) == {None: 0, school.partner.id: 0}


def test_who_left_the_waiting_list_and_comes_back_is_last(school):
    run = school.run(seats={None: 1})
    enroll(run, school.student())
    early, late = school.student(), school.student()
    enroll(run, early)
    enroll(run, late)
    enrollment.withdraw(as_actor(early), run.id)

    again = enroll(run, early)

    assert queries.place(queries.enrollment(run.id, late.id)) == 1
    assert queries.place(again) == 2


def test_who_withdrew_may_come_back_and_keeps_one_row(school):
    run, student = school.run(), school.student()
    first = enroll(run, student)
    enrollment.withdraw(as_actor(student), run.id)

    again = enroll(run, student)

    assert again.id == first.id
    assert again.state is EnrollmentState.ENROLLED
    assert used(run) == {None: 1}
    assert db.session.get(MemberCap, (run.budget_id, student.id), populate_existing=True).is_open


def test_nobody_has_two_seats(school):
    run, student = school.run(), school.student()
    enroll(run, student)

    with pytest.raises(AlreadyEnrolled) as refusal:
        enroll(run, student)

    assert refusal.value.members["state"] == "enrolled"
    assert used(run) == {None: 1}


def test_who_waits_keeps_the_place_when_asking_again(school):
    run = school.run(seats={None: 0})
    student = school.student()
    enroll(run, student)

    with pytest.raises(AlreadyEnrolled) as refusal:
        enroll(run, student)

    assert refusal.value.members["place"] == 1


@pytest.mark.parametrize("days", [-11, 10])
def test_enrollment_has_a_window(school, clock, days):
    run, student = school.run(), school.student()
    clock.shift(timedelta(days=days))

    with pytest.raises(EnrollmentClosed) as refusal:
        enroll(run, student)

    assert refusal.value.members == {"enroll_from_at": run.enroll_from_at, "enroll_until_at": run.enroll_until_at}


def test_the_first_moment_of_the_window_counts_and_the_last_does_not(school, clock):
    run = school.run()
    early, late = school.student(), school.student()

    clock.move_to(run.enroll_from_at)
    assert enroll(run, early).has_seat
    clock.move_to(run.enroll_until_at)
    with pytest.raises(EnrollmentClosed):
        enroll(run, late)


def test_nothing_is_possible_after_the_end(school, clock):
    run, student = school.run(), school.student()
    enroll(run, student)
    clock.shift(timedelta(days=91))

    with pytest.raises(RunEnded):
        enroll(run, school.student())
    with pytest.raises(RunEnded):
        enrollment.withdraw(as_actor(student), run.id)


def test_a_canceled_run_takes_nobody(school):
    run = school.run()
    runs.cancel(school.as_teacher, run.id, "Nobody came.")

    with pytest.raises(RunCanceled):
        enroll(run, school.student())


def test_students_enroll_themselves_only(school):
    run, student, other = school.run(), school.student(), school.student()

    with pytest.raises(Forbidden):
        enrollment.enroll(as_actor(student), run.id, other.id)


def test_teachers_enroll_others_after_the_window_but_not_beyond_the_seats(school, clock):
    run = school.run(seats={None: 1})
    clock.shift(timedelta(days=20))

    first = enrollment.enroll(school.as_teacher, run.id, school.student().id)
    second = enrollment.enroll(school.as_teacher, run.id, school.student().id)

    assert first.state is EnrollmentState.ENROLLED
    assert second.state is EnrollmentState.WAITLISTED


def test_an_unknown_person_is_not_found(school):
    run = school.run()

    with pytest.raises(NotFound):
        enrollment.enroll(school.as_teacher, run.id, run.id)


def test_a_run_for_other_partners_does_not_exist_for_me(school):
    run = school.run(seats={school.partner.id: 5})
    stranger = school.student(school.make.partner())

    with pytest.raises(NotFound):
        enroll(run, stranger)


def test_a_teacher_cannot_give_a_partners_seat_to_a_stranger(school):
    run = school.run(seats={school.partner.id: 5})
    home = school.make.partner()

    with pytest.raises(NoSeatsForPartner) as refusal:
        enrollment.enroll(school.as_teacher, run.id, school.student(home).id)

    assert refusal.value.members == {"partners": [home.slug]}


def test_only_who_is_in_can_leave(school):
    run, student = school.run(), school.student()

    with pytest.raises(NotEnrolled):
        enrollment.withdraw(as_actor(student), run.id)

    enroll(run, student)
    enrollment.withdraw(as_actor(student), run.id)
    with pytest.raises(NotEnrolled):
        enrollment.withdraw(as_actor(student), run.id)
    assert used(run) == {None: 0}


def test_who_was_removed_is_told_why_and_cannot_come_back_alone(school):
    run, student = school.run(), school.student()
    enroll(run, student)

    enrollment.remove(school.as_teacher, run.id, student.id, "Wrong course")

    with pytest.raises(RemovedFromRun):
        enroll(run, student)
    notice = db.session.scalars(sa.select(Notice).where(Notice.person_id == student.id)).one()
    assert notice.facts["reason"] == "Wrong course"
    assert enrollment.enroll(school.as_teacher, run.id, student.id).has_seat


def test_students_remove_nobody(school):
    run, student, other = school.run(), school.student(), school.student()
    enroll(run, other)

    with pytest.raises(Forbidden):
        enrollment.remove(as_actor(student), run.id, other.id, "")


def test_more_seats_go_to_those_who_wait_in_order(school):
    run = school.run(seats={None: 1})
    people = [school.student() for _ in range(4)]
    for person in people:
        enroll(run, person)

    runs.set_seats(school.as_teacher, run.id, None, 3)

    states = [queries.enrollment(run.id, person.id).state.value for person in people]
    assert states == ["enrolled", "enrolled", "enrolled", "waitlisted"]
    assert used(run) == {None: 3}


def test_seats_of_a_new_pool_go_to_those_who_wait(school):
    run = school.run(seats={None: 0})
    student = school.student()
    enroll(run, student)

    runs.set_seats(school.as_teacher, run.id, school.partner.id, 2)

    assert queries.enrollment(run.id, student.id).has_seat
    assert used(run) == {None: 0, school.partner.id: 1}


def test_the_number_of_seats_cannot_fall_below_those_taken(school):
    run = school.run(seats={None: 2})
    enroll(run, school.student())
    enroll(run, school.student())

    with pytest.raises(SeatsTaken) as refusal:
        runs.set_seats(school.as_teacher, run.id, None, 1)

    assert refusal.value.members == {"used": 2, "asked": 1}


def test_what_happened_is_on_record(school):
    run, student = school.run(seats={None: 1}), school.student()
    enroll(run, student)
    enrollment.remove(school.as_teacher, run.id, student.id, "Wrong course")

    acts = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.subject == "enrollment")).all()
    by_action = {act.action: act for act in acts}
    assert {action: act.actor_id for action, act in by_action.items()} == {
        "enrollment.enroll": student.id,
        "enrollment.remove": school.teacher.id,
    }
    assert by_action["enrollment.remove"].changes["reason"] == "Wrong course"
    assert by_action["enrollment.remove"].created_at == app_clock.now()
