"""The life of a lab session: reserved, starting, running, stopping; settled or voided.

One function for each step; each locks the session's row first, checks the state, and may be repeated: where the
diagram (`MOVES`) has no such step, nothing happens. Nothing here talks to the hub, so every function is safe inside
a transaction; `labs.jobs` does the talking in between.
"""

from datetime import datetime, timedelta
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import or_, select

from accounts.services import notices
from app import audit, clock, jobs
from app.access import SYSTEM, Actor, require, require_person
from app.db import db
from app.errors import Remedy
from app.ids import uuid7
from labs import ledger, policy, queries, signals
from labs.errors import BudgetExhausted, MemberCapExhausted
from labs.models import HOUR, Flavor, LabSession, SessionState
from labs.queries import GRACE_SECONDS
from labs.services import admission, losses

notices.describe(
    "lab-ends-soon",
    _("Your lab “%(title)s” ends in %(minutes)s minutes"),
    _("Save your work. Your files stay; the lab stops at %(ends_at)s."),
    label=_("A lab ends soon"),
)
notices.describe(
    "lab-lease-ended",
    _("Your lab “%(title)s” has ended"),
    _("Its time was over, so it was stopped. Your files are kept for the next time."),
    label=_("A lab has ended"),
)
notices.describe(
    "lab-stopped",
    _("Your lab “%(title)s” was stopped"),
    _("%(by)s stopped it. Your files are kept."),
    label=_("Somebody stopped my lab"),
)
notices.describe(
    "lab-vanished",
    _("Your lab “%(title)s” is gone"),
    _("The computing center lost it. You pay only until it was last seen; start it again from the course."),
    label=_("A lab is gone"),
)
notices.describe(
    "lab-start-failed",
    _("Your lab “%(title)s” could not be started"),
    _("Nothing was charged. Try again; if it stays, tell your teacher."),
    label=_("A lab could not be started"),
)

notices.describe(
    "lab-idle-stopped",
    _("Your lab “%(title)s” was stopped because nothing ran in it"),
    _("No cell was at work for %(minutes)s minutes, so the rest of the credits went back. Your files are kept."),
    label=_("A lab was stopped because nothing ran in it"),
)

START_LIMIT = timedelta(minutes=3)  # from the order until the server must answer
ATTEMPTS = 3

# The diagram of docs/labs.md: from each state, where a session may go. Every move is made by `_move`.
MOVES: dict[SessionState, frozenset[SessionState]] = {
    SessionState.WAITING: frozenset({SessionState.OFFERED, SessionState.RESERVED, SessionState.VOIDED}),
    SessionState.OFFERED: frozenset({SessionState.WAITING, SessionState.RESERVED, SessionState.VOIDED}),
    SessionState.RESERVED: frozenset(
        {SessionState.STARTING, SessionState.RUNNING, SessionState.STOPPING, SessionState.VOIDED}
    ),
    SessionState.STARTING: frozenset(
        {SessionState.RESERVED, SessionState.RUNNING, SessionState.STOPPING, SessionState.VOIDED}
    ),
    SessionState.RUNNING: frozenset({SessionState.STOPPING, SessionState.SETTLED}),
    SessionState.STOPPING: frozenset({SessionState.SETTLED, SessionState.VOIDED}),
    SessionState.SETTLED: frozenset(),
    SessionState.VOIDED: frozenset(),
}


def request(
    actor: Actor,
    *,
    template_id: UUID,
    flavor_id: UUID,
    minutes: int,
    budget_id: UUID,
    origin_url: str | None = None,
) -> LabSession:
    """Promise the credits and queue the start; or return the session that is there already (a double click).

    Raises a `LaunchRefused` that says why not, and then nothing is changed.
    """
    person_id = require_person(actor)
    admission.lock_until_commit("person", person_id)
    running = queries.live_session(person_id, template_id)
    if running is not None:
        return running
    flavor = admission.check_request(
        person_id=person_id, template_id=template_id, flavor_id=flavor_id, minutes=minutes, budget_id=budget_id
    )
    session_id = uuid7()
    try:
        hold = ledger.reserve(
            budget_id,
            person_id,
            flavor,
            minutes * 60 + GRACE_SECONDS,
            key=f"session:{session_id.hex}",
        )
    except (MemberCapExhausted, BudgetExhausted) as refusal:
        refusal.remedies = _remedies(refusal, flavor)
        raise
    admission.check_center(flavor.center)
    session = LabSession(
        id=session_id,
        person_id=person_id,
        template_id=template_id,
        flavor_id=flavor_id,
        center_id=flavor.center_id,
        budget_id=budget_id,
        hold_id=hold.id,
        lease_minutes=minutes,
        origin_url=origin_url,
    )
    db.session.add(session)
    db.session.flush()
    audit.record(actor, "session.request", session, minutes=minutes, held_micro=hold.amount, flavor=flavor.slug)
    jobs.wake("start_sessions")
    return session


