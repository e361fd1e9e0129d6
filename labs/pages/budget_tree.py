"""The pages of the budget tree: a partner's budgets, all that one looks after, opening, changing, closing, shares."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import Response, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext

import accounts.queries
from accounts.models import Partner
from app import clock
from app.access import current_actor, require, signed_in
from app.db import transaction
from app.errors import Conflict, DomainError, Invalid, NotFound
from app.ids import uuid7
from app.locale import MICRO, pick
from app.paging import page_of
from app.problems import status_of
from app.spreadsheet import csv_response
from labs import policy, queries
from labs.models import MAY_STAND_BELOW, Budget, BudgetKind
from labs.pages import forms
from labs.pages.blueprint import blp
from labs.services import budget_tree

KINDS = {
    BudgetKind.PARTNER: lazy_gettext("Partner"),
    BudgetKind.PROGRAM: lazy_gettext("Program"),
    BudgetKind.RUN: lazy_gettext("Course run"),
    BudgetKind.CONTEST: lazy_gettext("Contest"),
    BudgetKind.PROJECT: lazy_gettext("Project"),
}


@blp.app_template_filter("budget_kind")
def budget_kind(kind: BudgetKind) -> str:
    return str(KINDS[kind])


@blp.get("/budgets")
@signed_in
def budgets_list() -> str:
    """All budgets that the reader looks after, as trees; operators see every partner's."""
    actor, wanted = current_actor(), _filter()
    tree = queries.tree_seen_by(actor)
    partners = {partner.id: partner for partner in queries.rows(accounts.queries.partners())}
    return render_template(
        "labs/budgets.html",
        tree=queries.narrowed(tree, wanted),
        is_empty=not tree,
        partners=partners,
        wanted=wanted,
        kinds=KINDS,
        now=clock.now(),
    )


@blp.get("/partners/<slug>/budget")
@signed_in
def partner_budget(slug: str) -> ResponseReturnValue:
    """A partner's compute: its budgets as a tree, and what its people used."""
    return _partner_page(_partner(slug))


@blp.get("/partners/<slug>/budget.csv")
@signed_in
def partner_budget_csv(slug: str) -> Response:
    """The tree as a table for a spreadsheet."""
    partner = _partner(slug)
    header = (
        *(_("Budget"), _("Kind"), _("Depth"), _("Above"), _("Starts at"), _("Ends at"), _("Closed")),
        *(_("Granted"), _("Passed on"), _("Left"), _("Promised"), _("Used"), _("Expired"), _("Overrun")),
        *(_("Left, with those below"), _("Promised, with those below"), _("Used, with those below")),
    )
    return csv_response(f"budgets-{partner.slug}", header, _lines(_tree(partner)))


@blp.post("/partners/<slug>/budget")
@signed_in
def open_root(slug: str) -> ResponseReturnValue:
    """Open the partner's own budget."""
    partner, form = _partner(slug), request.form
    try:
        with transaction():
            require(policy.may_grant(current_actor()))
            found = budget_tree.open_root(
                current_actor(),
                partner.id,
                title_zh=form.get("title_zh", ""),
                title_en=form.get("title_en", ""),
                starts_at=forms.first_moment("starts_on"),
                ends_at=forms.end_of("ends_on"),
            )
    except (Invalid, Conflict) as refusal:
        return _partner_page(partner, refusal)
    return redirect(url_for(".budget", budget_id=found.id), 303)


@blp.get("/budgets/<uuid:budget_id>/below/new")
@signed_in
def new_below(budget_id: UUID) -> ResponseReturnValue:
    """The form that opens a budget below another one."""
    return _below_form(_shaped(budget_id))


@blp.post("/budgets/<uuid:budget_id>/below")
@signed_in
def open_below(budget_id: UUID) -> ResponseReturnValue:
    parent, form = _shaped(budget_id), request.form
    kind = forms.chosen(BudgetKind, form.get("kind"))
    try:
        if kind is None:
            raise Invalid(_("Choose a kind."))
        with transaction():
            found = budget_tree.open_below(
                current_actor(),
                parent.id,
                kind,
                title_zh=form.get("title_zh", ""),
                title_en=form.get("title_en", ""),
                starts_at=forms.first_moment("starts_on"),
                ends_at=forms.end_of("ends_on"),
                member_cap_micro=forms.amount_or_none("member_cap"),
                fund_micro=forms.amount_or_none("amount") or 0,
                key=f"form:{form.get('key') or uuid7().hex}",
            )
    except (Invalid, Conflict) as refusal:
        return _below_form(parent, refusal)
    flash(_("The budget is open."), "success")
    return redirect(url_for(".budget", budget_id=found.id), 303)


