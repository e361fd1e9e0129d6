"""Servers that nobody ordered, servers that do not stop, and second sources: through the jobs, with a hub in memory."""

from datetime import timedelta

import pytest

from accounts.models import Notice
from app import clock as time
from app.access import PlatformRole
from app.db import db, transaction
from labs import ledger
from labs.adapters import Evidence
from labs.models import SessionState, Stray
from labs.services import orders, sessions
from tests.make import as_actor

C = 1_000_000


@pytest.fixture(autouse=True)
def _honest(database):
    yield
    assert ledger.audit() == []


@pytest.fixture
def operator(make):
    return make.platform(PlatformRole.OPERATOR)


def notices(person):
    return [n.kind for n in db.session.query(Notice).filter_by(person_id=person.id).order_by(Notice.id)]


def stray():
    db.session.expire_all()
    return db.session.query(Stray).one()


def settled_but_running(campus, clock):
    """As if we had lost track: the row says that it ended a minute ago, and the server runs still."""
    session = campus.running(60)
    clock.shift(timedelta(minutes=10))
    with transaction():
        sessions.end(session.id, time.now(), "vanished")
    clock.shift(timedelta(minutes=1))
    return session


def test_what_runs_for_nobody_is_ended_and_is_the_loss_of_its_center(campus, clock):
    campus.hub.autostop = False
    campus.hub.add_stray("mallory", "free", started_at=time.now() - timedelta(minutes=30))

    campus.run("reconcile_centers")

    assert (stray().gone_at, stray().stop_attempts) == (None, 1)
    campus.hub.kill("mallory", "free")
    clock.shift(timedelta(minutes=30))
    campus.run("reconcile_centers")

    assert stray().gone_at == time.now()
    assert (stray().seconds, stray().loss_micro) == (3600, campus.flavor.price_micro)
    assert campus.purse()[2] == 0


def test_a_session_of_ours_that_runs_on_costs_its_center_what_came_after_its_end(campus, clock):
    session = settled_but_running(campus, clock)

    campus.run("reconcile_centers")
    clock.shift(timedelta(seconds=10))
    campus.run("reconcile_centers")

    found = stray()
    assert (found.session_id, found.seconds) == (session.id, 70)
    assert campus.purse()[2] == C // 6  # the ten minutes that were paid
    assert campus.hub.servers == {}


def test_a_server_that_only_starts_for_nobody_is_ended_at_no_loss(campus, clock):
    campus.hub.add_stray("mallory", "free", ready=False)

    campus.run("reconcile_centers")
    clock.shift(timedelta(seconds=10))
    campus.run("reconcile_centers")

    assert (stray().gone_at, stray().seconds, stray().loss_micro) == (time.now(), 0, 0)


def test_a_server_with_the_name_of_a_lab_of_somebody_else_is_nobodys(campus, clock):
    session = campus.running(60)
    campus.hub.add_stray("0" * 32, session.server_name)

    campus.run("reconcile_centers")

    assert stray().hub_user == "0" * 32
    assert campus.again(session.id).state is SessionState.RUNNING
    assert list(campus.hub.servers) == [(campus.student.hub_name, session.server_name)]


def test_a_lab_that_ended_since_the_page_was_read_is_no_stray(campus):
    campus.hub.add_stray("mallory", "free")
    page = next(campus.hub.active())
    campus.hub.active = lambda page_=200: iter([page])
    campus.hub.make_stopped("mallory", "free")

    assert campus.run("reconcile_centers") == 0
    del campus.hub.active
    assert db.session.query(Stray).count() == 0


def test_operators_hear_once_of_a_stray_that_does_not_stop(campus, clock, operator):
    campus.hub.autostop = False
    campus.hub.add_stray("mallory", "free")
    campus.hub.remove = lambda user, server: None

    for _ in range(9):
        campus.run("reconcile_centers")
        clock.shift(timedelta(seconds=20))

    del campus.hub.remove
    assert notices(operator) == ["stray-does-not-stop"]


