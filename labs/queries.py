"""Reads for pages, the API and services. Nothing here writes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import joinedload

from accounts import queries as accounts_queries
from accounts.models import Partner, Person
from app import clock
from app.access import Actor, require_person
from app.db import db
from app.errors import NotFound
from labs import ledger, policy
from labs.errors import UnknownCenter
from labs.models import (
    LIVE_STATES,
    Budget,
    BudgetKind,
    BudgetManager,
    Center,
    Flavor,
    LabFile,
    LabSession,
    LabTemplate,
    MemberCap,
    template_flavor,
)

GRACE_SECONDS = 300  # paid for in every hold: the time a stop may take


def center(slug: str, *, lock: bool = False) -> Center:
    statement = select(Center).where(Center.slug == slug)
    found = db.session.scalar(statement.with_for_update() if lock else statement)
    if found is None:
        raise UnknownCenter(center=slug)
    return found


def centers() -> list[Center]:
    return list(db.session.scalars(select(Center).options(joinedload(Center.flavors)).order_by(Center.slug)).unique())


def flavors_of(template_id: UUID) -> list[Flavor]:
    """What a template may run with, the cheapest first."""
    return list(
        db.session.scalars(
            select(Flavor)
            .join(template_flavor, template_flavor.c.flavor_id == Flavor.id)
            .where(template_flavor.c.template_id == template_id, Flavor.is_active)
            .order_by(Flavor.price_micro, Flavor.slug)
        )
    )


def template(template_id: UUID) -> LabTemplate:
    found = db.session.get(LabTemplate, template_id)
    if found is None:
        raise NotFound
    return found


def first_file(template_id: UUID) -> LabFile | None:
    """What JupyterLab opens: the first notebook by name."""
    return db.session.scalar(
        select(LabFile)
        .where(LabFile.template_id == template_id, LabFile.path.endswith(".ipynb"))
        .order_by(LabFile.path)
        .limit(1)
    )


def rows(statement: Select[Any]) -> list[Any]:
    return list(db.session.scalars(statement).unique())


# --- budgets ------------------------------------------------------------------------------------------------------


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
    return db.session.scalar(select(Budget.id).where(Budget.id == budget_id, _looked_after_by(actor))) is not None


def budgets_seen_by(actor: Actor) -> Select[Budget]:
    statement = select(Budget).order_by(Budget.partner_id, Budget.kind, Budget.id)
    if actor.may_operate:
        return statement
    return statement.where(_looked_after_by(actor))


def _looked_after_by(actor: Actor) -> ColumnElement[bool]:
    managed = select(BudgetManager.budget_id).where(BudgetManager.person_id == actor.person_id)
    return or_(Budget.partner_id.in_(actor.administered_partner_ids), Budget.id.in_(managed))


def budget_of_partner(partner_id: UUID) -> Budget | None:
    return db.session.scalar(
        select(Budget).where(Budget.partner_id == partner_id, Budget.kind == BudgetKind.PARTNER).order_by(Budget.id)
    )


@dataclass(frozen=True)
class Branch:
    """A budget and how deep it hangs below its partner's."""

    budget: Budget
    depth: int


def budget_tree(roots: list[Budget]) -> list[Branch]:
    """The budgets below these, each after its parent."""
    partners = {root.partner_id for root in roots}
    rows = db.session.scalars(select(Budget).where(Budget.partner_id.in_(partners)).order_by(Budget.id)).all()
    children: dict[UUID | None, list[Budget]] = {}
    for row in rows:
        children.setdefault(row.parent_id, []).append(row)

    def walk(node: Budget, depth: int) -> list[Branch]:
        below = [branch for child in children.get(node.id, []) for branch in walk(child, depth + 1)]
        return [Branch(node, depth), *below]

    return [branch for root in roots for branch in walk(root, 0)]


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


# --- sessions -----------------------------------------------------------------------------------------------------


