"""What courses keep about a person: enrollments, what they teach, what they answer for."""

from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import exists, select, update
from sqlalchemy.orm import aliased

from accounts import erasing, exporting, merging
from accounts.merging import Column, Obstacle, Outlook, table_of
from app import clock, locale
from app.db import db
from courses.models import CURRENT, Course, CourseRun, Enrollment, EnrollmentState, RunTeacher


class Enrollments(Column):
    """One row for each run: where both have one and the merged one counts, somebody has to decide before."""

    def look(self, merged_id: UUID, kept_id: UUID) -> Outlook:
        outlook = super().look(merged_id, kept_id)
        return Outlook(outlook.moves, outlook.stays, tuple(_obstacle(run) for run in _runs_of_both(merged_id, kept_id)))


def _runs_of_both(merged_id: UUID, kept_id: UUID) -> list[CourseRun]:
    other = aliased(Enrollment)
    both = exists().where(other.run_id == Enrollment.run_id, other.person_id == kept_id)
    runs = select(Enrollment.run_id).where(Enrollment.person_id == merged_id, Enrollment.state.in_(CURRENT), both)
    return list(db.session.scalars(select(CourseRun).where(CourseRun.id.in_(runs)).order_by(CourseRun.id)))


def _obstacle(run: CourseRun) -> Obstacle:
    return Obstacle(
        "both-enrolled",
        _(
            "Both are in %(course)s, %(run)s: remove the one that goes up in the other there, or keep that account.",
            course=locale.pick(run.course),
            run=locale.pick(run),
        ),
    )


merging.register_part(
    Enrollments("enrollment.person_id", _("Enrollments"), table_of(Enrollment), "person_id", (("run_id",),))
)
merging.register(RunTeacher, "person_id", _("Runs taught"), one_of=[("run_id",)])
merging.register(Course, "owner_id", _("Courses answered for"))

exporting.register(
    "enrollments",
    lambda person_id: (
        select(
            *(Course.slug.label("course"), Course.title_zh, Course.title_en),
            *(CourseRun.title_zh.label("run_zh"), CourseRun.title_en.label("run_en")),
            *(Enrollment.state, Enrollment.state_at, Enrollment.created_at),
        )
        .join(CourseRun, CourseRun.course_id == Course.id)
        .join(Enrollment, Enrollment.run_id == CourseRun.id)
        .where(Enrollment.person_id == person_id)
        .order_by(Enrollment.id)
    ),
)
exporting.register(
    "teaching",
    lambda person_id: (
        select(
            *(Course.slug.label("course"), CourseRun.title_zh.label("run_zh"), CourseRun.title_en.label("run_en")),
            RunTeacher.role,
        )
        .join(CourseRun, CourseRun.course_id == Course.id)
        .join(RunTeacher, RunTeacher.run_id == CourseRun.id)
        .where(RunTeacher.person_id == person_id)
        .order_by(RunTeacher.id)
    ),
)


@erasing.step
def _wait_no_more(person_id: UUID, _pseudonym: str) -> None:
    """Nobody who is gone gets the next free seat; seats that were taken stay, with what was done in them."""
    waiting = (EnrollmentState.REQUESTED, EnrollmentState.WAITLISTED)
    db.session.execute(
        update(Enrollment)
        .where(Enrollment.person_id == person_id, Enrollment.state.in_(waiting))
        .values(state=EnrollmentState.WITHDRAWN, state_at=clock.now())
    )
