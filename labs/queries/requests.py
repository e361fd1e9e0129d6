"""Reads on requests for compute: who sees, asks and decides which."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Select, func, or_, select

from accounts.models import Membership, Partner, Person, PlatformRoleGrant
from app import clock
from app.access import Actor, MemberRole, PlatformRole
from app.db import db
from app.errors import NotFound
from labs import policy
from labs.models import Budget, BudgetManager, ComputeRequest, RequestKind, RequestState, Tranche
from labs.queries.budgets import looked_after_by, manages


def request(request_id: UUID, *, lock: bool = False) -> ComputeRequest:
    found = db.session.get(
        ComputeRequest,
        request_id,
        with_for_update={"of": ComputeRequest} if lock else None,
        populate_existing=lock,
    )
    if found is None:
        raise NotFound
    return found


def visible_request(actor: Actor, request_id: UUID, *, lock: bool = False) -> ComputeRequest:
    """The request, for those who asked, decide, or look after its budget; for others there is no such thing."""
    found = request(request_id, lock=lock)
    if not policy.may_see_request(actor, found, manages=manages(actor, found.budget_id)):
        raise NotFound
    return found


def requests_seen_by(actor: Actor) -> Select[ComputeRequest]:
    """All that the actor may know of, the latest first."""
    statement = select(ComputeRequest).order_by(ComputeRequest.created_at.desc(), ComputeRequest.id.desc())
    if actor.may_operate:
        return statement
    managed = select(Budget.id).where(looked_after_by(actor))
    return statement.where(or_(ComputeRequest.requested_by == actor.person_id, ComputeRequest.budget_id.in_(managed)))


def requests_to_decide(actor: Actor) -> Select[ComputeRequest]:
    """What waits for this actor's answer, the longest-waiting first."""
    by_operators = ComputeRequest.kind.in_(policy.DECIDED_BY_OPERATORS)
    own = ComputeRequest.partner_id.in_(actor.administered_partner_ids)
    decided = sa.or_(
        sa.and_(by_operators, sa.literal(actor.may_operate)),
        sa.and_(~by_operators, sa.literal(actor.is_administrator) | own),
    )
    return (
        select(ComputeRequest)
        .where(
            ComputeRequest.state == RequestState.ASKED,
            decided,
            ComputeRequest.requested_by.is_distinct_from(actor.person_id),
        )
        .order_by(ComputeRequest.created_at, ComputeRequest.id)
    )


def requests_by(actor: Actor) -> Select[ComputeRequest]:
    return (
        select(ComputeRequest)
        .where(ComputeRequest.requested_by == actor.person_id)
        .order_by(ComputeRequest.created_at.desc(), ComputeRequest.id.desc())
    )


@dataclass(frozen=True)
class RequestFilter:
    """What a list is narrowed to; None: not at all. `search` looks in the budget's title and the asker's name."""

    kind: RequestKind | None = None
    state: RequestState | None = None
    budget_id: UUID | None = None
    partner: str | None = None
    search: str = ""

    def narrow(self, statement: Select[ComputeRequest]) -> Select[ComputeRequest]:
        if self.kind is not None:
            statement = statement.where(ComputeRequest.kind == self.kind)
        if self.state is not None:
            statement = statement.where(ComputeRequest.state == self.state)
        if self.budget_id is not None:
            statement = statement.where(ComputeRequest.budget_id == self.budget_id)
        if self.partner:
            slug = select(Partner.id).where(Partner.slug == self.partner)
            statement = statement.where(ComputeRequest.partner_id.in_(slug))
        if self.search.strip():
            words = self.search.strip()
            titled = select(Budget.id).where(
                or_(
                    Budget.title_zh.icontains(words, autoescape=True), Budget.title_en.icontains(words, autoescape=True)
                )
            )
            named = select(Person.id).where(Person.name.icontains(words, autoescape=True))
            statement = statement.where(
                or_(ComputeRequest.budget_id.in_(titled), ComputeRequest.requested_by.in_(named))
            )
        return statement


def requests_of_budget(budget_id: UUID) -> Select[ComputeRequest]:
    """Earlier and open requests that concern a budget, the latest first."""
    return (
        select(ComputeRequest)
        .where(or_(ComputeRequest.budget_id == budget_id, ComputeRequest.other_budget_id == budget_id))
        .order_by(ComputeRequest.created_at.desc(), ComputeRequest.id.desc())
    )


def open_requests_of(person_id: UUID) -> int:
    return (
        db.session.scalar(
            select(func.count())
            .select_from(ComputeRequest)
            .where(ComputeRequest.requested_by == person_id, ComputeRequest.state == RequestState.ASKED)
        )
        or 0
    )


def deciders_of(found: ComputeRequest) -> set[UUID]:
    """Who may answer this request today: operators, or the partner's administrators. Without any, those of the
    platform."""
    if found.kind in policy.DECIDED_BY_OPERATORS:
        people = _with_platform_role(PlatformRole.OPERATOR)
    else:
        people = administrators_of(found.partner_id)
    people -= {found.requested_by}
    return people or _with_platform_role(PlatformRole.ADMINISTRATOR) - {found.requested_by}


def administrators_of(partner_id: UUID) -> set[UUID]:
    statement = (
        select(Membership.person_id)
        .join(Person, Person.id == Membership.person_id)
        .where(Membership.partner_id == partner_id, Membership.role == MemberRole.ADMINISTRATOR, Person.is_active)
    )
    return set(db.session.scalars(statement))


def managers_of(budget_id: UUID) -> list[Person]:
    """Who was appointed to look after the budget."""
    statement = (
        select(Person)
        .join(BudgetManager, BudgetManager.person_id == Person.id)
        .where(BudgetManager.budget_id == budget_id, Person.is_active)
        .order_by(Person.name, Person.id)
    )
    return list(db.session.scalars(statement))


def budgets_of_partner(partner_id: UUID) -> list[Budget]:
    statement = (
        select(Budget).where(Budget.partner_id == partner_id, ~Budget.is_closed).order_by(Budget.kind, Budget.id)
    )
    return list(db.session.scalars(statement))


def tranche(budget_id: UUID, tranche_id: UUID) -> Tranche:
    found = db.session.get(Tranche, tranche_id)
    if found is None or found.budget_id != budget_id:
        raise NotFound
    return found


def budgets_by_id(budget_ids: Collection[UUID]) -> dict[UUID, Budget]:
    return {row.id: row for row in db.session.scalars(select(Budget).where(Budget.id.in_(budget_ids)))}


def _with_platform_role(role: PlatformRole) -> set[UUID]:
    now = clock.now()
    statement = (
        select(PlatformRoleGrant.person_id)
        .join(Person, Person.id == PlatformRoleGrant.person_id)
        .where(
            PlatformRoleGrant.role == role,
            PlatformRoleGrant.from_at <= now,
            or_(PlatformRoleGrant.until_at.is_(None), PlatformRoleGrant.until_at > now),
            Person.is_active,
        )
    )
    return set(db.session.scalars(statement))
