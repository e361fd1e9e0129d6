"""Centers and flavors, lab templates, budgets with their ledger, and sessions."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from accounts.models import Partner, Person
from app.db import Base, Entity

HOUR = 3600


class CenterState(StrEnum):
    """What the operator wants. Whether the hub answers is observed, and stands in `unreachable_since`."""

    UP = "up"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"


class Center(Entity):
    """A cluster and the hub in front of it. How to reach the hub stands in the settings, under `slug`."""

    __tablename__ = "center"
    __table_args__ = (CheckConstraint("session_limit >= 0", name="session_limit"),)

    slug: Mapped[str] = mapped_column(unique=True)
    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id))
    title_zh: Mapped[str]
    title_en: Mapped[str]
    state: Mapped[CenterState] = mapped_column(default=CenterState.UP)
    session_limit: Mapped[int] = mapped_column(default=1000)
    unreachable_since: Mapped[datetime | None]  # written by the reconciler only
    reached_at: Mapped[datetime | None]  # written by the reconciler only

    flavors: Mapped[list["Flavor"]] = relationship(back_populates="center", lazy="raise", order_by="Flavor.price_micro")


class Flavor(Entity):
    """What a session gets at a center, and its price."""

    __tablename__ = "flavor"
    __table_args__ = (
        UniqueConstraint("center_id", "slug"),
        CheckConstraint("price_micro >= 0", name="price"),
        CheckConstraint("cores > 0 AND memory_mb > 0 AND accelerators >= 0", name="size"),
    )

    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id), index=True)
    slug: Mapped[str]
    title_zh: Mapped[str]
    title_en: Mapped[str]
    cores: Mapped[float]
    memory_mb: Mapped[int]
    accelerators: Mapped[int] = mapped_column(default=0)
    accelerator_kind: Mapped[str | None]
    price_micro: Mapped[int] = mapped_column(BigInteger)  # micro-credits an hour
    longest_minutes: Mapped[int] = mapped_column(default=8 * 60)
    is_active: Mapped[bool] = mapped_column(default=True)

    center: Mapped[Center] = relationship(back_populates="flavors", lazy="joined", innerjoin=True)


template_flavor = Table(
    "lab_template_flavor",
    Base.metadata,
    Column("template_id", ForeignKey("lab_template.id"), primary_key=True),
    Column("flavor_id", ForeignKey("flavor.id"), primary_key=True),
)


class LabTemplate(Entity):
    """What a teacher prepares: files that are there at the start, flavors to choose from, a longest lease."""

    __tablename__ = "lab_template"
    __table_args__ = (CheckConstraint("0 < default_minutes AND default_minutes <= longest_minutes", name="lease"),)

    partner_id: Mapped[UUID] = mapped_column(ForeignKey(Partner.id), index=True)
    title_zh: Mapped[str]
    title_en: Mapped[str]
    folder: Mapped[str]  # where the files land in the home
    default_minutes: Mapped[int]
    longest_minutes: Mapped[int]

    flavors: Mapped[list[Flavor]] = relationship(secondary=template_flavor, lazy="raise", order_by=Flavor.price_micro)
    files: Mapped[list["LabFile"]] = relationship(lazy="raise", order_by="LabFile.path")


class LabFile(Entity):
    """One file of a template; `path` is relative to the template's folder."""

    __tablename__ = "lab_file"
    __table_args__ = (UniqueConstraint("template_id", "path"),)

    template_id: Mapped[UUID] = mapped_column(ForeignKey(LabTemplate.id))
    path: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str]


class BudgetKind(StrEnum):
    PARTNER = "partner"
    PROGRAM = "program"
    RUN = "run"
    CONTEST = "contest"
    PROJECT = "project"


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


class Hold(Entity):
    """Credits promised to a session. The price is pinned here; `posted_*` only ever grow."""

    __tablename__ = "hold"
    __table_args__ = (
        CheckConstraint("amount >= 0 AND posted_seconds >= 0 AND posted_micro >= 0", name="amounts"),
        Index(None, "budget_id", "state"),
    )

    budget_id: Mapped[UUID] = mapped_column(ForeignKey(Budget.id))
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id))
    amount: Mapped[int] = mapped_column(BigInteger)
    price_micro: Mapped[int] = mapped_column(BigInteger)  # micro-credits an hour, as it was when reserved
    posted_seconds: Mapped[int] = mapped_column(default=0)
    posted_micro: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[HoldState] = mapped_column(default=HoldState.OPEN)
    closed_at: Mapped[datetime | None]

    def cost(self, seconds: int) -> int:
        """Micro-credits for so many seconds at the pinned price, rounded down; `ledger.price` rounds up."""
        return self.price_micro * seconds // HOUR


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
    """The accounts of double entry. Supply belongs to nobody's budget; the others to one."""

    SUPPLY = "supply"
    AVAILABLE = "available"
    HELD = "held"
    USED = "used"
    EXPIRED = "expired"
    OVERRUN = "overrun"


class Command(StrEnum):
    GRANT = "grant"
    TRANSFER = "transfer"
    RESERVE = "reserve"
    POST = "post"
    SETTLE = "settle"
    VOID = "void"
    EXPIRE = "expire"


