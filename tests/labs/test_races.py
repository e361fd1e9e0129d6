"""What happens when many do the same at once. Real threads, real commits."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts.models import Person
from app.db import db, transaction
from app.jobs import run_job
from labs import ledger, queries
from labs.errors import BudgetExhausted
from labs.models import LabSession, MemberCap, SessionState
from labs.services import sessions
from tests.labs.conftest import build
from tests.make import as_actor

C = 1_000_000


@pytest.fixture
def campus(app, committed, hub):
    return build(app, committed, hub, credits=12)


def at_once(app, work, times, threads=16):
    """Run `work(n)` in many threads; return what each gave or raised."""

    def one(n):
        with app.app_context():
            try:
                with transaction():
                    return work(n)
            except Exception as error:
                return error
            finally:
                db.session.remove()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(times)))


def test_two_hundred_clicks_are_one_session_and_one_hold(app, campus):
    actor = as_actor(campus.student)
    asked = {
        "template_id": campus.template.id,
        "flavor_id": campus.flavor.id,
        "minutes": 60,
        "budget_id": campus.budget.id,
    }

    answers = at_once(app, lambda n: sessions.request(actor, **asked).id, 200)

    assert len(set(answers)) == 1, answers
    assert campus.purse()[1] == C + C // 12 + 1
    assert ledger.audit() == []


def test_of_three_hundred_launches_on_a_budget_for_a_hundred_exactly_a_hundred_start(app, committed, hub):
    one = C + C // 12 + 1
    campus = build(app, committed, hub, credits=100 * one / C)
    people = [Person(email=f"many-{n}@example.org", name=f"Person {n}") for n in range(300)]
    db.session.add_all(people)
    db.session.flush()
    db.session.add_all(MemberCap(budget_id=campus.budget.id, person_id=person.id) for person in people)
    db.session.commit()
    actors = [as_actor(person) for person in people]
    asked = {
        "template_id": campus.template.id,
        "flavor_id": campus.flavor.id,
        "minutes": 60,
        "budget_id": campus.budget.id,
    }

    answers = at_once(app, lambda n: sessions.request(actors[n], **asked).id, len(actors))

    refused = [a for a in answers if isinstance(a, BudgetExhausted)]
    unexpected = [a for a in answers if isinstance(a, Exception) and not isinstance(a, BudgetExhausted)]
    assert unexpected == []
    assert (len(actors) - len(refused), len(refused)) == (100, 200)
    assert campus.purse()[:2] == (0, 100 * one)
    assert ledger.audit() == []


def test_two_passes_and_two_followers_at_once_settle_a_lost_lab_once(app, campus):
    session = campus.running(60)
    campus.hub.kill(campus.student.hub_name, session.server_name)
    jobs = [app.extensions["jobs"][name] for name in ("reconcile_centers", "follow_sessions", "post_usage")]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: run_job(app, jobs[n % 3]), range(18)))

    run_job(app, jobs[1])
    assert campus.again(session.id).state is SessionState.SETTLED
    assert campus.purse()[1] == 0
    assert ledger.audit() == []


def test_two_workers_start_each_session_once(app, campus, committed):
    for _ in range(8):
        person = committed.person()
        campus.make._save(_cap(campus, as_actor(person)))
        campus.launch(10, who=person)
    job = app.extensions["jobs"]["start_sessions"]

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _n: run_job(app, job), range(2)))

    assert sum(done) == 8
    starts = [call for call in campus.hub.calls if call.name == "start"]
    assert len(starts) == 8
    db.session.expire_all()
    assert {s.state for s in db.session.query(LabSession)} == {SessionState.STARTING}


def test_a_launch_waits_for_another_on_the_same_budget(app, campus, committed):
    other = committed.person()
    campus.make._save(_cap(campus, as_actor(other)))

    def launch():
        with app.app_context(), transaction():
            sessions.request(
                as_actor(other),
                template_id=campus.template.id,
                flavor_id=campus.flavor.id,
                minutes=60,
                budget_id=campus.budget.id,
            )

    with ThreadPoolExecutor(1) as pool:
        with transaction():
            sessions.request(
                as_actor(campus.student),
                template_id=campus.template.id,
                flavor_id=campus.flavor.id,
                minutes=60,
                budget_id=campus.budget.id,
            )
            second = pool.submit(launch)
            with pytest.raises(TimeoutError):  # it waits for the purse that we hold
                second.result(timeout=0.4)
        second.result(timeout=5)

    assert campus.purse()[1] == 2 * (C + C // 12 + 1)


def _cap(campus, actor):
    return MemberCap(budget_id=campus.budget.id, person_id=actor.person_id)


def test_at_a_center_with_seven_places_seven_labs_start_and_the_others_stand_in_line(app, campus, committed):
    campus.center.session_limit = 7
    people = [as_actor(committed.person()) for _ in range(40)]
    for person in people:
        campus.make._save(_cap(campus, person))
    asked = {
        "template_id": campus.template.id,
        "flavor_id": campus.flavor.id,
        "minutes": 1,
        "budget_id": campus.budget.id,
    }

    answers = at_once(app, lambda n: sessions.request(people[n], **asked).id, len(people))

    assert [a for a in answers if isinstance(a, Exception)] == []
    db.session.expire_all()
    rows = db.session.query(LabSession).all()
    assert Counter(str(row.state) for row in rows) == {"reserved": 7, "waiting": 33}
    line = sorted((row for row in rows if row.state is SessionState.WAITING), key=lambda row: row.waiting_since)
    assert len({row.waiting_since for row in line}) == 33  # everybody has a place of their own
    assert queries.miscounted_loads() == {}
    assert ledger.audit() == []