def test_a_stray_that_hangs_while_it_stops_is_told_again(campus, clock):
    campus.hub.autostop = False
    campus.hub.add_stray("mallory", "free")
    for _ in range(4):
        campus.run("reconcile_centers")
        clock.shift(timedelta(seconds=30))

    assert stray().stop_attempts == 2


def test_a_lab_that_does_not_stop_is_told_again_then_operators_hear_once(campus, clock, operator):
    session = campus.running(60)
    campus.hub.stop = lambda user, server: told.append(server)
    told: list[str] = []
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)

    for _ in range(30):
        campus.run("follow_sessions")
        clock.shift(timedelta(seconds=4))

    del campus.hub.stop
    found = campus.again(session.id)
    assert found.state is SessionState.STOPPING
    assert found.stop_attempts == len(told) == 15  # at once, then every other round
    assert found.escalated_at is not None
    assert notices(operator) == ["lab-does-not-stop"]


def test_a_lab_that_ran_on_after_its_grace_costs_its_person_no_more(campus, clock):
    session = campus.running(60)
    campus.hub.stop = lambda user, server: None
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)
    clock.shift(timedelta(minutes=20))
    campus.run("follow_sessions")
    del campus.hub.stop
    campus.hub.make_stopped(campus.student.hub_name, session.server_name)
    campus.run("follow_sessions")

    assert campus.again(session.id).seconds_used == 300


# --- second sources -----------------------------------------------------------------------------------------------


def test_a_hub_that_lost_a_lab_which_its_scheduler_runs_ends_nothing(campus, clock):
    session = campus.running(60)
    key = campus.student.hub_name, session.server_name
    campus.hub.kill(*key)
    campus.hub.proofs[key] = Evidence(runs=True)
    clock.shift(timedelta(minutes=1))

    for _ in range(3):
        campus.run("reconcile_centers")
        campus.run("follow_sessions")

    found = campus.again(session.id)
    assert (found.state, found.missing) == (SessionState.RUNNING, 0)
    assert found.last_running_at == time.now()


def test_evidence_says_until_when_a_lab_is_paid(campus, clock):
    session = campus.running(60)
    key = campus.student.hub_name, session.server_name
    clock.shift(timedelta(minutes=10))
    campus.run("reconcile_centers")
    campus.hub.kill(*key)
    clock.shift(timedelta(seconds=30))
    campus.hub.proofs[key] = Evidence(runs=False, ended_at=time.now() - timedelta(seconds=20), why="out of memory")

    campus.run("reconcile_centers")
    campus.run("follow_sessions")

    found = campus.again(session.id)
    assert (found.state, found.seconds_used) == (SessionState.SETTLED, 610)


def test_evidence_is_enough_without_a_second_sighting(campus, clock):
    session = campus.running(60)
    campus.hub.make_stopped(campus.student.hub_name, session.server_name)  # the hub saw its process end
    with transaction():
        orders.ended("embedded", campus.student.hub_name, session.server_name)

    campus.run("follow_sessions")

    assert campus.again(session.id).state is SessionState.SETTLED


def test_a_start_that_ends_for_good_is_voided_with_the_reason(campus):
    campus.hub.autostart = False
    session = campus.launch()
    campus.run("start_sessions")
    campus.redeem(session)
    key = campus.student.hub_name, session.server_name
    campus.hub.make_failed(*key)
    campus.hub.proofs[key] = Evidence(runs=False, why="no such partition", is_final=True)

    campus.run("follow_sessions")

    found = campus.again(session.id)
    assert (found.state, found.failure, found.attempts) == (SessionState.VOIDED, "no such partition", 1)
    assert campus.purse() == (100 * C, 0, 0)


def test_a_start_that_failed_is_tried_again_at_once_and_says_why(campus, clock):
    campus.hub.autostart = False
    session = campus.launch()
    campus.run("start_sessions")
    campus.redeem(session)
    campus.hub.make_failed(campus.student.hub_name, session.server_name, "Spawn failed: Timeout")

    campus.run("follow_sessions")

    found = campus.again(session.id)
    assert (found.state, found.failure) == (SessionState.RESERVED, "Spawn failed: Timeout")