def session(actor: Actor, session_id: UUID) -> LabSession:
    """The session, for those who may see it; for others there is no such thing."""
    found = db.session.get(LabSession, session_id)
    if found is None or not policy.may_see_session(actor, found, manages=manages(actor, found.budget_id)):
        raise NotFound
    return found


def live_session(person_id: UUID, template_id: UUID) -> LabSession | None:
    return db.session.scalar(
        select(LabSession).where(
            LabSession.person_id == person_id,
            LabSession.template_id == template_id,
            LabSession.state.in_(LIVE_STATES),
        )
    )


def live_sessions_of(person_id: UUID) -> list[LabSession]:
    statement = sessions_of_person(person_id).where(LabSession.state.in_(LIVE_STATES))
    return list(db.session.scalars(statement))


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
        managed = select(Budget.id).where(_looked_after_by(actor))
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


# --- the launch panel ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """How much is left at one level that a launch draws on."""

    name: str  # "cap" or "budget"
    left_micro: int
    limit_micro: int


@dataclass(frozen=True)
class Offer:
    """One flavor in the launch panel: how long it can run, and why not where it cannot."""

    flavor: Flavor
    longest_minutes: int
    affordable_minutes: int
    obstacle: str | None  # "agreement-ended", "maintenance", "unreachable", "unaffordable"

    @property
    def is_available(self) -> bool:
        return self.obstacle is None

    def price(self, minutes: int) -> int:
        """What a lease of so many minutes puts aside at the most."""
        return ledger.price(self.flavor.price_micro, minutes * 60 + GRACE_SECONDS)


@dataclass(frozen=True)
class LaunchPanel:
    """All that a person must see before pressing Launch."""

    template: LabTemplate
    offers: list[Offer]
    levels: list[Level]
    live: LabSession | None
    default_minutes: int
    is_member: bool

    @property
    def can_launch(self) -> bool:
        return self.live is None and self.is_member and any(offer.is_available for offer in self.offers)


def launch_panel(actor: Actor, template_id: UUID, budget_id: UUID) -> LaunchPanel:
    person_id = require_person(actor)
    lab, payer = template(template_id), budget(budget_id)
    purse, flavors = payer.purse, flavors_of(template_id)
    agreed = accounts_queries.under_agreement({payer.partner_id, *(flavor.center.partner_id for flavor in flavors)})
    cap = db.session.get(MemberCap, (budget_id, person_id))
    levels = [Level("budget", purse.available, purse.total)]
    if cap is not None and cap.cap_micro is not None:
        levels.insert(0, Level("cap", cap.left or 0, cap.cap_micro))
    left = min(level.left_micro for level in levels) if not purse.overrun else 0
    offers = [_offer(lab, flavor, left, {payer.partner_id, flavor.center.partner_id} <= agreed) for flavor in flavors]
    affordable = max((o.affordable_minutes for o in offers if o.is_available), default=lab.default_minutes)
    return LaunchPanel(
        template=lab,
        offers=offers,
        levels=levels,
        live=live_session(person_id, template_id),
        default_minutes=max(1, min(lab.default_minutes, affordable)),
        is_member=cap is not None and cap.is_open,
    )


def _offer(lab: LabTemplate, flavor: Flavor, left: int, is_agreed: bool) -> Offer:
    longest = min(lab.longest_minutes, flavor.longest_minutes)
    affordable = longest
    if flavor.price_micro:
        affordable = min(longest, (left * 3600 // flavor.price_micro - GRACE_SECONDS) // 60)
    obstacle = None
    if not is_agreed:
        obstacle = "agreement-ended"
    elif flavor.center.state != "up":
        obstacle = "maintenance"
    elif flavor.center.unreachable_since is not None:
        obstacle = "unreachable"
    elif affordable < 1:
        obstacle = "unaffordable"
    return Offer(flavor, longest, max(0, affordable), obstacle)


def time_left(lab: LabSession, at: datetime) -> int | None:
    """Seconds until the lease ends; None before it began."""
    return None if lab.lease_ends_at is None else max(0, int((lab.lease_ends_at - at).total_seconds()))