def stop(actor: Actor, session_id: UUID) -> LabSession:
    """Ask for the end of a session. One that has ended, or is ending, stays as it is."""
    session = queries.session(actor, session_id)
    require(policy.may_stop_session(actor, session, manages=queries.manages(actor, session.budget_id)))
    session = locked(session_id)
    if session.is_live and session.state is not SessionState.STOPPING:
        reason = policy.stop_reason(actor, session)
        audit.record(actor, "session.stop", session, reason=reason)
        _order_stop(session, reason)
        if reason != "student":
            _tell(session, "lab-stopped", by=actor.name)
    return session


def locked(session_id: UUID) -> LabSession:
    """The session, and nobody else changes it until the transaction ends."""
    return db.session.scalars(
        select(LabSession)
        .where(LabSession.id == session_id)
        .with_for_update(of=LabSession)
        .execution_options(populate_existing=True)
    ).one()


def claim_next() -> LabSession | None:
    """Take one reserved session for starting; two workers never take the same one."""
    now = clock.now()
    session = db.session.scalar(
        select(LabSession)
        .where(
            LabSession.state == SessionState.RESERVED,
            or_(LabSession.not_before.is_(None), LabSession.not_before <= now),
        )
        .order_by(LabSession.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=LabSession)
    )
    if session is not None:
        _move(session, SessionState.STARTING)
        session.ordered_at, session.not_before = now, None
        session.attempts += 1
    return session


def try_again(session_id: UUID, why: str, after: timedelta) -> LabSession:
    """The start did not get through to the hub: queue it again, or give up where that has gone on for too long."""
    session = locked(session_id)
    if session.state is not SessionState.STARTING:
        return session
    if clock.now() + after - session.created_at > START_LIMIT:
        return fail(session_id, why, "hub-unreachable")
    _move(session, SessionState.RESERVED)
    session.not_before = clock.now() + after
    session.attempts -= 1  # the hub never heard of it
    session.failure = why
    return session


def restart(session_id: UUID, why: str) -> LabSession:
    """The server did not come up: order it once more, or give up after the last attempt."""
    session = locked(session_id)
    if session.state is not SessionState.STARTING:
        return session
    if session.attempts >= ATTEMPTS:
        return fail(session_id, why, "start-failed")
    _move(session, SessionState.RESERVED)
    session.failure = why
    session.not_before = clock.now() + timedelta(seconds=2 * session.attempts)
    return session


def mark_running(session_id: UUID) -> LabSession:
    """The server answers: the lease, and the charge, begin now."""
    session = locked(session_id)
    if session.state in (SessionState.STARTING, SessionState.RESERVED):
        now = clock.now()
        _move(session, SessionState.RUNNING)
        session.ready_at, session.last_running_at = now, now
        session.lease_ends_at = now + timedelta(minutes=session.lease_minutes)
        session.failure, session.not_before = None, None
    return session


def post_usage(session_id: UUID) -> bool:
    """Charge what ran since the last posting, as far as the hub has confirmed that it ran, and no further than its
    person pays for."""
    session = locked(session_id)
    if session.state is not SessionState.RUNNING or session.last_running_at is None:
        return False
    until = session.charged_until(session.last_running_at)
    hold = ledger.post(session.held_by, session.seconds_running(until), session.ready_at)
    charged = session.charged_micro != hold.posted_micro
    session.seconds_used, session.charged_micro = hold.posted_seconds, hold.posted_micro
    return charged


def end_lease(session_id: UUID) -> bool:
    """Stop a session whose lease is over, and say so."""
    session = locked(session_id)
    if session.state is not SessionState.RUNNING or session.lease_ends_at is None:
        return False
    if session.lease_ends_at > clock.now():
        return False
    audit.record(SYSTEM, "session.stop", session, reason="lease-ended")
    _order_stop(session, "lease-ended")
    _tell(session, "lab-lease-ended")
    return True


def end_idle(session_id: UUID, minutes: int) -> bool:
    """Stop a session in which nothing ran for so many minutes, and say so. `labs.services.idle` has looked."""
    session = locked(session_id)
    if session.state is not SessionState.RUNNING:
        return False
    audit.record(SYSTEM, "session.stop", session, reason="idle", minutes=minutes)
    _order_stop(session, "idle")
    _tell(session, "lab-idle-stopped", minutes=minutes)
    return True


def warn(session_id: UUID, minutes: int) -> None:
    """Tell the person that the lease ends soon; once for each number of minutes, and again after an extension."""
    session = locked(session_id)
    if session.state is SessionState.RUNNING:
        session.warned_minutes = minutes
        event = f"ends-in-{minutes}-of-{session.lease_minutes}"
        _tell(session, "lab-ends-soon", event=event, minutes=minutes, ends_at=session.lease_ends_at)


