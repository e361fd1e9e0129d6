"""Reads on the line at a full center: how long it is, where one stands, when it may be one's turn.

The estimate plays the line through: whoever is in front takes the place that becomes free first, for the whole lease at
the latest, and for as much of it as people at this center typically use.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import aliased

from app import clock
from app.db import db
from labs.models import TAKING_A_PLACE, Center, LabSession, SessionState

SAMPLE = 200  # ended sessions that say how much of a lease people use


@dataclass(frozen=True)
class Outlook:
    """A place in line, and when it may be one's turn."""

    place: int
    likely_at: datetime
    latest_at: datetime  # when everybody in front uses the whole lease, and nobody leaves


def place_in_line(session: LabSession) -> int | None:
    """1 for the first in line; None for who does not wait."""
    if session.state is not SessionState.WAITING:
        return None
    in_front = select(func.count()).where(
        LabSession.center_id == session.center_id,
        LabSession.state == SessionState.WAITING,
        or_(
            LabSession.waiting_since < session.waiting_since,
            (LabSession.waiting_since == session.waiting_since) & (LabSession.id < session.id),
        ),
    )
    return 1 + (db.session.scalar(in_front) or 0)


def outlook(session: LabSession) -> Outlook | None:
    """Where a waiting session stands, and when it may be its turn."""
    place = place_in_line(session)
    return None if place is None else _outlook(session.center_id, place)


def outlook_for_newcomers(center_id: UUID) -> Outlook:
    """The same for who would join the line now."""
    waiting = select(func.count()).where(LabSession.center_id == center_id, LabSession.state == SessionState.WAITING)
    return _outlook(center_id, 1 + (db.session.scalar(waiting) or 0))


def used_share(center_id: UUID) -> float:
    """How much of their leases people at this center use, from 0 to 1."""
    recent = aliased(
        LabSession,
        select(LabSession)
        .where(
            LabSession.center_id == center_id,
            LabSession.state == SessionState.SETTLED,
            LabSession.ready_at.is_not(None),
        )
        .order_by(LabSession.id.desc())
        .limit(SAMPLE)
        .subquery(),
    )
    used, leased = db.session.execute(select(func.sum(recent.seconds_used), func.sum(recent.lease_minutes * 60))).one()
    return min(1.0, float(used) / float(leased)) if leased else 1.0


def _outlook(center_id: UUID, place: int) -> Outlook:
    now, share = clock.now(), used_share(center_id)
    taken = list(_leases(center_id))
    in_front = list(
        db.session.scalars(
            select(LabSession.lease_minutes)
            .where(LabSession.center_id == center_id, LabSession.state == SessionState.WAITING)
            .order_by(LabSession.waiting_since, LabSession.id)
            .limit(place - 1)
        )
    )
    free = max(0, db.session.get_one(Center, center_id).session_limit - len(taken))
    return Outlook(
        place=place,
        likely_at=_turn(now, [start + lease * share for start, lease in taken], free, [m * share for m in in_front]),
        latest_at=_turn(now, [start + lease for start, lease in taken], free, [float(m) for m in in_front]),
    )


def _turn(now: datetime, ends: list[datetime], free: int, leases: list[float]) -> datetime:
    """When a place becomes free for who stands behind those with these leases, in minutes."""
    places = [max(now, end) for end in ends] + [now] * free
    if not places:
        return now
    heapq.heapify(places)
    for minutes in leases:
        heapq.heapreplace(places, places[0] + timedelta(minutes=minutes))
    return places[0]


def _leases(center_id: UUID) -> Iterator[tuple[datetime, timedelta]]:
    """Since when, and for how long, each place of a center is taken."""
    now = clock.now()
    rows = db.session.execute(
        select(
            LabSession.state,
            LabSession.lease_minutes,
            LabSession.ready_at,
            LabSession.lease_ends_at,
        ).where(
            LabSession.center_id == center_id,
            LabSession.state.in_(TAKING_A_PLACE),
        )
    )
    for state, minutes, ready_at, lease_ends_at in rows:
        if state is SessionState.STOPPING:
            yield now, timedelta(0)
        elif ready_at is not None and lease_ends_at is not None:
            yield ready_at, lease_ends_at - ready_at
        else:
            yield now, timedelta(minutes=minutes)
