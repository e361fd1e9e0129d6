"""The courses API. A view reads the request, opens the transaction, calls one service."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import request
from flask_smorest import Blueprint
from sqlalchemy import Select

from app import clock
from app.access import current_actor, public, require, require_person, scope, signed_in
from app.db import transaction
from app.ids import uuid7
from app.locale import language
from app.paging import Rows
from courses import live_class, policy, queries
from courses.errors import NotEnrolled
from courses.live_class import Result, Row, Wanted
from courses.models import Course, CourseRun, Enrollment, Unit
from courses.queries import Filter
from courses.schemas import (
    CatalogQuerySchema,
    ClassActionSchema,
    ClassQuerySchema,
    ClassResultSchema,
    ClassSeatSchema,
    CourseDetailSchema,
    CourseSchema,
    EnrollSchema,
    IdleSchema,
    LaunchKeySchema,
    LaunchSchema,
    PlacedEnrollmentSchema,
    RegionSchema,
    RemovalSchema,
    RosterEntrySchema,
    RunSchema,
    UnitSchema,
)
from courses.services import enrollment, launch
from courses.services import runs as run_services
from courses.services.launch import Subject
from labs.deciding import deciding
from labs.models import LabSession, LabTemplate
from labs.schemas import LaunchPanelSchema, SessionSchema
from labs.services import panel
from labs.services.panel import LaunchPanel

courses = Blueprint("courses-api", __name__, url_prefix="/api/v1/courses", description="The catalog of courses")
runs = Blueprint("runs-api", __name__, url_prefix="/api/v1/runs", description="Runs, seats, units and their labs")
BLUEPRINTS = (courses, runs)


@courses.get("")
@public
@scope("courses:read")
@courses.arguments(CatalogQuerySchema, location="query")
@courses.response(200, CourseSchema(many=True))
@courses.paginate(Rows)
def list_courses(query: dict[str, Any]) -> Select[Course]:
    """List the courses of the catalog."""
    wanted = Filter(query["q"], query["level"], query["partner"], query["sort"], language())
    return queries.catalog(current_actor(), wanted)


@courses.get("/<slug>")
@public
@scope("courses:read")
@courses.response(200, CourseDetailSchema)
def show_course(slug: str) -> dict[str, Any]:
    """Show a course, its outline, and its runs that are not over."""
    actor = current_actor()
    course = queries.course(actor, slug)
    version = queries.published_version(course.id)
    return {
        **_fields(CourseSchema, course),
        "runs": queries.runs_of(actor, [course.id]).get(course.id, []),
        "units": queries.units(version.id) if version else [],
    }


@runs.get("/<uuid:run_id>")
@public
@scope("courses:read")
@runs.response(200, RunSchema)
def show_run(run_id: UUID) -> dict[str, Any]:
    """Show a run: dates, teachers, seats, outline, and where I stand in it."""
    actor = current_actor()
    run = queries.run(actor, run_id)
    mine = queries.enrollment(run_id, actor.person_id)
    return {
        **_fields(RunSchema, run),
        "units": queries.units(run.version_id),
        "waiting": queries.waiting_count(run_id),
        "my_enrollment": _placed(mine) if mine else None,
    }


@runs.post("/<uuid:run_id>/enrollments")
@signed_in
@scope("courses:enroll")
@runs.arguments(EnrollSchema)
@runs.response(201, PlacedEnrollmentSchema)
def create_enrollment(body: dict[str, Any], run_id: UUID) -> dict[str, Any]:
    """Take a seat, or the last place on the waiting list; for oneself, or for somebody in a run one teaches."""
    actor = current_actor()
    with transaction():
        return _placed(enrollment.enroll(actor, run_id, body["person_id"] or require_person(actor)))


@runs.delete("/<uuid:run_id>/enrollments")
@signed_in
@scope("courses:enroll")
@runs.response(200, PlacedEnrollmentSchema)
def withdraw(run_id: UUID) -> dict[str, Any]:
    """Give my seat, or my place on the waiting list, back."""
    with transaction():
        return _placed(enrollment.withdraw(current_actor(), run_id))


@runs.delete("/<uuid:run_id>/enrollments/<uuid:person_id>")
@signed_in
@scope("courses:enroll")
@runs.arguments(RemovalSchema)
@runs.response(200, PlacedEnrollmentSchema)
def remove_enrollment(body: dict[str, Any], run_id: UUID, person_id: UUID) -> dict[str, Any]:
    """Take somebody out of a run one teaches, with a reason."""
    with transaction():
        return _placed(enrollment.remove(current_actor(), run_id, person_id, body["reason"]))


@runs.get("/<uuid:run_id>/roster")
@signed_in
@scope("courses:read")
@runs.response(200, RosterEntrySchema(many=True))
@runs.paginate(Rows)
def list_roster(run_id: UUID) -> Select[Enrollment]:
    """List who is in the run: those with a seat, then those who wait, in order. For those who teach it."""
    _taught(run_id)
    return queries.roster(run_id)


@runs.get("/<uuid:run_id>/class")
@signed_in
@scope("courses:read")
@runs.arguments(ClassQuerySchema, location="query")
@runs.response(200, ClassSeatSchema(many=True))
def show_class(query: dict[str, Any], run_id: UUID) -> list[dict[str, Any]]:
    """Show the class and the labs it has running now. For those who teach the run."""
    run, at = _taught(run_id), clock.now()
    return [_seat(row, at) for row in live_class.rows(current_actor(), run, Wanted.of(query), at)]


@runs.post("/<uuid:run_id>/class/actions")
@signed_in
@scope("labs:stop")
@runs.arguments(ClassActionSchema)
@runs.response(200, ClassResultSchema(many=True))
def act_on_class(body: dict[str, Any], run_id: UUID) -> list[Result]:
    """Stop or extend many labs of the class, and say of each what became of it. For those who teach the run."""
    actor, run = current_actor(), _taught(run_id)
    if body["action"] == "stop":
        return live_class.stop(actor, run, body["session_ids"])
    return live_class.extend(actor, run, body["session_ids"], body["minutes"], body["key"] or uuid7().hex)


@runs.get("/<uuid:run_id>/units/<uuid:unit_id>")
@signed_in
@scope("courses:read")
@runs.response(200, UnitSchema)
def show_unit(run_id: UUID, unit_id: UUID) -> Unit:
    """Show a unit. For those who are enrolled, and those who teach the run."""
    actor = current_actor()
    run = queries.run(actor, run_id)
    mine = queries.enrollment(run_id, actor.person_id)
    if not policy.may_study(actor, run, mine):
        raise NotEnrolled(state=mine.state if mine else None)
    return queries.unit(run, unit_id)


@runs.put("/<uuid:run_id>/units/<uuid:unit_id>/idle")
@signed_in
@scope("labs:stop")
@runs.arguments(IdleSchema)
@runs.response(200, IdleSchema)
def set_idle(body: dict[str, Any], run_id: UUID, unit_id: UUID) -> LabTemplate:
    """Say after how many minutes without work labs of the unit are stopped; null: as their center says."""
    with transaction():
        return run_services.set_idle_minutes(current_actor(), run_id, unit_id, body["idle_minutes"])


@runs.put("/<uuid:run_id>/units/<uuid:unit_id>/region")
@signed_in
@scope("labs:stop")
@runs.arguments(RegionSchema)
@runs.response(200, RegionSchema)
def set_region(body: dict[str, Any], run_id: UUID, unit_id: UUID) -> LabTemplate:
    """Say in which region the files of the unit's labs must lie (ISO 3166: CN, CN-SC); null: anywhere."""
    with transaction():
        return run_services.set_region(current_actor(), run_id, unit_id, body["region"])


