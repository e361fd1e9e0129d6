"""Reads for pages, the API and services; lists hold only what the actor may see. Nothing here writes."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, false, func, or_, select, true
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import joinedload, selectinload

from accounts.models import Partner, Person
from app import clock
from app.access import Actor
from app.db import db
from app.errors import NotFound
from courses.models import (
    CURRENT,
    SEATED,
    Course,
    CourseLevel,
    CourseRun,
    CourseState,
    CourseVersion,
    Enrollment,
    EnrollmentState,
    RunState,
    RunTeacher,
    SeatPool,
    Unit,
)
from labs import queries as labs_queries
from labs.models import LIVE_STATES, LabSession, LabTemplate

# Courses


def visible_courses(actor: Actor) -> Select[Course]:
    """Published courses are for everybody; drafts and archived ones for those who write, teach or take them."""
    return select(Course).where(or_(Course.state == CourseState.PUBLISHED, _concerns_course(actor)))


@dataclass(frozen=True)
class Filter:
    """What somebody looks for in the catalog. `text` is found anywhere in titles and summaries, in both languages."""

    text: str = ""
    level: CourseLevel | None = None
    partner: str = ""
    sort: str = "newest"
    language: str = "zh_CN"  # whose titles to sort by


SORTS = ("newest", "title", "hours", "-hours")


def catalog(actor: Actor, wanted: Filter) -> Select[Course]:
    """The courses that can be taken, as the reader wants them."""
    statement = visible_courses(actor).where(Course.state == CourseState.PUBLISHED)
    for word in wanted.text.split():
        statement = statement.where(_mentions(word))
    if wanted.level is not None:
        statement = statement.where(Course.level == wanted.level)
    if wanted.partner:
        statement = statement.where(Course.partner.has(Partner.slug == wanted.partner))
    return statement.order_by(*_order(wanted))


def course(actor: Actor, slug: str) -> Course:
    found = db.session.scalar(visible_courses(actor).where(Course.slug == slug))
    if found is None:
        raise NotFound
    return found


def course_by_id(course_id: UUID, *, lock: bool = False) -> Course:
    """For services that check themselves who may."""
    statement = select(Course).where(Course.id == course_id)
    found = db.session.scalar(statement.with_for_update(of=Course) if lock else statement)
    if found is None:
        raise NotFound
    return found


def working_version(course_id: UUID, *, lock: bool = False) -> CourseVersion | None:
    """The version that is being written, if there is one."""
    statement = select(CourseVersion).where(CourseVersion.course_id == course_id, CourseVersion.published_at.is_(None))
    return db.session.scalar(statement.with_for_update(of=CourseVersion) if lock else statement)


def published_version(course_id: UUID) -> CourseVersion | None:
    """The last version that was published."""
    return db.session.scalar(
        select(CourseVersion)
        .where(CourseVersion.course_id == course_id, CourseVersion.published_at.is_not(None))
        .order_by(CourseVersion.number.desc())
        .limit(1)
    )


def units(version_id: UUID) -> list[Unit]:
    return list(db.session.scalars(select(Unit).where(Unit.version_id == version_id).order_by(Unit.position)))


def partners_with_courses() -> list[Partner]:
    """The partners by which the catalog can be filtered."""
    offers = exists().where(Course.partner_id == Partner.id, Course.state == CourseState.PUBLISHED)
    return list(db.session.scalars(select(Partner).where(offers).order_by(Partner.slug)))


# Runs


def visible_runs(actor: Actor) -> Select[CourseRun]:
    """Runs with a seat the reader could have, and those they teach, take or answer for. Others are unknown to them."""
    return select(CourseRun).where(_sees_run(actor))


def run(actor: Actor, run_id: UUID) -> CourseRun:
    """The run with its teachers and pools."""
    statement = visible_runs(actor).where(CourseRun.id == run_id)
    found = db.session.scalar(statement.options(selectinload(CourseRun.teachers), selectinload(CourseRun.pools)))
    if found is None:
        raise NotFound
    return found


def runs_of(actor: Actor, course_ids: Iterable[UUID]) -> dict[UUID, list[CourseRun]]:
    """The visible runs of some courses that are not over, the next to end first."""
    statement = (
        visible_runs(actor)
        .where(CourseRun.course_id.in_(list(course_ids)), CourseRun.ends_at > clock.now())
        .where(CourseRun.state != RunState.CANCELED)
        .options(selectinload(CourseRun.pools), selectinload(CourseRun.teachers))
        .order_by(CourseRun.starts_at, CourseRun.id)
    )
    found: dict[UUID, list[CourseRun]] = defaultdict(list)
    for row in db.session.scalars(statement):
        found[row.course_id].append(row)
    return found


def taught_runs(actor: Actor) -> Select[CourseRun]:
    """The runs that the actor teaches or helps with, the latest first."""
    mine = exists().where(RunTeacher.run_id == CourseRun.id, RunTeacher.person_id == actor.person_id)
    return (
        select(CourseRun)
        .where(mine)
        .options(selectinload(CourseRun.pools))
        .order_by(CourseRun.starts_at.desc(), CourseRun.id)
    )


def edited_courses(actor: Actor) -> Select[Course]:
    """The courses that the actor answers for."""
    return select(Course).where(Course.owner_id == actor.person_id).order_by(Course.created_at.desc(), Course.id)


def unit(run: CourseRun, unit_id: UUID) -> Unit:
    """A unit of the version that this run teaches."""
    found = db.session.scalar(select(Unit).where(Unit.id == unit_id, Unit.version_id == run.version_id))
    if found is None:
        raise NotFound
    return found


def lab_units(run: CourseRun) -> list[tuple[Unit, LabTemplate]]:
    """The labs of the run in their order, each with what it starts from."""
    statement = (
        select(Unit, LabTemplate)
        .join(LabTemplate, LabTemplate.id == Unit.lab_template_id)
        .where(Unit.version_id == run.version_id)
        .order_by(Unit.position)
    )
    return [(unit, template) for unit, template in db.session.execute(statement)]


# Seats


def enrollment(run_id: UUID, person_id: UUID | None, *, lock: bool = False) -> Enrollment | None:
    if person_id is None:
        return None
    statement = select(Enrollment).where(Enrollment.run_id == run_id, Enrollment.person_id == person_id)
    if lock:
        statement = statement.with_for_update(of=Enrollment).execution_options(populate_existing=True)
    return db.session.scalar(statement)


def place(enrollment: Enrollment) -> int | None:
    """The place on the waiting list, from 1; None when not on it."""
    if enrollment.state is not EnrollmentState.WAITLISTED:
        return None
    before = select(func.count()).where(
        Enrollment.run_id == enrollment.run_id,
        Enrollment.state == EnrollmentState.WAITLISTED,
        Enrollment.arrival <= enrollment.arrival,
    )
    return db.session.scalar(before) or 0


def waiting_count(run_id: UUID) -> int:
    waiting = select(func.count()).where(Enrollment.run_id == run_id, Enrollment.state == EnrollmentState.WAITLISTED)
    return db.session.scalar(waiting) or 0


def roster(run_id: UUID) -> Select[Enrollment]:
    """Who is in the run: first those with a seat, then those who wait, each in order of arrival."""
    return (
        select(Enrollment)
        .where(Enrollment.run_id == run_id, Enrollment.state.in_(CURRENT))
        .order_by(Enrollment.state == EnrollmentState.WAITLISTED, Enrollment.arrival)
    )


def waiting(run_id: UUID) -> Select[Enrollment]:
    """Who waits for a seat, the next first."""
    return roster(run_id).where(Enrollment.state == EnrollmentState.WAITLISTED)


# What is mine, and the class


@dataclass(frozen=True)
class MyCourse:
    """A run that somebody takes, and the unit to go on with."""

    enrollment: Enrollment
    run: CourseRun
    next_unit: Unit | None


def my_courses(person_id: UUID) -> list[MyCourse]:
    """The runs that the person takes and that are not over, and where they left: the unit of their last lab."""
    statement = (
        select(Enrollment)
        .join(CourseRun, Enrollment.run_id == CourseRun.id)
        .where(Enrollment.person_id == person_id, Enrollment.state.in_(CURRENT))
        .where(CourseRun.ends_at > clock.now(), CourseRun.state == RunState.OPEN)
        .options(joinedload(Enrollment.run, innerjoin=True))
        .order_by(CourseRun.starts_at, CourseRun.id)
    )
    found = list(db.session.scalars(statement))
    outlines = _units_by_version({row.run.version_id for row in found})
    last = _last_templates(person_id, [row.run.budget_id for row in found])
    return [
        MyCourse(
            row, row.run, _next(outlines[row.run.version_id], last.get(row.run.budget_id)) if row.has_seat else None
        )
        for row in found
    ]


@dataclass(frozen=True)
class Seat:
    """One person of a class and the lab they have running, if any."""

    person: Person
    enrollment: Enrollment | None  # none: a teacher
    session: LabSession | None
    unit: Unit | None


def class_list(run: CourseRun) -> list[Seat]:
    """Everybody with a seat and the run's teachers, each with their live labs; those with a lab come first."""
    units_by_template = {u.lab_template_id: u for u in units(run.version_id) if u.lab_template_id}
    labs: dict[UUID, list[LabSession]] = defaultdict(list)
    for session in db.session.scalars(labs_queries.sessions_of_budget(run.budget_id, live_only=True)):
        labs[session.person_id].append(session)
    enrolled = list(db.session.scalars(roster(run.id).where(Enrollment.state.in_(SEATED))))
    people: list[tuple[Person, Enrollment | None]] = [(row.person, row) for row in enrolled]
    known = {person.id for person, _ in people}
    people += [(t.person, None) for t in run.teachers if t.person_id in labs and t.person_id not in known]
    known |= {t.person_id for t in run.teachers}
    people += [(found[0].person, None) for who, found in labs.items() if who not in known]  # left, but still running
    seats = [
        Seat(person, row, session, units_by_template.get(session.template_id) if session else None)
        for person, row in people
        for session in [*labs.get(person.id, ())] or [None]
    ]
    return sorted(seats, key=lambda seat: seat.session is None)


