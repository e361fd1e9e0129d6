"""Reads on budgets and the people who draw on them."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import joinedload

from accounts.models import Partner, Person
from app import clock
from app.access import Actor
from app.db import db
from app.errors import NotFound
from labs import policy
from labs.models import (
    Budget,
    BudgetKind,
    BudgetManager,
    LabSession,
    MemberCap,
)


def budget(budget_id: UUID) -> Budget:
    found = db.session.get(Budget, budget_id)
    if found is None:
        raise NotFound
    return found


def visible_budget(actor: Actor, budget_id: UUID) -> Budget:
    """The budget, for those who may see all of it; for others there is no such thing."""
    found = db.session.get(Budget, budget_id)
    if found is None or not policy.may_see_budget(actor, found, manages=manages(actor, budget_id)):
        raise NotFound
    return found


def manages(actor: Actor, budget_id: UUID) -> bool:
    """Whether the actor looks after the budget: appointed to it, or administering the partner it belongs to."""
    if actor.person_id is None:
        return False
    return db.session.scalar(select(Budget.id).where(Budget.id == budget_id, looked_after_by(actor))) is not None


def is_appointed(actor: Actor, budget_id: UUID) -> bool:
    """Whether the actor was appointed to the budget: teaches or assists in the run, say."""
    return actor.person_id is not None and db.session.get(BudgetManager, (budget_id, actor.person_id)) is not None


def budgets_seen_by(actor: Actor) -> Select[Budget]:
    statement = select(Budget).order_by(Budget.partner_id, Budget.kind, Budget.id)
    if actor.may_operate:
        return statement
    return statement.where(looked_after_by(actor))


def looked_after_by(actor: Actor) -> ColumnElement[bool]:
    managed = select(BudgetManager.budget_id).where(BudgetManager.person_id == actor.person_id)
    return or_(Budget.partner_id.in_(actor.administered_partner_ids), Budget.id.in_(managed))


def budget_of_partner(partner_id: UUID) -> Budget | None:
    """The partner's own budget: the open one, or else the last that was."""
    return db.session.scalar(
        select(Budget)
        .where(Budget.partner_id == partner_id, Budget.kind == BudgetKind.PARTNER)
        .order_by(Budget.is_closed, Budget.created_at.desc(), Budget.id.desc())
        .limit(1)
    )


def partner_budgets() -> list[Budget]:
    return list(db.session.scalars(select(Budget).where(Budget.kind == BudgetKind.PARTNER).order_by(Budget.id)))


def partner_of(budget: Budget) -> Partner:
    return db.session.get_one(Partner, budget.partner_id)


@dataclass(frozen=True)
class Usage:
    """What one person drew on a partner's budgets."""

    person: Person
    used_micro: int
    held_micro: int
    sessions: int


def usage_of_people(partner_id: UUID, limit: int = 50) -> list[Usage]:
    """Who used most of a partner's compute."""
    drawn = (
        select(
            MemberCap.person_id,
            func.sum(MemberCap.used).label("used"),
            func.sum(MemberCap.held).label("held"),
        )
        .join(Budget, Budget.id == MemberCap.budget_id)
        .where(Budget.partner_id == partner_id)
        .group_by(MemberCap.person_id)
        .having(func.sum(MemberCap.used + MemberCap.held) > 0)
        .subquery()
    )
    number = (
        select(LabSession.person_id, func.count().label("number"))
        .join(Budget, Budget.id == LabSession.budget_id)
        .where(Budget.partner_id == partner_id)
        .group_by(LabSession.person_id)
        .subquery()
    )
    rows = db.session.execute(
        select(Person, drawn.c.used, drawn.c.held, func.coalesce(number.c.number, 0))
        .join(drawn, drawn.c.person_id == Person.id)
        .outerjoin(number, number.c.person_id == Person.id)
        .order_by(drawn.c.used.desc(), Person.id)
        .limit(limit)
    )
    return [Usage(person, int(used), int(held), int(count)) for person, used, held, count in rows]


def caps_of(budget_id: UUID) -> Select[MemberCap]:
    """Who draws on a budget, those who used most first."""
    return (
        select(MemberCap)
        .where(MemberCap.budget_id == budget_id)
        .options(joinedload(MemberCap.person))
        .order_by((MemberCap.used + MemberCap.held).desc(), MemberCap.person_id)
    )


def cap(budget_id: UUID, person_id: UUID) -> MemberCap:
    """One member's share, with the person."""
    return db.session.scalars(
        select(MemberCap)
        .where(MemberCap.budget_id == budget_id, MemberCap.person_id == person_id)
        .options(joinedload(MemberCap.person))
        .execution_options(populate_existing=True)
    ).one()


def caps_of_person(person_id: UUID) -> list[tuple[MemberCap, Budget]]:
    """What this person may draw on today."""
    now = clock.now()
    found = db.session.execute(
        select(MemberCap, Budget)
        .join(Budget, Budget.id == MemberCap.budget_id)
        .where(MemberCap.person_id == person_id, MemberCap.is_open, Budget.starts_at <= now, Budget.ends_at > now)
        .order_by(Budget.id)
    )
    return [(cap, budget) for cap, budget in found]
