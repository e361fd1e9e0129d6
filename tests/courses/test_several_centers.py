"""One Launch button for several centers, as a student and a program see it."""

import re

import pytest

from app import clock as time
from app.db import db
from courses import queries
from courses.services import enrollment
from labs.models import CenterState, Decision, LabSession, LabTemplate
from labs.queries import flavors_of
from tests.make import as_actor, sign_in

TOKEN = {"Authorization": "Bearer mine"}
C = 1_000_000


class World:
    """A run whose lab may run at two centers with one size, and at one of them with another."""

    def __init__(self, app, school, client):
        self.app, self.school, self.client = app, school, client
        self.student = school.student(token="mine", scopes=("labs:read", "labs:launch"), language="en")
        self.run = school.run()
        enrollment.enroll(as_actor(self.student), self.run.id, self.student.id)
        self.unit = next(unit for unit in queries.units(self.run.version_id) if unit.is_lab)
        self.east = school.flavor.center
        self.west = school.make.center("west", title_zh="西部中心", title_en="West")
        self.small_west = school.make.flavor(self.west, slug="w-small", price_micro=2 * C)
        self.npu = school.make.flavor(
            self.west, slug="npu", title_en="NPU", accelerators=1, accelerator_kind="Ascend 910B", price_micro=3 * C
        )
        self.template = db.session.get_one(LabTemplate, self.unit.lab_template_id)
        db.session.refresh(self.template, ["flavors"])
        self.template.flavors += [self.small_west, self.npu]
        db.session.commit()
        self.path = f"/runs/{self.run.id}/units/{self.unit.id}"
        self.size = school.flavor.size

    def panel(self):
        return self.client.get(f"/api/v1{self.path}/launch-panel", headers=TOKEN).json

    def launch(self, **body):
        return self.client.post(f"/api/v1{self.path}/sessions", json={"minutes": 30} | body, headers=TOKEN)

    def page(self, language="en"):
        self.student.language = language
        db.session.commit()
        return sign_in(self.app, self.student).get(self.path).text


@pytest.fixture
def world(app, school, client):
    return World(app, school, client)


def test_the_panel_has_one_offer_for_each_size_and_says_where_it_would_run(world):
    assert len(flavors_of(world.template.id)) == 3

    small, npu = world.panel()["offers"]

    assert (small["size"], small["center"], small["price_now_micro"]) == (world.size, "embedded", C)
    assert [(one["center"], one["price_now_micro"], one["obstacle"]) for one in small["elsewhere"]] == [
        ("west", 2 * C, None)
    ]
    assert (npu["size"], npu["center"], npu["elsewhere"]) == ("1c-1024m-1xAscend 910B", "west", [])
    assert (small["expected_wait_seconds"], small["is_home"]) == (0, False)
    assert world.panel()["home"] is None


def test_a_program_launches_a_size_and_can_insist_on_a_center(world):
    size = world.panel()["offers"][0]["size"]

    answer = world.launch(size=size, center="west")

    assert (answer.status_code, answer.json["center"], answer.json["flavor"]) == (202, "west", "w-small")
    assert world.launch(size=size).json["id"] == answer.json["id"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"size": "1c-1024m", "flavor_id": "00000000-0000-7000-8000-000000000000"},
        {"center": "west"},
        {"flavor_id": "00000000-0000-7000-8000-000000000000", "center": "west"},
        {"size": ""},
    ],
)
def test_a_program_says_one_of_both(world, body):
    assert world.launch(**body).status_code == 422


def test_the_launch_goes_where_the_panel_said(world):
    for spoil in (None, CenterState.MAINTENANCE):
        world.east.state = spoil or world.east.state
        db.session.commit()
        said = world.panel()["offers"][0]
        session = db.session.get_one(LabSession, world.launch(size=world.size).json["id"])
        assert (session.center.slug, session.hold.price_micro) == (said["center"], said["price_now_micro"])
        db.session.delete(session)
        db.session.commit()
    assert said["center"] == "west"


def test_a_refusal_by_all_says_which_centers_were_asked(world):
    world.east.state, world.west.unreachable_since = CenterState.MAINTENANCE, time.now()
    db.session.commit()

    answer = world.launch(size=world.size)

    assert (answer.status_code, answer.json["reason"]) == (409, "CENTER_UNREACHABLE")
    assert {one["center"]: one["reason"] for one in answer.json["candidates"]} == {
        "west": "CENTER_UNREACHABLE",
        "embedded": "CENTER_MAINTENANCE",
    }


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("Center", "At West:", "free now", "Wherever it is best")),
        ("zh_CN", ("中心", "西部中心：", "现在有空位", "自动选择最合适的")),
    ],
)
def test_the_page_shows_where_it_would_run_and_lets_one_insist(world, language, words):
    page = world.page(language)

    assert page.count('type="radio"') == 2
    assert all(word in page for word in words), [word for word in words if word not in page]
    assert re.search(r'<select[^>]*name="center"', page)


def test_with_one_center_there_is_nothing_to_choose(world):
    db.session.refresh(world.template, ["flavors"])
    world.template.flavors = [world.school.flavor]
    db.session.commit()

    assert 'name="center"' not in world.page()


def test_the_page_says_when_the_files_are_elsewhere(world):
    session = db.session.get_one(LabSession, world.launch(size=world.size, center="west").json["id"])
    session.ready_at = session.ended_at = time.now()
    session.state = "settled"
    db.session.commit()
    assert world.panel()["home"] == "west"
    assert world.panel()["offers"][0]["center"] == "embedded"  # twice the price is more than ten minutes

    page = world.page()

    assert "Your files of this lab are at West" in page
    assert "your files are there" in page


def test_the_form_launches_and_the_decision_shows_all_centers(world):
    browser = sign_in(world.app, world.student)
    world.west.state = CenterState.DRAINING
    db.session.commit()

    answer = browser.post(world.path + "/launch", data={"size": world.size, "center": "", "minutes": "30"})

    assert answer.status_code == 303
    row = db.session.query(Decision).one()
    page = browser.get(f"/labs/decisions/{row.id}").text
    assert "The centers that were weighed" in page
    assert "Chosen" in page
    assert "The computing center takes no new labs now" in page


def test_the_one_who_leads_the_run_says_where_data_may_lie(world):
    teacher = sign_in(world.app, world.school.teacher)
    world.east.region = "CN-SD"
    db.session.commit()

    assert teacher.post(world.path + "/region", data={"region": "cn-sc"}).status_code == 303
    assert world.launch(size=world.size).json["reason"] == "DATA_RESIDENCY"
    assert teacher.post(world.path + "/region", data={"region": "Sichuan"}).status_code == 422
    assert 'value="CN-SC"' in teacher.get(f"/runs/{world.run.id}/class").text
    assert sign_in(world.app, world.student).post(world.path + "/region", data={"region": ""}).status_code == 403
    teacher.post(world.path + "/region", data={"region": "CN"})
    assert world.launch(size=world.size).json["center"] == "embedded"
