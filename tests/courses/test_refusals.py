"""Every refusal of a launch: its words, its class, and a request through the API that really gets it."""

from datetime import timedelta

import pytest

from app import clock as time
from app.access import PlatformRole
from app.db import db, transaction
from app.locale import in_every_language
from courses import queries
from courses.services import enrollment
from labs import errors
from labs.models import (
    CenterState,
    Decision,
    Flavor,
    HomeUsage,
    LabSession,
    LabTemplate,
    MemberCap,
    Outcome,
    Purse,
    Tranche,
)
from labs.queries import refusal_reasons
from labs.services import sessions, terms
from tests.make import as_actor

C = 1_000_000
TOKEN = {"Authorization": "Bearer mine"}
FOUR = set(errors.RefusalClass)


def below(kind):
    return [one for child in kind.__subclasses__() for one in (child, *below(child))]


class World:
    """A student with a seat in a run under way, and the verbs that spoil something."""

    def __init__(self, school, client):
        self.school, self.client, self.make = school, client, school.make
        self.student = school.student(token="mine", scopes=("labs:read", "labs:launch"))
        self.run = school.run()
        enrollment.enroll(as_actor(self.student), self.run.id, self.student.id)
        self.unit = next(unit for unit in queries.units(self.run.version_id) if unit.is_lab)
        self.text = next(unit for unit in queries.units(self.run.version_id) if not unit.is_lab)
        self.flavor, self.center = school.flavor, school.flavor.center
        self.body = {"flavor_id": str(self.flavor.id), "minutes": 30}
        self.headers = dict(TOKEN)
        db.session.commit()

    @property
    def cap(self):
        return db.session.get_one(MemberCap, (self.run.budget_id, self.student.id))

    def launch(self):
        path = f"/api/v1/runs/{self.run.id}/units/{self.unit.id}/sessions"
        return self.client.post(path, json=self.body, headers=self.headers)

    def request(self, **values):
        """A lab of the same student, from another template."""
        asked = {
            "template_id": self.make.template([self.flavor]).id,
            "flavor_id": self.flavor.id,
            "minutes": 5,
            "budget_id": self.run.budget_id,
        }
        with transaction():
            return sessions.request(as_actor(self.student), **asked | values)


@pytest.fixture
def world(school, client):
    return World(school, client)


def no_such_flavor(w):
    w.body["flavor_id"] = "00000000-0000-7000-8000-000000000000"


def no_seat(w):
    enrollment.withdraw(as_actor(w.student), w.run.id)


def no_lab(w):
    w.unit = w.text


def run_canceled(w):
    w.run.state = "canceled"


def run_not_open(w):
    w.run.starts_at = time.now() + timedelta(days=5)


def run_ended(w):
    w.run.starts_at, w.run.ends_at = time.now() - timedelta(days=9), time.now() - timedelta(days=1)
    w.run.enroll_until_at = w.run.ends_at


def new_terms(w):
    terms.publish(as_actor(w.make.platform(PlatformRole.OPERATOR)), "embedded", text_zh="条款", text_en="Terms")


def budget_over(w):
    from labs.queries import budget

    budget(w.run.budget_id).is_closed = True


def agreement_over(w):
    from accounts.models_partners import Agreement

    db.session.query(Agreement).update({"until_at": time.now() - timedelta(days=1)})


def other_flavor(w):
    w.body["flavor_id"] = str(w.make.flavor(w.center).id)


def too_long(w):
    w.body["minutes"] = 121


def center_too_small(w):
    w.center.cores = 0.5


def home_full(w):
    w.center.home_quota_mb = 10
    usage = HomeUsage(
        person_id=w.student.id, center_id=w.center.id, size_bytes=11 << 20, files=1, measured_at=time.now()
    )
    db.session.add(usage)


def three_labs(w):
    for _ in range(3):
        w.request()


def share_used(w):
    w.cap.cap_micro = C // 20  # does not even pay for a minute and the grace


def overrun(w):
    db.session.get_one(Purse, w.run.budget_id).overrun = C


def budget_used(w):
    w.cap.cap_micro = None
    purse = db.session.get_one(Purse, w.run.budget_id)
    purse.available = C // 10


def credits_end(w):
    db.session.query(Tranche).filter_by(budget_id=w.run.budget_id).update(
        {"valid_until": time.now() + timedelta(minutes=20)}
    )


