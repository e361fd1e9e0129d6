"""What happens to accounts in their life: two become one, one is erased."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from accounts.models import Person
from app.db import Entity


class PersonMerge(Entity):
    """Two accounts of one human became one. `moved` names every row that changed hands, so that it can be undone."""

    __tablename__ = "person_merge"
    __table_args__ = (
        CheckConstraint("kept_id <> merged_id", name="two"),
        # an account goes up in one other at a time
        Index("uq_person_merge_merged", "merged_id", unique=True, postgresql_where=text("undone_at IS NULL")),
    )

    kept_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    merged_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id))
    by_id: Mapped[UUID | None]
    reason: Mapped[str]
    moved: Mapped[dict[str, Any]] = mapped_column(JSONB)  # by the name of the part; each part reads its own
    undo_until: Mapped[datetime]
    undone_at: Mapped[datetime | None]


class Erasure(Entity):
    """A person asked to be forgotten. Until `due_at` the person can still think better of it."""

    __tablename__ = "erasure"
    __table_args__ = (
        Index(
            "uq_erasure_waiting",
            "person_id",
            unique=True,
            postgresql_where=text("done_at IS NULL AND canceled_at IS NULL"),
        ),
    )

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    by_id: Mapped[UUID | None]
    reason: Mapped[str]
    due_at: Mapped[datetime]
    canceled_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
