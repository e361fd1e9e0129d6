"""Repairs of what our own rows say against each other. Each looks again under its lock, and may be repeated."""

import logging
from uuid import UUID

from sqlalchemy import select

from app import audit
from app.access import SYSTEM
from app.db import db
from labs import ledger, queries
from labs.models import Center, Hold, HoldState, LabSession, SessionState
from labs.services import places, sessions

log = logging.getLogger(__name__)


def recount_places(center_id: UUID) -> bool:
    """Count the places of a center and its line anew. Who is about to change them is waited for, and comes after."""
    counted = queries.load(center_id)
    places.recount(center_id)
    true = queries.load(center_id)
    if counted == true:
        return False
    log.error("the places of a center were counted wrongly", extra={"center": center_id})
    audit.record(
        SYSTEM,
        "center.recount",
        db.session.get_one(Center, center_id),
        taken=(counted.taken, true.taken),
        waiting=(counted.waiting, true.waiting),
    )
    return True


def close_hold(hold_id: UUID) -> bool:
    """Give back what is put aside for a session that has ended; what was posted stays used."""
    session = db.session.scalar(select(LabSession).where(LabSession.hold_id == hold_id).with_for_update(of=LabSession))
    if session is not None and session.is_live:
        return False
    hold = db.session.get_one(Hold, hold_id, populate_existing=True)
    if hold.state is not HoldState.OPEN:
        return False
    log.error("a hold was open without a session", extra={"hold": hold_id})
    if hold.posted_seconds:
        ledger.settle(hold_id, hold.posted_seconds)
    else:
        ledger.void(hold_id)
    return True


def stop_unpaid(session_id: UUID) -> bool:
    """End a session for which nobody pays any more. What it ran without a hold is its center's loss."""
    session = sessions.locked(session_id)
    hold = session.hold
    if hold is None or hold.state is HoldState.OPEN:
        return False
    if session.state not in (SessionState.RESERVED, SessionState.STARTING, SessionState.RUNNING):
        return False
    log.error("a session was on without a hold", extra={"session": session_id})
    sessions.end_unpaid(session_id)
    return True