def end(session_id: UUID, at: datetime, reason: str) -> LabSession:
    """The server is gone: settle what ran until then and give the rest back. What never ran costs nothing, and what
    ran on after the grace is not charged: its end is ours to bring about."""
    session = locked(session_id)
    if not session.is_live:
        return session
    if session.ready_at is None:
        if session.stop_reason == "start-failed":
            _tell(session, "lab-start-failed")
        if session.last_running_at is not None:  # it came up while it was being stopped
            losses.of_session(session, session.stop_requested_at or at, at)
        return _void(session, reason)
    at = max(at, session.ready_at)
    until = session.charged_until(at)
    hold = ledger.settle(session.held_by, session.seconds_running(until), session.ready_at)
    session.seconds_used, session.charged_micro = hold.posted_seconds, hold.posted_micro
    session.stop_reason = session.stop_reason or reason
    audit.record(
        SYSTEM,
        "session.settle",
        session,
        reason=session.stop_reason,
        charged_micro=hold.posted_micro,
        seconds_not_charged=int((at - until).total_seconds()),
    )
    paid_until = session.ready_at + timedelta(seconds=session.seconds_used)  # sooner, where its hold was closed before
    losses.of_session(session, min(until, paid_until), at)
    if session.stop_reason == "vanished":
        _tell(session, "lab-vanished")
    return _close(session, SessionState.SETTLED, at)


def fail(session_id: UUID, why: str, reason: str) -> LabSession:
    """The lab could not be started: every credit goes back, and the person hears of it."""
    session = locked(session_id)
    if not session.is_live or session.ready_at is not None:
        return session
    session.failure = why
    _tell(session, "lab-start-failed")
    return _void(session, reason)


def give_up(session_id: UUID, why: str) -> LabSession:
    """The start takes too long: end it, and void it once the hub confirms that nothing runs."""
    session = locked(session_id)
    if session.state is SessionState.STARTING:
        session.failure = why
        _order_stop(session, "start-failed")
    return session


def end_unpaid(session_id: UUID) -> LabSession:
    """Its hold is closed, so nobody pays: end it."""
    session = locked(session_id)
    if session.is_live and session.state is not SessionState.STOPPING:
        audit.record(SYSTEM, "session.stop", session, reason="unpaid")
        _order_stop(session, "unpaid")
    return session


def forgotten(session_id: UUID) -> None:
    """The hub has confirmed that it keeps nothing of an ended session."""
    session = locked(session_id)
    session.forgotten_at = clock.now()


def running_ids() -> list[UUID]:
    return list(db.session.scalars(select(LabSession.id).where(LabSession.state == SessionState.RUNNING)))


def lease_over_ids() -> list[UUID]:
    statement = select(LabSession.id).where(
        LabSession.state == SessionState.RUNNING, LabSession.lease_ends_at <= clock.now()
    )
    return list(db.session.scalars(statement))


def ending_within_ids(minutes: int) -> list[UUID]:
    """Sessions with less than so many minutes to go whose people have not been told yet."""
    statement = select(LabSession.id).where(
        LabSession.state == SessionState.RUNNING,
        LabSession.lease_minutes > minutes,
        or_(LabSession.warned_minutes.is_(None), LabSession.warned_minutes > minutes),
        LabSession.lease_ends_at <= clock.now() + timedelta(minutes=minutes),
    )
    return list(db.session.scalars(statement))


def _remedies(refusal: MemberCapExhausted | BudgetExhausted, flavor: Flavor) -> tuple[Remedy, ...]:
    """What would fit: a shorter lease, where one does."""
    left: int = refusal.members["layer"]["left"]  # type: ignore[index]
    minutes = (left * HOUR // flavor.price_micro - GRACE_SECONDS) // 60
    whom = Remedy("ask-for-compute", _("Ask your teacher for more compute"))
    if minutes < 1:
        return (whom,)
    return (Remedy("shorter-lease", _("Launch it for %(minutes)s minutes: that fits", minutes=minutes)), whom)


def _order_stop(session: LabSession, reason: str) -> None:
    session.stop_requested_at, session.stop_reason = clock.now(), reason
    if session.attempts == 0:  # the hub never heard of it
        _void(session, reason)
    else:
        _move(session, SessionState.STOPPING)
        jobs.wake("follow_sessions")


def _void(session: LabSession, reason: str) -> LabSession:
    if session.hold_id is not None:  # in line nothing is held yet
        ledger.void(session.hold_id)
    session.stop_reason = session.stop_reason or reason
    if session.attempts == 0:
        session.forgotten_at = clock.now()
    audit.record(SYSTEM, "session.void", session, reason=session.stop_reason)
    return _close(session, SessionState.VOIDED, clock.now())


def _close(session: LabSession, state: SessionState, at: datetime) -> LabSession:
    """Whatever a session ends by, it ends here, once."""
    _move(session, state)
    session.ended_at = at
    db.session.flush()
    signals.session_ended.send(session)
    return session


def _move(session: LabSession, to: SessionState) -> None:
    """Take one step of the diagram. A step that it does not have is a fault of ours, and nothing is written."""
    if to not in MOVES[session.state]:
        raise AssertionError(f"no session goes from {session.state} to {to}")
    session.state = to


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
