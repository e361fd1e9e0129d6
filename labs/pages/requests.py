"""The pages of requests for compute: what waits, what one asked for, one request, asking."""

from uuid import UUID

from flask import Response, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import accounts.queries
from app.access import current_actor, signed_in
from app.db import transaction
from app.errors import Conflict, DomainError, Invalid, NotFound
from app.ids import uuid7
from app.locale import MICRO, credits_text, moment, pick
from app.paging import page_of
from app.problems import status_of
from app.spreadsheet import csv_response
from labs import policy, queries
from labs.models import Budget, ComputeRequest, RequestKind, RequestState
from labs.pages import forms
from labs.pages.blueprint import blp
from labs.services import requests

LISTS = {
    "to-decide": queries.requests_to_decide,
    "mine": queries.requests_by,
    "all": queries.requests_seen_by,
}


@blp.get("/requests")
@signed_in
def requests_list() -> str:
    """Requests for compute: what waits for one's answer, what one asked for, all that one may see."""
    actor = current_actor()
    waiting = queries.requests_to_decide(actor)
    pager = page_of(waiting, size=1)
    chosen = request.args.get("list", "to-decide" if pager.total else "mine")
    wanted = _filter()
    rows = page_of(wanted.narrow(LISTS.get(chosen, queries.requests_by)(actor)), size=20)
    return render_template(
        "labs/requests.html",
        pager=rows,
        waiting=pager.total,
        chosen=chosen if chosen in LISTS else "mine",
        wanted=wanted,
        kinds=requests.KINDS,
        states=list(RequestState),
        summary=requests.summary,
    )


@blp.get("/requests.csv")
@signed_in
def requests_csv() -> Response:
    """The same list as a table for a spreadsheet."""
    rows = _filter().narrow(LISTS.get(request.args.get("list", "all"), queries.requests_seen_by)(current_actor()))
    header = (
        *(_("Request"), _("Kind"), _("State"), _("Budget"), _("Asked for"), _("Approved"), _("Person"), _("Asked at")),
        *(_("Reason"), _("Answered at"), _("Answer")),
    )
    lines = (
        (
            *(row.id, str(requests.KINDS[row.kind]), row.state, pick(row.budget), _credits(row.amount_micro)),
            *(_credits(row.granted_micro), row.requester.name, row.created_at, row.reason, row.decided_at, row.note),
        )
        for row in queries.rows(rows)
    )
    return csv_response("requests", header, lines)


@blp.get("/requests/<uuid:request_id>")
@signed_in
def show_request(request_id: UUID) -> ResponseReturnValue:
    return _show(request_id)


@blp.post("/requests/<uuid:request_id>/approve")
@signed_in
def approve_request(request_id: UUID) -> ResponseReturnValue:
    """Say yes, perhaps to less, and move the credits."""
    queries.visible_request(current_actor(), request_id)
    try:
        amount = forms.amount_or_none("amount")
        if amount == 0:
            raise Invalid(_("To give nothing, decline the request."))
        with transaction():
            requests.approve(current_actor(), request_id, amount_micro=amount, note=request.form.get("note"))
    except (Invalid, Conflict) as refusal:
        return _show(request_id, refusal)
    flash(_("The request is approved."), "success")
    return redirect(url_for(".show_request", request_id=request_id), 303)


@blp.post("/requests/<uuid:request_id>/decline")
@signed_in
def decline_request(request_id: UUID) -> ResponseReturnValue:
    """Say no, and why."""
    queries.visible_request(current_actor(), request_id)
    try:
        with transaction():
            requests.decline(current_actor(), request_id, request.form.get("note", ""))
    except (Invalid, Conflict) as refusal:
        return _show(request_id, refusal)
    flash(_("The request is declined."), "success")
    return redirect(url_for(".show_request", request_id=request_id), 303)


@blp.post("/requests/<uuid:request_id>/withdraw")
@signed_in
def withdraw_request(request_id: UUID) -> ResponseReturnValue:
    """Take back what one asked for."""
    with transaction():
        requests.withdraw(current_actor(), request_id)
    flash(_("The request is withdrawn."), "success")
    return redirect(url_for(".show_request", request_id=request_id), 303)


@blp.get("/budgets/<uuid:budget_id>/requests/new")
@signed_in
def new_request(budget_id: UUID) -> ResponseReturnValue:
    """The form of a request; the address may say the kind and the amount."""
    return _form(queries.visible_budget(current_actor(), budget_id))


@blp.post("/budgets/<uuid:budget_id>/requests")
@signed_in
def ask(budget_id: UUID) -> ResponseReturnValue:
    """Ask for a movement of credits; the form's key makes a second click harmless."""
    actor, form = current_actor(), request.form
    budget = queries.visible_budget(actor, budget_id)
    kind = forms.chosen(RequestKind, form.get("kind"))
    try:
        if kind is None:
            raise Invalid(_("Choose what to ask for."))
        has_day = kind is RequestKind.EXTENSION or (kind is RequestKind.GRANT and form.get("last_day", "").strip())
        with transaction():
            found = requests.ask(
                actor,
                kind,
                budget_id,
                reason=form.get("reason", ""),
                amount_micro=None if kind is RequestKind.EXTENSION else forms.amount(),
                other_budget_id=forms.chosen_id(form.get("other")),
                tranche_id=forms.chosen_id(form.get("tranche")),
                valid_until=forms.end_of("last_day") if has_day else None,
                key=f"form:{form.get('key') or uuid7().hex}",
            )
    except (Invalid, Conflict) as refusal:
        return _form(budget, refusal)
    flash(_("Your request is on its way; you are told when it is answered."), "success")
    return redirect(url_for(".show_request", request_id=found.id), 303)


