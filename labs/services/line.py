"""The line at a full center: join, offer, accept, miss, leave; where one stands, and when it may be one's turn.

Places go in the order of arrival; nobody overtakes. A free place is kept for the first for a few minutes; who does not
take it goes to the end, and leaves the line after the second time. A lab in line holds no credits: they are put aside
when the place is taken. Every function locks the session first, the center's counters last, and may be repeated.

Room for fair shares: who is next is decided in one place, `_first`.
"""

from datetime import datetime, timedelta
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import func, select

from accounts.services import notices
from app import audit, clock, jobs
from app.access import SYSTEM, Actor, require
from app.db import db
from app.locale import in_every_language
from labs import policy, queries, signals
from labs.errors import LaunchRefused, OfferOver
from labs.models import IN_LINE, Center, CenterState, LabSession, SessionState
from labs.services import admission, places

OFFER_FOR = timedelta(minutes=3)
OFFERS = 2  # who misses so many leaves the line

notices.describe(
    "lab-place-offered",
    _("A place is free for your lab “%(title)s”"),
    _("It is kept for you until %(until_at)s. Open the lab's page and take it."),
    label=_("A place is free for my lab"),
)
notices.describe(
    "lab-place-missed",
    _("The place for your lab “%(title)s” went to the next person"),
    _("You did not take it in time. You are still in line, at its end."),
    label=_("I missed a place in the line"),
)
notices.describe(
    "lab-left-line",
    _("Your lab “%(title)s” is no longer in line"),
    _("Two places were offered and not taken. Nothing was charged; launch it again when you have time."),
    label=_("My lab has left the line"),
)
notices.describe(
    "lab-place-refused",
    _("Your lab “%(title)s” could not take its place"),
    _("%(why)s The place went to the next person, and nothing was charged."),
    label=_("My lab could not take its place"),
)


def join(session: LabSession) -> LabSession:
    """Put a new session at the end of its center's line."""
    places.queue(session.center_id)
    session.state, session.waiting_since = SessionState.WAITING, _end_of_line(session.center_id)
    db.session.add(session)
    db.session.flush()
    jobs.wake("offer_places")  # a place may have become free meanwhile
    return session


def offer_next(center_id: UUID) -> LabSession | None:
    """Keep a free place for the first in line, and tell its person; None when there is no place or nobody waits."""
    center = db.session.get_one(Center, center_id)
    if not _takes_labs(center):
        return None
    session = _first(center_id)
    if session is None or not places.keep(center_id):
        return None
    session.state, session.offered_until = SessionState.OFFERED, clock.now() + OFFER_FOR
    session.offers += 1
    audit.record(SYSTEM, "session.offer", session, until_at=session.offered_until, offers=session.offers)
    _tell(session, "lab-place-offered", f"offer-{session.offers}", until_at=session.offered_until)
    return session


def accept(actor: Actor, session_id: UUID) -> LabSession:
    """Take the place that is kept: put the credits aside and queue the start. Taking it twice is taking it once."""
    session = queries.session(actor, session_id)
    require(policy.may_open_session(actor, session))
    session = queries.locked_session(session_id)
    if session.is_live and session.state not in IN_LINE:
        return session
    if session.state is not SessionState.OFFERED or (session.offered_until or clock.now()) <= clock.now():
        raise OfferOver(place=place(session), state=session.state)
    case = admission.Case.of_session(session)
    admission.check(case)
    session.hold_id = admission.reserve(case, key=f"session:{session.id.hex}").id
    admission.check_center(case)
    session.state, session.offered_until = SessionState.RESERVED, None
    audit.record(actor, "session.accept", session)
    jobs.wake("start_sessions")
    db.session.flush()
    db.session.refresh(session, ["hold"])
    return session


def give_up(session_id: UUID, refusal: LaunchRefused) -> None:
    """Its person wanted the place and was refused: it goes to the next one, unless waiting mends what was wrong."""
    session = queries.locked_session(session_id)
    if session.state is SessionState.OFFERED and refusal.members["never"]:
        why = in_every_language(refusal.title)
        _tell(session, "lab-place-refused", why_zh=why["zh_CN"], why_en=why["en"])
        _leave(SYSTEM, session, "place-refused")


