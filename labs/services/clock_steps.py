"""The clock of the platform was set: whatever is under way keeps the time that it has had, and the time it has left.

Leases, charges, offers and every patience are kept as moments, and all of them move along. What is told to others as a
moment does not: the validity of credits, holds of other programs, maintenance.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from app import clock
from app.db import db
from labs.models import LIVE_STATES, LabSession, SessionActivity

log = logging.getLogger(__name__)
Moment = InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]

MOMENTS: tuple[Moment, ...] = (
    LabSession.not_before,
    LabSession.ordered_at,
    LabSession.admitted_at,
    LabSession.ready_at,
    LabSession.lease_ends_at,
    LabSession.waiting_since,
    LabSession.offered_until,
    LabSession.keep_alive_until,
    LabSession.idle_warned_at,
    LabSession.stop_ordered_at,
    LabSession.escalated_at,
)
OF_THE_PAST: tuple[Moment, ...] = (LabSession.stop_requested_at, LabSession.seen_at, LabSession.last_running_at)
OF_ACTIVITY: tuple[Moment, ...] = (
    SessionActivity.reported_at,
    SessionActivity.last_busy_at,
    SessionActivity.last_accelerator_at,
    SessionActivity.last_seen_person_at,
)


def follow(step: timedelta) -> None:
    """Move along what is under way. Who asked for something since the clock was set wrote down a moment that is right
    already; then what must lie in the past is now."""
    by = sa.literal(step, sa.Interval)
    now = clock.now()
    moved: dict[Any, Any] = {column: column + by for column in MOMENTS}
    moved |= {column: _not_after(now, column, by) for column in OF_THE_PAST}
    live = LabSession.state.in_(LIVE_STATES)
    unseen = {"synchronize_session": False}
    sessions = db.session.scalars(
        sa.update(LabSession).where(live).values(moved).returning(LabSession.id).execution_options(**unseen)
    ).all()
    db.session.execute(
        sa.update(SessionActivity)
        .where(SessionActivity.session_id.in_(sessions))
        .values({column: _not_after(now, column, by) for column in OF_ACTIVITY})
        .execution_options(**unseen)
    )
    log.warning("the clock was set", extra={"seconds": step.total_seconds(), "sessions": len(sessions)})


def _not_after(now: datetime, column: Moment, by: Any) -> Any:
    moved = column + by
    return sa.case((column.is_not(None), sa.func.least(moved, sa.literal(now, column.type))))
