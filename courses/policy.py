"""Who may do what. Pure functions: services ask them first, templates ask them which buttons to show."""

from uuid import UUID

from app.access import Actor, MemberRole
from courses.models import Course, CourseRun, Enrollment, SeatPool, TeachingRole


def may_draft(actor: Actor, partner_id: UUID) -> bool:
    """Teachers of a partner write courses for it."""
    return actor.administers(partner_id) or actor.has_role(partner_id, MemberRole.TEACHER)


def may_edit(actor: Actor, course: Course) -> bool:
    """The teacher who answers for the course, and the administrators of the partner it belongs to."""
    return actor.administers(course.partner_id) or _is(actor, course.owner_id)


def teaches(actor: Actor, run: CourseRun) -> bool:
    """Teachers and assistants of the run."""
    return actor.is_signed_in and any(teacher.person_id == actor.person_id for teacher in run.teachers)


def leads(actor: Actor, run: CourseRun) -> bool:
    """Teachers of the run, not assistants; and who may edit its course."""
    lead = any(t.person_id == actor.person_id and t.role is TeachingRole.TEACHER for t in run.teachers)
    return may_edit(actor, run.course) or (actor.is_signed_in and lead)


def may_enroll(actor: Actor, run: CourseRun, person_id: UUID) -> bool:
    """People enroll themselves; those who teach the run enroll anyone."""
    return _is(actor, person_id) or may_see_class(actor, run)


def may_remove(actor: Actor, run: CourseRun) -> bool:
    return may_see_class(actor, run)


def may_see_class(actor: Actor, run: CourseRun) -> bool:
    return teaches(actor, run) or may_edit(actor, run.course)


def may_study(actor: Actor, run: CourseRun, enrollment: Enrollment | None) -> bool:
    """Read units: those with a seat in the run, and those who teach it."""
    has_seat = enrollment is not None and _is(actor, enrollment.person_id) and enrollment.has_seat
    return has_seat or may_see_class(actor, run)


def may_launch(actor: Actor, run: CourseRun, enrollment: Enrollment | None) -> bool:
    """Labs are paid by the run: those with a seat, and its teachers and assistants; nobody else."""
    has_seat = enrollment is not None and _is(actor, enrollment.person_id) and enrollment.has_seat
    return has_seat or teaches(actor, run)


def pools_for(actor: Actor, run: CourseRun) -> list[SeatPool]:
    """The pools in which this person may have a seat, in the order in which they are tried: own first, then shared."""
    mine = [pool for pool in run.pools if pool.partner_id is None or pool.partner_id in actor.memberships]
    return sorted(mine, key=lambda pool: (pool.partner_id is None, pool.id))


def _is(actor: Actor, person_id: UUID) -> bool:
    return actor.is_signed_in and actor.person_id == person_id
