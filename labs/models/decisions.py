"""The log of decisions: what was asked of the compute, what was answered, and the facts that decided it."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from accounts.models import Person
from app.db import Entity


class Outcome(StrEnum):
    GRANTED = "granted"
    WAITING = "waiting"
    REFUSED = "refused"


class Decision(Entity):
    """One answer to one question ("may this lab start?"). Never changed. Ids without foreign keys: a question may
    name what does not exist, and the answer outlives what it was about."""

    __tablename__ = "decision"
    __table_args__ = (
        Index(None, "person_id", "created_at"),
        Index(None, "budget_id", "created_at"),
        Index(None, "center_id", "created_at"),
        Index(None, "session_id"),
    )

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id))  # who asked
    asked: Mapped[str]  # launch, accept, extend, keep-alive, rescue …
    outcome: Mapped[Outcome]
    reason: Mapped[str]  # the stable code of a refusal (BUDGET_EXHAUSTED); GRANTED or WAITING otherwise
    kind: Mapped[str | None]  # the class of a refusal
    session_id: Mapped[UUID | None]
    template_id: Mapped[UUID | None]
    flavor_id: Mapped[UUID | None]
    budget_id: Mapped[UUID | None]
    center_id: Mapped[UUID | None]
    inputs: Mapped[dict[str, Any]] = mapped_column(JSONB)  # what was asked, and the numbers as they were then
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSONB)  # the refusal: code, members
    request_id: Mapped[str | None]

    person: Mapped[Person] = relationship(lazy="joined", innerjoin=True)
