"""Seats: who gets one, who waits, and who moves up when one becomes free.

`enroll` is the one function that gives a seat to somebody who asks, and `fill` the one that gives a free seat to
somebody who waits. Both take it by the same guarded statement on the pool, and both run while the pool is locked
where order matters, so no seat is given twice and none stays free while somebody waits for it.

Locks are taken in one order everywhere: the person's enrollment, then pools (own first, shared last), then the
enrollments of people who wait. A transaction gives one person a seat; one for many would have to lock every pool of
the run first.
"""

from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert

from accounts import queries as accounts_queries
from accounts.models import Membership
from accounts.services import notices
from app import audit, clock
from app.access import Actor, require, require_person
from app.db import db
from app.ids import uuid7
from courses import policy, queries
from courses.errors import (
    AlreadyEnrolled,
    EnrollmentClosed,
    NoSeatsForPartner,
    NotEnrolled,
    RemovedFromRun,
    RunCanceled,
    RunEnded,
    RunFull,
)
from courses.models import CourseRun, Enrollment, EnrollmentState, RunState, SeatPool
from labs.services import admission, budgets

notices.describe(
    "enrollment.moved-up",
    _("You have a seat in %(course)s"),
    _("A seat became free in %(run)s, and you were the next on the waiting list. You are enrolled."),
    label=_("A seat became free for me"),
)
notices.describe(
    "enrollment.removed",
    _("You are no longer enrolled in %(course)s"),
    _("A teacher of %(run)s removed you: %(reason)s"),
    label=_("I lost a seat"),
)


def enroll(actor: Actor, run_id: UUID, person_id: UUID) -> Enrollment:
    """Give the person a seat in the run or, when all are taken, the last place on its waiting list.

    People enroll themselves in the days for it. Those who teach the run may enroll others, and until its end; the
    seats bind them too.
    """
    run = queries.run(actor, run_id)
    require(policy.may_enroll(actor, run, person_id))
    _require_open(actor, run)
    person = actor if person_id == actor.person_id else accounts_queries.actor(person_id)
    pools = policy.pools_for(person, run)
    _require_agreements(run, person)
    pools = _agreed(pools)
    if not pools:
        raise NoSeatsForPartner(partners=sorted(slug for slug, _zh, _en in person.partners.values()))

    known = queries.enrollment(run_id, person_id, lock=True)
    if known is not None:
        _require_may_return(actor, run, known)
    pool_id = _take_seat(pools, or_wait=run.has_waiting_list)
    if pool_id is None and not run.has_waiting_list:
        raise RunFull(seats=sum(pool.cap for pool in pools))
    enrollment = _place(run, person_id, pool_id)
    if pool_id is not None:
        budgets.admit(actor, run.budget_id, person_id)
    audit.record(
        actor,
        "enrollment.enroll" if pool_id else "enrollment.wait",
        enrollment,
        partner_id=run.course.partner_id,
        run_id=run.id,
        person_id=person_id,
        pool_id=pool_id,
    )
    return enrollment


def withdraw(actor: Actor, run_id: UUID) -> Enrollment:
    """Give one's own seat, or place on the waiting list, back."""
    run = queries.run(actor, run_id)
    return _leave(actor, run, require_person(actor), EnrollmentState.WITHDRAWN)


def remove(actor: Actor, run_id: UUID, person_id: UUID, reason: str) -> Enrollment:
    """Take the seat from somebody, with a reason. They cannot come back by themselves."""
    run = queries.run(actor, run_id)
    require(policy.may_remove(actor, run))
    return _leave(actor, run, person_id, EnrollmentState.REMOVED, reason)


def fill(actor: Actor, run: CourseRun, pool_id: UUID) -> int:
    """Give the free seats of a pool to those who wait for one, first come first served; return how many.

    The pool stays locked until the transaction ends: nobody joins the waiting list between looking and leaving.
    """
    pool = _lock(pool_id)
    given = 0
    if not _agreed([pool]):
        return 0
    while run.state is RunState.OPEN and not run.has_ended(clock.now()):
        waiting = _first_waiting(pool)
        if waiting is None or not _take(pool_id):
            break
        waiting.pool_id, waiting.state, waiting.state_at = pool_id, EnrollmentState.ENROLLED, clock.now()
        db.session.flush()
        budgets.admit(actor, run.budget_id, waiting.person_id)
        _tell(run, waiting, "enrollment.moved-up")
        audit.record(
            actor,
            "enrollment.move-up",
            waiting,
            partner_id=run.course.partner_id,
            run_id=run.id,
            person_id=waiting.person_id,
            pool_id=pool_id,
        )
        given += 1
    return given


def _require_open(actor: Actor, run: CourseRun) -> None:
    at = clock.now()
    if run.state is RunState.CANCELED:
        raise RunCanceled
    if run.has_ended(at):
        raise RunEnded(ended_at=run.ends_at)
    if not policy.may_see_class(actor, run) and not run.takes_enrollments(at):
        raise EnrollmentClosed(enroll_from_at=run.enroll_from_at, enroll_until_at=run.enroll_until_at)


def _require_agreements(run: CourseRun, person: Actor) -> None:
    """Nobody joins a run of a partner that takes part no more, nor as one of its people; other partners' people do."""
    own = sorted(person.memberships)
    admission.check_agreements(run.course.partner_id, *(own if not accounts_queries.under_agreement(own) else ()))


def _agreed(pools: list[SeatPool]) -> list[SeatPool]:
    """Without the seats kept for partners whose agreement has ended."""
    agreed = accounts_queries.under_agreement([pool.partner_id for pool in pools if pool.partner_id is not None])
    return [pool for pool in pools if pool.partner_id is None or pool.partner_id in agreed]