@blp.get("/budgets/<uuid:budget_id>/change")
@signed_in
def show_change(budget_id: UUID) -> ResponseReturnValue:
    """The form that changes a budget."""
    return _change_form(_changed(budget_id))


@blp.post("/budgets/<uuid:budget_id>/change")
@signed_in
def change_budget(budget_id: UUID) -> ResponseReturnValue:
    """Change title, dates and the usual share."""
    found, form = _changed(budget_id), request.form
    try:
        with transaction():
            budget_tree.change(
                current_actor(),
                budget_id,
                title_zh=form.get("title_zh", ""),
                title_en=form.get("title_en", ""),
                starts_at=forms.start_of("starts_on", found.starts_at),
                ends_at=forms.end_of("ends_on", found.ends_at),
                member_cap_micro=forms.amount_or_none("member_cap"),
            )
    except (Invalid, Conflict) as refusal:
        return _change_form(queries.budget(budget_id), refusal)
    flash(_("The budget is changed."), "success")
    return redirect(url_for(".budget", budget_id=budget_id), 303)


@blp.get("/budgets/<uuid:budget_id>/shares")
@signed_in
def show_shares(budget_id: UUID) -> ResponseReturnValue:
    """Everybody's share at once: the form, and with an amount in the address what it would come to."""
    return _shares_page(_with_members(budget_id))


@blp.post("/budgets/<uuid:budget_id>/shares")
@signed_in
def set_shares(budget_id: UUID) -> ResponseReturnValue:
    """Do what was previewed."""
    found = _with_members(budget_id)
    try:
        with transaction():
            done = budget_tree.set_shares(
                current_actor(), budget_id, **_wanted_shares(), version=request.form.get("version")
            )
    except (Invalid, Conflict) as refusal:
        return _shares_page(found, refusal)
    flash(_("The shares of %(members)s members are set.", members=done.members), "success")
    return redirect(url_for(".budget", budget_id=budget_id), 303)


@blp.post("/budgets/<uuid:budget_id>/pull-back")
@signed_in
def pull_back(budget_id: UUID) -> ResponseReturnValue:
    """Take unused credits back into the budget above."""
    found = _shaped(budget_id)
    with transaction():
        key = f"form:{request.form.get('key', uuid7().hex)}"
        budget_tree.pull_back(current_actor(), found.id, forms.amount(), key=key)
    flash(_("The credits are back in the budget above."), "success")
    return redirect(url_for(".budget", budget_id=budget_id), 303)


@blp.post("/budgets/<uuid:budget_id>/close")
@signed_in
def close_budget(budget_id: UUID) -> ResponseReturnValue:
    """Let nothing more start on it; what is left goes back."""
    found = _changed(budget_id)
    with transaction():
        budget_tree.close(current_actor(), found.id)
    flash(_("The budget is closed."), "success")
    return redirect(url_for(".budget", budget_id=budget_id), 303)


@blp.post("/budgets/<uuid:budget_id>/move")
@signed_in
def move_credits(budget_id: UUID) -> ResponseReturnValue:
    """Move credits from here to another budget of the partner."""
    source = _shaped(budget_id)
    target = forms.chosen_id(request.form.get("to"))
    if target is None:
        raise Invalid(_("Choose a budget."))
    with transaction():
        key = f"form:{request.form.get('key', uuid7().hex)}"
        budget_tree.move(current_actor(), source.id, target, forms.amount(), key=key)
    flash(_("The credits are moved."), "success")
    return redirect(url_for(".budget", budget_id=budget_id), 303)


def _partner(slug: str) -> Partner:
    partner = accounts.queries.partner(slug)
    if not policy.may_see_partners_budgets(current_actor(), partner.id):
        raise NotFound
    return partner


def _shaped(budget_id: UUID) -> Budget:
    found = queries.visible_budget(current_actor(), budget_id)
    require(policy.may_shape(current_actor(), found))
    return found


