"""Teaching: my runs and courses, and a class with its labs, live."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from accounts import queries as accounts_queries
from app import clock
from app.access import Actor, current_actor, require, signed_in
from app.db import transaction
from app.errors import Invalid
from app.ids import uuid7
from app.locale import MICRO, pick
from app.paging import page_of
from app.spreadsheet import csv_response
from courses import live_class, policy, queries
from courses.live_class import Result, Row, Wanted
from courses.models import CourseRun, Enrollment, EnrollmentState
from courses.services import enrollment, runs
from labs import queries as labs_queries
from labs.services import idle, sessions

blp = Blueprint("teaching", __name__, template_folder="../templates")


@blp.get("/teaching")
@signed_in
def index() -> str:
    """The runs I teach and the courses I answer for."""
    actor = current_actor()
    pager = page_of(queries.taught_runs(actor))
    live = queries.live_counts([run.budget_id for run in pager.items])
    return render_template(
        "courses/teaching.html",
        pager=pager,
        live=live,
        phases={run.id: queries.phase(run, clock.now()) for run in pager.items},
        courses=page_of(queries.edited_courses(actor), size=100).items,
    )


@blp.get("/runs/<uuid:run_id>/class")
@signed_in
def show(run_id: UUID) -> str:
    """Who is in the class, who has a lab running, what it costs."""
    return render_template("courses/class.html", **_view(run_id))


@blp.get("/runs/<uuid:run_id>/class/live")
@signed_in
def live(run_id: UUID) -> str:
    """The part of the page that changes by itself; htmx asks for it every few seconds."""
    return render_template("courses/_class.html", **_view(run_id))


@blp.get("/runs/<uuid:run_id>/class.csv")
@signed_in
def export(run_id: UUID) -> Response:
    """The class as a table for a spreadsheet, with the same filter as the page."""
    actor, at = current_actor(), clock.now()
    run = _taught(actor, run_id)
    header = [
        *(_("Name"), _("E-mail"), _("State"), _("Unit"), _("Lab"), _("Running since"), _("Credits so far")),
        *(_("Flavor"), _("Until"), _("At work"), _("Busy kernels"), _("Kept running"), _("Storage in bytes")),
    ]
    rows = (_cells(row, at) for row in live_class.rows(actor, run, Wanted.of(request.args), at))
    return csv_response(f"class-{run.course.slug}-{run.slug}", header, rows)


@blp.post("/runs/<uuid:run_id>/class/labs/<uuid:session_id>/stop")
@signed_in
def stop(run_id: UUID, session_id: UUID) -> ResponseReturnValue:
    """Stop a lab of somebody in the class."""
    actor = current_actor()
    run = _taught(actor, run_id)
    with transaction():
        sessions.stop(actor, queries.session_of(run, session_id).id)
    return _answer(run_id)


@blp.post("/runs/<uuid:run_id>/class/labs")
@signed_in
def together(run_id: UUID) -> ResponseReturnValue:
    """Stop or extend many labs of the class at once, and say what became of each."""
    actor, form = current_actor(), request.form
    run = _taught(actor, run_id)
    ids, action = _chosen(actor, run), form.get("action", "")
    minutes, key = form.get("minutes", type=int), form.get("key", "")[:150]
    if action not in ("stop", "extend") or (action == "extend" and (minutes is None or minutes < 1 or not key)):
        raise Invalid(errors=[{"pointer": "#/minutes", "detail": _("Say for how many minutes.")}])
    if action == "stop":
        results = live_class.stop(actor, run, ids)
    else:
        results = live_class.extend(actor, run, ids, minutes or 0, key)
    said = render_template("courses/_together.html", results=results, action=action)
    if "HX-Request" in request.headers:
        return said, 200, {"HX-Trigger": "class-changed"}
    for result in results:
        flash(f"{result.person}: {result.problem.title}" if result.problem else result.person, _tone(result))
    return redirect(_back(run_id, Wanted.of(form)), 303)


@blp.post("/runs/<uuid:run_id>/units/<uuid:unit_id>/idle")
@signed_in
def set_idle(run_id: UUID, unit_id: UUID) -> ResponseReturnValue:
    """After how many minutes without work labs of a unit are stopped; empty: as the center says."""
    text = request.form.get("idle_minutes", "").strip()
    with transaction():
        minutes = int(text) if text.isdecimal() else (0 if text else None)  # 0 is refused, with the range
        runs.set_idle_minutes(current_actor(), run_id, unit_id, minutes)
    flash(_("Labs of this unit now stop after that time without work."), "success")
    return redirect(url_for(".show", run_id=run_id), 303)


@blp.post("/runs/<uuid:run_id>/units/<uuid:unit_id>/region")
@signed_in
def set_region(run_id: UUID, unit_id: UUID) -> ResponseReturnValue:
    """In which region the files of a unit's labs must lie; empty: anywhere."""
    with transaction():
        runs.set_region(current_actor(), run_id, unit_id, request.form.get("region"))
    flash(_("Labs of this unit now start only where their data may lie."), "success")
    return redirect(url_for(".show", run_id=run_id), 303)


