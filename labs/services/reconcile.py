"""Compare what we believe of a session with what its center shows, and say what to do with the server.

`decide` is the table of docs/labs.md; `observe` writes down the sighting and takes the step. Absence of evidence is
not a stop: a running session counts as gone when there is evidence of its end, or when two sightings in a row, of
which the second asked for this very server, have not found it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import TableValuedAlias, Uuid, column, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from accounts.services import notices
from app import audit, clock
from app.access import SYSTEM
from app.db import db
from labs.models import IN_LINE, LIVE_STATES, LabSession, SessionState, Sighting
from labs.services import operators, sessions

SETTLE_DOWN = timedelta(seconds=8)  # after an order, until the hub must know of the server
STOP_AGAIN = timedelta(seconds=5)  # after the hub was told to stop a server that it still shows as running
STOP_LIMIT = timedelta(seconds=60)  # after the hub was told, until a server that is stopping must be gone
GONE_AFTER = 2  # sightings without the server
TAKES_COMPUTE = (SessionState.RUNNING, SessionState.STOPPING)
STOPS_BEFORE_HELP = 3  # orders to stop that came to nothing, until operators are told
HAS_SERVER = tuple(state for state in LIVE_STATES if state not in IN_LINE)

notices.describe(
    "lab-does-not-stop",
    _("A lab at %(center)s does not stop"),
    _("The hub was told %(times)s times to end the server %(server)s, and still shows it. Look at the center."),
    label=_("A server at a center does not stop"),
)


class Step(StrEnum):
    """What follows from a sighting: for our row, or for the server."""

    NONE = "none"
    MARK_RUNNING = "mark-running"
    RESTART = "restart"
    VOID = "void"
    GIVE_UP = "give-up"
    SETTLE = "settle"
    STOP = "stop"


@dataclass(frozen=True)
class Look:
    """What was seen of a server. With evidence of its end: when that was, why, and whether to try once more."""

    seen: Sighting
    ended_at: datetime | None = None
    why: str = ""
    is_final: bool = False
    code: str = ""  # of a refusal, stable
    outranks_hub: bool = False  # a scheduler's accounting: it ended then, whatever the hub has shown since


def decide(
    state: SessionState,
    look: Look,
    *,
    missing: int = 0,
    since_order: timedelta,
    since_told: timedelta | None = None,
    is_admitted: bool = False,
) -> Step:
    """The table: rows × observed.

    `missing` counts this sighting too; `since_told` is None where the hub was not told yet to stop the server;
    `is_admitted` says that the hub has come for the last order, so that what is gone now was there.
    """
    seen = look.seen
    if seen is Sighting.UNREACHABLE:
        return Step.NONE
    gone = seen in (Sighting.ABSENT, Sighting.GONE)
    match state:
        case SessionState.RESERVED:
            return Step.MARK_RUNNING if seen is Sighting.RUNNING else Step.NONE  # the next order finds it as it is
        case SessionState.STARTING:
            return _while_starting(look, since_order, is_admitted)
        case SessionState.RUNNING:
            return Step.SETTLE if seen is Sighting.GONE or (gone and missing >= GONE_AFTER) else Step.NONE
        case SessionState.STOPPING if gone:
            return Step.SETTLE
        case SessionState.STOPPING:
            patience = STOP_LIMIT if seen is Sighting.STOPPING else STOP_AGAIN
            return Step.STOP if since_told is None or since_told >= patience else Step.NONE
        case _:
            return Step.NONE if gone else Step.STOP


def _while_starting(look: Look, since_order: timedelta, is_admitted: bool) -> Step:
    match look.seen:
        case Sighting.RUNNING:
            return Step.MARK_RUNNING
        case Sighting.GONE if look.is_final:
            return Step.VOID
        case Sighting.GONE if is_admitted:
            return Step.RESTART
        case Sighting.ABSENT | Sighting.GONE:
            return Step.RESTART if since_order > SETTLE_DOWN else Step.NONE
        case _:
            return Step.GIVE_UP if since_order > sessions.START_LIMIT else Step.NONE


def observe(session_id: UUID, look: Look) -> Step:
    """Write down what was seen of a session's server, change the row accordingly, and return what was decided.

    After STOP and GIVE_UP the caller tells the hub, outside of this transaction; forgetting that is harmless,
    for a later sighting decides the same again.
    """
    session, now = sessions.locked(session_id), clock.now()
    session.seen, session.seen_at = look.seen, now
    if look.seen is Sighting.RUNNING:
        session.missing = 0
    if look.seen in (Sighting.RUNNING, Sighting.STOPPING) and session.state in TAKES_COMPUTE:
        session.last_running_at = now
    if look.seen in (Sighting.ABSENT, Sighting.GONE):
        session.missing += 1
    step = decide(
        session.state,
        look,
        missing=session.missing,
        since_order=now - (session.ordered_at or now),
        since_told=None if session.stop_ordered_at is None else now - session.stop_ordered_at,
        is_admitted=session.admitted_attempt >= session.attempts > 0,
    )
    _take(session, step, look)
    return step


def confirm(center_id: UUID, servers: Mapping[UUID, UUID], at: datetime) -> set[UUID]:
    """Note for the running sessions among these (session → person) that their servers were seen; return which.

    One statement for a page.
    """
    if not servers:
        return set()
    seen = _pairs(servers)
    confirmed = db.session.scalars(
        update(LabSession)
        .where(
            LabSession.id == seen.c.session_id,
            LabSession.person_id == seen.c.person_id,
            LabSession.center_id == center_id,
            LabSession.state == SessionState.RUNNING,
        )
        .values(seen=Sighting.RUNNING, seen_at=at, last_running_at=at, missing=0)
        .returning(LabSession.id)
        .execution_options(synchronize_session=False)
    )
    return set(confirmed)


def states(center_id: UUID, servers: Mapping[UUID, UUID]) -> dict[UUID, SessionState]:
    """Of these (session → person), the sessions of this center that may have a server now."""
    if not servers:
        return {}
    seen = _pairs(servers)
    rows = db.session.execute(
        select(LabSession.id, LabSession.state).where(
            LabSession.id == seen.c.session_id,
            LabSession.person_id == seen.c.person_id,
            LabSession.center_id == center_id,
            LabSession.state.in_(HAS_SERVER),
        )
    )
    return {session_id: state for session_id, state in rows}


def _pairs(servers: Mapping[UUID, UUID]) -> TableValuedAlias:
    ids, people = (literal(list(of), ARRAY(Uuid)) for of in (servers, servers.values()))
    columns = column("session_id", Uuid), column("person_id", Uuid)
    return func.unnest(ids, people).table_valued(*columns, name="shown").render_derived()


def miss(center_id: UUID, since: datetime) -> int:
    """Count a sighting without the server for every running session that a whole pass, begun then, has not shown.

    The follower asks for each of them. A sighting that lies ahead is from before the clock was set back.
    """
    ahead = clock.now() + timedelta(seconds=1)
    missed = db.session.scalars(
        update(LabSession)
        .where(
            LabSession.center_id == center_id,
            LabSession.state == SessionState.RUNNING,
            LabSession.missing == 0,
            or_(LabSession.seen_at.is_(None), LabSession.seen_at < since, LabSession.seen_at > ahead),
        )
        .values(seen=Sighting.ABSENT, missing=1)
        .returning(LabSession.id)
        .execution_options(synchronize_session=False)
    )
    return len(missed.all())


def _take(session: LabSession, step: Step, look: Look) -> None:
    why = look.why or look.seen.value
    match step:
        case Step.MARK_RUNNING:
            sessions.mark_running(session.id)
        case Step.RESTART:
            sessions.restart(session.id, why, look.code)
        case Step.VOID:
            sessions.fail(session.id, why, "start-failed", look.code)
        case Step.GIVE_UP:
            sessions.give_up(session.id, why)
            _told(session)
        case Step.STOP if session.state is SessionState.STOPPING:
            _told(session)
        case Step.SETTLE:
            reason = "stopped" if session.state is SessionState.STOPPING else "vanished"
            sessions.end(session.id, _ended_at(session, look), session.stop_reason or reason)


def _ended_at(session: LabSession, look: Look) -> datetime:
    """Until when it ran, for all we know: what the evidence names, where it can be; else when it was last seen alive.

    A worker that was away must not charge for the time in which nobody looked.
    """
    now = clock.now()
    if look.ended_at is not None and look.outranks_hub:
        return min(look.ended_at, now)
    last = min(session.last_running_at or now, now)
    return last if look.ended_at is None else min(max(look.ended_at, last), now)


def _told(session: LabSession) -> None:
    """The hub is about to be told to stop it; after so many times in vain, operators are told, once."""
    now = clock.now()
    in_vain = session.stop_attempts >= STOPS_BEFORE_HELP and now - (session.stop_requested_at or now) >= STOP_LIMIT
    session.stop_ordered_at = now
    session.stop_attempts += 1
    if in_vain and session.escalated_at is None:
        session.escalated_at = now
        audit.record(SYSTEM, "session.escalate", session, times=session.stop_attempts)
        operators.tell(
            "lab-does-not-stop",
            f"{session.id}:does-not-stop",
            url=f"/labs/{session.id}",
            center=session.center.slug,
            server=session.server_name,
            times=session.stop_attempts,
        )
