"""A run: seats, units, and the way into a lab."""

import hashlib
import json
from typing import Any
from uuid import UUID

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from app import clock
from app.access import current_actor, public, require_person, signed_in
from app.db import db, transaction
from app.errors import DomainError, Invalid
from app.locale import pick
from courses import policy, prose, queries
from courses.errors import AlreadyEnrolled, NotEnrolled
from courses.models import CourseRun, Unit
from courses.services import enrollment, launch
from courses.services.launch import Subject
from labs.deciding import deciding
from labs.models import LabSession
from labs.services import panel, terms

LONGEST_SIZE = 100

blp = Blueprint("runs", __name__, template_folder="../templates")


@blp.get("/runs/<uuid:run_id>")
@public
def show(run_id: UUID) -> str:
    """Dates, seats, units, and where I stand."""
    return render_template("courses/run.html", **_view(run_id))


@blp.post("/runs/<uuid:run_id>/enroll")
@signed_in
def enroll(run_id: UUID) -> ResponseReturnValue:
    """Take a seat, or a place on the waiting list. Pressing twice is pressing once."""
    actor = current_actor()
    try:
        with transaction():
            enrollment.enroll(actor, run_id, require_person(actor))
    except AlreadyEnrolled:
        db.session.rollback()
    return _answer(run_id)


@blp.post("/runs/<uuid:run_id>/withdraw")
@signed_in
def withdraw(run_id: UUID) -> ResponseReturnValue:
    """Give my seat, or my place on the waiting list, back."""
    with transaction():
        enrollment.withdraw(current_actor(), run_id)
    return _answer(run_id)


@blp.get("/runs/<uuid:run_id>/units/<uuid:unit_id>")
@signed_in
def unit(run_id: UUID, unit_id: UUID) -> str:
    """Something to read, or a lab with its launch panel."""
    actor = current_actor()
    run = queries.run(actor, run_id)
    mine = queries.enrollment(run_id, actor.person_id)
    if not policy.may_study(actor, run, mine):
        raise NotEnrolled(state=mine.state if mine else None)
    found = queries.unit(run, unit_id)
    outline = queries.units(run.version_id)
    at = next(number for number, one in enumerate(outline) if one.id == found.id)
    return render_template(
        "courses/unit.html",
        run=run,
        unit=found,
        outline=outline,
        before=outline[at - 1] if at else None,
        after=outline[at + 1] if at + 1 < len(outline) else None,
        body=prose.html(pick(found, "body")),
        **(_lab(run, found) if found.is_lab else {"panel": None, "refusal": None}),
        action=url_for(".start", run_id=run_id, unit_id=unit_id),
    )


@blp.post("/runs/<uuid:run_id>/units/<uuid:unit_id>/launch")
@signed_in
def start(run_id: UUID, unit_id: UUID) -> ResponseReturnValue:
    """Launch the unit's lab, and go to its page."""
    asked = _asked()
    with transaction():  # stays accepted, whatever becomes of the launch
        terms.accept_read(current_actor(), request.form.getlist("terms"))
    session = _launch(run_id, unit_id, asked)
    target = url_for("labs.show", session_id=session.id, enter=1)  # goes inside as soon as it is ready
    if "HX-Request" in request.headers:
        return "", 204, {"HX-Redirect": target}
    return redirect(target, 303)


def home_part() -> dict[str, Any]:
    """My courses and the unit to go on with, for the home page."""
    courses = []
    for mine in queries.my_courses(require_person(current_actor())):
        place = queries.place(mine.enrollment)
        courses.append(
            {
                "title": pick(mine.run.course),
                "url": url_for("runs.show", run_id=mine.run.id),
                "note": _("You are number %(place)s on the waiting list", place=place) if place else "",
                "next_unit_title": pick(mine.next_unit) if mine.next_unit else "",
                "next_unit_url": url_for("runs.unit", run_id=mine.run.id, unit_id=mine.next_unit.id)
                if mine.next_unit
                else "",
            }
        )
    return {"courses": courses}


def _answer(run_id: UUID) -> ResponseReturnValue:
    """The seat's part of the page for htmx; the whole page for browsers without it."""
    if "HX-Request" in request.headers:
        return render_template("courses/_enrollment.html", **_view(run_id))
    return redirect(url_for(".show", run_id=run_id), 303)


def _view(run_id: UUID) -> dict[str, Any]:
    actor, at = current_actor(), clock.now()
    run = queries.run(actor, run_id)
    mine = queries.enrollment(run_id, actor.person_id)
    pools = policy.pools_for(actor, run)
    can_enroll = (mine is None or not mine.is_current) and run.takes_enrollments(at)
    return {
        "run": run,
        "phase": queries.phase(run, at),
        "units": queries.units(run.version_id),
        "pools": sorted(run.pools, key=lambda pool: (pool not in pools, pool.partner_id is None, pool.id)),
        "mine": mine if mine is not None and mine.is_current else None,
        "place": queries.place(mine) if mine else None,
        "waiting": queries.waiting_count(run_id),
        "seats_free": queries.seats_free(pools),
        "has_pools": bool(pools),
        "can_enroll": can_enroll and (bool(pools) or not actor.is_signed_in),
        "can_withdraw": mine is not None and mine.is_current and mine.state != "completed" and not run.has_ended(at),
        "can_study": policy.may_study(actor, run, mine),
        "can_teach": policy.may_see_class(actor, run),
    }


def _lab(run: CourseRun, found: Unit) -> dict[str, Any]:
    """The launch panel; or why there is none now."""
    try:
        launch.launchable(current_actor(), run.id, found.id)
    except DomainError as refusal:
        return {"panel": None, "refusal": refusal}
    assert found.lab_template_id is not None
    return {"panel": panel.launch_panel(current_actor(), found.lab_template_id, run.budget_id), "refusal": None}


def _launch(run_id: UUID, unit_id: UUID, asked: dict[str, Any]) -> LabSession:
    """The key of the form makes many clicks one; whoever comes back to it after the lab has ended wants a new one."""
    actor = current_actor()
    form, subject = request.form.get("key"), Subject.of(actor, run_id, unit_id)
    what = hashlib.sha256(json.dumps(asked, default=str, sort_keys=True).encode()).hexdigest()[:32]
    key = f"form:{form[:64]}:{what}" if form else None
    while True:
        with deciding(actor, "launch", **subject.about, **asked) as question:
            origin_url = url_for(".unit", run_id=run_id, unit_id=unit_id)
            session = launch.launch(actor, subject, **asked, key=key, origin_url=origin_url, note=question.weighed)
            question.answer(session)
        if session.is_live or key is None:
            return session
        key = f"form:{session.id.hex}:{what}"


def _asked() -> dict[str, Any]:
    """One flavor, or a size and perhaps a center; and for how many minutes."""
    faults = []
    form = request.form
    size, flavor_id = form.get("size", "")[:LONGEST_SIZE], form.get("flavor_id", type=UUID)
    if not size and flavor_id is None:
        faults.append({"pointer": "#/size", "detail": _("Choose a flavor.")})
    minutes = form.get("minutes", type=int)
    if minutes is None or minutes < 1:
        faults.append({"pointer": "#/minutes", "detail": _("Say for how many minutes.")})
    if faults:
        raise Invalid(errors=faults)
    if flavor_id is not None:
        return {"flavor_id": flavor_id, "minutes": minutes}
    return {"size": size, "center": form.get("center") or None, "minutes": minutes}
