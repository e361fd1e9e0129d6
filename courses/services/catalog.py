"""Writing a course: draft it, add units, publish a version, start the next one, archive the course."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app import audit, clock
from app.access import Actor, require, require_person
from app.db import db
from app.errors import Invalid
from courses import policy, queries
from courses.errors import CourseArchived, NothingToPublish, SlugTaken, VersionIsFixed
from courses.models import Course, CourseLevel, CourseState, CourseVersion, Unit, UnitKind
from labs.models import LabTemplate


def draft(
    actor: Actor,
    *,
    partner_id: UUID,
    slug: str,
    title_zh: str,
    title_en: str,
    summary_zh: str,
    summary_en: str,
    level: CourseLevel,
    hours: int,
    owner_id: UUID | None = None,
) -> Course:
    """Begin a course with an empty first version. Whoever drafts it answers for it, unless somebody else is named."""
    require(policy.may_draft(actor, partner_id))
    course = Course(
        slug=slug,
        partner_id=partner_id,
        owner_id=owner_id or require_person(actor),
        title_zh=title_zh,
        title_en=title_en,
        summary_zh=summary_zh,
        summary_en=summary_en,
        level=level,
        hours=hours,
    )
    try:
        with db.session.begin_nested():
            db.session.add(course)
    except IntegrityError as error:
        if "uq_course_slug" not in str(error.orig):
            raise
        raise SlugTaken(slug=slug) from error
    db.session.add(CourseVersion(course_id=course.id, number=1))
    audit.record(actor, "course.draft", course, partner_id=partner_id, slug=slug)
    db.session.flush()
    return course


def add_text(
    actor: Actor, course_id: UUID, *, title_zh: str, title_en: str, body_zh: str, body_en: str, minutes_estimate: int
) -> Unit:
    """Add something to read at the end of the version that is being written."""
    unit = Unit(
        kind=UnitKind.TEXT,
        title_zh=title_zh,
        title_en=title_en,
        body_zh=body_zh,
        body_en=body_en,
        minutes_estimate=minutes_estimate,
    )
    return _append(actor, course_id, unit)


def add_lab(
    actor: Actor,
    course_id: UUID,
    *,
    lab_template_id: UUID,
    title_zh: str,
    title_en: str,
    body_zh: str,
    body_en: str,
    minutes_estimate: int,
) -> Unit:
    """Add a lab at the end of the version that is being written. Its template belongs to the course's partner."""
    unit = Unit(
        kind=UnitKind.LAB,
        lab_template_id=lab_template_id,
        title_zh=title_zh,
        title_en=title_en,
        body_zh=body_zh,
        body_en=body_en,
        minutes_estimate=minutes_estimate,
    )
    template = db.session.get(LabTemplate, lab_template_id)
    course = queries.course_by_id(course_id)
    if template is None or template.partner_id != course.partner_id:
        raise Invalid(errors=[{"pointer": "#/lab_template_id", "detail": "No such template."}])
    return _append(actor, course_id, unit)


def publish(actor: Actor, course_id: UUID) -> CourseVersion:
    """Make the version that is being written the one for new runs. From now on it never changes."""
    course = queries.course_by_id(course_id, lock=True)
    require(policy.may_edit(actor, course))
    if course.state is CourseState.ARCHIVED:
        raise CourseArchived
    version = queries.working_version(course_id, lock=True)
    if version is None or not queries.units(version.id):
        raise NothingToPublish
    version.published_at, version.published_by_id = clock.now(), require_person(actor)
    course.state = CourseState.PUBLISHED
    audit.record(actor, "course.publish", course, partner_id=course.partner_id, version=version.number)
    db.session.flush()
    return version


def revise(actor: Actor, course_id: UUID) -> CourseVersion:
    """Start the next version as a copy of the last one. If one is being written already, that one is it."""
    course = queries.course_by_id(course_id, lock=True)
    require(policy.may_edit(actor, course))
    working = queries.working_version(course_id)
    if working is not None:
        return working
    last = queries.published_version(course_id)
    version = CourseVersion(course_id=course_id, number=last.number + 1 if last else 1)
    db.session.add(version)
    db.session.flush()
    for unit in queries.units(last.id) if last else ():
        db.session.add(_copy(unit, version.id))
    audit.record(actor, "course.revise", course, partner_id=course.partner_id, version=version.number)
    db.session.flush()
    return version


def archive(actor: Actor, course_id: UUID) -> Course:
    """Take the course out of the catalog. Its runs go on to their end."""
    course = queries.course_by_id(course_id, lock=True)
    require(policy.may_edit(actor, course))
    course.state = CourseState.ARCHIVED
    audit.record(actor, "course.archive", course, partner_id=course.partner_id)
    db.session.flush()
    return course


def _append(actor: Actor, course_id: UUID, unit: Unit) -> Unit:
    """The version stays locked, so two people adding at once get two positions."""
    course = queries.course_by_id(course_id)
    require(policy.may_edit(actor, course))
    version = queries.working_version(course_id, lock=True)
    if version is None:
        raise VersionIsFixed
    last = db.session.scalar(select(func.max(Unit.position)).where(Unit.version_id == version.id)) or 0
    unit.version_id, unit.position = version.id, last + 1
    db.session.add(unit)
    db.session.flush()
    audit.record(actor, "unit.add", unit, partner_id=course.partner_id, kind=unit.kind, position=unit.position)
    return unit


def _copy(unit: Unit, version_id: UUID) -> Unit:
    return Unit(
        version_id=version_id,
        position=unit.position,
        kind=unit.kind,
        title_zh=unit.title_zh,
        title_en=unit.title_en,
        body_zh=unit.body_zh,
        body_en=unit.body_en,
        lab_template_id=unit.lab_template_id,
        minutes_estimate=unit.minutes_estimate,
    )
