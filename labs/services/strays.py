"""Servers without a live session of ours: ended, written off to their center's loss, and remembered until they are
confirmed gone. Nobody is charged for them: that they run is never the fault of a person who pays."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import select

from accounts.services import notices
from app import audit, clock
from app.access import SYSTEM
from app.db import db
from labs.models import Center, LabSession, Stray
from labs.services import losses, operators
from labs.services.reconcile import STOP_LIMIT, STOPS_BEFORE_HELP

notices.describe(
    "stray-does-not-stop",
    _("A server at %(center)s that nobody ordered does not stop"),
    _("The hub was told %(times)s times to end %(server)s, and still shows it. What it uses is the center's loss."),
    label=_("A server that nobody ordered does not stop"),
)


@dataclass(frozen=True)
class Sighted:
    """A server at a center, as its hub shows it."""

    user: str
    name: str
    is_running: bool
    started_at: datetime | None = None

    @property
    def session_id(self) -> UUID | None:
        """The session that the name speaks of, whether there is one or not."""
        try:
            return UUID(hex=self.name.removeprefix("lab-"))
        except ValueError:
            return None


def sighted(center_id: UUID, server: Sighted, at: datetime) -> Stray:
    """Write down that it is there, and that the hub is about to be told to end it. Since when it costs: since it
    runs, and for a session of ours not before that was settled."""
    now = clock.now()
    stray = db.session.scalar(
        select(Stray)
        .where(
            Stray.center_id == center_id,
            Stray.hub_user == server.user,
            Stray.server_name == server.name,
            Stray.gone_at.is_(None),
        )
        .with_for_update()
    )
    if stray is None:
        session = _session(center_id, server)
        stray = Stray(center_id=center_id, hub_user=server.user, server_name=server.name, last_seen_at=at)
        stray.session_id = session.id if session else None
        db.session.add(stray)
        db.session.flush()
        audit.record(SYSTEM, "stray.find", stray, server=server.name, session=stray.session_id)
    stray.last_seen_at = at
    if server.is_running and stray.started_at is None:
        session = db.session.get(LabSession, stray.session_id) if stray.session_id else None
        ended_at = session.ended_at if session else None
        stray.started_at = min(now, max(filter(None, (server.started_at or now, ended_at))))
    _told(stray)
    return stray


def insist(stray_id: UUID) -> bool:
    """It is still there, and stopping. True: for so long that the hub is to be told once more."""
    stray = db.session.get_one(Stray, stray_id, with_for_update=True, populate_existing=True)
    if stray.gone_at is not None or clock.now() - (stray.stop_ordered_at or stray.created_at) < STOP_LIMIT:
        return False
    _told(stray)
    return True


def gone(stray_id: UUID) -> Stray:
    """The hub confirms that it is gone: note how long it ran for nobody, and write that off."""
    stray = db.session.get_one(Stray, stray_id, with_for_update=True, populate_existing=True)
    if stray.gone_at is not None:
        return stray
    stray.gone_at = clock.now()
    if stray.started_at is not None:
        stray.seconds = max(0, int((stray.gone_at - stray.started_at).total_seconds()))
        stray.loss_micro = losses.write_off(
            stray.center_id,
            stray.session_id,
            stray.seconds,
            key=f"stray:{stray.id.hex}",
            why=f"{stray.server_name} ran for nobody",
        )
    audit.record(SYSTEM, "stray.gone", stray, seconds=stray.seconds, loss_micro=stray.loss_micro)
    return stray


def _session(center_id: UUID, server: Sighted) -> LabSession | None:
    session = db.session.get(LabSession, server.session_id) if server.session_id else None
    if session is None or session.center_id != center_id or session.person.hub_name != server.user:
        return None
    return session


def _told(stray: Stray) -> None:
    now = clock.now()
    in_vain = stray.stop_attempts >= STOPS_BEFORE_HELP and now - stray.created_at >= STOP_LIMIT
    stray.stop_ordered_at = now
    stray.stop_attempts += 1
    if in_vain and stray.escalated_at is None:
        stray.escalated_at = now
        operators.tell(
            "stray-does-not-stop",
            f"{stray.id}:does-not-stop",
            url="/operations#drift",
            center=db.session.get_one(Center, stray.center_id).slug,
            server=stray.server_name,
            times=stray.stop_attempts,
        )