class LedgerTransaction(Entity):
    """One command that moved credits. `key` makes it happen once; `body_sha256` tells a replay from a conflict."""

    __tablename__ = "ledger_transaction"

    key: Mapped[str] = mapped_column(unique=True)
    command: Mapped[Command]
    body_sha256: Mapped[str]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey(Hold.id), index=True)
    actor_id: Mapped[UUID | None]

    entries: Mapped[list["LedgerEntry"]] = relationship(lazy="raise", order_by="LedgerEntry.id")


class LedgerEntry(Base):
    """One movement. Only added, never changed (a trigger refuses it); the entries of a transaction sum to zero."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount"),
        CheckConstraint("(account = 'supply') = (budget_id IS NULL)", name="owner"),
        Index(None, "budget_id", "account"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    transaction_id: Mapped[UUID] = mapped_column(ForeignKey(LedgerTransaction.id), index=True)
    account: Mapped[Account]
    budget_id: Mapped[UUID | None] = mapped_column(ForeignKey(Budget.id))
    tranche_id: Mapped[UUID | None] = mapped_column(ForeignKey(Tranche.id))
    center_id: Mapped[UUID | None] = mapped_column(ForeignKey(Center.id))  # whose compute was used
    amount: Mapped[int] = mapped_column(BigInteger)


class SessionState(StrEnum):
    RESERVED = "reserved"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SETTLED = "settled"
    VOIDED = "voided"

    @property
    def is_live(self) -> bool:
        return self not in (SessionState.SETTLED, SessionState.VOIDED)


LIVE = "state IN ('reserved', 'starting', 'running', 'stopping')"
LIVE_STATES = tuple(state for state in SessionState if state.is_live)


class Sighting(StrEnum):
    """What was last seen of a session's server."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    UNREACHABLE = "unreachable"


class LabSession(Entity):
    """One running lab of one person. The row is also the queue: `labs.jobs` moves it along.

    `state` is ours and says what we do; `seen` is what the hub said last. Neither is copied into the other.
    """

    __tablename__ = "lab_session"
    __table_args__ = (
        CheckConstraint("lease_minutes > 0", name="lease"),
        CheckConstraint("charged_micro >= 0 AND seconds_used >= 0", name="charged"),
        # A double click finds the session that is there; one live session for each person and template.
        Index("uq_lab_session_live", "person_id", "template_id", unique=True, postgresql_where=text(LIVE)),
        Index("ix_lab_session_live_center", "center_id", "state", postgresql_where=text(LIVE)),
        Index(
            "ix_lab_session_to_forget",
            "center_id",
            postgresql_where=text("state IN ('settled', 'voided') AND forgotten_at IS NULL"),
        ),
        Index(None, "budget_id", "created_at"),
        Index(None, "person_id", "created_at"),
    )

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id))
    template_id: Mapped[UUID] = mapped_column(ForeignKey(LabTemplate.id))
    flavor_id: Mapped[UUID] = mapped_column(ForeignKey(Flavor.id))
    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id))
    budget_id: Mapped[UUID] = mapped_column(ForeignKey(Budget.id))
    hold_id: Mapped[UUID] = mapped_column(ForeignKey(Hold.id), unique=True)
    origin_url: Mapped[str | None]  # the page that the lab was launched from

    state: Mapped[SessionState] = mapped_column(default=SessionState.RESERVED)
    lease_minutes: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)  # starts that were ordered
    admitted_attempt: Mapped[int] = mapped_column(default=0)  # the last order that the hub came to redeem
    not_before: Mapped[datetime | None]  # when to try again after a hub that did not answer
    ordered_at: Mapped[datetime | None]
    admitted_at: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    lease_ends_at: Mapped[datetime | None]
    warned_minutes: Mapped[int | None]  # the last warning said that so many minutes are left
    stop_requested_at: Mapped[datetime | None]
    stop_reason: Mapped[str | None]  # student, teacher, operator, lease-ended, vanished, start-failed …
    failure: Mapped[str | None]  # what the hub said when it could not start
    ended_at: Mapped[datetime | None]
    forgotten_at: Mapped[datetime | None]  # the hub keeps nothing of it any more
    seconds_used: Mapped[int] = mapped_column(default=0)
    charged_micro: Mapped[int] = mapped_column(BigInteger, default=0)

    seen: Mapped[Sighting | None]  # written by the reconciler only, like the next two
    seen_at: Mapped[datetime | None]
    missing: Mapped[int] = mapped_column(default=0)  # sightings in a row without the server
    last_running_at: Mapped[datetime | None]

    person: Mapped[Person] = relationship(lazy="joined", innerjoin=True)
    template: Mapped[LabTemplate] = relationship(lazy="joined", innerjoin=True)
    flavor: Mapped[Flavor] = relationship(lazy="joined", innerjoin=True)
    center: Mapped[Center] = relationship(lazy="joined", innerjoin=True)
    hold: Mapped[Hold] = relationship(lazy="joined", innerjoin=True)
    budget: Mapped[Budget] = relationship(lazy="raise")

    @property
    def server_name(self) -> str:
        return f"lab-{self.id.hex}"

    @property
    def is_live(self) -> bool:
        return self.state.is_live

    def cost_so_far(self, at: datetime) -> int:
        """Micro-credits used until that moment, whether posted yet or not; the final charge once it has ended."""
        if not self.is_live or self.ready_at is None:
            return self.charged_micro
        return max(self.charged_micro, self.hold.cost(self.seconds_running(at)))

    def seconds_running(self, at: datetime) -> int:
        """Whole seconds since the lab was ready."""
        return 0 if self.ready_at is None else max(0, int((at - self.ready_at).total_seconds()))
