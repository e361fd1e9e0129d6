"""The ledger: tranches, holds, transactions with their entries, and what is derived from them."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from accounts.models import Partner, Person
from app import clock
from app.db import Base, Entity
from labs.models.budgets import Budget
from labs.models.centers import Center, Flavor
from labs.tariff import Tariff


class Tranche(Entity):
    """Credits that came together and are valid in [valid_from, valid_until). First to expire is spent first."""

    __tablename__ = "tranche"
    __table_args__ = (
        CheckConstraint("0 <= remaining AND remaining <= amount", name="remaining"),
        CheckConstraint("valid_until > valid_from", name="period"),
        Index(None, "budget_id", "valid_until"),
    )

    budget_id: Mapped[UUID] = mapped_column(ForeignKey(Budget.id))
    source_id: Mapped[UUID | None] = mapped_column(ForeignKey("tranche.id"))  # the parent's, after a transfer
    amount: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]


class HoldState(StrEnum):
    OPEN = "open"
    SETTLED = "settled"
    VOIDED = "voided"
    EXPIRED = "expired"  # nobody posted, settled or voided it in its time


class Hold(Entity):
    """Credits promised to a session. The price is pinned here; `posted_*` only ever grow."""

    __tablename__ = "hold"
    __table_args__ = (
        CheckConstraint("amount >= 0 AND posted_seconds >= 0 AND posted_micro >= 0", name="amounts"),
        CheckConstraint("0 <= corrected_micro AND corrected_micro <= posted_micro", name="corrected"),
        Index(None, "budget_id", "state"),
        Index("ix_hold_expires_at", "expires_at", postgresql_where=text("state = 'open'")),
    )

    budget_id: Mapped[UUID] = mapped_column(ForeignKey(Budget.id))
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id))
    flavor_id: Mapped[UUID | None] = mapped_column(ForeignKey(Flavor.id))  # None: reserved before rates had versions
    seconds: Mapped[int | None]  # how long it pays for, with the grace; None: as above
    amount: Mapped[int] = mapped_column(BigInteger)
    price_micro: Mapped[int] = mapped_column(BigInteger)  # micro-credits an hour, as it was when reserved
    bands: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default="[]")  # pinned too
    time_zone: Mapped[str | None]  # of the bands
    started_at: Mapped[datetime | None]  # since when it runs; with bands, the clock decides what a second costs
    expires_at: Mapped[datetime | None]  # when an open hold under which nothing runs gives everything back
    purpose: Mapped[str | None]  # what a program put it aside for, in its words; None: for a lab session
    posted_seconds: Mapped[int] = mapped_column(default=0)
    posted_micro: Mapped[int] = mapped_column(BigInteger, default=0)
    corrected_micro: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")  # of it, given back
    state: Mapped[HoldState] = mapped_column(default=HoldState.OPEN)
    closed_at: Mapped[datetime | None]

    @property
    def tariff(self) -> Tariff:
        """The rate that was pinned."""
        return Tariff.of(self.price_micro, self.bands or (), self.time_zone)

    def cost(self, seconds: int) -> int:
        """Micro-credits for so many seconds since it runs, at the pinned rate; rounded down, while holds round up."""
        return self.tariff.cost(self.started_at or clock.now(), seconds)


class HoldPart(Base):
    """How much of a hold lies on which tranche, in the order in which it is spent."""

    __tablename__ = "hold_part"
    __table_args__ = (CheckConstraint("0 <= used AND used <= amount", name="used"),)

    hold_id: Mapped[UUID] = mapped_column(ForeignKey(Hold.id), primary_key=True)
    tranche_id: Mapped[UUID] = mapped_column(ForeignKey(Tranche.id), primary_key=True, index=True)
    position: Mapped[int]
    amount: Mapped[int] = mapped_column(BigInteger)
    used: Mapped[int] = mapped_column(BigInteger, default=0)

    tranche: Mapped[Tranche] = relationship(lazy="joined", innerjoin=True)


class Account(StrEnum):
    """The accounts of double entry. Supply and loss belong to a center; the others to a budget."""

    SUPPLY = "supply"
    AVAILABLE = "available"
    HELD = "held"
    USED = "used"
    EXPIRED = "expired"
    OVERRUN = "overrun"
    LOSS = "loss"  # of a center: what ran and nobody is to pay, by our fault


class Command(StrEnum):
    GRANT = "grant"
    TRANSFER = "transfer"
    PULL_BACK = "pull-back"
    PROLONG = "prolong"
    CORRECT = "correct"
    REVISE = "revise"
    RESERVE = "reserve"
    EXTEND = "extend"
    POST = "post"
    SETTLE = "settle"
    VOID = "void"
    EXPIRE = "expire"
    WRITE_OFF = "write-off"


class LedgerTransaction(Entity):
    """One command that moved credits. `key` makes it happen once; `body_sha256` tells a replay from a conflict."""

    __tablename__ = "ledger_transaction"

    key: Mapped[str] = mapped_column(unique=True)
    command: Mapped[Command]
    body_sha256: Mapped[str]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey(Hold.id), index=True)
    actor_id: Mapped[UUID | None]
    reason: Mapped[str | None]  # why, where a person decided it

    entries: Mapped[list["LedgerEntry"]] = relationship(lazy="raise", order_by="LedgerEntry.id")


class LedgerEntry(Base):
    """One movement. Only added, never changed (a trigger refuses it); the entries of a transaction sum to zero."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount"),
        CheckConstraint("(account IN ('supply', 'loss')) = (budget_id IS NULL)", name="owner"),
        Index(None, "budget_id", "account"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey(LedgerTransaction.id), index=True)
    account: Mapped[Account]
    budget_id: Mapped[UUID | None] = mapped_column(ForeignKey(Budget.id))
    tranche_id: Mapped[UUID | None] = mapped_column(ForeignKey(Tranche.id))
    center_id: Mapped[UUID | None] = mapped_column(ForeignKey(Center.id))  # whose compute was used
    amount: Mapped[int] = mapped_column(BigInteger)


