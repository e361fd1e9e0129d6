"""The pages of budgets: a partner's tree, one budget, its members."""

from typing import Any
from uuid import UUID

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import accounts.queries
from app import clock
from app.access import current_actor, signed_in
from app.db import transaction
from app.errors import Invalid, NotFound
from app.ids import uuid7
from app.locale import MICRO, pick
from app.paging import page_of
from app.spreadsheet import csv_response
from labs import policy, queries
from labs.models import Budget
from labs.pages.blueprint import blp
from labs.services import budgets


@blp.get("/partners/<slug>/budget")
@signed_in
def partner_budget(slug: str) -> str:
    """A partner's compute: its budgets as a tree, and what its people used."""
    actor = current_actor()
    partner = accounts.queries.partner(slug)
    if not (actor.administers(partner.id) or actor.may_operate):
        raise NotFound
    root = queries.budget_of_partner(partner.id)
    tree = queries.budget_tree([root]) if root else []
    return render_template(
        "labs/partner_budget.html",
        partner=partner,
        root=root,
        tree=tree,
        used_micro=sum(branch.budget.purse.used for branch in tree),
        held_micro=sum(branch.budget.purse.held for branch in tree),
        people=queries.usage_of_people(partner.id),
        pager=page_of(queries.sessions_of_partner(partner.id), size=20),
        now=clock.now(),
    )


@blp.get("/budgets/<uuid:budget_id>")
@signed_in
def budget(budget_id: UUID) -> str:
    return render_template("labs/budget.html", **_budget_view(budget_id))


@blp.get("/budgets/<uuid:budget_id>/sessions.csv")
@signed_in
def budget_csv(budget_id: UUID) -> Response:
    """Everything that a budget has paid for, as a table for a spreadsheet."""
    found = queries.visible_budget(current_actor(), budget_id)
    header = (
        _("Session"),
        _("Person"),
        _("Lab"),
        _("State"),
        _("Ready at"),
        _("Ended at"),
        _("Seconds"),
        _("Credits"),
    )
    lines = (
        (
            row.id,
            row.person.name,
            pick(row.template),
            row.state,
            row.ready_at,
            row.ended_at,
            row.seconds_used,
            row.charged_micro / MICRO,
        )
        for row in queries.rows(queries.sessions_of_budget(found.id))
    )
    return csv_response(f"sessions-{found.id}", header, lines)


@blp.post("/budgets/<uuid:budget_id>/members/<uuid:person_id>")
@signed_in
def set_cap(budget_id: UUID, person_id: UUID) -> ResponseReturnValue:
    """Change one member's share."""
    with transaction():
        queries.visible_budget(current_actor(), budget_id)
        budgets.set_cap(current_actor(), budget_id, person_id, _amount("cap", empty=None))
    return redirect(url_for(".budget", budget_id=budget_id), 303)


@blp.post("/budgets/<uuid:budget_id>/fund")
@signed_in
def fund(budget_id: UUID) -> ResponseReturnValue:
    """Pass credits on from the budget above; the form's key makes a second click harmless."""
    amount = _amount("amount")
    assert amount is not None
    with transaction():
        queries.visible_budget(current_actor(), budget_id)
        budgets.fund(current_actor(), budget_id, amount, key=f"form:{request.form.get('key', uuid7().hex)}")
    return redirect(url_for(".budget", budget_id=budget_id), 303)


@blp.post("/budgets/<uuid:budget_id>/grant")
@signed_in
def grant(budget_id: UUID) -> ResponseReturnValue:
    """Grant a partner credits, valid from now until the budget ends."""
    amount, actor = _amount("amount"), current_actor()
    assert amount is not None
    with transaction():
        found = queries.visible_budget(actor, budget_id)
        key = f"form:{request.form.get('key', uuid7().hex)}"
        budgets.grant(actor, found.id, amount, clock.now(), found.ends_at, key=key)
    return redirect(url_for(".budget", budget_id=budget_id), 303)


def _budget_view(budget_id: UUID) -> dict[str, Any]:
    actor = current_actor()
    found = queries.visible_budget(actor, budget_id)
    manages = queries.manages(actor, budget_id)
    return {
        "budget": found,
        "partner": queries.partner_of(found),
        "parent": _parent(found),
        "members": page_of(queries.caps_of(budget_id), size=25),
        "sessions": queries.rows(queries.sessions_of_budget(budget_id).limit(20)),
        "may_manage_members": policy.may_manage_members(actor, found, manages=manages),
        "may_fund": found.parent_id is not None and policy.may_fund(actor, found),
        "may_grant": found.parent_id is None and policy.may_grant(actor),
        "may_see_parent": found.parent_id is not None and actor.administers(found.partner_id),
        "form_key": uuid7().hex,
        "now": clock.now(),
    }


def _parent(found: Budget) -> Budget | None:
    return queries.budget(found.parent_id) if found.parent_id else None


def _amount(name: str, **default: None) -> int | None:
    """Credits typed into a form, as micro-credits. An empty field means the default, where there is one."""
    text = request.form.get(name, "").strip().replace(",", "")
    if not text and "empty" in default:
        return None
    try:
        amount = round(float(text) * MICRO)
    except (ValueError, OverflowError):
        amount = -1
    if not 0 <= amount <= 10**15 or (not amount and "empty" not in default):
        raise Invalid(_("“%(text)s” is not an amount of credits.", text=text[:20]))
    return amount
