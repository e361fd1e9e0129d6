"""Lab sessions: what a person runs, what was seen of it, and who may look inside."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from accounts.models import Person
from app.db import Base, Entity
from labs.models.budgets import Budget
from labs.models.centers import Center, Flavor
from labs.models.ledger import Hold
from labs.models.templates import LabTemplate


class SessionState(StrEnum):
    WAITING = "waiting"  # in line at a full center; holds neither a place nor credits
    OFFERED = "offered"  # a place is kept for a few minutes; no credits are held yet
    RESERVED = "reserved"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SETTLED = "settled"
    VOIDED = "voided"

    @property
    def is_live(self) -> bool:
        return self not in (SessionState.SETTLED, SessionState.VOIDED)


LIVE = "state IN ('waiting', 'offered', 'reserved', 'starting', 'running', 'stopping')"
LIVE_STATES = tuple(state for state in SessionState if state.is_live)
TAKING_A_PLACE = tuple(state for state in LIVE_STATES if state is not SessionState.WAITING)
IN_LINE = (SessionState.WAITING, SessionState.OFFERED)  # live, and the hub was never asked
GRACE_SECONDS = 300  # paid for in every hold: the time a stop may take
GRACE = timedelta(seconds=GRACE_SECONDS)
IDLE_NOTICE = timedelta(minutes=10)  # from telling that a lab is idle to stopping it


class Sighting(StrEnum):
    """What was last seen of a session's server."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    GONE = "gone"  # not only absent: there is evidence that it has ended
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
        Index("uq_lab_session_live", "person_id", "template_id", "slot", unique=True, postgresql_where=text(LIVE)),
        Index(
            "uq_lab_session_request_key",
            "person_id",
            "request_key",
            unique=True,
            postgresql_where=text("request_key IS NOT NULL"),
        ),
        Index(
            "ix_lab_session_line",
            "center_id",
            "waiting_since",
            postgresql_where=text("state IN ('waiting', 'offered')"),
        ),
        CheckConstraint("hold_id IS NOT NULL OR state IN ('waiting', 'offered', 'voided')", name="held"),
        Index("ix_lab_session_live_center", "center_id", "state", postgresql_where=text(LIVE)),
        Index(
            "ix_lab_session_to_forget",
            "center_id",
            postgresql_where=text("state IN ('settled', 'voided') AND forgotten_at IS NULL"),
        ),
        Index("ix_lab_session_missing", "center_id", postgresql_where=text("missing > 0 AND state = 'running'")),
        Index(None, "budget_id", "created_at"),
        Index(None, "person_id", "created_at"),
    )

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id))
    template_id: Mapped[UUID] = mapped_column(ForeignKey(LabTemplate.id))
    flavor_id: Mapped[UUID] = mapped_column(ForeignKey(Flavor.id))
    center_id: Mapped[UUID] = mapped_column(ForeignKey(Center.id))
    budget_id: Mapped[UUID] = mapped_column(ForeignKey(Budget.id))
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey(Hold.id), unique=True)  # None while in line
    slot: Mapped[int] = mapped_column(default=0, server_default="0")  # which of `template.sessions_each`
    request_key: Mapped[str | None]  # the launch's idempotency key
    request_sha256: Mapped[str | None]  # of what was asked under that key
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
    waiting_since: Mapped[datetime | None]  # its place in the line; a missed offer sends to the end
    offered_until: Mapped[datetime | None]
    offers: Mapped[int] = mapped_column(default=0, server_default="0")  # how many it got
    extended_minutes: Mapped[int] = mapped_column(default=0, server_default="0")  # of `lease_minutes`, given later
    keep_alive_until: Mapped[datetime | None]  # not idle until then, whatever is measured
    keep_alives: Mapped[int] = mapped_column(default=0, server_default="0")
    idle_warned_at: Mapped[datetime | None]
    warned_minutes: Mapped[int | None]  # the last warning said that so many minutes are left
    stop_requested_at: Mapped[datetime | None]
    stop_reason: Mapped[str | None]  # student, teacher, operator, lease-ended, vanished, start-failed …
    failure: Mapped[str | None]  # what the hub said when it could not start
    failure_code: Mapped[str | None]  # why its scheduler refused it; `labs.failures` has the words
    ended_at: Mapped[datetime | None]
    forgotten_at: Mapped[datetime | None]  # the hub keeps nothing of it any more
    seconds_used: Mapped[int] = mapped_column(default=0)
    charged_micro: Mapped[int] = mapped_column(BigInteger, default=0)

    seen: Mapped[Sighting | None]  # written by the reconciler only, like the next two
    seen_at: Mapped[datetime | None]
    missing: Mapped[int] = mapped_column(default=0)  # sightings in a row without the server
    last_running_at: Mapped[datetime | None]
    stop_ordered_at: Mapped[datetime | None]  # when the hub was last told to stop it
    stop_attempts: Mapped[int] = mapped_column(default=0, server_default="0")  # how often it was told
    escalated_at: Mapped[datetime | None]  # operators were told that it does not stop

    person: Mapped[Person] = relationship(lazy="joined", innerjoin=True)
    template: Mapped[LabTemplate] = relationship(lazy="joined", innerjoin=True)
    flavor: Mapped[Flavor] = relationship(lazy="joined", innerjoin=True)
    center: Mapped[Center] = relationship(lazy="joined", innerjoin=True)
    hold: Mapped[Hold | None] = relationship(lazy="joined")
    budget: Mapped[Budget] = relationship(lazy="raise")

    @property
    def held_by(self) -> UUID:
        """The id of its hold, which every session has that left the line."""
        assert self.hold_id is not None, "a session in line holds nothing"
        return self.hold_id

    @property
    def server_name(self) -> str:
        return f"lab-{self.id.hex}"

    @property
    def is_live(self) -> bool:
        return self.state.is_live

    @property
    def is_provisional(self) -> bool:
        """Whether its charge may still turn out lower: its hub does not answer, so nobody knows whether it runs."""
        return self.is_live and self.ready_at is not None and self.center.unreachable_since is not None

    def cost_so_far(self, at: datetime) -> int:
        """Micro-credits used until that moment, whether posted yet or not; the final charge once it has ended."""
        if not self.is_live or self.ready_at is None or self.hold is None:
            return self.charged_micro
        cost = self.hold.tariff.cost(
            self.hold.started_at or self.ready_at, self.seconds_running(self.charged_until(at))
        )
        return max(self.charged_micro, cost)

    def charged_until(self, at: datetime) -> datetime:
        """Until when its person pays for what ran until that moment: no longer than the grace after its lease, or
        after the order to stop it. What runs longer is not their fault, and the center's loss."""
        ends = [moment + GRACE for moment in (self.lease_ends_at, self.stop_requested_at) if moment is not None]
        return min([at, *ends])

    @property
    def idle_stops_at(self) -> datetime | None:
        """When it is stopped for being idle, if nothing happens until then; None: nobody was warned."""
        return None if self.idle_warned_at is None else self.idle_warned_at + IDLE_NOTICE

    def seconds_running(self, at: datetime) -> int:
        """Whole seconds since the lab was ready."""
        return 0 if self.ready_at is None else max(0, int((at - self.ready_at).total_seconds()))