def maintenance(w):
    w.center.state = CenterState.MAINTENANCE


def unreachable(w):
    w.center.unreachable_since = time.now()


def many_starts(w):
    for _ in range(6):
        with transaction():
            sessions.stop(as_actor(w.student), w.request().id)


def full(w):
    w.center.session_limit = 1
    other = w.make.person()
    w.make.cap(w.make.budget(10), other)
    w.request()
    w.body["wait"] = False


def same_key(w):
    w.headers["Idempotency-Key"] = "one"
    assert w.launch().status_code == 202
    w.body["minutes"] = 31


def data_elsewhere(w):
    w.center.region = "CN-SD"
    db.session.get_one(LabTemplate, w.unit.lab_template_id).region = "CN-SC"


TABLE = [
    (no_such_flavor, "INVALID_REQUEST", "permanent"),
    (no_seat, "NOT_ENROLLED", "fixable"),
    (no_lab, "NOT_A_LAB", "permanent"),
    (run_canceled, "RUN_CANCELED", "permanent"),
    (run_not_open, "RUN_NOT_OPEN", "temporary"),
    (run_ended, "RUN_ENDED", "permanent"),
    (new_terms, "TERMS_NOT_ACCEPTED", "fixable"),
    (budget_over, "BUDGET_NOT_ACTIVE", "fixable"),
    (agreement_over, "AGREEMENT_ENDED", "operator"),
    (other_flavor, "FLAVOR_NOT_GRANTED", "fixable"),
    (data_elsewhere, "DATA_RESIDENCY", "fixable"),
    (too_long, "EXCEEDS_MAX_REQUEST", "fixable"),
    (center_too_small, "EXCEEDS_CENTER_CAPACITY", "permanent"),
    (home_full, "HOME_FULL", "fixable"),
    (three_labs, "USER_CONCURRENCY", "fixable"),
    (share_used, "MEMBER_CAP_EXHAUSTED", "fixable"),
    (overrun, "BUDGET_OVERRUN", "operator"),
    (budget_used, "BUDGET_EXHAUSTED", "fixable"),
    (credits_end, "TRANCHE_ENDS_BEFORE_LEASE", "fixable"),
    (maintenance, "CENTER_MAINTENANCE", "temporary"),
    (unreachable, "CENTER_UNREACHABLE", "temporary"),
    (many_starts, "SPAWN_THROTTLED", "temporary"),
    (full, "CAPACITY_FULL", "temporary"),
    (same_key, "IDEMPOTENCY_CONFLICT", "permanent"),
]
OF_LIFE = {"NO_RESCUE_FLAVOR", "NO_FILES", "KEEP_ALIVE_SPENT", "SESSION_ENDING"}  # not of a launch: tests of labs
ELSEWHERE = {"NO_PLACE_OFFERED": "tests/labs/test_line.py"}


@pytest.mark.parametrize(("spoil", "reason", "kind"), TABLE, ids=[row[1] for row in TABLE])
def test_a_launch_is_refused_with_its_code_its_numbers_and_a_decision(world, spoil, reason, kind):
    spoil(world)
    db.session.commit()

    answer = world.launch()

    assert answer.status_code == (403 if reason == "NOT_ENROLLED" else 409), answer.json
    assert (answer.json["reason"], answer.json["class"]) == (reason, kind)
    assert answer.json["never"] is (kind in ("permanent", "fixable"))
    if reason not in ("INVALID_REQUEST", "NOT_A_LAB", "RUN_CANCELED", "IDEMPOTENCY_CONFLICT"):
        assert answer.json["layer"]["name"]
    decision = db.session.query(Decision).filter_by(outcome=Outcome.REFUSED).one()
    assert (decision.reason, decision.kind, decision.person_id) == (reason, kind, world.student.id)
    assert decision.problem["code"] == answer.json["code"]
    assert decision.inputs["minutes"] == world.body["minutes"]
    shown = world.client.get(f"/api/v1/decisions/{decision.id}", headers=TOKEN).json
    assert (shown["reason"], shown["problem"]["layer" if "layer" in answer.json else "code"]) == (
        reason,
        answer.json["layer" if "layer" in answer.json else "code"],
    )