def miss(session_id: UUID) -> bool:
    """The offer was not taken in time: back to the end of the line; out of it after the second time.

    Where the center takes no labs meanwhile, nobody could have taken it: then the place in line stays.
    """
    session = queries.locked_session(session_id)
    if session.state is not SessionState.OFFERED or session.offered_until is None:
        return False
    if session.offered_until > clock.now():
        return False
    if not _takes_labs(session.center):
        _wait_again(session)
        session.offers -= 1
    elif session.offers >= OFFERS:
        _tell(session, "lab-left-line")
        _leave(SYSTEM, session, "missed-offers")
    else:
        _tell(session, "lab-place-missed", f"missed-{session.offers}")
        _wait_again(session)
        session.waiting_since = _end_of_line(session.center_id)
    audit.record(SYSTEM, "session.miss", session, offers=session.offers, state=session.state)
    jobs.wake("offer_places")
    return True


def leave(session: LabSession, actor: Actor, reason: str) -> None:
    """Take a session out of the line; the caller has locked it and asked whether the actor may."""
    if session.state in IN_LINE:
        _leave(actor, session, reason)


def missed_ids() -> list[UUID]:
    """Sessions whose offer was not taken in time."""
    statement = select(LabSession.id).where(
        LabSession.state == SessionState.OFFERED, LabSession.offered_until <= clock.now()
    )
    return list(db.session.scalars(statement.order_by(LabSession.offered_until)))


def centers_with_line() -> list[UUID]:
    """Centers at which somebody waits."""
    return list(
        db.session.scalars(select(LabSession.center_id).where(LabSession.state == SessionState.WAITING).distinct())
    )


def place(session: LabSession) -> int | None:
    """1 for the first in line; None for who does not wait."""
    return queries.place_in_line(session)


def _first(center_id: UUID) -> LabSession | None:
    """Who is next, locked. Whoever has just left is passed over; nobody else is."""
    statement = (
        select(LabSession.id, LabSession.waiting_since)
        .where(LabSession.center_id == center_id, LabSession.state == SessionState.WAITING)
        .order_by(LabSession.waiting_since, LabSession.id)
        .limit(1)
    )
    while (found := db.session.execute(statement).first()) is not None:
        session = queries.locked_session(found.id)
        if (session.state, session.waiting_since) == (SessionState.WAITING, found.waiting_since):
            return session
    return None


def _end_of_line(center_id: UUID) -> datetime:
    """After everybody who waits, also when clocks disagree. The center's counters are locked, so nobody joins now."""
    last = db.session.scalar(
        select(func.max(LabSession.waiting_since)).where(
            LabSession.center_id == center_id, LabSession.state == SessionState.WAITING
        )
    )
    now = clock.now()
    return now if last is None else max(now, last + timedelta(microseconds=1))


def _takes_labs(center: Center) -> bool:
    return center.state is CenterState.UP and center.unreachable_since is None


def _wait_again(session: LabSession) -> None:
    places.put_back(session.center_id)
    session.state, session.offered_until = SessionState.WAITING, None


def _leave(actor: Actor, session: LabSession, reason: str) -> None:
    before, session.state = session.state, SessionState.VOIDED
    session.stop_reason, session.ended_at, session.offered_until = reason, clock.now(), None
    session.forgotten_at = session.ended_at  # the hub never heard of it
    db.session.flush()
    places.leave(session.center_id, before)
    jobs.wake("offer_places")
    audit.record(actor, "session.leave_line", session, reason=reason)
    signals.session_ended.send(session)


def _tell(session: LabSession, kind: str, event: str | None = None, **facts: object) -> None:
    notices.notify(
        session.person_id,
        kind,
        f"{session.id}:{event or kind}",
        url=f"/labs/{session.id}",
        title_zh=session.template.title_zh,
        title_en=session.template.title_en,
        **facts,
    )