def _changed(budget_id: UUID) -> Budget:
    found = queries.visible_budget(current_actor(), budget_id)
    require(policy.may_change_budget(current_actor(), found))
    return found


def _with_members(budget_id: UUID) -> Budget:
    actor = current_actor()
    found = queries.visible_budget(actor, budget_id)
    require(policy.may_manage_members(actor, found, manages=queries.manages(actor, budget_id)))
    return found


def _tree(partner: Partner) -> list[queries.Branch]:
    root = queries.budget_of_partner(partner.id)
    return queries.narrowed(queries.budget_tree([root]) if root else [], _filter())


def _partner_page(partner: Partner, refusal: DomainError | None = None) -> ResponseReturnValue:
    actor, root = current_actor(), queries.budget_of_partner(partner.id)
    page = render_template(
        "labs/partner_budget.html",
        partner=partner,
        root=root,
        branch=queries.branch(root) if root else None,
        burn=queries.burn_down(root) if root else None,
        tree=_tree(partner),
        wanted=_filter(),
        kinds=KINDS,
        may_grant=policy.may_grant(actor),
        may_shape=root is not None and not root.is_closed and policy.may_shape(actor, root),
        people=queries.usage_of_people(partner.id),
        pager=page_of(queries.sessions_of_partner(partner.id), size=20),
        now=clock.now(),
        form=forms.typed(),
        refusal=refusal,
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _below_form(parent: Budget, refusal: DomainError | None = None) -> ResponseReturnValue:
    page = render_template(
        "labs/new_budget.html",
        parent=parent,
        kinds=[(kind, KINDS[kind]) for kind in MAY_STAND_BELOW[parent.kind] if kind is not BudgetKind.RUN],
        form=forms.typed(),
        today=forms.day_of(clock.now()),
        last_day=forms.last_day(parent.ends_at),
        form_key=request.form.get("key") or uuid7().hex,
        refusal=refusal,
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _change_form(found: Budget, refusal: DomainError | None = None) -> ResponseReturnValue:
    shown = {
        "title_zh": found.title_zh,
        "title_en": found.title_en,
        "starts_on": forms.day_of(found.starts_at).isoformat(),
        "ends_on": forms.last_day(found.ends_at).isoformat(),
        "member_cap": forms.credits(found.member_cap_micro),
    }
    form = request.form.to_dict() if refusal else shown
    page = render_template("labs/change_budget.html", budget=found, form=shown | form, refusal=refusal)
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _wanted_shares() -> dict[str, int | None]:
    how = request.values.get("how")
    amount = request.values.get("amount", "").strip()
    if how == "none":
        return {"set_micro": None, "raise_micro": None}
    if how not in ("set", "raise"):
        raise Invalid(_("Choose what is to happen with the shares."))
    return {f"{how}_micro": forms.micro(amount)}


def _shares_page(found: Budget, refusal: DomainError | None = None) -> ResponseReturnValue:
    after = None
    try:
        if "how" in request.values:
            after = budget_tree.shares_after(current_actor(), found.id, **_wanted_shares())
    except Invalid as invalid:
        refusal = refusal or invalid
    page = render_template(
        "labs/shares.html", budget=found, after=after, form=forms.typed(), refusal=refusal, capped=found.purse.total
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _filter() -> queries.TreeFilter:
    args = request.args
    return queries.TreeFilter(
        kind=forms.chosen(BudgetKind, args.get("kind")),
        status=forms.chosen(queries.BudgetStatus, args.get("status")),
        search=args.get("search", "")[:100],
    )


def _lines(tree: list[queries.Branch]) -> Iterator[tuple[Any, ...]]:
    titles = {branch.budget.id: pick(branch.budget) for branch in tree}
    for branch in tree:
        budget, own, whole = branch.budget, branch.own, branch.whole
        above = titles.get(budget.parent_id, "") if budget.parent_id else ""
        yield (
            *(pick(budget), str(KINDS[budget.kind]), branch.depth, above, budget.starts_at, budget.ends_at),
            _("yes") if budget.is_closed else _("no"),
            *(own.granted / MICRO, own.passed_on / MICRO, own.available / MICRO, own.held / MICRO, own.used / MICRO),
            *(own.expired / MICRO, own.overrun / MICRO),
            *(whole.available / MICRO, whole.held / MICRO, whole.used / MICRO),
        )
