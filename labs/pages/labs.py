"""The pages of one's own labs: all of them, one, the way inside."""

from typing import Any
from uuid import UUID

from flask import Response, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.access import current_actor, require, require_person, signed_in
from app.config import Settings
from app.db import transaction
from app.locale import pick
from app.paging import page_of
from labs import failures, policy, queries
from labs.deciding import taking_place
from labs.errors import CenterUnreachable, LabNotReady
from labs.models import LabSession, SessionState
from labs.months import Month
from labs.pages import running
from labs.pages.blueprint import blp
from labs.services import line, sessions


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


@blp.get("/labs")
@signed_in
def index() -> str:
    """My labs: those that live, and what the others cost."""
    person_id = require_person(current_actor())
    live = queries.live_sessions_of(person_id)
    return render_template(
        "labs/index.html",
        live=live,
        turns={session.id: queries.outlook(session) for session in live if session.state is SessionState.WAITING},
        pager=page_of(queries.ended_sessions_of(person_id)),
        shares=queries.caps_of_person(person_id),
        storage=queries.storage_of(person_id),
        looks=page_of(queries.views_into_labs_of(person_id), size=10).items,
        this_month=Month.of(clock.now()),
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
    return redirect(lab_url(session))


@blp.post("/labs/<uuid:session_id>/stop")
@signed_in
def stop(session_id: UUID) -> ResponseReturnValue:
    with transaction():
        sessions.stop(current_actor(), session_id)
    return answered(session_id)


def answered(session_id: UUID) -> ResponseReturnValue:
    """What changed, for htmx; the whole page for browsers without it."""
    if "HX-Request" in request.headers:
        return render_template("labs/_status.html", **_view(session_id))
    return redirect(url_for(".show", session_id=session_id), 303)


@blp.post("/labs/<uuid:session_id>/accept")
@signed_in
def accept(session_id: UUID) -> ResponseReturnValue:
    """Take the place that is kept for a lab in line."""
    with taking_place(current_actor(), session_id) as question:
        question.answer(line.accept(current_actor(), session_id))
    if "HX-Request" in request.headers:
        return render_template("labs/_status.html", **_view(session_id))
    return redirect(url_for(".show", session_id=session_id, enter=1), 303)


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
        "may_ask_correction": not session.is_live
        and session.hold is not None
        and session.charged_micro > session.hold.corrected_micro
        and policy.may_ask_correction(actor, session, manages=manages),
        "may_see_budget": policy.may_see_budget(actor, queries.budget(session.budget_id), manages=manages),
        "refused_because": failures.words(session.failure_code) if session.failure_code else None,
        "cost": session.cost_so_far(now),
        "now": now,
        "enter": "enter" in request.args,
        **running.part(actor, session),
        "turn": queries.outlook(session),
        "line_length": queries.load(session.center_id).waiting,
        "moves": session.state in (SessionState.RESERVED, SessionState.STARTING, SessionState.STOPPING),
    }


def _card(session: LabSession) -> dict[str, object]:
    return {
        "id": session.id,
        "title": pick(session.template),
        "state": session.state,
        "center": pick(session.center),
        "ends_at": session.lease_ends_at,
        "url": url_for("labs.show", session_id=session.id),
    }


def lab_url(session: LabSession) -> str:
    """Where the lab is, on its own host."""
    settings: Settings = current_app.extensions["settings"]
    public = next((hub.public_url for hub in settings.hubs if hub.center == session.center.slug), None)
    if public is None:
        raise CenterUnreachable(center=session.center.slug)
    first = queries.first_file(session.template_id)
    inside = f"lab/tree/{session.template.folder}/{first.path}" if first else "lab"
    return f"{public}/user/{session.person.hub_name}/{session.server_name}/{inside}"
