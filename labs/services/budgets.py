"""Budgets: open them, fund them, say who may draw on them. Credits themselves move in the ledger only."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

import accounts.queries
from app import audit
from app.access import Actor, MemberRole, require
from app.db import db
from app.errors import NotFound
from app.ids import uuid7
from labs import ledger, policy, queries
from labs.errors import BudgetClosed, ChargeFixed, NotAPartnersBudget, NotBelow, NotOfThePartner
from labs.models import MAY_STAND_BELOW, Budget, BudgetKind, BudgetManager, MemberCap


def open_partner_budget(
    actor: Actor, *, partner_id: UUID, title_zh: str, title_en: str, starts_at: datetime, ends_at: datetime
) -> Budget:
    """Open the purse of a partner: the root that its courses are funded from."""
    require(policy.may_grant(actor))
    budget = Budget(
        partner_id=partner_id,
        kind=BudgetKind.PARTNER,
        title_zh=title_zh,
        title_en=title_en,
        starts_at=starts_at,
        ends_at=ends_at,
    )
    return _opened(actor, budget)


def grant(
    actor: Actor, budget_id: UUID, amount_micro: int, valid_from: datetime, valid_until: datetime, *, key: str
) -> Budget:
    """Give a partner compute, valid in [valid_from, valid_until). Budgets below are funded from it, not granted."""
    require(policy.may_grant(actor))
    budget = queries.budget(budget_id)
    if budget.kind is not BudgetKind.PARTNER:
        raise NotAPartnersBudget
    if budget.is_closed:
        raise BudgetClosed(budget=str(budget_id))
    ledger.grant(budget_id, amount_micro, valid_from, valid_until, key=key, actor_id=actor.person_id)
    audit.record(actor, "budget.grant", budget, partner_id=budget.partner_id, amount_micro=amount_micro)
    return _refreshed(budget)


def open_budget(
    actor: Actor,
    *,
    parent_id: UUID,
    kind: str = BudgetKind.RUN,
    title_zh: str,
    title_en: str,
    member_cap_micro: int | None,
    starts_at: datetime,
    ends_at: datetime,
    fund_micro: int = 0,
    key: str,
    budget_id: UUID | None = None,
) -> Budget:
    """Open a budget below another one and fund it from there."""
    parent = queries.budget(parent_id)
    require(policy.may_open_budget(actor, parent, teaches=actor.has_role(parent.partner_id, MemberRole.TEACHER)))
    if parent.is_closed:
        raise BudgetClosed(budget=str(parent_id))
    if kind not in MAY_STAND_BELOW[parent.kind]:
        raise NotBelow(kind=kind, allowed=MAY_STAND_BELOW[parent.kind])
    budget = Budget(
        id=budget_id or uuid7(),
        parent_id=parent_id,
        partner_id=parent.partner_id,
        kind=BudgetKind(kind),
        title_zh=title_zh,
        title_en=title_en,
        member_cap_micro=member_cap_micro,
        starts_at=starts_at,
        ends_at=ends_at,
    )
    _opened(actor, budget)
    if fund_micro:
        ledger.transfer(parent_id, budget.id, fund_micro, key=key, actor_id=actor.person_id)
    return budget


def fund(actor: Actor, budget_id: UUID, amount_micro: int, *, key: str) -> Budget:
    """Pass more of the parent's credits on to this budget."""
    budget = queries.budget(budget_id)
    require(policy.may_fund(actor, budget) and budget.parent_id is not None)
    assert budget.parent_id is not None
    if budget.is_closed:
        raise BudgetClosed(budget=str(budget_id))
    ledger.transfer(budget.parent_id, budget_id, amount_micro, key=key, actor_id=actor.person_id)
    audit.record(actor, "budget.fund", budget, partner_id=budget.partner_id, amount_micro=amount_micro)
    return _refreshed(budget)


