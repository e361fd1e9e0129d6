"""The life of a lab session: reserved, starting, running, stopping; settled or voided.

One function for each step; each locks the session's row first, checks the state, and may be repeated: where the
diagram (`MOVES`) has no such step, nothing happens. Nothing here talks to the hub, so every function is safe inside
a transaction; `labs.jobs` does the talking in between.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import func, or_, select
from sqlalchemy.orm import aliased

from accounts.services import notices
from app import audit, clock, jobs
from app.access import SYSTEM, Actor, require, require_person
from app.db import db
from app.errors import Remedy
from app.ids import uuid7
from labs import ledger, policy, queries, signals
from labs.errors import IdempotencyConflict, InvalidRequest, LaunchRefused, UserConcurrency
from labs.models import IN_LINE, Center, LabSession, LabTemplate, SessionState
from labs.services import admission, line, losses, places, placing
from labs.services.admission import Case
from labs.services.placing import Note, Wanted

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
LONGEST_KEY = 200

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
    flavor_id: UUID | None = None,
    size: str | None = None,
    center: str | None = None,
    minutes: int,
    budget_id: UUID,
    origin_url: str | None = None,
    key: str | None = None,
    wait: bool = True,
    note: Note = placing.keep_nothing,
) -> LabSession:
    """Promise the credits and queue the start; join the line where the center is full, unless `wait` is false.

    Of a `size`, the best center is found, unless one is named; with a `flavor_id` there is nothing to choose. `note` is
    told what was weighed.

    The same `key` with the same body gives the same session, also after it has ended; without a key a double click
    finds the one that is there. Raises a `LaunchRefused` that says why not, and then nothing is changed.
    """
    person_id = require_person(actor)
    admission.lock_until_commit("person", person_id)
    wanted = Wanted(flavor_id, size, center or None)
    digest = _digest(key, template_id, wanted.digest, minutes, budget_id)
    live = queries.live_sessions_of(person_id, template_id)
    before = _asked_before(person_id, live, key, digest)
    if before is not None:
        return before
    found = placing.cases(person_id, template_id, minutes, budget_id, wanted)
    if len(found) == 1:
        note(found[0].flavor, [])
        admission.check(found[0])
    session = LabSession(
        id=uuid7(),
        person_id=person_id,
        template_id=template_id,
        budget_id=budget_id,
        slot=_free_slot(live, found[0].template),
        request_key=key,
        request_sha256=digest,
        lease_minutes=minutes,
        origin_url=origin_url,
    )
    case = _placed_anywhere(found, session, wait=wait, note=note) if len(found) > 1 else found[0]
    if len(found) == 1 and not _take_place(case, session):
        if not wait:
            raise admission.full(case)
        line.join(session)
    audit.record(
        actor,
        "session.request",
        session,
        minutes=minutes,
        held_micro=session.hold.amount if session.hold else 0,
        flavor=case.flavor.slug,
        state=session.state,
    )
    return session


def stop(actor: Actor, session_id: UUID) -> LabSession:
    """Ask for the end of a session. One that has ended, or is ending, stays as it is."""
    session = queries.session(actor, session_id)
    require(policy.may_stop_session(actor, session, manages=queries.manages(actor, session.budget_id)))
    session = locked(session_id)
    reason = policy.stop_reason(actor, session)
    if session.state in IN_LINE:
        line.leave(session, actor, reason)
    elif session.is_live and session.state is not SessionState.STOPPING:
        audit.record(actor, "session.stop", session, reason=reason)
        _order_stop(session, reason)
        if reason != "student":
            _tell(session, "lab-stopped", by=actor.name)
    return session


def locked(session_id: UUID) -> LabSession:
    """The session, and nobody else changes it until the transaction ends."""
    return queries.locked_session(session_id)


def claim_next() -> LabSession | None:
    """Take one reserved session for starting; two workers never take the same one.

    A center starts so many at once (`start_limit`); the others come after them, in order.
    """
    now, other = clock.now(), aliased(LabSession)
    under_way = select(func.count()).where(
        other.center_id == LabSession.center_id, other.state == SessionState.STARTING
    )
    start_limit = select(Center.start_limit).where(Center.id == LabSession.center_id)
    session = db.session.scalar(
        select(LabSession)
        .where(
            LabSession.state == SessionState.RESERVED,
            or_(LabSession.not_before.is_(None), LabSession.not_before <= now),
            under_way.correlate(LabSession).scalar_subquery() < start_limit.correlate(LabSession).scalar_subquery(),
        )
        .order_by(LabSession.hold_id)  # as the credits were put aside: who waited in line comes when it is their turn
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
    assert session.hold is not None
    if clock.now() + after - session.hold.created_at > START_LIMIT:
        return fail(session_id, why, "hub-unreachable")
    _move(session, SessionState.RESERVED)
    session.not_before = clock.now() + after
    session.attempts -= 1  # the hub never heard of it
    session.failure = why
    return session


def restart(session_id: UUID, why: str, code: str = "") -> LabSession:
    """The server did not come up: order it once more, or give up after the last attempt."""
    session = locked(session_id)
    if session.state is not SessionState.STARTING:
        return session
    if session.attempts >= ATTEMPTS:
        return fail(session_id, why, "start-failed", code)
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


def fail(session_id: UUID, why: str, reason: str, code: str = "") -> LabSession:
    """The lab could not be started: every credit goes back, and the person hears of it. `code` is one of
    `labs.failures`, where the center's scheduler said why; it stays on the session and in the trail."""
    session = locked(session_id)
    if not session.is_live or session.ready_at is not None:
        return session
    session.failure, session.failure_code = why, code or None
    if code:
        audit.record(SYSTEM, "session.refused", session, code=code, said=why)
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


