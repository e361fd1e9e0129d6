"""The teacher's live class: who has a lab, what it does, and many stopped or extended at once."""

from datetime import timedelta

import pytest

from app import clock as time
from app.db import db, transaction
from app.errors import NotFound
from courses import live_class, queries
from courses.live_class import Wanted
from courses.services import enrollment
from labs import ledger
from labs.models import HomeUsage, LabSession, MemberCap, SessionActivity, SessionState
from labs.services import sessions
from tests.make import as_actor, sign_in

NAMES = ("李娜", "王小明", "Amira Hassan", "欧阳文静")


@pytest.fixture(autouse=True)
def _honest(database):
    yield
    assert ledger.audit() == []


@pytest.fixture
def run(school):
    return school.run()


@pytest.fixture
def students(school, run):
    people = [school.student(name=name) for name in NAMES]
    for person in people:
        enrollment.enroll(as_actor(person), run.id, person.id)
    db.session.commit()
    return people


@pytest.fixture
def browser(app, school):
    return sign_in(app, school.teacher)


def lab_of(school, run, person, minutes=60):
    """A lab that runs."""
    unit = next(unit for unit in queries.units(run.version_id) if unit.is_lab)
    with transaction():
        session = sessions.request(
            as_actor(person),
            template_id=unit.lab_template_id,
            flavor_id=school.flavor.id,
            minutes=minutes,
            budget_id=run.budget_id,
        )
        session.attempts = 1
    with transaction():
        sessions.mark_running(session.id)
    return session


def report(session, **values):
    row = SessionActivity(session_id=session.id, reported_at=time.now(), kernels=1, **values)
    db.session.add(row)
    db.session.commit()


def names(school, run, **wanted):
    known = queries.run(school.as_teacher, run.id)
    shown = live_class.rows(school.as_teacher, known, Wanted(**wanted), time.now())
    return [row.seat.person.name for row in shown]


@pytest.mark.parametrize(
    ("text", "found"), [("李娜", ["李娜"]), ("文静", ["欧阳文静"]), ("hass ami", ["Amira Hassan"]), ("nobody", [])]
)
def test_two_characters_of_a_name_find_somebody(school, run, students, text, found):
    assert names(school, run, text=text) == found


def test_the_class_is_filtered_and_sorted(school, run, students, clock):
    short = lab_of(school, run, students[1], 30)
    clock.shift(timedelta(minutes=5))
    long = lab_of(school, run, students[0], 120)
    report(short, busy_kernels=1)
    report(long, busy_kernels=0)

    assert names(school, run, state="live", sort="left") == ["王小明", "李娜"]
    assert names(school, run, state="live", sort="credits") == ["王小明", "李娜"]
    assert names(school, run, state="idle") == ["李娜"]
    assert len(names(school, run, state="none")) == 2
    assert names(school, run)[:2] == sorted(["李娜", "王小明"])


def test_the_page_says_what_each_lab_does(school, run, students, browser):
    session = lab_of(school, run, students[0])
    report(session, busy_kernels=1)
    db.session.add(
        HomeUsage(
            person_id=students[0].id,
            center_id=session.center_id,
            size_bytes=5 * 2**20,
            files=9,
            measured_at=time.now(),
        )
    )
    db.session.commit()

    page = browser.get(f"/runs/{run.id}/class?q=李娜").text

    assert "1 of 1 kernels busy" in page
    assert "5.0 MiB" in page
    assert "王小明" not in page.split('id="class"')[1].split("Remove somebody")[0]
    assert f"/runs/{run.id}/class/live?q=%E6%9D%8E%E5%A8%9C" in page
    table = browser.get(f"/runs/{run.id}/class.csv?state=live").text
    assert "busy" in table
    assert "王小明" not in table


