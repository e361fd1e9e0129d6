"""What courses keep about a person: enrollments, what they teach, what they answer for."""

from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import exists, select
from sqlalchemy.orm import aliased

from accounts import merging
from accounts.merging import Column, Obstacle, Outlook, table_of
from app import locale
from app.db import db
from courses.models import CURRENT, Course, CourseRun, Enrollment, RunTeacher


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
