"""From a unit into its lab: the course says whether, the labs say what it costs and start it."""

from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _

from app import clock
from app.access import Actor, require_person
from app.errors import Remedy
from courses import policy, queries
from courses.errors import NotALab, RunCanceled, RunEnded, RunNotOpen
from courses.models import CourseRun, RunState, Unit
from labs.errors import NotEnrolled
from labs.models import LabSession
from labs.services import sessions


def launch(
    actor: Actor,
    run_id: UUID,
    unit_id: UUID,
    *,
    flavor_id: UUID,
    minutes: int,
    origin_url: str | None = None,
    key: str | None = None,
    wait: bool = True,
) -> LabSession:
    """Ask for the unit's lab, paid by the run. Who asks twice, or with the same key, gets the lab that is there."""
    run, unit = launchable(actor, run_id, unit_id)
    assert unit.lab_template_id is not None
    return sessions.request(
        actor,
        template_id=unit.lab_template_id,
        flavor_id=flavor_id,
        minutes=minutes,
        budget_id=run.budget_id,
        origin_url=origin_url,
        key=key,
        wait=wait,
    )


def subject(actor: Actor, run_id: UUID, unit_id: UUID) -> dict[str, Any]:
    """What a launch of the unit is about, whether or not it may be launched: for the log of decisions."""
    run = queries.run(actor, run_id)
    return {"template_id": queries.unit(run, unit_id).lab_template_id, "budget_id": run.budget_id}


def launchable(actor: Actor, run_id: UUID, unit_id: UUID) -> tuple[CourseRun, Unit]:
    """The run and the unit, when the actor may launch its lab now; else a refusal."""
    run = queries.run(actor, run_id)
    unit = queries.unit(run, unit_id)
    enrollment = queries.enrollment(run_id, require_person(actor))
    if not policy.may_launch(actor, run, enrollment):
        raise NotEnrolled(
            state=enrollment.state if enrollment else None,
            layer={"name": "enrollment", "run": str(run_id)},
            remedies=(Remedy("enroll", _("Look at the run and enroll"), f"/runs/{run_id}"),),
        )
    if not unit.is_lab:
        raise NotALab
    require_under_way(actor, run)
    return run, unit


def require_under_way(actor: Actor, run: CourseRun) -> None:
    """Labs open with the first day of the run and close with its last; who teaches it may try them before."""
    at = clock.now()
    if run.state is RunState.CANCELED:
        raise RunCanceled
    period = {"name": "run", "starts_at": run.starts_at.isoformat(), "ends_at": run.ends_at.isoformat()}
    if run.has_ended(at):
        raise RunEnded(ended_at=run.ends_at, layer=period)
    if not run.has_started(at) and not policy.teaches(actor, run):
        wait = max(1, int((run.starts_at - at).total_seconds()))
        raise RunNotOpen(opens_at=run.starts_at, layer=period, retry_after=wait)