def test_sixty_labs_are_stopped_at_once_each_by_itself(school, run, browser):
    labs = []
    run_of_sixty = school.run(seats={None: 60}, fund_micro=300_000_000)
    for _ in range(60):
        person = school.student()
        enrollment.enroll(as_actor(person), run_of_sixty.id, person.id)
        labs.append(lab_of(school, run_of_sixty, person))

    done = browser.post(
        f"/runs/{run_of_sixty.id}/class/labs",
        data={"which": "shown", "action": "stop", "minutes": "15", "key": "k"},
        headers={"HX-Request": "true"},
    )

    assert "60 of 60" in done.text
    assert done.headers["HX-Trigger"] == "class-changed"
    states = {db.session.get(LabSession, lab.id, populate_existing=True).state for lab in labs}
    assert states == {SessionState.STOPPING}


def test_many_are_extended_and_what_is_refused_is_listed_beside_what_was_done(school, run, students, browser):
    first, second = lab_of(school, run, students[0]), lab_of(school, run, students[1])
    cap = db.session.get(MemberCap, (run.budget_id, students[1].id))
    cap.cap_micro = cap.held
    db.session.commit()
    form = {"session": [str(first.id), str(second.id)], "action": "extend", "minutes": "30", "key": "k"}

    for _ in range(2):  # a double click
        answer = browser.post(f"/runs/{run.id}/class/labs", data=form, headers={"HX-Request": "true"})

    assert "1 of 2" in answer.text
    assert "王小明" in answer.text
    assert "share of this course" in answer.text
    assert db.session.get(LabSession, first.id, populate_existing=True).lease_minutes == 90
    assert db.session.get(LabSession, second.id, populate_existing=True).lease_minutes == 60


def test_without_javascript_the_results_stand_on_the_page(school, run, students, browser):
    session = lab_of(school, run, students[0])
    form = {"session": [str(session.id)], "action": "stop", "key": "k", "q": "李娜"}

    answer = browser.post(f"/runs/{run.id}/class/labs", data=form)

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/runs/{run.id}/class?q=%E6%9D%8E%E5%A8%9C"


def test_labs_of_other_runs_are_not_touched(school, run, students, browser):
    other = school.run()
    person = school.student()
    enrollment.enroll(as_actor(person), other.id, person.id)
    session = lab_of(school, other, person)

    (result,) = live_class.stop(school.as_teacher, run, [session.id])

    assert isinstance(result.problem, NotFound)
    assert db.session.get(LabSession, session.id, populate_existing=True).state is SessionState.RUNNING


def test_the_api_does_the_same(school, run, students, browser):
    session = lab_of(school, run, students[0])
    report(session, busy_kernels=0)
    url = f"/api/v1/runs/{run.id}/class"
    (seat,) = browser.get(f"{url}?q=李娜").json
    assert (seat["lab"]["work"], seat["lab"]["busy_kernels"], seat["lab"]["storage_bytes"]) == ("quiet", 0, None)

    body = {"action": "extend", "session_ids": [str(session.id)], "minutes": 20, "key": "k"}
    (extended,) = browser.post(f"{url}/actions", json=body).json
    (stopped,) = browser.post(f"{url}/actions", json={"action": "stop", "session_ids": [str(session.id)]}).json
    (late,) = browser.post(f"{url}/actions", json=body | {"key": "l"}).json

    assert (extended["done"], stopped["done"], late["done"]) == (True, True, False)
    assert late["code"] == "lab-is-ending"


def test_a_teacher_says_when_labs_of_a_unit_are_idle(app, school, run, students, browser):
    unit = next(unit for unit in queries.units(run.version_id) if unit.is_lab)
    page, api = f"/runs/{run.id}/units/{unit.id}/idle", f"/api/v1/runs/{run.id}/units/{unit.id}/idle"
    template = queries.lab_units(run)[0][1]

    assert browser.post(page, data={"idle_minutes": "90"}).status_code == 303
    db.session.refresh(template)
    assert template.idle_minutes == 90
    assert f'value="{90}"' in browser.get(f"/runs/{run.id}/class").text
    assert browser.put(api, json={"idle_minutes": 45}).json == {"idle_minutes": 45}
    for wrong in ("1", "99999", "x"):
        assert browser.post(page, data={"idle_minutes": wrong}).status_code == 422
    assert browser.post(page, data={"idle_minutes": ""}).status_code == 303
    db.session.refresh(template)
    assert template.idle_minutes is None
    student = sign_in(app, students[0])
    assert student.post(page, data={"idle_minutes": "90"}).status_code == 403
