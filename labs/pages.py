"""The pages of labs: mine, one lab, the operator's console, budgets. The same services as the API, in HTML."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.exceptions import BadRequest

import accounts.queries
from app import clock
from app.access import current_actor, require, require_person, signed_in
from app.config import Settings
from app.db import transaction
from app.errors import Invalid, NotFound
from app.ids import uuid7
from app.locale import MICRO, pick
from app.paging import page_of
from app.spreadsheet import csv_response
from labs import policy, queries
from labs.errors import CenterUnreachable, LabNotReady
from labs.models import Budget, CenterState, LabSession, SessionState
from labs.services import budgets, centers, sessions

blp = Blueprint("labs", __name__, template_folder="templates")


def home_part() -> dict[str, object]:
    """My running labs and what is left of my compute, for the home page."""
    person_id = require_person(current_actor())
    return {
        "labs": [_card(session) for session in queries.live_sessions_of(person_id)],
        "budget_rows": [
            {
                "name": pick(budget),
                "left_micro": cap.left if cap.left is not None else budget.purse.available,
                "cap_micro": cap.cap_micro if cap.cap_micro is not None else budget.purse.total,
            }
            for cap, budget in queries.caps_of_person(person_id)
        ],
    }


# --- my labs ------------------------------------------------------------------------------------------------------


@blp.get("/labs")
@signed_in
def index() -> str:
    """My labs: those that live, and what the others cost."""
    person_id = require_person(current_actor())
    return render_template(
        "labs/index.html",
        live=queries.live_sessions_of(person_id),
        pager=page_of(queries.ended_sessions_of(person_id)),
        shares=queries.caps_of_person(person_id),
        now=clock.now(),
    )


@blp.get("/labs/<uuid:session_id>")
@signed_in
def show(session_id: UUID) -> str:
    return render_template("labs/show.html", **_view(session_id))


@blp.get("/labs/<uuid:session_id>/status")
@signed_in
def status(session_id: UUID) -> ResponseReturnValue:
    """The part of the page that changes; asked for every second or so while the lab starts or stops."""
    view = _view(session_id)
    response = Response(render_template("labs/_status.html", **view))
    if view["session"].state is SessionState.RUNNING and "enter" in request.args and view["is_mine"]:
        response.headers["HX-Redirect"] = url_for(".open_lab", session_id=session_id)
    return response


@blp.get("/labs/<uuid:session_id>/open")
@signed_in
def open_lab(session_id: UUID) -> ResponseReturnValue:
    """Go inside. The hub signs the person in by asking the platform; there is no second form."""
    actor = current_actor()
    session = queries.session(actor, session_id)
    require(policy.may_open_session(actor, session))
    if session.state is not SessionState.RUNNING:
        raise LabNotReady(state=session.state)
    return redirect(_lab_url(session))


@blp.post("/labs/<uuid:session_id>/stop")
@signed_in
def stop(session_id: UUID) -> ResponseReturnValue:
    with transaction():
        sessions.stop(current_actor(), session_id)
    if "HX-Request" in request.headers:
        return render_template("labs/_status.html", **_view(session_id))
    return redirect(url_for(".show", session_id=session_id), 303)


# --- operations ---------------------------------------------------------------------------------------------------


@blp.get("/operations")
@signed_in
def operations() -> str:
    """Centers, sessions and budgets, for those who run the compute."""
    actor = current_actor()
    require(policy.may_operate(actor))
    live_only = request.args.get("show", "live") != "all"
    center = request.args.get("center") or None
    found = queries.centers()
    return render_template(
        "labs/operations.html",
        centers=found,
        center_options=[("", _("All centers")), *((item.slug, pick(item)) for item in found)],
        counts=queries.live_count_by_center(),
        states=list(CenterState),
        pager=page_of(queries.sessions_seen_by(actor, live_only=live_only, center_slug=center), size=50),
        live_only=live_only,
        center=center,
        tree=queries.budget_tree(queries.partner_budgets()),
        partners={partner.id: partner for partner in queries.rows(accounts.queries.partners())},
        now=clock.now(),
    )


@blp.post("/operations/centers/<slug>/state")
@signed_in
def set_center_state(slug: str) -> ResponseReturnValue:
    try:
        state = CenterState(request.form.get("state", ""))
    except ValueError:
        raise BadRequest from None
    with transaction():
        centers.set_state(current_actor(), slug, state)
    return redirect(url_for(".operations"), 303)


# --- budgets ------------------------------------------------------------------------------------------------------


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


# --- views --------------------------------------------------------------------------------------------------------


def _view(session_id: UUID) -> dict[str, Any]:
    actor, now = current_actor(), clock.now()
    session = queries.session(actor, session_id)
    manages = queries.manages(actor, session.budget_id)
    return {
        "session": session,
        "is_mine": actor.person_id == session.person_id,
        "may_stop": session.is_live
        and session.state is not SessionState.STOPPING
        and policy.may_stop_session(actor, session, manages=manages),
        "may_see_budget": policy.may_see_budget(actor, queries.budget(session.budget_id), manages=manages),
        "cost": session.cost_so_far(now),
        "now": now,
        "enter": "enter" in request.args,
        "moves": session.state in (SessionState.RESERVED, SessionState.STARTING, SessionState.STOPPING),
    }


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


def _card(session: LabSession) -> dict[str, object]:
    return {
        "id": session.id,
        "title": pick(session.template),
        "state": session.state,
        "center": pick(session.center),
        "ends_at": session.lease_ends_at,
        "url": url_for("labs.show", session_id=session.id),
    }


def _lab_url(session: LabSession) -> str:
    settings: Settings = current_app.extensions["settings"]
    public = next((hub.public_url for hub in settings.hubs if hub.center == session.center.slug), None)
    if public is None:
        raise CenterUnreachable(center=session.center.slug)
    first = queries.first_file(session.template_id)
    inside = f"lab/tree/{session.template.folder}/{first.path}" if first else "lab"
    return f"{public}/user/{session.person.hub_name}/{session.server_name}/{inside}"


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
