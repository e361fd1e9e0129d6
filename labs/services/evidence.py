"""What follows from a scheduler's accounting, which outranks the hub: a lab ends when it says so, and the ledger is set
right by a new booking where it was charged for another time."""

from collections.abc import Iterable
from uuid import UUID

from flask_babel import lazy_gettext as _

from accounts.services import notices
from app import audit, clock
from app.access import SYSTEM
from app.db import db
from labs import ledger
from labs.models import Hold, LabSession, SessionState, Sighting
from labs.queries import evidence as queries
from labs.queries.evidence import LET_BE_SECONDS, Accounted
from labs.services import reconcile, sessions
from labs.services.reconcile import Look

TELL_FROM_SECONDS = 60  # what is set right by less is nobody's news

notices.describe(
    "lab-charge-set-right",
    _("The charge of a lab was set right"),
    _("%(title)s ran for %(ran_seconds)s by the center's own accounting; %(charged_seconds)s had been charged."),
    label=_("The charge of a lab was set right"),
)

ON = (SessionState.RUNNING, SessionState.STOPPING)


def to_weigh(center_id: UUID, work_ids: Iterable[str]) -> list[UUID]:
    """Of these sessions, and of those that are on, the ones where something must follow."""
    return queries.to_weigh(center_id, work_ids)


def weigh(session_id: UUID) -> bool:
    """Let a session and its charge be what accounting says of it; False: they are."""
    session = sessions.locked(session_id)
    known = queries.accounted([session_id]).get(session_id)
    if known is None or not known.segments or known.is_open or session.ready_at is None:
        return False
    if session.state in ON:
        return _end(session, known) and (_revise(session, known) or True)
    return session.state is SessionState.SETTLED and _revise(session, known)


def _end(session: LabSession, known: Accounted) -> bool:
    """Its last job has ended, whatever the hub shows. A job of an earlier attempt says nothing."""
    if known.ended_at is None or session.ready_at is None:
        return False
    if known.ended_at < session.ready_at.replace(microsecond=0):  # Slurm notes whole seconds
        return False
    look = Look(Sighting.GONE, known.ended_at, f"the scheduler says {known.state}", outranks_hub=True)
    reconcile.observe(session.id, look)
    return not session.is_live


def _revise(session: LabSession, known: Accounted) -> bool:
    """Charge what accounting says, no more and no less. More than the hold paid for is an overrun, as ever."""
    if session.hold_id is None or abs(session.seconds_used - known.seconds) <= LET_BE_SECONDS:
        return False
    before = session.seconds_used
    reason = f"the scheduler's accounting says {known.seconds} s, {before} s were charged"
    moved = ledger.revise(session.hold_id, known.seconds, reason, started_at=session.ready_at)
    hold = db.session.get_one(Hold, session.hold_id)
    session.seconds_used, session.charged_micro = hold.posted_seconds, hold.posted_micro
    if abs(before - known.seconds) >= TELL_FROM_SECONDS:
        _tell(session, before)
    audit.record(SYSTEM, "session.revise", session, seconds=(before, known.seconds), micro=moved, state=known.state)
    return True


def _tell(session: LabSession, charged_seconds: int) -> None:
    notices.notify(
        session.person_id,
        "lab-charge-set-right",
        f"{session.id}:set-right:{clock.now().isoformat()}",
        url=f"/labs/{session.id}/ledger",
        title_zh=session.template.title_zh,
        title_en=session.template.title_en,
        ran_seconds=session.seconds_used,
        charged_seconds=charged_seconds,
    )
