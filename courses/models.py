"""Courses, versions, units; runs, seat pools, enrollments."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from accounts.models import Partner, Person
from app.db import Entity


class CourseLevel(StrEnum):
    BEGINNER = "beginner"
    INTERMEDIATE = "intermediate"
    ADVANCED = "advanced"


class CourseState(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    ARCHIVED = "archived"


class Course(Entity):
    """What is taught. It belongs to a partner, and one teacher of that partner answers for it."""

    __tablename__ = "course"
    __table_args__ = (
        CheckConstraint("title_zh <> '' AND title_en <> ''", name="titles"),
        CheckConstraint("hours > 0", name="hours"),
    )

    slug: Mapped[str] = mapped_column(unique=True)
    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id), index=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    title_zh: Mapped[str]
    title_en: Mapped[str]
    summary_zh: Mapped[str]
    summary_en: Mapped[str]
    level: Mapped[CourseLevel]
    hours: Mapped[int]  # of study, for the student
    state: Mapped[CourseState] = mapped_column(default=CourseState.DRAFT)

    partner: Mapped[Partner] = relationship(lazy="joined", innerjoin=True)
    owner: Mapped[Person] = relationship(lazy="joined", innerjoin=True)


class CourseVersion(Entity):
    """The content of a course. The one without a date is being written; with a date it never changes again."""

    __tablename__ = "course_version"
    __table_args__ = (
        UniqueConstraint("course_id", "number"),
        CheckConstraint("number > 0", name="number"),
        CheckConstraint("(published_at IS NULL) = (published_by_id IS NULL)", name="published"),
        Index(
            "uq_course_version_working", "course_id", unique=True, postgresql_where=text("published_at IS NULL")
        ),  # one at a time is being written
    )

    course_id: Mapped[UUID] = mapped_column(ForeignKey(Course.id))
    number: Mapped[int]
    published_at: Mapped[datetime | None]
    published_by_id: Mapped[UUID | None] = mapped_column(ForeignKey(Person.id))

    course: Mapped[Course] = relationship(lazy="joined", innerjoin=True)
    units: Mapped[list["Unit"]] = relationship(lazy="raise", order_by="Unit.position")

    @property
    def is_published(self) -> bool:
        return self.published_at is not None


class UnitKind(StrEnum):
    TEXT = "text"
    LAB = "lab"


class Unit(Entity):
    """One step of a version: something to read, or a lab to launch. Bodies are CommonMark."""

    __tablename__ = "unit"
    __table_args__ = (
        UniqueConstraint("version_id", "position", deferrable=True, initially="IMMEDIATE"),
        CheckConstraint("title_zh <> '' AND title_en <> ''", name="titles"),
        CheckConstraint("(kind = 'lab') = (lab_template_id IS NOT NULL)", name="lab"),
        CheckConstraint("position > 0", name="position"),
        CheckConstraint("minutes_estimate > 0", name="minutes"),
    )

    version_id: Mapped[UUID] = mapped_column(ForeignKey(CourseVersion.id))
    position: Mapped[int]
    kind: Mapped[UnitKind]
    title_zh: Mapped[str]
    title_en: Mapped[str]
    body_zh: Mapped[str]
    body_en: Mapped[str]
    lab_template_id: Mapped[UUID | None] = mapped_column(ForeignKey("lab_template.id"), index=True)
    minutes_estimate: Mapped[int]  # how long it takes a student

    @property
    def is_lab(self) -> bool:
        return self.kind is UnitKind.LAB


class RunState(StrEnum):
    PLANNED = "planned"  # only its teachers see it
    OPEN = "open"  # announced; its dates say what is possible when
    CANCELED = "canceled"


class CourseRun(Entity):
    """One delivery of a version in a term, from `starts_at` until before `ends_at`."""

    __tablename__ = "course_run"
    __table_args__ = (
        UniqueConstraint("course_id", "slug"),
        CheckConstraint("title_zh <> '' AND title_en <> ''", name="titles"),
        CheckConstraint("ends_at > starts_at", name="dates"),
        CheckConstraint("enroll_until_at > enroll_from_at AND enroll_until_at <= ends_at", name="enrollment"),
    )

    course_id: Mapped[UUID] = mapped_column(ForeignKey(Course.id))
    version_id: Mapped[UUID] = mapped_column(ForeignKey(CourseVersion.id), index=True)
    slug: Mapped[str]
    title_zh: Mapped[str]  # the term, as people say it: 2026 年秋季学期
    title_en: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    enroll_from_at: Mapped[datetime]
    enroll_until_at: Mapped[datetime]
    has_waiting_list: Mapped[bool] = mapped_column(default=True)
    budget_id: Mapped[UUID] = mapped_column(ForeignKey("budget.id"), unique=True)  # pays for its labs
    state: Mapped[RunState] = mapped_column(default=RunState.OPEN)

    course: Mapped[Course] = relationship(lazy="joined", innerjoin=True)
    version: Mapped[CourseVersion] = relationship(lazy="raise")
    teachers: Mapped[list["RunTeacher"]] = relationship(lazy="raise", order_by="RunTeacher.id")
    pools: Mapped[list["SeatPool"]] = relationship(lazy="raise", order_by="SeatPool.id")

    def takes_enrollments(self, at: datetime) -> bool:
        return self.state is RunState.OPEN and self.enroll_from_at <= at < self.enroll_until_at

    def has_started(self, at: datetime) -> bool:
        return self.starts_at <= at

    def has_ended(self, at: datetime) -> bool:
        return self.ends_at <= at


class TeachingRole(StrEnum):
    TEACHER = "teacher"
    ASSISTANT = "assistant"


class RunTeacher(Entity):
    """Who teaches a run, or helps with it."""

    __tablename__ = "run_teacher"
    __table_args__ = (UniqueConstraint("run_id", "person_id"),)

    run_id: Mapped[UUID] = mapped_column(ForeignKey(CourseRun.id))
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    role: Mapped[TeachingRole] = mapped_column(default=TeachingRole.TEACHER)

    person: Mapped[Person] = relationship(lazy="joined", innerjoin=True)


class SeatPool(Entity):
    """A number of seats of a run: for one partner's people, or shared. Narrow, because everybody updates it."""

    __tablename__ = "seat_pool"
    __table_args__ = (
        UniqueConstraint("run_id", "partner_id", postgresql_nulls_not_distinct=True),
        CheckConstraint("used >= 0 AND used <= cap", name="seats"),  # whatever the code above it believes
    )

    run_id: Mapped[UUID] = mapped_column(ForeignKey(CourseRun.id))
    partner_id: Mapped[UUID | None] = mapped_column(ForeignKey(Partner.id))  # none: shared by all
    cap: Mapped[int]
    used: Mapped[int] = mapped_column(default=0)

    partner: Mapped[Partner | None] = relationship(lazy="joined")

    @property
    def free(self) -> int:
        return self.cap - self.used


