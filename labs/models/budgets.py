"""Budgets: purses of credits, who may draw on them, who looks after them, and what is asked of them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from accounts.models import Partner, Person
from app.db import Base, Entity


class BudgetKind(StrEnum):
    PARTNER = "partner"
    PROGRAM = "program"
    RUN = "run"
    CONTEST = "contest"
    PROJECT = "project"


LEAVES = (BudgetKind.RUN, BudgetKind.CONTEST, BudgetKind.PROJECT)
MAY_STAND_BELOW: dict[BudgetKind, tuple[BudgetKind, ...]] = {
    BudgetKind.PARTNER: (BudgetKind.PROGRAM, *LEAVES),
    BudgetKind.PROGRAM: LEAVES,
    **dict.fromkeys(LEAVES, ()),
}


class Budget(Entity):
    """A purse of credits, active in [starts_at, ends_at). A partner's budget has no parent."""

    __tablename__ = "budget"
    __table_args__ = (
        CheckConstraint("ends_at > starts_at", name="period"),
        CheckConstraint("(kind = 'partner') = (parent_id IS NULL)", name="root"),
        CheckConstraint("member_cap_micro >= 0", name="member_cap"),
    )

    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("budget.id"), index=True)
    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id), index=True)
    kind: Mapped[BudgetKind]
    title_zh: Mapped[str]
    title_en: Mapped[str]
    member_cap_micro: Mapped[int | None] = mapped_column(BigInteger)  # what a new member gets; None: no cap
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    is_closed: Mapped[bool] = mapped_column(default=False)

    purse: Mapped["Purse"] = relationship(lazy="joined", innerjoin=True, uselist=False)
    partner: Mapped[Partner] = relationship(lazy="raise")

    def is_active(self, at: datetime) -> bool:
        return not self.is_closed and self.starts_at <= at < self.ends_at


class Purse(Base):
    """The cached balances of a budget. Narrow and apart, because every launch writes it. Only the ledger does."""

    __tablename__ = "purse"
    __table_args__ = (
        CheckConstraint("available >= 0", name="available"),
        CheckConstraint("held >= 0", name="held"),
        CheckConstraint("used >= 0", name="used"),
        CheckConstraint("expired >= 0", name="expired"),
        CheckConstraint("overrun >= 0", name="overrun"),
    )

    budget_id: Mapped[UUID] = mapped_column(ForeignKey(Budget.id), primary_key=True)
    available: Mapped[int] = mapped_column(BigInteger, default=0)
    held: Mapped[int] = mapped_column(BigInteger, default=0)
    used: Mapped[int] = mapped_column(BigInteger, default=0)
    expired: Mapped[int] = mapped_column(BigInteger, default=0)
    overrun: Mapped[int] = mapped_column(BigInteger, default=0)  # used beyond what was held; a debt

    @property
    def total(self) -> int:
        """All that was ever put in and not passed on."""
        return self.available + self.held + self.used + self.expired - self.overrun


class MemberCap(Base):
    """Who may draw on a budget, and how much at the most. Caps may add up to more than the budget."""

    __tablename__ = "member_cap"
    __table_args__ = (
        CheckConstraint("cap_micro >= 0", name="cap"),
        CheckConstraint("held >= 0", name="held"),
        CheckConstraint("used >= 0", name="used"),
    )

    budget_id: Mapped[UUID] = mapped_column(ForeignKey(Budget.id), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), primary_key=True, index=True)
    cap_micro: Mapped[int | None] = mapped_column(BigInteger)  # None: as much as the budget has
    held: Mapped[int] = mapped_column(BigInteger, default=0)
    used: Mapped[int] = mapped_column(BigInteger, default=0)
    is_open: Mapped[bool] = mapped_column(default=True)

    person: Mapped[Person] = relationship(lazy="raise")

    @property
    def left(self) -> int | None:
        return None if self.cap_micro is None else max(0, self.cap_micro - self.held - self.used)


class BudgetManager(Base):
    """Who looks after a budget: sees and stops what it pays for. The teachers of a run, say."""

    __tablename__ = "budget_manager"

    budget_id: Mapped[UUID] = mapped_column(ForeignKey(Budget.id), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), primary_key=True, index=True)


class RequestKind(StrEnum):
    """What can be asked of those who decide on credits."""

    GRANT = "grant"  # new credits for a partner's budget
    SUPPLEMENT = "supplement"  # more credits for a budget, from the one above
    EXTENSION = "extension"  # more time for a tranche
    TRANSFER = "transfer"  # from one budget of a partner to another
    PULL_BACK = "pull-back"  # unused credits back to the budget above
    CORRECTION = "correction"  # a charge given back, at the center's cost


class RequestState(StrEnum):
    ASKED = "asked"
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class ComputeRequest(Entity):
    """Somebody asks for a movement of credits; somebody else decides. Approving is what moves them."""

    __tablename__ = "compute_request"
    __table_args__ = (
        CheckConstraint("amount_micro > 0", name="amount"),
        CheckConstraint("(state IN ('approved', 'declined')) = (decided_at IS NOT NULL)", name="decided"),
        Index(None, "partner_id", "state"),
        Index(None, "budget_id", "created_at"),
    )

    kind: Mapped[RequestKind]
    state: Mapped[RequestState] = mapped_column(default=RequestState.ASKED)
    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id))
    budget_id: Mapped[UUID] = mapped_column(ForeignKey(Budget.id))  # what it is about
    other_budget_id: Mapped[UUID | None] = mapped_column(ForeignKey(Budget.id))  # a transfer's source
    tranche_id: Mapped[UUID | None]  # an extension's
    session_id: Mapped[UUID | None]  # a correction's
    amount_micro: Mapped[int | None] = mapped_column(BigInteger)
    granted_micro: Mapped[int | None] = mapped_column(BigInteger)  # what was approved, where that is another amount
    valid_until: Mapped[datetime | None]
    reason: Mapped[str]
    requested_by: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    decided_by: Mapped[UUID | None] = mapped_column(ForeignKey(Person.id))
    decided_at: Mapped[datetime | None]
    note: Mapped[str | None]  # what the decider says to the one who asked

    budget: Mapped[Budget] = relationship(lazy="joined", innerjoin=True, foreign_keys=[budget_id])
    requester: Mapped[Person] = relationship(lazy="joined", innerjoin=True, foreign_keys=[requested_by])
