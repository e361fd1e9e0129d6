"""The demo courses: they can be built, they say everything twice, and their notebooks run."""

import json
from datetime import timedelta
from pathlib import Path

import nbformat
import pytest
import sqlalchemy as sa
from nbclient import NotebookClient

import courses.demo
from accounts.models import Partner, Person
from app import clock, demo
from app.access import NOBODY
from app.db import db
from courses import prose, queries
from courses.models import CourseRun, Enrollment, EnrollmentState, Unit
from labs import ledger
from labs import queries as labs_queries
from labs.models import LabFile, LabSession
from labs.queries.drift import drift
from tests.make import as_actor

CONTENT = courses.demo.CONTENT


@pytest.fixture
def campus(make):
    demo.build()
    db.session.commit()
    return make


def run_of(slug):
    course = queries.course(NOBODY, slug)
    return db.session.scalars(sa.select(CourseRun).where(CourseRun.course_id == course.id)).one()


def test_one_run_is_open_one_is_to_come_one_is_full(campus):
    at = clock.now()

    deep, iot, hpc = (run_of(slug) for slug in courses.demo.COURSES)

    assert queries.phase(deep, at) == "running"
    assert deep.takes_enrollments(at)
    assert not iot.has_started(at)
    assert iot.takes_enrollments(at)
    assert iot.starts_at - at > timedelta(days=10)
    states = db.session.scalars(sa.select(Enrollment.state).where(Enrollment.run_id == hpc.id)).all()
    assert states.count(EnrollmentState.ENROLLED) == 4
    assert states.count(EnrollmentState.WAITLISTED) == 2


def test_the_student_of_the_tour_can_enroll_and_has_not_yet(campus):
    li_na = db.session.scalars(sa.select(Person).where(Person.email == demo.SHOWN[0].email)).one()

    run = queries.run(as_actor(li_na), run_of("deep-learning-first-steps").id)

    assert queries.my_courses(li_na.id) == []
    assert queries.seats_free(run.pools) > 0
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Partner)) == 5


def test_every_text_exists_in_both_languages_and_renders(campus):
    for unit in db.session.scalars(sa.select(Unit)):
        for body in (unit.body_zh, unit.body_en):
            assert len(prose.html(body)) > 100
    labs = db.session.scalars(sa.select(LabFile.path)).all()
    assert sum(path.endswith(".ipynb") for path in labs) == 5


def test_who_used_compute_had_labs_and_the_books_add_up(campus):
    partner = db.session.scalars(sa.select(Partner).where(Partner.slug == "haibin")).one()

    used = labs_queries.usage_of_people(partner.id)

    assert used
    assert all(row.sessions > 3 for row in used)
    for lab in db.session.scalars(sa.select(LabSession)):
        assert lab.charged_micro == lab.hold.posted_micro > 0
        assert lab.seconds_used == lab.hold.posted_seconds
    assert ledger.audit() == []
    assert drift().total == 0


def test_every_file_in_the_folder_is_used():
    for slug in courses.demo.COURSES:
        plan = json.loads((CONTENT / slug / "course.json").read_text())
        used = {"course.json"}
        for unit in plan["units"]:
            used |= {f"{unit['text']}.{language}.md" for language in ("zh", "en")} | set(unit.get("files", ()))
        assert {path.name for path in (CONTENT / slug).iterdir()} == used


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("path", sorted(CONTENT.glob("*/*.ipynb")), ids=lambda path: path.name)
def test_the_notebook_runs_from_top_to_bottom(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)

    NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": path.parent}}).execute()

    texts = [out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", [])]
    assert "".join(texts)
