"""Labs in which nothing runs: told so, then stopped, unless their person says that they are needed.

Idle is: no busy kernel, no accelerator in use, and no keep-alive, for as long as the template or the center says.
Only what the lab itself reports counts as evidence. Where reports are missing, or an accelerator cannot be measured,
nothing is known, and nothing is stopped.
"""

from datetime import datetime, timedelta
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import func, or_, select

from accounts.services import notices
from app import audit, clock
from app.access import SYSTEM, Actor, require
from app.db import db
from app.errors import Invalid
from labs import policy, queries
from labs.errors import InvalidRequest, KeepAliveSpent, LabIsEnding, LabNotReady
from labs.models import IDLE_NOTICE, Center, LabSession, LabTemplate, SessionActivity, SessionState
from labs.services import activity, sessions

notices.describe(
    "lab-idle",
    _("Nothing runs in your lab “%(title)s”"),
    _("It stops at %(stops_at)s and the rest of the credits goes back. Run a cell, or keep it running on its page."),
    label=_("Nothing runs in my lab"),
)

FRESH = timedelta(minutes=2)  # older reports say nothing about now
KEEP_ALIVES = 3  # for one session
LONGEST_KEEP_ALIVE = 120  # minutes at a time
SHORTEST, LONGEST = 5, 24 * 60  # minutes without work that a center or a template may ask for


def check_minutes(minutes: int) -> None:
    """Refuse what nobody can have meant: less leaves no time for the warning, more saves nothing."""
    if not SHORTEST <= minutes <= LONGEST:
        detail = _("From %(shortest)s to %(longest)s minutes.", shortest=SHORTEST, longest=LONGEST)
        raise Invalid(errors=[{"pointer": "#/idle_minutes", "detail": detail}])


def window(session: LabSession) -> timedelta:
    """For how long nothing must have run."""
    return timedelta(minutes=session.template.idle_minutes or session.center.idle_minutes)


def idle_since(session: LabSession, said: SessionActivity | None, at: datetime) -> datetime | None:
    """Since when nothing runs in the lab, on the evidence of its reports; None: something does, or nobody knows."""
    if said is None or session.ready_at is None or said.reported_at < at - FRESH:
        return None
    if said.busy_kernels or said.accelerator_percent:
        return None
    if session.flavor.accelerators and said.accelerator_percent is None:
        return None
    moments = (session.ready_at, said.last_busy_at, said.last_accelerator_at, session.keep_alive_until)
    since = max(moment for moment in moments if moment is not None)
    return since if since <= at else None


def to_look_at() -> list[UUID]:
    """Running labs that may be idle, and those that were told so. One statement; `look` decides."""
    now = clock.now()
    quiet = func.greatest(
        LabSession.ready_at,
        SessionActivity.last_busy_at,
        SessionActivity.last_accelerator_at,
        LabSession.keep_alive_until,
    )
    minutes = func.coalesce(LabTemplate.idle_minutes, Center.idle_minutes)
    statement = (
        select(LabSession.id)
        .join(SessionActivity, SessionActivity.session_id == LabSession.id)
        .join(LabTemplate, LabTemplate.id == LabSession.template_id)
        .join(Center, Center.id == LabSession.center_id)
        .where(LabSession.state == SessionState.RUNNING)
        .where(
            or_(
                LabSession.idle_warned_at.is_not(None),
                (SessionActivity.busy_kernels == 0)
                & (SessionActivity.reported_at >= now - FRESH)
                & (quiet <= now - func.make_interval(0, 0, 0, 0, 0, 0, minutes * 30)),
            )
        )
    )
    return list(db.session.scalars(statement.order_by(LabSession.id)))


def look(session_id: UUID) -> bool:
    """Warn, stop, or take the warning back, as the evidence is now."""
    session, now = sessions.locked(session_id), clock.now()
    if session.state is not SessionState.RUNNING:
        return False
    said = db.session.get(SessionActivity, session_id, populate_existing=True)
    since, limit = idle_since(session, said, now), window(session)
    if since is None or now - since < max(limit - IDLE_NOTICE, limit / 2):
        session.idle_warned_at = None
        return False
    if session.idle_warned_at is None:
        _warn(session)
        return True
    if now - since >= limit and session.idle_stops_at is not None and session.idle_stops_at <= now:
        return sessions.end_idle(session_id, int((now - since).total_seconds() // 60))
    return False


def keep_running(actor: Actor, session_id: UUID, minutes: int) -> LabSession:
    """Do not take the lab for idle for so many minutes. A few times in a session; asking twice counts once."""
    session = queries.session(actor, session_id)
    require(policy.may_keep_running(actor, session))
    if not 1 <= minutes <= LONGEST_KEEP_ALIVE:
        raise InvalidRequest(
            _("A lab is kept running for 1 to %(longest)s minutes at a time.", longest=LONGEST_KEEP_ALIVE),
            minutes=minutes,
        )
    session = sessions.locked(session_id)
    if session.state is SessionState.STOPPING or not session.is_live:
        raise LabIsEnding(state=session.state)
    if session.state is not SessionState.RUNNING:
        raise LabNotReady(state=session.state)
    if not _is_kept(session, minutes) and not _keep(actor, session, minutes):
        raise KeepAliveSpent(
            _("%(times)s of %(limit)s times are used.", times=session.keep_alives, limit=KEEP_ALIVES),
            layer={"name": "keep-alive", "limit": KEEP_ALIVES, "posted": session.keep_alives, "asked": 1},
        )
    return session


def asked_inside(session_id: UUID, minutes: int) -> bool:
    """The same, asked for inside the lab and brought by its hub; whether it is granted. Refuses without a word."""
    session = sessions.locked(session_id)
    minutes = min(minutes, LONGEST_KEEP_ALIVE)
    if minutes < 1 or session.state is not SessionState.RUNNING:
        return False
    return _is_kept(session, minutes) or _keep(SYSTEM, session, minutes)


@activity.keep_running.append
def _asked(session: LabSession, minutes: int) -> None:
    asked_inside(session.id, minutes)


def _is_kept(session: LabSession, minutes: int) -> bool:
    """A second click, or the same question from the lab some seconds later."""
    until = session.keep_alive_until
    return until is not None and until >= clock.now() + timedelta(minutes=minutes - 1)


def _keep(actor: Actor, session: LabSession, minutes: int) -> bool:
    if session.keep_alives >= KEEP_ALIVES:
        return False
    session.keep_alive_until = clock.now() + timedelta(minutes=minutes)
    session.keep_alives += 1
    session.idle_warned_at = None
    audit.record(
        actor, "session.keep-alive", session, minutes=minutes, times=session.keep_alives, person_id=session.person_id
    )
    db.session.flush()
    return True


def _warn(session: LabSession) -> None:
    session.idle_warned_at = clock.now()
    notices.notify(
        session.person_id,
        "lab-idle",
        f"{session.id}:idle:{session.idle_warned_at.isoformat()}",
        url=f"/labs/{session.id}",
        title_zh=session.template.title_zh,
        title_en=session.template.title_en,
        stops_at=session.idle_stops_at,
    )
