"""Course selection is a stampede. Real threads, real commits, real locks."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late

import pytest
import sqlalchemy as sa

from app.db import db, transaction
from app.errors import DomainError
from courses import queries
from courses.errors import AlreadyEnrolled
from courses.models import CourseRun, Enrollment, EnrollmentState, SeatPool
from courses.services import enrollment, runs
from labs.models import MemberCap
from tests.courses.conftest import School
from tests.make import as_actor


@pytest.fixture
def school(committed):
    return School(committed)


def in_threads(app, calls):
    """Run the calls at the same moment, each in a transaction of its own; return what each gave or refused."""
    together = threading.Barrier(len(calls))

    def one(call):
        with app.app_context():
            together.wait(timeout=30)
            try:
                with transaction():
                    return call()
            except DomainError as refusal:
                return refusal

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(one, call) for call in calls]]


def enroller(run_id, person):
    actor = as_actor(person)
    return lambda: enrollment.enroll(actor, run_id, person.id).state


def leaver(run_id, person):
    actor = as_actor(person)
    return lambda: enrollment.withdraw(actor, run_id).state


def check(run_id):
    """What must hold whatever happened: the count is right, and no seat is free while somebody waits for it."""
    db.session.rollback()
    run = db.session.get(CourseRun, run_id)
    pools = list(db.session.scalars(sa.select(SeatPool).where(SeatPool.run_id == run_id)))
    rows = list(db.session.scalars(sa.select(Enrollment).where(Enrollment.run_id == run_id)))
    for pool in pools:
        assert pool.used == sum(row.pool_id == pool.id for row in rows) <= pool.cap
    if any(pool.partner_id is None and pool.free for pool in pools):
        assert not [row for row in rows if row.state is EnrollmentState.WAITLISTED]
    open_caps = set(
        db.session.scalars(
            sa.select(MemberCap.person_id).where(MemberCap.budget_id == run.budget_id, MemberCap.is_open)
        )
    )
    assert {row.person_id for row in rows if row.has_seat} == open_caps - {run.course.owner_id}
    return rows


def test_forty_students_want_ten_seats(app, school):
    run_id = school.run(seats={None: 4, school.partner.id: 6}).id
    people = [school.student() for _ in range(40)]

    states = in_threads(app, [enroller(run_id, person) for person in people])

    assert states.count(EnrollmentState.ENROLLED) == 10
    assert states.count(EnrollmentState.WAITLISTED) == 30
    rows = check(run_id)
    waiting = [row for row in rows if row.state is EnrollmentState.WAITLISTED]
    assert sorted(queries.place(row) for row in waiting) == list(range(1, 31))


def test_one_student_who_presses_many_times_has_one_seat(app, school):
    run_id = school.run(seats={None: 10}).id
    student = school.student()

    answers = in_threads(app, [enroller(run_id, student) for _ in range(12)])

    assert answers.count(EnrollmentState.ENROLLED) == 1
    assert sum(isinstance(answer, AlreadyEnrolled) for answer in answers) == 11
    check(run_id)
    assert db.session.scalar(sa.select(SeatPool.used).where(SeatPool.run_id == run_id)) == 1


def test_leaving_and_joining_at_once_leaves_no_seat_empty(app, school):
    shuffled = random.Random(7)
    run_id = school.run(seats={None: 6, school.partner.id: 4}).id
    inside = [school.student() for _ in range(10)]
    for person in inside:
        enroller(run_id, person)()
        db.session.commit()
    newcomers = [school.student() for _ in range(20)]
    calls = [leaver(run_id, person) for person in inside] + [enroller(run_id, person) for person in newcomers]
    shuffled.shuffle(calls)

    answers = in_threads(app, calls)

    assert answers.count(EnrollmentState.WITHDRAWN) == 10
    rows = check(run_id)
    assert sum(row.has_seat for row in rows) == 10
    assert sum(row.state is EnrollmentState.WAITLISTED for row in rows) == 10


def test_more_seats_while_people_join(app, school):
    run_id = school.run(seats={None: 2}).id
    teacher = school.as_teacher
    people = [school.student() for _ in range(20)]
    calls = [enroller(run_id, person) for person in people]
    calls.insert(10, lambda: runs.set_seats(teacher, run_id, None, 8).cap)

    in_threads(app, calls)

    assert sum(row.has_seat for row in check(run_id)) == 8


def test_who_joins_the_list_waits_for_who_is_just_leaving(app, school):
    """A full run; one student withdraws and has not committed; another asks. The second must get that seat."""
    run_id = school.run(seats={None: 1}).id
    first, second = school.student(), school.student()
    enroller(run_id, first)()
    db.session.commit()
    ask = enroller(run_id, second)

    def in_another_thread():
        with app.app_context(), transaction():
            return ask()

    with ThreadPoolExecutor(1) as pool:
        with transaction():
            leaver(run_id, first)()
            asked = pool.submit(in_another_thread)
            with pytest.raises(Late):  # it waits for the pool that we hold
                asked.result(timeout=0.3)
        assert asked.result(timeout=10) is EnrollmentState.ENROLLED
    check(run_id)
