"""Drift: where what we believe and what is there part, as a list and as a number that returns to zero."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, and_, cast, func, literal, or_, select, union_all

from app import clock
from app.db import db
from labs.models import Center, CenterKind, Hold, HoldState, LabSession, SessionState, SlurmQuotas, Stray
from labs.queries.places import miscounted_loads

LISTED = 100  # of each kind; the numbers count all
TOO_LONG_TO_START = timedelta(seconds=200)  # a start has three minutes
TOO_LONG_TO_STOP = timedelta(seconds=60)
TOO_LONG_AFTER_LEASE = timedelta(seconds=30)
TOO_LONG_TO_EXPIRE = timedelta(seconds=30)
TOO_LONG_TO_FORGET = timedelta(seconds=60)
TOO_LONG_WITHOUT_KEEPER = timedelta(minutes=2)
TOO_LONG_WRONG = timedelta(seconds=30)


class DriftKind(StrEnum):
    UNREACHABLE = "unreachable"  # the hub does not answer
    MISSING = "missing"  # we believe that it runs, and it was not seen
    STARTING = "starting"  # for too long
    STOPPING = "stopping"  # for too long
    AFTER_LEASE = "after-lease"  # its lease is over, and nobody has ordered its end
    UNPAID = "unpaid"  # it is on, and its hold is closed
    HOLD = "hold"  # credits are put aside for a session that has ended
    STRAY = "stray"  # a server that is nobody's
    TOMBSTONE = "tombstone"  # ended, and the hub has not confirmed that it keeps nothing
    LOAD = "load"  # places counted wrongly
    QUOTAS = "quotas"  # of a Slurm cluster: not as they should be, or nobody has told for long


@dataclass(frozen=True)
class Drift:
    """One difference. `subject_id` is the session, stray, hold or center that it is about."""

    kind: DriftKind
    center: str
    subject_id: UUID
    since: datetime | None
    what: str = ""


@dataclass(frozen=True)
class DriftReport:
    """All differences: how many there are by center and kind, and the oldest of each kind."""

    counts: dict[str, dict[DriftKind, int]]
    items: list[Drift]

    @property
    def total(self) -> int:
        return sum(self.of(center) for center in self.counts)

    def of(self, center: str) -> int:
        return sum(self.counts.get(center, {}).values())

    @property
    def centers(self) -> list[dict[str, Any]]:
        """The same numbers, as the API shows them."""
        return [
            {"center": center, "total": self.of(center), "kinds": {str(kind): n for kind, n in kinds.items()}}
            for center, kinds in sorted(self.counts.items())
        ]


def drift() -> DriftReport:
    """Look for every kind of difference; a platform at rest has none."""
    counts: dict[str, Counter[DriftKind]] = {}
    items: list[Drift] = []
    for kind, statement in _kinds().items():
        found = statement.subquery()
        at_center = Center.id == found.c.center_id
        numbers = select(Center.slug, func.count()).select_from(found).join(Center, at_center).group_by(Center.slug)
        for slug, number in db.session.execute(numbers):
            counts.setdefault(slug, Counter())[kind] = number
        if not any(kind in of for of in counts.values()):
            continue
        rows = select(Center.slug, found.c.id, found.c.since, found.c.what)
        rows = rows.select_from(found).join(Center, at_center).order_by(found.c.since, found.c.id).limit(LISTED)
        items += [Drift(kind, *row) for row in db.session.execute(rows)]
    for slug, item in _loads():
        counts.setdefault(slug, Counter())[DriftKind.LOAD] = 1
        items.append(item)
    return DriftReport({slug: dict(of) for slug, of in counts.items()}, items)


def drift_counts() -> dict[str, dict[DriftKind, int]]:
    """Only how many there are, by center and kind, in two questions."""
    parts = [
        select(literal(str(kind)).label("kind"), found.c.center_id, func.count().label("number")).group_by(
            found.c.center_id
        )
        for kind, found in ((kind, statement.subquery()) for kind, statement in _kinds().items())
    ]
    found = union_all(*parts).subquery()
    rows = select(Center.slug, found.c.kind, found.c.number).join(Center, Center.id == found.c.center_id)
    counts: dict[str, dict[DriftKind, int]] = {}
    for slug, kind, number in db.session.execute(rows):
        counts.setdefault(slug, {})[DriftKind(kind)] = number
    for slug, _item in _loads():
        counts.setdefault(slug, {})[DriftKind.LOAD] = 1
    return counts


def sessions_unpaid() -> Select[Any]:
    """Sessions that are on, or on their way, while their hold is closed: nobody pays for them."""
    return (
        _of_sessions(LabSession.ordered_at)
        .join(Hold, Hold.id == LabSession.hold_id)
        .where(
            LabSession.state.in_((SessionState.RESERVED, SessionState.STARTING, SessionState.RUNNING)),
            Hold.state != HoldState.OPEN,
        )
    )


def holds_without_session() -> Select[Any]:
    """Open holds of sessions that have ended, and those of programs whose time is over."""
    ended = LabSession.state.in_((SessionState.SETTLED, SessionState.VOIDED))
    over = and_(LabSession.id.is_(None), Hold.expires_at < clock.now() - TOO_LONG_TO_EXPIRE)
    columns: list[Any] = [Hold.id, Hold.center_id, Hold.created_at.label("since"), literal("").label("what")]
    return (
        select(*columns)
        .outerjoin(LabSession, LabSession.hold_id == Hold.id)
        .where(Hold.state == HoldState.OPEN, or_(ended, over))
    )


def _kinds() -> dict[DriftKind, Select[Any]]:
    now = clock.now()
    state = LabSession.state
    return {
        DriftKind.UNREACHABLE: select(
            Center.id, Center.id.label("center_id"), Center.unreachable_since.label("since"), literal("").label("what")
        ).where(Center.unreachable_since.is_not(None)),
        DriftKind.MISSING: _of_sessions(LabSession.last_running_at).where(
            state == SessionState.RUNNING, LabSession.missing > 0
        ),
        DriftKind.STARTING: _of_sessions(LabSession.ordered_at)
        .join(Hold, Hold.id == LabSession.hold_id)
        .where(
            or_(
                and_(state == SessionState.STARTING, LabSession.ordered_at < now - TOO_LONG_TO_START),
                and_(
                    state == SessionState.RESERVED,
                    func.greatest(Hold.created_at, LabSession.not_before, LabSession.ordered_at)
                    < now - TOO_LONG_TO_START,
                ),
            )
        ),
        DriftKind.STOPPING: _of_sessions(LabSession.stop_requested_at).where(
            state == SessionState.STOPPING, LabSession.stop_requested_at < now - TOO_LONG_TO_STOP
        ),
        DriftKind.AFTER_LEASE: _of_sessions(LabSession.lease_ends_at).where(
            state == SessionState.RUNNING, LabSession.lease_ends_at < now - TOO_LONG_AFTER_LEASE
        ),
        DriftKind.UNPAID: sessions_unpaid(),
        DriftKind.HOLD: holds_without_session(),
        DriftKind.STRAY: select(
            Stray.id, Stray.center_id, Stray.created_at.label("since"), Stray.server_name.label("what")
        ).where(Stray.gone_at.is_(None)),
        DriftKind.QUOTAS: select(
            Center.id,
            Center.id.label("center_id"),
            func.coalesce(SlurmQuotas.wrong_since, SlurmQuotas.heard_at, Center.created_at).label("since"),
            func.coalesce(SlurmQuotas.failure, cast(SlurmQuotas.number, Text), literal("")).label("what"),
        )
        .select_from(Center)
        .outerjoin(SlurmQuotas, SlurmQuotas.center_id == Center.id)
        .where(
            Center.kind == CenterKind.SLURM,
            or_(
                SlurmQuotas.wrong_since < now - TOO_LONG_WRONG,
                func.coalesce(SlurmQuotas.heard_at, Center.created_at) < now - TOO_LONG_WITHOUT_KEEPER,
            ),
        ),
        DriftKind.TOMBSTONE: _of_sessions(LabSession.ended_at).where(
            state.in_((SessionState.SETTLED, SessionState.VOIDED)),
            LabSession.forgotten_at.is_(None),
            LabSession.ended_at < now - TOO_LONG_TO_FORGET,
        ),
    }


def _of_sessions(since: Any) -> Select[Any]:
    return select(LabSession.id, LabSession.center_id, since.label("since"), literal("").label("what")).select_from(
        LabSession
    )


def _loads() -> list[tuple[str, Drift]]:
    wrong = miscounted_loads()
    slugs = dict(db.session.execute(select(Center.id, Center.slug).where(Center.id.in_(wrong))).all())
    return [
        (
            slugs[center_id],
            Drift(
                DriftKind.LOAD,
                slugs[center_id],
                center_id,
                None,
                f"{counted.taken}+{counted.waiting} ≠ {true.taken}+{true.waiting}",
            ),
        )
        for center_id, (counted, true) in wrong.items()
    ]
