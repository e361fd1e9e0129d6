"""The operator's console."""

from flask import redirect, render_template, request, url_for
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
from labs.models import CenterState
from labs.pages.blueprint import blp
from labs.services import centers


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