def _require_may_return(actor: Actor, run: CourseRun, known: Enrollment) -> None:
    if known.is_current:
        raise AlreadyEnrolled(state=known.state, enrollment_id=str(known.id), place=queries.place(known))
    if known.state is EnrollmentState.REMOVED and not policy.may_see_class(actor, run):
        raise RemovedFromRun


def _take_seat(pools: list[SeatPool], *, or_wait: bool) -> UUID | None:
    """Take a seat of the first pool that has one.

    Who will join the waiting list otherwise looks once more with each full pool locked: a seat given back meanwhile
    is taken, and whoever gives one back next waits for us and finds us on the list. Pools are locked in the order in
    which they are tried, and kept; trying all before locking any is a deadlock (a guarded update that had to wait and
    then fails keeps its lock).
    """
    for pool in pools:
        if _take(pool.id) or (or_wait and _lock(pool.id).free and _take(pool.id)):
            return pool.id
    return None


def _take(pool_id: UUID) -> bool:
    taken = db.session.execute(
        update(SeatPool)
        .where(SeatPool.id == pool_id, SeatPool.used < SeatPool.cap)
        .values(used=SeatPool.used + 1)
        .returning(SeatPool.id)
        .execution_options(synchronize_session=False)
    ).first()
    _forget(pool_id)
    return taken is not None


def _give_back(pool_id: UUID) -> None:
    db.session.execute(
        update(SeatPool)
        .where(SeatPool.id == pool_id)
        .values(used=SeatPool.used - 1)
        .execution_options(synchronize_session=False)
    )
    _forget(pool_id)


def _forget(pool_id: UUID) -> None:
    """The count that the session remembers is old now."""
    pool = db.session.identity_map.get(db.session.identity_key(SeatPool, pool_id))
    if pool is not None:
        db.session.expire(pool, ["used"])


def _lock(pool_id: UUID) -> SeatPool:
    statement = select(SeatPool).where(SeatPool.id == pool_id).with_for_update(of=SeatPool)
    return db.session.scalars(statement.execution_options(populate_existing=True)).one()


def _place(run: CourseRun, person_id: UUID, pool_id: UUID | None) -> Enrollment:
    """Write the row, new or again. Somebody who pressed twice at once finds it there and gets nothing more."""
    values = {
        "state": EnrollmentState.ENROLLED if pool_id else EnrollmentState.WAITLISTED,
        "state_at": clock.now(),
        "pool_id": pool_id,
    }
    new = insert(Enrollment).values(id=uuid7(), created_at=clock.now(), run_id=run.id, person_id=person_id, **values)
    upsert = new.on_conflict_do_update(
        index_elements=["run_id", "person_id"],
        set_={**values, "arrival": new.excluded.arrival},
        where=Enrollment.state.in_((EnrollmentState.DECLINED, EnrollmentState.WITHDRAWN, EnrollmentState.REMOVED)),
    ).returning(Enrollment.id)
    placed = db.session.scalar(upsert)
    if placed is None:
        raise AlreadyEnrolled  # and with the transaction, the seat just taken goes back
    return db.session.scalars(
        select(Enrollment).where(Enrollment.id == placed).execution_options(populate_existing=True)
    ).one()


def _leave(
    actor: Actor, run: CourseRun, person_id: UUID, state: EnrollmentState, reason: str | None = None
) -> Enrollment:
    enrollment = queries.enrollment(run.id, person_id, lock=True)
    if enrollment is None or not enrollment.is_current or enrollment.state is EnrollmentState.COMPLETED:
        raise NotEnrolled(state=enrollment.state if enrollment else None)
    if run.has_ended(clock.now()):
        raise RunEnded(ended_at=run.ends_at)
    pool_id, before = enrollment.pool_id, enrollment.state
    enrollment.pool_id, enrollment.state, enrollment.state_at = None, state, clock.now()
    db.session.flush()
    if pool_id is not None:
        budgets.dismiss(actor, run.budget_id, person_id)
        _lock(pool_id)
        _give_back(pool_id)
        fill(actor, run, pool_id)
    if state is EnrollmentState.REMOVED:
        _tell(run, enrollment, "enrollment.removed", reason=reason)
    audit.record(
        actor,
        f"enrollment.{'withdraw' if state is EnrollmentState.WITHDRAWN else 'remove'}",
        enrollment,
        partner_id=run.course.partner_id,
        run_id=run.id,
        person_id=person_id,
        before=before,
        reason=reason,
    )
    return enrollment


def _first_waiting(pool: SeatPool) -> Enrollment | None:
    """Who waits longest among those who may have a seat of this pool; the row is locked."""
    statement = select(Enrollment).where(
        Enrollment.run_id == pool.run_id, Enrollment.state == EnrollmentState.WAITLISTED
    )
    statement = statement.where(accounts_queries.takes_part(Enrollment.person_id))
    if pool.partner_id is not None:
        belongs = exists().where(Membership.person_id == Enrollment.person_id, Membership.partner_id == pool.partner_id)
        statement = statement.where(belongs)
    statement = statement.order_by(Enrollment.arrival).limit(1).with_for_update(of=Enrollment)
    return db.session.scalar(statement.execution_options(populate_existing=True))


def _tell(run: CourseRun, enrollment: Enrollment, kind: str, **facts: object) -> None:
    """Once for each time that somebody joined the run."""
    notices.notify(
        enrollment.person_id,
        kind,
        f"{kind}:{enrollment.id}:{enrollment.arrival}",
        url=f"/runs/{run.id}",
        course_zh=run.course.title_zh,
        course_en=run.course.title_en,
        run_zh=run.title_zh,
        run_en=run.title_en,
        **facts,
    )