class SessionActivity(Base):
    """What a lab says of itself, by way of its hub. Apart from the session, because it comes every few seconds."""

    __tablename__ = "session_activity"

    session_id: Mapped[UUID] = mapped_column(ForeignKey(LabSession.id), primary_key=True)
    reported_at: Mapped[datetime]
    kernels: Mapped[int] = mapped_column(default=0)
    busy_kernels: Mapped[int] = mapped_column(default=0)
    last_busy_at: Mapped[datetime | None]  # when a kernel or terminal was last at work
    accelerator_percent: Mapped[int | None]  # None: has none, or cannot be measured
    last_accelerator_at: Mapped[datetime | None]  # when one was last in use
    last_seen_person_at: Mapped[datetime | None]  # when a browser was last connected; says nothing about being idle


class ViewState(StrEnum):
    ASKED = "asked"
    GRANTED = "granted"
    DECLINED = "declined"
    ENDED = "ended"  # taken back, run out, or over with the session


class SessionView(Entity):
    """Somebody who teaches asks to look into a lab, read-only; its person says yes or no. Kept as a record."""

    __tablename__ = "session_view"
    __table_args__ = (
        Index(
            "uq_session_view_open",
            "session_id",
            "viewer_id",
            unique=True,
            postgresql_where=text("state IN ('asked', 'granted')"),
        ),
        Index(
            "ix_session_view_to_share",
            "session_id",
            postgresql_where=text(
                "(state = 'granted' AND shared_at IS NULL) OR "
                "(state = 'ended' AND share_ordered_at IS NOT NULL AND unshared_at IS NULL)"
            ),
        ),
    )

    session_id: Mapped[UUID] = mapped_column(ForeignKey(LabSession.id), index=True)
    viewer_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), index=True)
    reason: Mapped[str]
    state: Mapped[ViewState] = mapped_column(default=ViewState.ASKED)
    answered_at: Mapped[datetime | None]
    until_at: Mapped[datetime | None]  # how long a yes holds
    opened_at: Mapped[datetime | None]  # when the viewer first went inside
    share_ordered_at: Mapped[datetime | None]  # written by the job only, like the next two: the hub is being told
    shared_at: Mapped[datetime | None]  # the hub lets the viewer in
    unshared_at: Mapped[datetime | None]  # the hub keeps the viewer out again
    ended_at: Mapped[datetime | None]

    viewer: Mapped[Person] = relationship(lazy="joined", innerjoin=True)
    session: Mapped[LabSession] = relationship(lazy="raise")