@blp.post("/runs/<uuid:run_id>/class/people")
@signed_in
def add(run_id: UUID) -> ResponseReturnValue:
    """Enroll somebody by e-mail address."""
    actor = current_actor()
    run = _taught(actor, run_id)
    person = accounts_queries.person_by_email(request.form.get("email", ""))
    known = person is not None and bool(policy.pools_for(accounts_queries.actor(person.id), run))
    if person is None or not known:  # whether a stranger has an account here is nobody's business
        fault = _("Nobody who may have a seat in this run has this address.")
        raise Invalid(errors=[{"pointer": "#/email", "detail": fault}])
    with transaction():
        row = enrollment.enroll(actor, run_id, person.id)
        said = _told(row, person.name)
    flash(said, "success")
    return redirect(url_for(".show", run_id=run_id), 303)


@blp.post("/runs/<uuid:run_id>/class/removals")
@signed_in
def remove(run_id: UUID) -> ResponseReturnValue:
    """Take somebody out of the run, with a reason."""
    _taught(current_actor(), run_id)
    reason = request.form.get("reason", "").strip()[:500]
    person_id = request.form.get("person_id", type=UUID)
    faults = []
    if person_id is None:
        faults.append({"pointer": "#/person_id", "detail": _("Choose somebody.")})
    if not reason:
        faults.append({"pointer": "#/reason", "detail": _("Say why; the student is told.")})
    if person_id is None or not reason:
        raise Invalid(errors=faults)
    with transaction():
        name = enrollment.remove(current_actor(), run_id, person_id, reason).person.name
    flash(_("%(name)s was removed from the run.", name=name), "success")
    return redirect(url_for(".show", run_id=run_id), 303)


def _answer(run_id: UUID) -> ResponseReturnValue:
    if "HX-Request" in request.headers:
        return render_template("courses/_class.html", **_view(run_id))
    return redirect(_back(run_id, Wanted.of(request.args)), 303)


def _chosen(actor: Actor, run: CourseRun) -> list[UUID]:
    """The labs that were ticked, or all that the filter shows."""
    if request.form.get("which") != "shown":
        return request.form.getlist("session", type=UUID)
    shown = live_class.rows(actor, run, Wanted.of(request.form), clock.now())
    return [row.seat.session.id for row in shown if row.seat.session]


def _back(run_id: UUID, wanted: Wanted) -> str:
    """The class, as it was shown before."""
    given: dict[str, Any] = wanted.arguments
    return url_for(".show", run_id=run_id, **given)


def _tone(result: Result) -> str:
    return "success" if result.done else "error"


def _view(run_id: UUID) -> dict[str, Any]:
    actor, at, wanted = current_actor(), clock.now(), Wanted.of(request.args)
    run = _taught(actor, run_id)
    everybody = live_class.rows(actor, run, Wanted(), at)
    seats = [row.seat for row in everybody]
    labs = [seat.session for seat in seats if seat.session]
    return {
        "run": run,
        "at": at,
        "phase": queries.phase(run, at),
        "seats": seats,
        "rows": live_class.choose(everybody, wanted, at),
        "wanted": wanted,
        "form_key": uuid7().hex,
        "lab_units": queries.lab_units(run) if policy.leads(actor, run) else [],
        "idle_range": (idle.SHORTEST, idle.LONGEST),
        "live_count": len(labs),
        "spending_micro": sum(lab.flavor.price_micro for lab in labs if lab.ready_at),
        "waiting": page_of(queries.waiting(run_id), size=100).items,
        "purse": labs_queries.budget(run.budget_id).purse,
        "seat_count": sum(pool.cap for pool in run.pools),
        "taken_count": sum(pool.used for pool in run.pools),
    }


def _taught(actor: Actor, run_id: UUID) -> CourseRun:
    run = queries.run(actor, run_id)
    require(policy.may_see_class(actor, run))
    return run


def _told(row: Enrollment, name: str) -> str:
    if row.state is EnrollmentState.WAITLISTED:
        return str(_("%(name)s is number %(place)s on the waiting list.", name=name, place=queries.place(row)))
    return str(_("%(name)s is enrolled.", name=name))


def _cells(row: Row, at: datetime) -> list[object]:
    seat, watched = row.seat, row.watched
    lab = seat.session
    return [
        seat.person.name,
        seat.person.email,
        seat.enrollment.state if seat.enrollment else None,
        pick(seat.unit) if seat.unit else None,
        lab.state if lab else None,
        lab.ready_at or lab.created_at if lab else None,
        lab.cost_so_far(at) / MICRO if lab else None,
        lab.flavor.slug if lab else None,
        lab.lease_ends_at if lab else None,
        row.work(at) if lab else None,
        watched.activity.busy_kernels if watched and watched.activity else None,
        lab.keep_alives if lab else None,
        watched.home.size_bytes if watched and watched.home else None,
    ]
