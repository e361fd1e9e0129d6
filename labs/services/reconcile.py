"""Compare what we believe of a session with what its hub shows, and say what to do with the server.

`decide` is the table; `observe` writes down the sighting and takes the step. Absence of evidence is not a stop:
a running session counts as gone only when two sightings in a row, of which the second asked for this very
server, have not found it.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select, update

from app import clock
from app.db import db
from labs.models import LIVE_STATES, LabSession, SessionState, Sighting
from labs.services import sessions

SETTLE_DOWN = timedelta(seconds=8)  # after an order, until the hub must know of the server
STOP_LIMIT = timedelta(seconds=60)  # after a stop was ordered, until it is ordered again
GONE_AFTER = 2  # sightings without the server


class Step(StrEnum):
    """What follows from a sighting: for our row, or for the server."""

    NONE = "none"
    MARK_RUNNING = "mark-running"
    RESTART = "restart"
    GIVE_UP = "give-up"
    SETTLE = "settle"
    STOP = "stop"


def decide(
    state: SessionState, seen: Sighting, *, missing: int = 0, since_order: timedelta, since_stop: timedelta
) -> Step:
    """The table of DESIGN.md: rows × observed. `missing` counts this sighting too."""
    if seen is Sighting.UNREACHABLE:
        return Step.NONE
    gone = seen is Sighting.ABSENT
    match state:
        case SessionState.RESERVED | SessionState.STARTING:
            return _while_starting(state, seen, since_order)
        case SessionState.RUNNING:
            return Step.SETTLE if gone and missing >= GONE_AFTER else Step.NONE
        case SessionState.STOPPING:
            if gone:
                return Step.SETTLE
            return Step.NONE if seen is Sighting.STOPPING and since_stop < STOP_LIMIT else Step.STOP
        case _:
            return Step.NONE if gone else Step.STOP


def _while_starting(state: SessionState, seen: Sighting, since_order: timedelta) -> Step:
    if seen is Sighting.RUNNING:
        return Step.MARK_RUNNING
    if state is SessionState.RESERVED:
        return Step.NONE  # the next order finds it as it is
    if seen is Sighting.ABSENT:
        return Step.RESTART if since_order > SETTLE_DOWN else Step.NONE
    return Step.GIVE_UP if since_order > sessions.START_LIMIT else Step.NONE


def observe(session_id: UUID, seen: Sighting, detail: str = "") -> Step:
    """Write down what was seen of a session's server, change the row accordingly, and return what was decided.

    After STOP and GIVE_UP the caller tells the hub, outside of this transaction; forgetting that is harmless,
    for the next sighting decides the same again.
    """
    session, now = sessions.locked(session_id), clock.now()
    session.seen, session.seen_at = seen, now
    if seen is Sighting.RUNNING:
        session.missing = 0
        if session.state in (SessionState.RUNNING, SessionState.STOPPING):
            session.last_running_at = now
    elif seen is Sighting.ABSENT:
        session.missing += 1
    step = decide(
        session.state,
        seen,
        missing=session.missing,
        since_order=now - (session.ordered_at or now),
        since_stop=now - (session.stop_requested_at or now),
    )
    _take(session, step, detail or seen)
    return step


def live_rows(center_id: UUID) -> dict[str, tuple[UUID, SessionState]]:
    """Every live session of a center by the name of its server: ids and states only, so that ten thousand fit."""
    rows = db.session.execute(
        select(LabSession.id, LabSession.state).where(
            LabSession.center_id == center_id, LabSession.state.in_(LIVE_STATES)
        )
    )
    return {f"lab-{session_id.hex}": (session_id, state) for session_id, state in rows}


def confirm_running(session_ids: list[UUID], at: datetime) -> None:
    """Note for many running sessions at once that their servers were seen. One statement for a page."""
    db.session.execute(
        update(LabSession)
        .where(LabSession.id.in_(session_ids), LabSession.state == SessionState.RUNNING)
        .values(seen=Sighting.RUNNING, seen_at=at, last_running_at=at, missing=0)
        .execution_options(synchronize_session=False)
    )


def owned(server_names: list[str], center_id: UUID) -> set[str]:
    """Of these servers, those that belong to a live session of this center now."""
    ids = {}
    for name in server_names:
        try:
            ids[UUID(hex=name.removeprefix("lab-"))] = name
        except ValueError:
            continue
    rows = db.session.scalars(
        select(LabSession.id).where(
            LabSession.id.in_(ids), LabSession.center_id == center_id, LabSession.state.in_(LIVE_STATES)
        )
    )
    return {ids[session_id] for session_id in rows}


def _take(session: LabSession, step: Step, detail: str) -> None:
    match step:
        case Step.MARK_RUNNING:
            sessions.mark_running(session.id)
        case Step.RESTART:
            sessions.restart(session.id, detail)
        case Step.GIVE_UP:
            sessions.fail(session.id, detail, "start-failed")
        case Step.SETTLE if session.state is SessionState.STOPPING:
            sessions.end(session.id, clock.now(), session.stop_reason or "stopped")
        case Step.SETTLE:
            sessions.end(session.id, session.last_running_at or clock.now(), "vanished")