class UsageDay(Base):
    """What one person used of one budget on one day with one flavor: what statements and charts add up.

    Written by the ledger with each posting; the audit compares it with the entries. Days are those of
    `app.locale.DEFAULT_ZONE`, on which the usage was booked.
    """

    __tablename__ = "usage_day"
    __table_args__ = (Index(None, "day"), Index(None, "person_id"))

    budget_id: Mapped[UUID] = mapped_column(ForeignKey(Budget.id), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), primary_key=True)
    flavor_id: Mapped[UUID] = mapped_column(ForeignKey(Flavor.id), primary_key=True)
    micro: Mapped[int] = mapped_column(BigInteger, default=0)
    seconds: Mapped[int] = mapped_column(BigInteger, default=0)
    sessions: Mapped[int] = mapped_column(default=0)  # settled on that day


class LedgerPeriod(Entity):
    """A closed month [starts_at, ends_at). The database takes no transaction dated inside it any more."""

    __tablename__ = "ledger_period"
    __table_args__ = (UniqueConstraint("starts_at"), CheckConstraint("ends_at > starts_at", name="order"))

    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    closed_by: Mapped[UUID | None]


class Statement(Entity):
    """What a partner's budgets held, got and used in a closed period. Chained: `sha256` is over `previous` and the
    body as canonical JSON (RFC 8785: sorted keys, no white space), so that no statement can be changed unseen."""

    __tablename__ = "statement"
    __table_args__ = (UniqueConstraint("partner_id", "number"), UniqueConstraint("partner_id", "period_id"))

    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id))
    period_id: Mapped[UUID] = mapped_column(ForeignKey(LedgerPeriod.id))
    number: Mapped[int]  # of this partner, from 1 without gaps
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    previous: Mapped[str]  # sha256 of the statement before; 64 zeros for the first
    sha256: Mapped[str]

    period: Mapped[LedgerPeriod] = relationship(lazy="joined", innerjoin=True)


class LedgerAudit(Entity):
    """That every balance was recomputed, and how many differed. Kept for a year."""

    __tablename__ = "ledger_audit"
    __table_args__ = (CheckConstraint("differences >= 0", name="differences"), Index(None, "created_at"))

    differences: Mapped[int]
    seconds: Mapped[float]
