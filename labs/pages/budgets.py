"""The pages of one budget: what is in it, how it burns down, who draws on it, what it paid for."""

from typing import Any
from uuid import UUID

from flask import Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import accounts.queries
from app import clock
from app.access import current_actor, signed_in
from app.db import transaction
from app.ids import uuid7
from app.locale import MICRO, pick
from app.paging import page_of
from app.spreadsheet import csv_response
from labs import policy, queries
from labs.errors import NotOfThePartner
from labs.models import MAY_STAND_BELOW, Budget
from labs.pages import drawing, forms
from labs.pages.blueprint import blp
from labs.pages.requests import offered
from labs.services import budgets, requests


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
        budgets.set_cap(current_actor(), budget_id, person_id, forms.amount_or_none("cap"))
    return redirect(url_for(".budget", budget_id=budget_id), 303)


@blp.post("/budgets/<uuid:budget_id>/fund")
@signed_in
def fund(budget_id: UUID) -> ResponseReturnValue:
    """Pass credits on from the budget above; the form's key makes a second click harmless."""
    queries.visible_budget(current_actor(), budget_id)
    amount = forms.amount()
    with transaction():
        budgets.fund(current_actor(), budget_id, amount, key=f"form:{request.form.get('key', uuid7().hex)}")
    return redirect(url_for(".budget", budget_id=budget_id), 303)


@blp.post("/budgets/<uuid:budget_id>/grant")
@signed_in
def grant(budget_id: UUID) -> ResponseReturnValue:
    """Grant a partner credits, valid from now until the budget ends."""
    actor = current_actor()
    found = queries.visible_budget(actor, budget_id)
    amount = forms.amount()
    with transaction():
        key = f"form:{request.form.get('key', uuid7().hex)}"
        budgets.grant(actor, found.id, amount, clock.now(), found.ends_at, key=key)
    return redirect(url_for(".budget", budget_id=budget_id), 303)


@blp.post("/budgets/<uuid:budget_id>/managers")
@signed_in
def put_in_charge(budget_id: UUID) -> ResponseReturnValue:
    """Let somebody look after a program, a contest or a project."""
    queries.visible_budget(current_actor(), budget_id)
    person = accounts.queries.person_by_email(request.form.get("email", ""))
    if person is None:
        raise NotOfThePartner
    with transaction():
        budgets.put_in_charge(current_actor(), budget_id, person.id)
    flash(_("%(name)s looks after this budget now.", name=person.name), "success")
    return redirect(url_for(".budget", budget_id=budget_id), 303)


@blp.post("/budgets/<uuid:budget_id>/managers/<uuid:person_id>/relieve")
@signed_in
def relieve(budget_id: UUID, person_id: UUID) -> ResponseReturnValue:
    """Let somebody look after it no longer."""
    with transaction():
        budgets.relieve(current_actor(), budget_id, person_id)
    return redirect(url_for(".budget", budget_id=budget_id), 303)


def _budget_view(budget_id: UUID) -> dict[str, Any]:
    actor = current_actor()
    found = queries.visible_budget(actor, budget_id)
    manages = queries.manages(actor, budget_id)
    burn, branch, parent = queries.burn_down(found), queries.branch(found), _parent(found)
    tree = queries.flat(branch) if branch.children else []
    return {
        "budget": found,
        "partner": queries.partner_of(found),
        "parent": parent,
        "parents": queries.above(found) if policy.may_see_partners_budgets(actor, found.partner_id) else [],
        "branch": branch,
        "tree": [row for row in tree if row.depth],
        "burn": burn,
        "drawing": drawing.draw(burn),
        "spans": drawing.table(burn.days),
        "tranches": queries.tranches_of(budget_id),
        "managers": queries.managers_of(budget_id),
        "requests": queries.rows(queries.requests_of_budget(budget_id).limit(5)),
        "summary": requests.summary,
        "members": page_of(queries.caps_of(budget_id), size=25),
        "sessions": queries.rows(queries.sessions_of_budget(budget_id).limit(20)),
        "may_manage_members": not found.is_closed and policy.may_manage_members(actor, found, manages=manages),
        "may_fund": parent is not None and not found.is_closed and policy.may_fund(actor, found),
        "may_grant": parent is None and not found.is_closed and policy.may_grant(actor),
        "may_change": not found.is_closed and policy.may_change_budget(actor, found),
        "may_shape": not found.is_closed and policy.may_shape(actor, found),
        "others": [(row.id, pick(row)) for row in queries.budgets_of_partner(found.partner_id) if row.id != found.id],
        "may_put_in_charge": not found.is_closed and policy.may_put_in_charge(actor, found),
        "may_stand_below": MAY_STAND_BELOW[found.kind],
        "askable": offered(found),
        "as_typed": forms.credits,
        "form_key": uuid7().hex,
        "now": clock.now(),
    }


def _parent(found: Budget) -> Budget | None:
    return queries.budget(found.parent_id) if found.parent_id else None
