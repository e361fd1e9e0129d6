"""What happens when many do the same at once. Real threads, real commits."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.db import db, transaction
from app.jobs import run_job
from labs import ledger_audit
from labs.errors import BudgetExhausted
from labs.models import LabSession, SessionState
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


def test_sixty_clicks_are_one_session_and_one_hold(app, campus):
    actor = as_actor(campus.student)
    asked = {
        "template_id": campus.template.id,
        "flavor_id": campus.flavor.id,
        "minutes": 60,
        "budget_id": campus.budget.id,
    }

    answers = at_once(app, lambda n: sessions.request(actor, **asked).id, 60)

    assert len(set(answers)) == 1, answers
    assert campus.purse()[1] == C + C // 12 + 1
    assert ledger_audit.audit() == []


def test_of_many_launches_exactly_those_start_that_the_budget_pays(app, campus, committed):
    people = [as_actor(committed.person()) for _ in range(24)]
    for person in people:
        campus.make._save(_cap(campus, person))
    asked = {
        "template_id": campus.template.id,
        "flavor_id": campus.flavor.id,
        "minutes": 60,
        "budget_id": campus.budget.id,
    }

    answers = at_once(app, lambda n: sessions.request(people[n], **asked).id, len(people))

    refused = [a for a in answers if isinstance(a, BudgetExhausted)]
    unexpected = [a for a in answers if isinstance(a, Exception) and not isinstance(a, BudgetExhausted)]
    assert unexpected == []
    assert len(people) - len(refused) == 12 * C // (C + C // 12 + 1) == 11
    assert ledger_audit.audit() == []


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
    from labs.models import MemberCap

    return MemberCap(budget_id=campus.budget.id, person_id=actor.person_id)
