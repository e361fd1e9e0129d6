"""Delivering a course in a term: open a run with its budget, appoint who teaches it, set the seats, cancel it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app import audit, clock
from app.access import Actor, require
from app.db import db
from app.errors import Invalid
from app.ids import uuid7
from courses import policy, queries
from courses.errors import CourseArchived, NotALab, NotPublished, SeatsTaken, SlugTaken
from courses.models import CourseRun, CourseState, RunState, RunTeacher, SeatPool, TeachingRole
from courses.services import enrollment
from labs.models import LabTemplate
from labs.services import admission, budgets, templates


def open_run(
    actor: Actor,
    course_id: UUID,
    *,
    slug: str,
    title_zh: str,
    title_en: str,
    starts_at: datetime,
    ends_at: datetime,
    enroll_from_at: datetime,
    enroll_until_at: datetime,
    parent_budget_id: UUID,
    fund_micro: int,
    member_cap_micro: int | None,
    seats: Mapping[UUID | None, int],
    teacher_ids: Sequence[UUID] = (),
    has_waiting_list: bool = True,
) -> CourseRun:
    """Open a run of the last published version, with a budget of its own funded from `parent_budget_id`.

    `seats` says how many there are for each partner, and how many are shared (under None).
    """
    course = queries.course_by_id(course_id)
    require(policy.may_edit(actor, course))
    if course.state is CourseState.ARCHIVED:
        raise CourseArchived
    admission.check_agreements(course.partner_id)
    version = queries.published_version(course_id)
    if version is None:
        raise NotPublished
    _check_dates(starts_at, ends_at, enroll_from_at, enroll_until_at)

    run_id = uuid7()
    budget = budgets.open_budget(
        actor,
        parent_id=parent_budget_id,
        kind="run",
        title_zh=f"{course.title_zh} · {title_zh}",
        title_en=f"{course.title_en} · {title_en}",
        member_cap_micro=member_cap_micro,
        starts_at=min(clock.now(), starts_at),  # its teachers try the labs before it starts
        ends_at=ends_at,
        fund_micro=fund_micro,
        key=f"course-run:{run_id}:fund",
    )
    run = CourseRun(
        id=run_id,
        course_id=course_id,
        version_id=version.id,
        slug=slug,
        title_zh=title_zh,
        title_en=title_en,
        starts_at=starts_at,
        ends_at=ends_at,
        enroll_from_at=enroll_from_at,
        enroll_until_at=enroll_until_at,
        has_waiting_list=has_waiting_list,
        budget_id=budget.id,
    )
    _insert(run)
    audit.record(actor, "run.open", run, partner_id=course.partner_id, course_id=course_id, version=version.number)
    for person_id in dict.fromkeys(teacher_ids or (course.owner_id,)):
        _appoint(actor, run, person_id, TeachingRole.TEACHER)
    for partner_id, cap in seats.items():
        db.session.add(SeatPool(run_id=run.id, partner_id=partner_id, cap=_checked(cap)))
    db.session.flush()
    return run


def appoint(actor: Actor, run_id: UUID, person_id: UUID, role: TeachingRole) -> RunTeacher:
    """Make somebody a teacher or an assistant of the run; they may see and stop its labs, and launch them."""
    run = queries.run(actor, run_id)
    require(policy.leads(actor, run))
    return _appoint(actor, run, person_id, role)


def set_seats(actor: Actor, run_id: UUID, partner_id: UUID | None, cap: int) -> SeatPool:
    """Say how many seats there are for a partner, or shared ones (None). New ones go to those who wait."""
    run = queries.run(actor, run_id)
    require(policy.leads(actor, run))
    _checked(cap)
    mine = SeatPool.partner_id.is_(None) if partner_id is None else SeatPool.partner_id == partner_id
    pool = db.session.scalar(
        select(SeatPool)
        .where(SeatPool.run_id == run_id, mine)
        .with_for_update(of=SeatPool)
        .execution_options(populate_existing=True)
    )
    if pool is None:
        pool = SeatPool(run_id=run_id, partner_id=partner_id, cap=0, used=0)
        db.session.add(pool)
    if cap < pool.used:
        raise SeatsTaken(used=pool.used, asked=cap)
    before, pool.cap = pool.cap, cap
    db.session.flush()
    audit.record(actor, "run.seats", pool, partner_id=run.course.partner_id, run_id=run_id, cap=(before, cap))
    enrollment.fill(actor, run, pool.id)
    return pool


def set_idle_minutes(actor: Actor, run_id: UUID, unit_id: UUID, minutes: int | None) -> LabTemplate:
    """Say after how many minutes without work labs of this unit are stopped; None: as their center says.

    The lab belongs to the version of the course, so this holds for every run of that version.
    """
    run = queries.run(actor, run_id)
    require(policy.leads(actor, run))
    unit = queries.unit(run, unit_id)
    if unit.lab_template_id is None:
        raise NotALab
    return templates.set_idle_minutes(actor, unit.lab_template_id, minutes)


def set_region(actor: Actor, run_id: UUID, unit_id: UUID, region: str | None) -> LabTemplate:
    """Say in which region the files of this unit's labs must lie; None: anywhere.

    As for idle labs, this holds for every run of the version.
    """
    run = queries.run(actor, run_id)
    require(policy.leads(actor, run))
    unit = queries.unit(run, unit_id)
    if unit.lab_template_id is None:
        raise NotALab
    return templates.set_region(actor, unit.lab_template_id, region)


def cancel(actor: Actor, run_id: UUID, reason: str) -> CourseRun:
    """Call the run off: nobody enrolls or launches any more. Labs that run go on to the end of their lease."""
    run = queries.run(actor, run_id)
    require(policy.leads(actor, run))
    run.state = RunState.CANCELED
    audit.record(actor, "run.cancel", run, partner_id=run.course.partner_id, reason=reason)
    db.session.flush()
    return run


def _appoint(actor: Actor, run: CourseRun, person_id: UUID, role: TeachingRole) -> RunTeacher:
    teacher = db.session.scalar(
        select(RunTeacher).where(RunTeacher.run_id == run.id, RunTeacher.person_id == person_id)
    )
    if teacher is None:
        teacher = RunTeacher(run_id=run.id, person_id=person_id)
        db.session.add(teacher)
    teacher.role = role
    db.session.flush()
    budgets.appoint(actor, run.budget_id, person_id)
    budgets.admit(actor, run.budget_id, person_id)
    audit.record(
        actor, "run.appoint", teacher, partner_id=run.course.partner_id, run_id=run.id, person_id=person_id, role=role
    )
    return teacher


def _insert(run: CourseRun) -> None:
    try:
        with db.session.begin_nested():
            db.session.add(run)
    except IntegrityError as error:
        if "uq_course_run_course_id_slug" not in str(error.orig):
            raise
        raise SlugTaken(slug=run.slug) from error


def _checked(cap: int) -> int:
    if cap < 0:
        raise Invalid(errors=[{"pointer": "#/seats", "detail": "Must not be below 0."}])
    return cap


def _check_dates(starts_at: datetime, ends_at: datetime, enroll_from_at: datetime, enroll_until_at: datetime) -> None:
    faults = []
    if ends_at <= starts_at:
        faults.append({"pointer": "#/ends_at", "detail": "Must be after the start."})
    if enroll_until_at <= enroll_from_at:
        faults.append({"pointer": "#/enroll_until_at", "detail": "Must be after the first day of enrollment."})
    if enroll_until_at > ends_at:
        faults.append({"pointer": "#/enroll_until_at", "detail": "Must not be after the end of the run."})
    if faults:
        raise Invalid(errors=faults)