class EnrollmentState(StrEnum):
    REQUESTED = "requested"  # waits for an approval
    WAITLISTED = "waitlisted"  # waits for a seat
    OFFERED = "offered"  # a seat is kept until the person says yes
    ENROLLED = "enrolled"
    COMPLETED = "completed"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    REMOVED = "removed"


SEATED = frozenset({EnrollmentState.OFFERED, EnrollmentState.ENROLLED, EnrollmentState.COMPLETED})
CURRENT = SEATED | {EnrollmentState.REQUESTED, EnrollmentState.WAITLISTED}


class Enrollment(Entity):
    """A person in a run: one row for good, in one state at a time."""

    __tablename__ = "enrollment"
    __table_args__ = (
        UniqueConstraint("run_id", "person_id"),
        CheckConstraint("(state IN ('offered', 'enrolled', 'completed')) = (pool_id IS NOT NULL)", name="seat"),
        Index("ix_enrollment_waiting", "run_id", "arrival", unique=True, postgresql_where=text("state = 'waitlisted'")),
    )

    run_id: Mapped[UUID] = mapped_column(ForeignKey(CourseRun.id))
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    pool_id: Mapped[UUID | None] = mapped_column(ForeignKey(SeatPool.id), index=True)  # whose seat it is
    state: Mapped[EnrollmentState]
    state_at: Mapped[datetime]  # since when it is in this state
    arrival: Mapped[int] = mapped_column(BigInteger, Identity())  # increases; renewed whenever somebody joins anew

    run: Mapped[CourseRun] = relationship(lazy="raise")
    person: Mapped[Person] = relationship(lazy="joined", innerjoin=True)

    @property
    def has_seat(self) -> bool:
        return self.state in SEATED

    @property
    def is_current(self) -> bool:
        return self.state in CURRENT