@runs.get("/<uuid:run_id>/units/<uuid:unit_id>/launch-panel")
@signed_in
@scope("labs:read")
@runs.response(200, LaunchPanelSchema)
def show_launch_panel(run_id: UUID, unit_id: UUID) -> LaunchPanel:
    """Show the flavors of the unit's lab with their prices, what is left, and my live session."""
    actor = current_actor()
    run, unit = launch.launchable(actor, run_id, unit_id)
    assert unit.lab_template_id is not None
    return panel.launch_panel(actor, unit.lab_template_id, run.budget_id)


@runs.post("/<uuid:run_id>/units/<uuid:unit_id>/sessions")
@signed_in
@scope("labs:launch")
@runs.arguments(LaunchSchema)
@runs.arguments(LaunchKeySchema, location="headers")
@runs.response(202, SessionSchema)
def create_session(body: dict[str, Any], headers: dict[str, Any], run_id: UUID, unit_id: UUID) -> LabSession:
    """Launch the unit's lab, paid by the run. If it runs already, that session is the answer.

    Of a size (as the launch panel names it), the best center is found: what was weighed stands in the decision.

    At a full center the session is `waiting`, with its place in line, and accepted when a place is `offered`."""
    actor = current_actor()
    asked, subject = {**body, **headers}, Subject.of(actor, run_id, unit_id)
    with deciding(actor, "launch", **subject.about, **asked) as question:
        origin_url = f"{request.url_root.rstrip('/')}/runs/{run_id}/units/{unit_id}"
        return question.answer(launch.launch(actor, subject, **asked, origin_url=origin_url, note=question.weighed))


def _taught(run_id: UUID) -> CourseRun:
    actor = current_actor()
    run = queries.run(actor, run_id)
    require(policy.may_see_class(actor, run))
    return run


def _placed(row: Enrollment) -> dict[str, Any]:
    return {**_fields(PlacedEnrollmentSchema, row), "place": queries.place(row)}


def _seat(row: Row, at: datetime) -> dict[str, Any]:
    seat, watched, lab = row.seat, row.watched, row.seat.session
    said, home = (watched.activity, watched.home) if watched else (None, None)
    return {
        "person": seat.person,
        "state": seat.enrollment.state if seat.enrollment else None,
        "unit": seat.unit,
        "lab": lab
        and {
            "id": lab.id,
            "state": lab.state,
            "flavor": lab.flavor,
            "since_at": lab.ready_at or lab.created_at,
            "lease_ends_at": lab.lease_ends_at,
            "extended_minutes": lab.extended_minutes,
            "cost_micro": lab.cost_so_far(at),
            "work": row.work(at),
            "kernels": said and said.kernels,
            "busy_kernels": said and said.busy_kernels,
            "reported_at": said and said.reported_at,
            "keep_alives": lab.keep_alives,
            "storage_bytes": home and home.size_bytes,
        },
    }


def _fields(schema: type[Any], row: Any) -> dict[str, Any]:
    """The row's own values for a schema that adds some."""
    names = {name: field.attribute or name for name, field in schema().fields.items()}
    return {attribute: getattr(row, attribute) for attribute in names.values() if hasattr(row, attribute)}
