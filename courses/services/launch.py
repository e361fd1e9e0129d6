"""From a unit into its lab: the course says whether, the labs say what it costs and start it."""

from dataclasses import dataclass
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
from labs.services import placing, sessions
from labs.services.placing import Note


@dataclass(frozen=True)
class Subject:
    """A unit of a run, whether or not its lab may be launched; held while that is decided, so that it is read once."""

    run: CourseRun
    unit: Unit

    @classmethod
    def of(cls, actor: Actor, run_id: UUID, unit_id: UUID) -> "Subject":
        run = queries.run(actor, run_id)
        return cls(run, queries.unit(run, unit_id))

    @property
    def about(self) -> dict[str, Any]:
        """For the log of decisions."""
        return {"template_id": self.unit.lab_template_id, "budget_id": self.run.budget_id}


def launch(
    actor: Actor,
    subject: Subject,
    *,
    flavor_id: UUID | None = None,
    size: str | None = None,
    center: str | None = None,
    minutes: int,
    origin_url: str | None = None,
    key: str | None = None,
    wait: bool = True,
    note: Note = placing.keep_nothing,
) -> LabSession:
    """Ask for the unit's lab, paid by the run: with one flavor, or of a size, at the best center or at the one named.
    Who asks twice, or with the same key, gets the lab that is there."""
    require_launchable(actor, subject)
    assert subject.unit.lab_template_id is not None
    return sessions.request(
        actor,
        template_id=subject.unit.lab_template_id,
        flavor_id=flavor_id,
        size=size,
        center=center,
        minutes=minutes,
        budget_id=subject.run.budget_id,
        origin_url=origin_url,
        key=key,
        wait=wait,
        note=note,
    )


def launchable(actor: Actor, run_id: UUID, unit_id: UUID) -> tuple[CourseRun, Unit]:
    """The run and the unit, when the actor may launch its lab now; else a refusal."""
    subject = Subject.of(actor, run_id, unit_id)
    require_launchable(actor, subject)
    return subject.run, subject.unit


def require_launchable(actor: Actor, subject: Subject) -> None:
    """Refuse unless the actor may launch this lab now."""
    run, unit = subject.run, subject.unit
    enrollment = queries.enrollment(run.id, require_person(actor))
    if not policy.may_launch(actor, run, enrollment):
        raise NotEnrolled(
            state=enrollment.state if enrollment else None,
            layer={"name": "enrollment", "run": str(run.id)},
            remedies=(Remedy("enroll", _("Look at the run and enroll"), f"/runs/{run.id}"),),
        )
    if not unit.is_lab:
        raise NotALab
    require_under_way(actor, run)


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
