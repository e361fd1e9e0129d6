"""The courses API: statuses, shapes, problems."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.access import MemberRole
from app.db import db
from courses import queries
from courses.services import enrollment
from labs.models import LabSession
from tests.make import as_actor

TOKEN = {"Authorization": "Bearer secret"}
SCOPES = ("courses:read", "courses:enroll", "labs:read", "labs:launch", "labs:stop")


@pytest.fixture
def student(school):
    return school.student(token="secret", scopes=SCOPES)


@pytest.fixture
def as_teacher_token(school, client):
    """The same client, speaking for the teacher."""
    from accounts.models import PersonalToken, fingerprint
    from app import clock

    db.session.add(
        PersonalToken(
            person_id=school.teacher.id,
            name="t",
            sha256=fingerprint("chalk"),
            scopes=list(SCOPES),
            expires_at=clock.now() + timedelta(days=1),
        )
    )
    db.session.commit()
    return {"Authorization": "Bearer chalk"}


def lab_of(run):
    return next(unit for unit in queries.units(run.version_id) if unit.is_lab)


def text_of(run):
    return next(unit for unit in queries.units(run.version_id) if not unit.is_lab)


def join(run, person):
    enrollment.enroll(as_actor(person), run.id, person.id)
    db.session.commit()


def test_the_catalog_is_public_and_comes_in_pages(client, school):
    for slug in ("a", "b", "c"):
        school.course(slug=slug, title_en=slug)
    school.draft(slug="hidden")

    response = client.get("/api/v1/courses?sort=title&page=2&page_size=2", headers={"Accept-Language": "en"})

    assert [row["slug"] for row in response.json] == ["c"]
    assert '"total": 3' in response.headers["X-Pagination"]
    assert response.json[0]["partner"]["title_en"] == "Coast University"
    assert response.json[0]["teacher"]["name"] == "Lin Yue"
    assert response.json[0]["level"] == "beginner"


def test_the_catalog_is_searched_and_filtered(client, school):
    school.course(slug="dl")
    school.course(slug="hpc", title_zh="高性能计算基础", title_en="HPC basics", level="advanced")

    assert [row["slug"] for row in client.get("/api/v1/courses?q=高性能").json] == ["hpc"]
    assert [row["slug"] for row in client.get("/api/v1/courses?level=beginner").json] == ["dl"]


@pytest.mark.parametrize(("query", "pointer"), [("level=guru", "#/level"), ("sort=color", "#/sort")])
def test_a_filter_that_makes_no_sense_is_named(client, database, query, pointer):
    response = client.get(f"/api/v1/courses?{query}")

    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == [pointer]


def test_a_course_shows_its_outline_and_runs(client, school):
    course = school.course(slug="dl")
    run = school.run(course)
    school.run(course, seats={school.partner.id: 5})

    response = client.get("/api/v1/courses/dl")

    assert [unit["kind"] for unit in response.json["units"]] == ["text", "lab"]
    assert "body_en" not in response.json["units"][0]
    assert [row["id"] for row in response.json["runs"]] == [str(run.id)]
    assert client.get("/api/v1/courses/none").status_code == 404


def test_a_run_shows_its_seats_and_where_i_stand(client, school, student):
    run = school.run(seats={None: 2, school.partner.id: 1})
    join(run, student)

    response = client.get(f"/api/v1/runs/{run.id}", headers=TOKEN)

    pools = {row["partner"] and row["partner"]["slug"]: (row["used"], row["cap"]) for row in response.json["pools"]}
    assert pools == {None: (0, 2), school.partner.slug: (1, 1)}
    assert response.json["my_enrollment"]["state"] == "enrolled"
    assert response.json["starts_at"] == run.starts_at.isoformat()
    assert client.get(f"/api/v1/runs/{run.id}").json["my_enrollment"] is None


def test_take_a_seat_and_give_it_back(client, school, student):
    run = school.run()

    taken = client.post(f"/api/v1/runs/{run.id}/enrollments", json={}, headers=TOKEN)
    given = client.delete(f"/api/v1/runs/{run.id}/enrollments", headers=TOKEN)

    assert taken.status_code == 201
    assert taken.json == {
        "id": taken.json["id"],
        "run_id": str(run.id),
        "person": {"id": str(student.id), "name": student.name},
        "state": "enrolled",
        "state_at": "2026-03-02T09:00:00+00:00",
        "place": None,
    }
    assert (given.status_code, given.json["state"]) == (200, "withdrawn")


def test_who_comes_too_late_learns_the_place(client, school, student):
    run = school.run(seats={None: 0})
    join(run, school.student())

    response = client.post(f"/api/v1/runs/{run.id}/enrollments", json={}, headers=TOKEN)

    assert response.status_code == 201
    assert (response.json["state"], response.json["place"]) == ("waitlisted", 2)


def test_asking_twice_is_a_problem_with_the_facts(client, school, student):
    run = school.run()
    join(run, student)

    response = client.post(f"/api/v1/runs/{run.id}/enrollments", json={}, headers=TOKEN)

    assert response.status_code == 409
    assert response.mimetype == "application/problem+json"
    assert response.json["code"] == "already-enrolled"
    assert response.json["state"] == "enrolled"
    assert client.get(response.json["type"]).status_code == 200


def test_a_closed_window_is_a_problem_with_its_dates(client, school, student, clock):
    run = school.run()
    clock.shift(timedelta(hours=20))
    run.enroll_until_at = run.enroll_from_at + timedelta(days=1)
    db.session.commit()

    response = client.post(f"/api/v1/runs/{run.id}/enrollments", json={}, headers=TOKEN)

    assert (response.status_code, response.json["code"]) == (409, "enrollment-closed")
    assert response.json["enroll_until_at"] == run.enroll_until_at.isoformat()


def test_students_enroll_nobody_else(client, school, student):
    run, other = school.run(), school.student()

    body = {"person_id": str(other.id)}

    assert client.post(f"/api/v1/runs/{run.id}/enrollments", json=body, headers=TOKEN).status_code == 403
    assert queries.enrollment(run.id, other.id) is None


def test_teachers_enroll_and_remove_others(client, school, as_teacher_token):
    run, other = school.run(), school.student()
    where = f"/api/v1/runs/{run.id}/enrollments"

    added = client.post(where, json={"person_id": str(other.id)}, headers=as_teacher_token)
    removed = client.delete(f"{where}/{other.id}", json={"reason": "Wrong course"}, headers=as_teacher_token)

    assert added.status_code == 201
    assert removed.json["state"] == "removed"
    assert client.delete(f"{where}/{other.id}", json={}, headers=as_teacher_token).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        ('{"person_id": ', 400, None),
        ('{"person_id": "x", "y": 1}', 422, ["#/person_id", "#/y"]),
        ("[]", 422, ["#"]),
    ],
)
def test_bad_bodies_are_named(client, school, student, body, status, pointers):
    run = school.run()

    response = client.post(
        f"/api/v1/runs/{run.id}/enrollments", data=body, content_type="application/json", headers=TOKEN
    )

    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    if pointers:
        assert [error["pointer"] for error in response.json["errors"]] == pointers


def test_strangers_are_asked_to_sign_in(client, school):
    run = school.run()

    for method, path in (("post", "enrollments"), ("delete", "enrollments"), ("get", "roster"), ("get", "class")):
        response = getattr(client, method)(f"/api/v1/runs/{run.id}/{path}", json={} if method == "post" else None)
        assert (response.status_code, response.json["code"]) == (401, "sign-in-required")


def test_a_token_needs_the_scope(client, school):
    run = school.run()
    school.student(token="weak", scopes=("courses:read",))

    response = client.post(f"/api/v1/runs/{run.id}/enrollments", json={}, headers={"Authorization": "Bearer weak"})

    assert response.status_code == 403


def test_a_run_for_other_partners_is_unknown_everywhere(client, school):
    run = school.run(seats={school.partner.id: 5})
    unit = lab_of(run)
    school.student(school.make.partner(), token="far", scopes=SCOPES)
    far = {"Authorization": "Bearer far"}
    base = f"/api/v1/runs/{run.id}"
    launch = {"flavor_id": str(school.flavor.id), "minutes": 30}

    statuses = {
        "run": client.get(base, headers=far).status_code,
        "enroll": client.post(f"{base}/enrollments", json={}, headers=far).status_code,
        "withdraw": client.delete(f"{base}/enrollments", headers=far).status_code,
        "roster": client.get(f"{base}/roster", headers=far).status_code,
        "class": client.get(f"{base}/class", headers=far).status_code,
        "unit": client.get(f"{base}/units/{unit.id}", headers=far).status_code,
        "panel": client.get(f"{base}/units/{unit.id}/launch-panel", headers=far).status_code,
        "launch": client.post(f"{base}/units/{unit.id}/sessions", json=launch, headers=far).status_code,
    }

    assert set(statuses.values()) == {404}, statuses


def test_the_roster_is_for_those_who_teach(client, school, student, as_teacher_token):
    run = school.run(seats={None: 2})
    for person in (student, school.student(), school.student()):
        join(run, person)

    response = client.get(f"/api/v1/runs/{run.id}/roster?page_size=2&page=2", headers=as_teacher_token)

    assert [row["state"] for row in response.json] == ["waitlisted"]
    assert client.get(f"/api/v1/runs/{run.id}/roster", headers=TOKEN).status_code == 403
    assert client.get(f"/api/v1/runs/{run.id}/class", headers=TOKEN).status_code == 403


def test_units_are_for_those_with_a_seat(client, school, student):
    run = school.run(seats={None: 1})
    path = f"/api/v1/runs/{run.id}/units/{text_of(run).id}"

    refused = client.get(path, headers=TOKEN)
    join(run, student)

    assert (refused.status_code, refused.json["code"]) == (403, "not-enrolled")
    assert client.get(path, headers=TOKEN).json["body_en"] == "Welcome to **this** course."


def test_a_unit_of_another_course_is_not_found(client, school, student):
    run, other = school.run(), school.run()
    join(run, student)

    assert client.get(f"/api/v1/runs/{run.id}/units/{text_of(other).id}", headers=TOKEN).status_code == 404


class TestLaunch:
    @pytest.fixture
    def run(self, school, student):
        run = school.run()
        join(run, student)
        return run

    def launch(self, client, run, school, headers=TOKEN, **body):
        body = {"flavor_id": str(school.flavor.id), "minutes": 30} | body
        return client.post(f"/api/v1/runs/{run.id}/units/{lab_of(run).id}/sessions", json=body, headers=headers)

    def test_the_panel_tells_prices_and_what_is_left(self, client, school, run):
        response = client.get(f"/api/v1/runs/{run.id}/units/{lab_of(run).id}/launch-panel", headers=TOKEN)

        assert response.status_code == 200
        assert [offer["flavor"]["slug"] for offer in response.json["offers"]] == ["small"]
        assert {level["name"]: level["left_micro"] for level in response.json["levels"]} == {
            "cap": 10_000_000,
            "budget": 100_000_000,
        }
        assert response.json["can_launch"] is True

    def test_a_lab_is_requested_once(self, client, school, run, student):
        first, second = self.launch(client, run, school), self.launch(client, run, school)

        assert first.status_code == second.status_code == 202
        assert first.json["id"] == second.json["id"]
        assert first.json["state"] == "reserved"
        row = db.session.get(LabSession, first.json["id"])
        assert (row.person_id, row.budget_id, row.lease_minutes) == (student.id, run.budget_id, 30)

    def test_the_class_shows_it_to_the_teacher(self, client, school, run, student, as_teacher_token):
        session_id = self.launch(client, run, school).json["id"]

        rows = client.get(f"/api/v1/runs/{run.id}/class", headers=as_teacher_token).json

        assert [(row["person"]["name"], row["lab"]["id"], row["lab"]["flavor"]) for row in rows] == [
            (student.name, session_id, "small")
        ]
        assert rows[0]["unit"]["title_en"] == "The first lab"

    def test_my_course_goes_on_where_i_left(self, client, school, run, student):
        self.launch(client, run, school)

        assert queries.my_courses(student.id)[0].next_unit.id == lab_of(run).id

    def test_a_run_that_has_not_started_says_when(self, client, school, run, clock):
        run.starts_at = run.starts_at + timedelta(days=5)
        db.session.commit()

        response = self.launch(client, run, school)

        assert (response.status_code, response.json["code"]) == (409, "run-not-open")
        assert response.json["opens_at"] == run.starts_at.isoformat()
        assert response.json["class"] == "temporary"
        assert db.session.scalar(sa.select(sa.func.count()).select_from(LabSession)) == 0

    def test_a_run_that_is_over_says_so(self, client, school, run, clock):
        clock.move_to(run.ends_at)
        db.session.execute(sa.text("UPDATE personal_token SET expires_at = expires_at + interval '1 year'"))

        response = self.launch(client, run, school)

        assert (response.status_code, response.json["code"]) == (409, "run-ended")

    def test_teachers_may_try_labs_before_the_start(self, client, school, run, as_teacher_token):
        run.starts_at = run.starts_at + timedelta(days=5)
        db.session.commit()

        assert self.launch(client, run, school, headers=as_teacher_token).status_code == 202

    def test_who_waits_for_a_seat_launches_nothing(self, client, school, student):
        run = school.run(seats={None: 0})
        join(run, student)

        response = self.launch(client, run, school)

        assert (response.status_code, response.json["code"], response.json["state"]) == (
            403,
            "not-enrolled-for-compute",
            "waitlisted",
        )

    def test_administrators_of_the_partner_read_but_do_not_spend(self, client, school, run):
        school.make.member(school.partner, MemberRole.ADMINISTRATOR, token="admin", scopes=SCOPES)
        admin = {"Authorization": "Bearer admin"}

        assert client.get(f"/api/v1/runs/{run.id}/units/{lab_of(run).id}", headers=admin).status_code == 200
        assert self.launch(client, run, school, headers=admin).status_code == 403

    def test_a_text_has_no_lab(self, client, school, run):
        body = {"flavor_id": str(school.flavor.id), "minutes": 30}

        response = client.post(f"/api/v1/runs/{run.id}/units/{text_of(run).id}/sessions", json=body, headers=TOKEN)

        assert (response.status_code, response.json["code"]) == (409, "not-a-lab")

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"flavor_id": "00000000-0000-7000-8000-000000000000"}, 409, "launch-invalid"),
            ({"minutes": 121}, 409, "lease-too-long"),
            ({"minutes": 0}, 422, "invalid-input"),
            ({"minutes": "30"}, 422, "invalid-input"),
            ({"flavor_id": None}, 422, "invalid-input"),
            ({"budget_id": "x"}, 422, "invalid-input"),
        ],
    )
    def test_what_cannot_be_had_is_refused_by_name(self, client, school, run, body, status, code):
        response = self.launch(client, run, school, **body)

        assert (response.status_code, response.json["code"]) == (status, code)
