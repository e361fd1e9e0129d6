"""What a center's scheduler says was run: its accounting as imported, how far, and the rows that make no sense."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db import Base, Entity
from labs.models.centers import Center


class JobSegment(Base):
    """One segment of a job of ours, as the scheduler's accounting has it. A requeued or resized job has several, told
    apart by the moment at which each was submitted.

    Without foreign keys, for a hundred thousand come at once. Written by the import only.
    """

    __tablename__ = "job_segment"
    __table_args__ = (
        CheckConstraint("ended_at >= started_at", name="order"),
        Index("ix_job_segment_work_id", "work_id"),
        Index("ix_job_segment_open", "center_id", postgresql_where=text("ended_at IS NULL")),
    )

    center_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    submitted_at: Mapped[datetime] = mapped_column(primary_key=True)
    work_id: Mapped[UUID]  # the session or batch job that the job's name speaks of
    is_batch: Mapped[bool]
    user: Mapped[str]  # who ran it on the cluster
    account: Mapped[str]
    qos: Mapped[str]
    partition: Mapped[str]
    nodes: Mapped[str]
    state: Mapped[str]  # in the scheduler's words: COMPLETED, TIMEOUT, NODE_FAIL …
    started_at: Mapped[datetime | None]  # None: it never ran, or does not run yet
    ended_at: Mapped[datetime | None]  # None: it has not ended
    suspended_seconds: Mapped[int]
    exit_status: Mapped[int]  # as wait(2) gives it: 768 is exit 3
    cores: Mapped[int]
    memory_mb: Mapped[int] = mapped_column(BigInteger)


class AccountingCursor(Base):
    """How far a center's accounting was read. `read_until` moves after what was read is committed, never before."""

    __tablename__ = "accounting_cursor"

    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id), primary_key=True)
    read_until: Mapped[datetime]
    read_widely_at: Mapped[datetime | None]  # when the last days were read once more, for what came late
    answered_at: Mapped[datetime | None]  # when the accounting last answered
    silent_since: Mapped[datetime | None]  # None: it answers
    why: Mapped[str | None]  # what was said instead of an answer
    told_at: Mapped[datetime | None]  # operators were told that it does not answer

    center: Mapped[Center] = relationship(lazy="joined", innerjoin=True)


class RejectState(StrEnum):
    OPEN = "open"
    AGAIN = "again"  # to be tried once more, by the next import
    DISMISSED = "dismissed"  # an operator has seen it, and it is to be forgotten
    ACCEPTED = "accepted"  # tried again, and it made sense


class AccountingReject(Entity):
    """A row of the accounting that could not be believed, as it came, and why. The same row is kept once."""

    __tablename__ = "accounting_reject"
    __table_args__ = (
        UniqueConstraint("center_id", "sha256"),
        Index("ix_accounting_reject_open", "center_id", postgresql_where=text("state IN ('open', 'again')")),
    )

    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id))
    sha256: Mapped[str]  # of what tells it from others: job, segment and fault, or all of it
    raw: Mapped[dict[str, Any]] = mapped_column(JSONB)
    why: Mapped[str]  # a stable code: no-number, ends-before-start, nobody-s …
    detail: Mapped[str]
    state: Mapped[RejectState] = mapped_column(default=RejectState.OPEN)
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UUID | None]

    center: Mapped[Center] = relationship(lazy="joined", innerjoin=True)