def test_every_refusal_has_a_code_a_reason_and_words_of_its_own_and_a_row_in_the_table(app, database):
    kinds = below(errors.LaunchRefused)

    assert len({kind.code for kind in kinds}) == len({kind.reason for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert kind.kind in FOUR
        for text in (kind.title, kind.advice):
            said = in_every_language(text)
            assert said["en"], kind
            assert said["zh_CN"] != said["en"], f"{kind.code} is not in Chinese"
    launching = {kind.reason for kind in kinds if kind.__module__ in ("labs.errors", "courses.errors")}
    tried = {row[1] for row in TABLE} | set(ELSEWHERE)
    assert tried <= {reason for reason, _text in refusal_reasons()}
    assert launching - tried <= OF_LIFE, "add a row to the table"


def test_the_same_key_is_the_same_session_also_after_it_has_ended(world):
    world.headers["Idempotency-Key"] = "once"
    first = world.launch().json["id"]
    with transaction():
        sessions.stop(as_actor(world.student), db.session.get(LabSession, first).id)

    assert world.launch().json["id"] == first
    world.headers["Idempotency-Key"] = "twice"
    assert world.launch().json["id"] != first


def test_a_template_that_allows_two_gives_two_and_not_three(world):
    template = world.make.template([world.flavor], sessions_each=2)
    asked = {"template_id": template.id}

    first, second = (world.request(**asked, key=key) for key in ("a", "b"))

    assert (first.slot, second.slot) == (0, 1)
    assert world.request(**asked).id in (first.id, second.id)  # a double click
    with pytest.raises(errors.UserConcurrency):
        world.request(**asked, key="c")


def test_a_rescue_flavor_needs_neither_seat_nor_credits_nor_room_in_the_home(world):
    for spoil in (no_seat, home_full, budget_over, overrun):
        spoil(world)
    rescue = world.make.flavor(world.center, price_micro=0, is_rescue=True)
    db.session.commit()

    session = world.request(flavor_id=rescue.id, template_id=world.make.template([rescue]).id)

    assert (str(session.state), session.hold.amount) == ("reserved", 0)


def test_the_panel_says_what_a_launch_would_be_told(world):
    share_used(world)
    db.session.commit()
    path = f"/api/v1/runs/{world.run.id}/units/{world.unit.id}/launch-panel"

    (offer,) = world.client.get(path, headers=TOKEN).json["offers"]
    told = world.launch().json

    assert offer["obstacle"] == told["reason"]
    assert offer["refusal"]["title"] == told["title"]
    assert isinstance(db.session.get(Flavor, world.flavor.id), Flavor)


def test_decisions_are_for_the_person_those_who_look_after_the_budget_and_operators(world):
    too_long(world)
    world.launch()
    decision = db.session.query(Decision).one()
    path = f"/api/v1/decisions/{decision.id}"
    make = world.make
    teacher = make.person(token="teacher", scopes=("labs:read",))
    from labs.models import BudgetManager

    make._save(BudgetManager(budget_id=world.run.budget_id, person_id=teacher.id))
    make.person(token="stranger", scopes=("labs:read",))
    make.platform(PlatformRole.OPERATOR, second_factor=True, token="op", scopes=("labs:read",))

    def get(name, url=path):
        return world.client.get(url, headers={"Authorization": f"Bearer {name}"})

    assert [get(name).status_code for name in ("mine", "teacher", "op", "stranger")] == [200, 200, 200, 404]
    listed = [len(get(name, "/api/v1/decisions/").json) for name in ("mine", "teacher", "op", "stranger")]
    assert listed == [1, 1, 1, 0]
    assert get("mine", "/api/v1/decisions/?outcome=granted").json == []
    assert len(get("mine", "/api/v1/decisions/?reason=EXCEEDS_MAX_REQUEST").json) == 1


def test_what_was_granted_is_written_once_with_the_session(world):
    world.launch()
    session_id = world.launch().json["id"]  # a double click

    decision = db.session.query(Decision).one()

    assert (decision.outcome, str(decision.session_id)) == (Outcome.GRANTED, session_id)
    numbers = decision.inputs["numbers"]
    assert numbers["share"]["left_micro"] == 10 * C
    assert (numbers["center"]["places_taken"], numbers["center"]["line"]) == (0, 0)