def session_of(run: CourseRun, session_id: UUID) -> LabSession:
    """A lab that this run pays for."""
    found = db.session.scalar(
        select(LabSession).where(LabSession.id == session_id, LabSession.budget_id == run.budget_id)
    )
    if found is None:
        raise NotFound
    return found


def live_counts(budget_ids: list[UUID]) -> dict[UUID, int]:
    """How many labs run now on each of these budgets."""
    rows = db.session.execute(
        select(LabSession.budget_id, func.count())
        .where(LabSession.budget_id.in_(budget_ids), LabSession.state.in_(LIVE_STATES))
        .group_by(LabSession.budget_id)
    )
    return {budget_id: number for budget_id, number in rows}


# Parts of statements


def _concerns_course(actor: Actor) -> ColumnElement[bool]:
    if actor.is_administrator:
        return true()
    if not actor.is_signed_in:
        return false()
    mine = exists().where(CourseRun.course_id == Course.id, or_(_teaches(actor), _takes(actor)))
    return or_(Course.owner_id == actor.person_id, Course.partner_id.in_(actor.administered_partner_ids), mine)


def _sees_run(actor: Actor) -> ColumnElement[bool]:
    if actor.is_administrator:
        return true()
    open_to = [SeatPool.partner_id.is_(None)]
    if actor.memberships:
        open_to.append(SeatPool.partner_id.in_(actor.memberships))
    has_seats = exists().where(SeatPool.run_id == CourseRun.id, or_(*open_to))
    seen: ColumnElement[bool] = and_(CourseRun.state != RunState.PLANNED, has_seats)
    if not actor.is_signed_in:
        return seen
    answers_for = CourseRun.course.has(
        or_(Course.owner_id == actor.person_id, Course.partner_id.in_(actor.administered_partner_ids))
    )
    return or_(seen, _teaches(actor), _takes(actor), answers_for)


