"""The operator's console."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.exceptions import BadRequest

import accounts.queries
from app import clock
from app.access import current_actor, require, signed_in
from app.db import transaction
from app.locale import pick
from app.paging import page_of
from labs import policy, queries
from labs.models import CenterState, SessionState
from labs.pages.blueprint import blp
from labs.pages.decisions import in_words
from labs.queries import console
from labs.queries.drift import drift
from labs.services import centers, idle


@blp.get("/operations")
@signed_in
def operations() -> str:
    """Centers, the line, drift, sessions, decisions and budgets, for those who run the compute."""
    require(policy.may_operate(current_actor()))
    found = queries.centers()
    partners = queries.rows(accounts.queries.partners())
    wanted = _wanted()
    return render_template(
        "labs/operations.html",
        centers=found,
        center_options=[("", _("All centers")), *((item.slug, pick(item)) for item in found)],
        partner_options=[("", _("All partners")), *((item.slug, pick(item)) for item in partners)],
        state_options=_state_options(),
        numbers=console.center_numbers(),
        no_numbers=console.CenterNumbers(),
        states=list(CenterState),
        idle_range=(idle.SHORTEST, idle.LONGEST),
        drift=drift(),
        line=console.line(),
        decisions=console.latest_decisions(),
        in_words=in_words,
        names={center.slug: center for center in found},
        pager=page_of(console.sessions_wanted(wanted), size=50),
        wanted=wanted,
        tree=queries.budget_tree(queries.partner_budgets()),
        partners={partner.id: partner for partner in partners},
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


@blp.post("/operations/centers/<slug>/idle")
@signed_in
def set_center_idle(slug: str) -> ResponseReturnValue:
    """After how many minutes without work labs of a center are stopped."""
    with transaction():
        centers.set_idle_minutes(current_actor(), slug, request.form.get("idle_minutes", 0, type=int))
    flash(_("Labs of this center now stop after that time without work."), "success")
    return redirect(url_for(".operations"), 303)


@blp.post("/operations/centers/<slug>/region")
@signed_in
def set_center_region(slug: str) -> ResponseReturnValue:
    """In which region the disks of a center stand."""
    with transaction():
        centers.set_region(current_actor(), slug, request.form.get("region"))
    flash(_("Labs that ask for a region now know where this center is."), "success")
    return redirect(url_for(".operations"), 303)


def _wanted() -> console.Wanted:
    asked = request.args
    state = asked.get("state") or ("all" if asked.get("show") == "all" else "live")
    if state not in dict(_state_options()):
        raise BadRequest
    return console.Wanted(state, asked.get("center", ""), asked.get("partner", ""), asked.get("person", "").strip())


def _state_options() -> list[tuple[str, str]]:
    words = {
        SessionState.WAITING: _("Waiting"),
        SessionState.OFFERED: _("Place offered"),
        SessionState.RESERVED: _("Reserved"),
        SessionState.STARTING: _("Starting"),
        SessionState.RUNNING: _("Running"),
        SessionState.STOPPING: _("Stopping"),
        SessionState.SETTLED: _("Ended"),
        SessionState.VOIDED: _("Not charged"),
    }
    return [
        ("live", _("Only those that run")),
        ("all", _("All")),
        *((str(state), text) for state, text in words.items()),
    ]