def _digest(key: str | None, *asked: object) -> str | None:
    """What was asked under a key, so that the same is told from something else."""
    if key is None:
        return None
    if not 0 < len(key) <= LONGEST_KEY:
        raise InvalidRequest(_("An idempotency key has 1 to %(longest)s characters.", longest=LONGEST_KEY))
    return hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()


def _asked_before(
    person_id: UUID, live: Sequence[LabSession], key: str | None, digest: str | None
) -> LabSession | None:
    """What this key was given before; or the lab that is there, where a person may have one of this template."""
    if key is not None and (session := queries.session_of_key(person_id, key)) is not None:
        if session.request_sha256 != digest:
            raise IdempotencyConflict(key=key, session_id=str(session.id))
        return session
    if live and (key is None or live[0].template.sessions_each == 1):
        return live[0]
    return None


def _free_slot(live: Sequence[LabSession], template: LabTemplate) -> int:
    taken = {session.slot for session in live}
    free = next((slot for slot in range(template.sessions_each) if slot not in taken), None)
    if free is None:
        raise UserConcurrency(
            _("%(live)s of %(limit)s labs of this lesson are running.", live=len(taken), limit=template.sessions_each),
            layer={
                "name": "template",
                "limit": template.sessions_each,
                "held": len(taken),
                "asked": 1,
                "left": 0,
                "unit": "sessions",
            },
            remedies=(Remedy("my-labs", _("Look at your labs and stop one"), "/labs"),),
        )
    return free


def _placed_anywhere(found: Sequence[Case], session: LabSession, *, wait: bool, note: Note) -> Case:
    """Take a place at the best center, or one in its line. Where the last place is lost to somebody else, or a center
    refuses after all, what is left is weighed anew."""
    choice = placing.choose(found, wait=wait)
    while True:
        note(choice.options[0].case.flavor, choice.facts)
        best = choice.best
        if best.is_full and wait:
            session.flavor_id, session.center_id = best.case.flavor.id, best.case.center.id
            line.join(session)
            return best.case
        try:
            if _take_place(best.case, session):
                return best.case
        except LaunchRefused as refusal:
            choice = choice.without(best, refusal)
        else:
            choice = choice.full(best) if wait else choice.without(best, admission.full(best.case))


def _take_place(case: Case, session: LabSession) -> bool:
    """Put the credits aside and take a place; where there is none, leave no trace and say so."""
    session.flavor_id, session.center_id = case.flavor.id, case.center.id
    if queries.load(case.center.id).is_full:
        admission.check_credits(case)
        admission.check_center(case)
        return False
    with db.session.begin_nested() as step:
        hold = admission.reserve(case, key=f"session:{session.id.hex}")
        admission.check_center(case)
        if not places.take(session.center_id):
            step.rollback()
            return False
    session.hold_id, session.hold = hold.id, hold
    db.session.add(session)
    db.session.flush()
    jobs.wake("start_sessions")
    return True


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
    before = session.state
    _move(session, state)
    session.ended_at = at
    db.session.flush()
    places.leave(session.center_id, before)
    jobs.wake("offer_places")
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
