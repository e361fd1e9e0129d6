"""The catalog, and the page of one course."""

from dataclasses import dataclass

from flask import Blueprint, render_template, request

from app import clock
from app.access import Actor, current_actor, public
from app.locale import language
from app.paging import page_of
from courses import policy, queries
from courses.models import Course, CourseLevel, CourseRun
from courses.queries import SORTS, Filter

blp = Blueprint("courses", __name__, template_folder="../templates")
PAGE = 12


@dataclass(frozen=True)
class Card:
    """A course and the run that matters most to the reader: one to enroll in, else the next, else one under way."""

    course: Course
    run: CourseRun | None
    phase: str | None
    seats_free: int  # for this reader


@blp.get("/courses")
@public
def index() -> str:
    """Courses to choose from."""
    actor, wanted = current_actor(), _wanted()
    pager = page_of(queries.catalog(actor, wanted), PAGE)
    runs = queries.runs_of(actor, [course.id for course in pager.items])
    return render_template(
        "courses/catalog.html",
        pager=pager,
        cards=[_card(actor, course, runs.get(course.id, [])) for course in pager.items],
        wanted=wanted,
        is_filtered=bool(wanted.text or wanted.level or wanted.partner),
        levels=list(CourseLevel),
        partners=queries.partners_with_courses(),
    )


@blp.get("/courses/<slug>")
@public
def show(slug: str) -> str:
    """What the course is about, what is in it, and its runs."""
    actor = current_actor()
    course = queries.course(actor, slug)
    version = queries.published_version(course.id)
    runs = queries.runs_of(actor, [course.id]).get(course.id, [])
    return render_template(
        "courses/course.html",
        course=course,
        units=queries.units(version.id) if version else [],
        version=version,
        cards=[_card(actor, course, [run]) for run in runs],
        can_edit=policy.may_edit(actor, course),
    )


def _wanted() -> Filter:
    """What the address asks for. A value that makes no sense is as good as none."""
    asked = request.args
    level = asked.get("level", "")
    sort = asked.get("sort", "newest")
    return Filter(
        text=asked.get("q", "").strip()[:200],
        level=CourseLevel(level) if level in set(CourseLevel) else None,
        partner=asked.get("partner", ""),
        sort=sort if sort in SORTS else "newest",
        language=language(),
    )


def _card(actor: Actor, course: Course, runs: list[CourseRun]) -> Card:
    at = clock.now()
    ranks = {"enrolling": 0, "announced": 1, "running": 2}
    ranked = sorted(
        runs, key=lambda run: (not run.takes_enrollments(at), ranks.get(queries.phase(run, at), 3), run.starts_at)
    )
    run = ranked[0] if ranked else None
    if run is None:
        return Card(course, None, None, 0)
    free = queries.seats_free(policy.pools_for(actor, run))
    is_offered = run.takes_enrollments(at) and free > 0
    return Card(course, run, "enrolling" if is_offered else queries.phase(run, at), free)