def admit(actor: Actor, budget_id: UUID, person_id: UUID, cap_micro: int | None = None) -> None:
    """Let a person draw on the budget, up to a cap; without one given, the budget's usual cap.

    Whoever asks has already decided that the person belongs there (an enrollment, say). Somebody who comes
    back keeps what was used before.
    """
    cap = cap_micro if cap_micro is not None else queries.budget(budget_id).member_cap_micro
    statement = insert(MemberCap).values(
        budget_id=budget_id, person_id=person_id, cap_micro=cap, held=0, used=0, is_open=True
    )
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=["budget_id", "person_id"],
            set_={"is_open": True} | ({"cap_micro": cap_micro} if cap_micro is not None else {}),
        )
    )


def dismiss(actor: Actor, budget_id: UUID, person_id: UUID) -> None:
    """Let a person start nothing more on this budget. What runs goes on to the end of its lease."""
    cap = db.session.get(MemberCap, (budget_id, person_id), with_for_update=True, populate_existing=True)
    if cap is not None:
        cap.is_open = False


def set_cap(actor: Actor, budget_id: UUID, person_id: UUID, cap_micro: int | None) -> MemberCap:
    """Change one member's share. Less than was used already is allowed: then nothing more starts."""
    budget = queries.budget(budget_id)
    require(policy.may_manage_members(actor, budget, manages=queries.manages(actor, budget_id)))
    cap = db.session.get(MemberCap, (budget_id, person_id), with_for_update=True, populate_existing=True)
    if cap is None:
        raise NotFound
    audit.record(
        actor,
        "budget.cap",
        budget,
        partner_id=budget.partner_id,
        person=str(person_id),
        cap_micro=(cap.cap_micro, cap_micro),
    )
    cap.cap_micro = cap_micro
    db.session.flush()
    return queries.cap(budget_id, person_id)


def appoint(actor: Actor, budget_id: UUID, person_id: UUID) -> None:
    """Let a person look after the budget. Whoever asks has decided that they may (the run's teachers)."""
    db.session.execute(insert(BudgetManager).values(budget_id=budget_id, person_id=person_id).on_conflict_do_nothing())


def put_in_charge(actor: Actor, budget_id: UUID, person_id: UUID) -> None:
    """Let somebody of the partner look after one of its programs, contests or projects. Twice is once."""
    budget = queries.visible_budget(actor, budget_id)
    _require_charge(actor, budget)
    if budget.is_closed:
        raise BudgetClosed(budget=str(budget_id))
    if all(row.partner_id != budget.partner_id for row in accounts.queries.memberships(person_id)):
        raise NotOfThePartner
    appoint(actor, budget_id, person_id)
    audit.record(actor, "budget.put-in-charge", budget, partner_id=budget.partner_id, person_id=person_id)


def relieve(actor: Actor, budget_id: UUID, person_id: UUID) -> None:
    """Let somebody look after the budget no longer."""
    budget = queries.visible_budget(actor, budget_id)
    _require_charge(actor, budget)
    manager = db.session.get(BudgetManager, (budget_id, person_id))
    if manager is None:
        raise NotFound
    db.session.delete(manager)
    audit.record(actor, "budget.relieve", budget, partner_id=budget.partner_id, person_id=person_id)


def _require_charge(actor: Actor, budget: Budget) -> None:
    """Of a run those are in charge who teach it, and of a partner's own budget its administrators."""
    require(policy.may_shape(actor, budget))
    if not policy.may_put_in_charge(actor, budget):
        raise ChargeFixed(kind=budget.kind)


def _refreshed(budget: Budget) -> Budget:
    db.session.refresh(budget.purse)
    return budget


def _opened(actor: Actor, budget: Budget) -> Budget:
    db.session.add(budget)
    db.session.flush()
    ledger.open_purse(budget)
    audit.record(actor, "budget.open", budget, partner_id=budget.partner_id, kind=budget.kind, title_en=budget.title_en)
    return budget