def _teaches(actor: Actor) -> ColumnElement[bool]:
    return exists().where(RunTeacher.run_id == CourseRun.id, RunTeacher.person_id == actor.person_id)


def _takes(actor: Actor) -> ColumnElement[bool]:
    return exists().where(
        Enrollment.run_id == CourseRun.id,
        Enrollment.person_id == actor.person_id,
        Enrollment.state.in_(CURRENT),
    )


def _mentions(word: str) -> ColumnElement[bool]:
    columns = (Course.title_zh, Course.title_en, Course.summary_zh, Course.summary_en)
    people = (Course.owner.has(Person.name.icontains(word, autoescape=True)),)
    partners = (
        Course.partner.has(
            or_(Partner.title_zh.icontains(word, autoescape=True), Partner.title_en.icontains(word, autoescape=True))
        ),
    )
    return or_(*(column.icontains(word, autoescape=True) for column in columns), *people, *partners)


def _order(wanted: Filter) -> tuple[Any, ...]:
    title = Course.title_en if wanted.language == "en" else Course.title_zh
    orders: dict[str, tuple[Any, ...]] = {
        "newest": (Course.created_at.desc(),),
        "title": (func.lower(title),),
        "hours": (Course.hours, func.lower(title)),
        "-hours": (Course.hours.desc(), func.lower(title)),
    }
    return (*orders.get(wanted.sort, orders["newest"]), Course.id)


def _units_by_version(version_ids: set[UUID]) -> dict[UUID, list[Unit]]:
    found: dict[UUID, list[Unit]] = defaultdict(list)
    for row in db.session.scalars(select(Unit).where(Unit.version_id.in_(version_ids)).order_by(Unit.position)):
        found[row.version_id].append(row)
    return found


def _last_templates(person_id: UUID, budget_ids: list[UUID]) -> dict[UUID, UUID]:
    """For each budget, the template of the person's latest lab."""
    statement = (
        select(LabSession.budget_id, LabSession.template_id)
        .where(LabSession.person_id == person_id, LabSession.budget_id.in_(budget_ids))
        .ext(distinct_on(LabSession.budget_id))
        .order_by(LabSession.budget_id, LabSession.created_at.desc(), LabSession.id.desc())
    )
    return {budget: template for budget, template in db.session.execute(statement)}


def _next(outline: list[Unit], last_template: UUID | None) -> Unit | None:
    left = next((unit for unit in outline if last_template and unit.lab_template_id == last_template), None)
    return left or (outline[0] if outline else None)


def seats_free(pools: Iterable[SeatPool]) -> int:
    return sum(pool.free for pool in pools)


def phase(run: CourseRun, at: datetime) -> str:
    """Where a run stands in time, in a word: canceled, ended, running, enrolling or announced."""
    if run.state is RunState.CANCELED:
        return "canceled"
    if run.has_ended(at):
        return "ended"
    if run.has_started(at):
        return "running"
    return "enrolling" if run.takes_enrollments(at) else "announced"
