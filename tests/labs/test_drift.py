"""Drift: each kind is found, is repaired by itself, and the number returns to zero."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from accounts.models import Notice
from app import clock as time
from app.access import PlatformRole
from app.db import db, transaction
from labs import ledger
from labs.models import CenterLoad, Hold, HoldState, LabSession, SessionState
from labs.queries.drift import DriftKind, drift
from labs.services import sessions
from tests.make import as_actor

ROUND = ("start_sessions", "follow_sessions", "reconcile_centers", "end_leases", "post_usage", "repair_drift")


def kinds():
    db.session.expire_all()
    return {kind for of in drift().counts.values() for kind in of}


def within_a_minute(campus, clock):
    for _ in range(6):
        for name in ROUND:
            campus.run(name)
        clock.shift(timedelta(seconds=10))


@pytest.fixture(autouse=True)
def _honest(database):
    yield
    assert ledger.audit() == []


def test_what_runs_as_it_should_is_no_drift(campus):
    campus.running(60)
    campus.run("repair_drift")

    assert kinds() == set()
    assert drift().total == 0


def test_a_lab_that_is_gone_is_drift_until_it_is_settled(campus, clock):
    session = campus.running(60)
    campus.run("repair_drift")
    campus.hub.kill(campus.student.hub_name, session.server_name)
    clock.shift(timedelta(seconds=10))
    campus.run("reconcile_centers")
    assert kinds() == {DriftKind.MISSING}

    within_a_minute(campus, clock)

    assert kinds() == set()


def test_a_lab_that_does_not_stop_and_one_past_its_lease_are_drift(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(minutes=61))
    campus.run("repair_drift")
    assert kinds() == {DriftKind.AFTER_LEASE}
    campus.hub.stop = lambda user, server: None
    campus.run("end_leases")
    campus.run("follow_sessions")
    clock.shift(timedelta(minutes=2))
    assert kinds() == {DriftKind.STOPPING}
    del campus.hub.stop

    within_a_minute(campus, clock)

    assert kinds() == set()
    assert campus.again(session.id).state is SessionState.SETTLED


def test_a_stray_is_drift_until_it_is_gone(campus, clock):
    campus.hub.autostop = False
    campus.hub.add_stray("mallory", "free")
    campus.run("reconcile_centers")
    assert kinds() == {DriftKind.STRAY}

    campus.hub.make_stopped("mallory", "free")
    within_a_minute(campus, clock)

    assert kinds() == set()


def test_places_that_are_counted_wrongly_are_counted_anew(campus, clock):
    campus.running(60)
    campus.run("repair_drift")
    db.session.execute(sa.update(CenterLoad).values(taken=7))
    assert kinds() == {DriftKind.LOAD}

    within_a_minute(campus, clock)

    assert kinds() == set()
    assert db.session.scalar(sa.select(CenterLoad.taken)) == 1


def test_a_hold_whose_session_has_ended_gives_everything_back(campus, clock):
    session = campus.running(60)
    campus.run("repair_drift")
    campus.hub.kill(campus.student.hub_name, session.server_name)
    now = {"ended_at": time.now(), "forgotten_at": time.now()}
    db.session.execute(sa.update(LabSession).values(state=SessionState.SETTLED, **now))
    assert DriftKind.HOLD in kinds()

    within_a_minute(campus, clock)

    assert kinds() == set()
    assert db.session.scalar(sa.select(Hold.state)) is HoldState.VOIDED
    assert campus.purse()[1] == 0


def test_a_lab_whose_hold_is_closed_is_ended_and_costs_its_center(campus, clock):
    session = campus.running(60)
    campus.run("repair_drift")
    with transaction():
        ledger.settle(session.held_by, 60, session.ready_at)
    clock.shift(timedelta(minutes=5))
    assert kinds() == {DriftKind.UNPAID}

    within_a_minute(campus, clock)

    found = campus.again(session.id)
    assert kinds() == set()
    assert (found.state, found.stop_reason, found.seconds_used) == (SessionState.SETTLED, "unpaid", 60)
    assert campus.hub.servers == {}


def test_operators_hear_once_of_a_center_that_does_not_answer(campus, clock, make):
    operator = make.platform(PlatformRole.OPERATOR)
    campus.hub.down = True
    for _ in range(10):
        campus.run("reconcile_centers")
        clock.shift(timedelta(seconds=10))
    assert kinds() == {DriftKind.UNREACHABLE}

    campus.hub.down = False
    campus.run("reconcile_centers")

    assert kinds() == set()
    assert [n.kind for n in db.session.query(Notice).filter_by(person_id=operator.id)] == ["center-unreachable"]


def test_a_place_is_given_back_while_others_stop(campus, clock):
    session = campus.running(60)
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)

    within_a_minute(campus, clock)

    assert (kinds(), campus.again(session.id).state) == (set(), SessionState.SETTLED)


def test_the_command_fails_while_there_is_drift(app, campus):
    campus.run("repair_drift")
    runner = app.test_cli_runner()
    assert runner.invoke(args=["labs", "drift"]).exit_code == 0
    campus.hub.autostop = False
    campus.hub.add_stray("mallory", "free")
    campus.run("reconcile_centers")

    said = runner.invoke(args=["labs", "drift"])

    assert said.exit_code == 1
    assert "embedded: stray" in said.output


def test_the_api_shows_drift_to_operators_only(app, campus, make):
    make.platform(PlatformRole.OPERATOR, second_factor=True, token="op", scopes=("operations:read",))
    make.person(token="nobody", scopes=("operations:read",))
    campus.run("repair_drift")
    client = app.test_client()
    read = "/api/v1/centers/drift"

    assert client.get(read, headers={"Authorization": "Bearer op"}).json == {"total": 0, "centers": [], "items": []}
    assert client.get(read, headers={"Authorization": "Bearer nobody"}).status_code == 403