@blp.get("/labs/<uuid:session_id>/correction")
@signed_in
def new_correction(session_id: UUID) -> ResponseReturnValue:
    """The form that asks for a lab's charge to be given back."""
    return _correction(session_id)


@blp.post("/labs/<uuid:session_id>/correction")
@signed_in
def ask_correction(session_id: UUID) -> ResponseReturnValue:
    """Ask for a charge to be given back at the center's cost."""
    form = request.form
    queries.session(current_actor(), session_id)
    try:
        with transaction():
            found = requests.ask_correction(
                current_actor(),
                session_id,
                reason=form.get("reason", ""),
                amount_micro=forms.amount(),
                key=f"form:{form.get('key') or uuid7().hex}",
            )
    except (Invalid, Conflict) as refusal:
        return _correction(session_id, refusal)
    flash(_("Your request is on its way; you are told when it is answered."), "success")
    return redirect(url_for(".show_request", request_id=found.id), 303)


def offered(budget: Budget) -> list[RequestKind]:
    """What the reader may ask of this budget."""
    actor = current_actor()
    manages = queries.manages(actor, budget.id)
    is_root = budget.parent_id is None
    fitting = {
        RequestKind.GRANT: is_root,
        RequestKind.SUPPLEMENT: not is_root,
        RequestKind.TRANSFER: True,
        RequestKind.PULL_BACK: not is_root,
        RequestKind.EXTENSION: True,
    }
    if budget.is_closed:
        return []
    return [
        kind
        for kind, fits in fitting.items()
        if fits and kind in requests.MOVES and policy.may_ask(actor, kind, budget, manages=manages)
    ]


def _filter() -> queries.RequestFilter:
    args = request.args
    return queries.RequestFilter(
        kind=forms.chosen(RequestKind, args.get("kind")),
        state=forms.chosen(RequestState, args.get("state")),
        budget_id=forms.chosen_id(args.get("budget")),
        partner=args.get("partner") or None,
        search=args.get("search", "")[:100],
    )


def _show(request_id: UUID, refusal: DomainError | None = None) -> ResponseReturnValue:
    actor = current_actor()
    found = queries.visible_request(actor, request_id)
    manages = queries.manages(actor, found.budget_id)
    sees_budget = policy.may_see_budget(actor, found.budget, manages=manages)
    people = accounts.queries.names({i for i in (found.requested_by, found.decided_by) if i})
    page = render_template(
        "labs/request.html",
        found=found,
        partner=queries.partner_of(found.budget),
        kinds=requests.KINDS,
        summary=requests.summary(found),
        people=people,
        sees_budget=sees_budget,
        burn=queries.burn_down(found.budget) if sees_budget else None,
        source=_source(found) if sees_budget else None,
        tranche=queries.tranche(found.budget_id, found.tranche_id) if found.tranche_id else None,
        earlier=[row for row in queries.rows(queries.requests_of_budget(found.budget_id).limit(6)) if row is not found]
        if sees_budget
        else [],
        summary_of=requests.summary,
        may_decide=policy.may_decide(actor, found) and found.state is RequestState.ASKED,
        is_own=policy.asked(actor, found),
        decides=policy.decides(actor, found),
        refusal=refusal,
        form=forms.typed(),
        as_typed=forms.credits,
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _source(found: ComputeRequest) -> Budget | None:
    """Where the credits are to come from."""
    source_id = {
        RequestKind.SUPPLEMENT: found.budget.parent_id,
        RequestKind.TRANSFER: found.other_budget_id,
        RequestKind.PULL_BACK: found.budget_id,
    }.get(found.kind)
    return queries.budget(source_id) if source_id else None


def _form(budget: Budget, refusal: DomainError | None = None) -> ResponseReturnValue:
    kinds = offered(budget)
    wanted = forms.chosen(RequestKind, request.values.get("kind"))
    kind = wanted if wanted in kinds else (kinds[0] if kinds else None)
    tranches = queries.tranches_of(budget.id)
    page = render_template(
        "labs/new_request.html",
        budget=budget,
        partner=queries.partner_of(budget),
        parent=queries.budget(budget.parent_id) if budget.parent_id else None,
        kinds=kinds,
        names=requests.KINDS,
        kind=kind,
        other_options=[
            (row.id, pick(row)) for row in queries.budgets_of_partner(budget.partner_id) if row.id != budget.id
        ],
        tranches=tranches,
        tranche_options=[
            (
                row.id,
                _(
                    "%(left)s credits, valid until %(until)s",
                    left=credits_text(row.remaining),
                    until=moment(row.valid_until),
                ),
            )
            for row in tranches
        ],
        burn=queries.burn_down(budget),
        open_requests=queries.rows(
            queries.RequestFilter(state=RequestState.ASKED).narrow(queries.requests_of_budget(budget.id)).limit(5)
        ),
        summary=requests.summary,
        may_fund=budget.parent_id is not None and policy.may_fund(current_actor(), budget),
        form=forms.typed(),
        form_key=request.form.get("key") or uuid7().hex,
        refusal=refusal,
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _correction(session_id: UUID, refusal: DomainError | None = None) -> ResponseReturnValue:
    session = queries.session(current_actor(), session_id)
    if session.is_live or not session.charged_micro:
        raise NotFound(_("Only what a lab that has ended was charged can be given back."))
    page = render_template(
        "labs/new_correction.html",
        session=session,
        charged=forms.credits(session.charged_micro),
        form=forms.typed(),
        form_key=request.form.get("key") or uuid7().hex,
        refusal=refusal,
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _credits(micro: int | None) -> float | None:
    return None if micro is None else micro / MICRO
