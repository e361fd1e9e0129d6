"""Warnings to those who look after a budget: most of it is used, or it will run out before its end."""

from datetime import timedelta
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import select

from accounts.services import notices
from app import clock
from app.db import db
from labs import queries
from labs.models import Budget, BudgetKind, Purse

STEPS = (95, 80)  # percent used; the more urgent first, which makes the other one needless

notices.describe(
    "budget-used",
    _("%(percent)s %% of %(budget)s is used"),
    _("%(left_micro)s credits are left until %(ends_at)s. Ask for more in time, or use less."),
    label=_("Most of a budget that you look after is used"),
)
notices.describe(
    "budget-runs-out",
    _("%(budget)s may run out before its end"),
    _("At the pace of late, the %(left_micro)s credits left suffice until %(runs_out_at)s; it ends on %(ends_at)s."),
    label=_("A budget that you look after will run out before its end"),
)


def watched_ids() -> list[UUID]:
    """Budgets that labs draw on, active now and with something in them at some time."""
    now = clock.now()
    statement = (
        select(Budget.id)
        .join(Purse, Purse.budget_id == Budget.id)
        .where(
            Budget.kind != BudgetKind.PARTNER,
            ~Budget.is_closed,
            Budget.starts_at <= now,
            Budget.ends_at > now,
            Purse.used > 0,
        )
        .order_by(Budget.id)
    )
    return list(db.session.scalars(statement))


def warn(budget_id: UUID) -> int:
    """Tell those who look after the budget, once for each step and each amount that was in it; return how often."""
    budget = queries.budget(budget_id)
    purse = budget.purse
    usable = purse.total - purse.expired
    facts = {
        "budget_zh": budget.title_zh,
        "budget_en": budget.title_en,
        "left_micro": purse.available,
        "ends_at": budget.ends_at,
    }
    people, told = _people(budget), 0
    percent = 100 * (purse.used + purse.held) // usable if usable > 0 else 100
    step = next((step for step in STEPS if percent >= step), None)
    if step is not None:
        event = f"budget-used:{budget_id.hex}:{step}:{usable}"
        told += _tell(people, "budget-used", event, budget_id, percent=step, **facts)
        return told
    outcome = queries.burn_down(budget).forecast.outcome
    if outcome.runs_out_on is not None:
        days = (outcome.runs_out_on - queries.day_of(clock.now())).days
        event = f"budget-runs-out:{budget_id.hex}:{usable}"
        runs_out_at = clock.now() + timedelta(days=days)
        told += _tell(people, "budget-runs-out", event, budget_id, runs_out_at=runs_out_at, **facts)
    return told


def _people(budget: Budget) -> set[UUID]:
    """Whoever was appointed to look after it; without anybody, the partner's administrators."""
    managers = {person.id for person in queries.managers_of(budget.id)}
    return managers or queries.administrators_of(budget.partner_id)


def _tell(people: set[UUID], kind: str, event: str, budget_id: UUID, **facts: object) -> int:
    for person_id in people:
        notices.notify(person_id, kind, event, f"/budgets/{budget_id}", **facts)
    return len(people)
