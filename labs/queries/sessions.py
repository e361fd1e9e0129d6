"""Reads on lab sessions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, or_, select

from app.access import Actor
from app.db import db
from app.errors import NotFound
from labs import policy
from labs.models import (
    LIVE_STATES,
    Budget,
    Center,
    Flavor,
    LabSession,
)
from labs.queries.budgets import looked_after_by, manages


def session(actor: Actor, session_id: UUID) -> LabSession:
    """The session, for those who may see it; for others there is no such thing."""
    found = db.session.get(LabSession, session_id)
    if found is None or not policy.may_see_session(actor, found, manages=manages(actor, found.budget_id)):
        raise NotFound
    return found


def locked_session(session_id: UUID) -> LabSession:
    """The session, and nobody else changes it until the transaction ends."""
    return db.session.scalars(
        select(LabSession)
        .where(LabSession.id == session_id)
        .with_for_update(of=LabSession)
        .execution_options(populate_existing=True)
    ).one()


def session_of_key(person_id: UUID, key: str) -> LabSession | None:
    """What was launched under this idempotency key."""
    return db.session.scalar(select(LabSession).where(LabSession.person_id == person_id, LabSession.request_key == key))


def live_session(person_id: UUID, template_id: UUID) -> LabSession | None:
    """The latest, where a template gives one person several."""
    return next(iter(live_sessions_of(person_id, template_id)), None)


def live_sessions_of(person_id: UUID, template_id: UUID | None = None) -> list[LabSession]:
    """The latest first; of one template, or of all."""
    statement = sessions_of_person(person_id).where(LabSession.state.in_(LIVE_STATES))
    if template_id is not None:
        statement = statement.where(LabSession.template_id == template_id)
    return list(db.session.scalars(statement))


def count_live(person_id: UUID) -> int:
    """How many labs this person has at once, without those that only open their files."""
    counted = select(func.count()).select_from(LabSession).join(Flavor, Flavor.id == LabSession.flavor_id)
    mine = (LabSession.person_id == person_id, LabSession.state.in_(LIVE_STATES), Flavor.is_rescue.is_(False))
    return db.session.scalar(counted.where(*mine)) or 0


def sessions_of_person(person_id: UUID) -> Select[LabSession]:
    return select(LabSession).where(LabSession.person_id == person_id).order_by(LabSession.id.desc())


def ended_sessions_of(person_id: UUID) -> Select[LabSession]:
    return sessions_of_person(person_id).where(LabSession.state.not_in(LIVE_STATES))


def sessions_of_partner(partner_id: UUID) -> Select[LabSession]:
    return (
        select(LabSession)
        .join(Budget, Budget.id == LabSession.budget_id)
        .where(Budget.partner_id == partner_id)
        .order_by(LabSession.id.desc())
    )


def sessions_of_budget(budget_id: UUID, live_only: bool = False) -> Select[LabSession]:
    statement = select(LabSession).where(LabSession.budget_id == budget_id).order_by(LabSession.id.desc())
    return statement.where(LabSession.state.in_(LIVE_STATES)) if live_only else statement


def sessions_seen_by(actor: Actor, *, live_only: bool = False, center_slug: str | None = None) -> Select[LabSession]:
    """Everyone's for operators; otherwise one's own and those of the budgets one looks after."""
    statement = select(LabSession).order_by(LabSession.id.desc())
    if not actor.may_operate:
        managed = select(Budget.id).where(looked_after_by(actor))
        statement = statement.where(or_(LabSession.person_id == actor.person_id, LabSession.budget_id.in_(managed)))
    if live_only:
        statement = statement.where(LabSession.state.in_(LIVE_STATES))
    if center_slug:
        statement = statement.join(Center, Center.id == LabSession.center_id).where(Center.slug == center_slug)
    return statement


def live_count_by_center() -> dict[UUID, int]:
    rows = db.session.execute(
        select(LabSession.center_id, func.count())
        .where(LabSession.state.in_(LIVE_STATES))
        .group_by(LabSession.center_id)
    )
    return {center_id: number for center_id, number in rows}


def time_left(lab: LabSession, at: datetime) -> int | None:
    """Seconds until the lease ends; None before it began."""
    return None if lab.lease_ends_at is None else max(0, int((lab.lease_ends_at - at).total_seconds()))
