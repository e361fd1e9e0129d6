"""What is under way when the clock is set keeps the time it has had and the time it has left."""

from datetime import timedelta

import pytest

from app import clock as time
from app.db import UTCDateTime, db, transaction
from labs import ledger
from labs.models import LIVE_STATES, LabSession, SessionActivity, SessionState
from labs.services import clock_steps, sessions
from tests.make import as_actor

HOURS = timedelta(hours=5)
NOT_MOVED = {"created_at", "ended_at", "forgotten_at"}  # of what is over, and when somebody asked


def set_clock(clock, by):
    """The host's clock is set, and the worker has noticed it."""
    clock.shift(by)
    with transaction():
        clock_steps.follow(by)


@pytest.mark.parametrize("by", [HOURS, -HOURS])
def test_a_lab_ends_when_its_time_is_over_and_costs_what_it_ran(campus, clock, by):
    session = campus.running(60)
    clock.shift(timedelta(minutes=20))
    campus.run("reconcile_centers")
    campus.run("post_usage")

    set_clock(clock, by)
    campus.run("reconcile_centers")
    campus.run("post_usage")
    campus.run("end_leases")

    session = campus.again(session.id)
    assert (session.state, session.seconds_used) == (SessionState.RUNNING, 1200)
    assert session.lease_ends_at - time.now() == timedelta(minutes=40)
    clock.shift(timedelta(minutes=40))
    campus.run("reconcile_centers")
    for name in ("end_leases", "follow_sessions", "follow_sessions"):
        campus.run(name)
    session = campus.again(session.id)
    assert (session.state, session.seconds_used) == (SessionState.SETTLED, 3600)
    assert ledger.audit() == []


@pytest.mark.parametrize("by", [HOURS, -HOURS])
def test_a_lab_that_stops_meanwhile_costs_what_it_ran(campus, clock, by):
    session = campus.running(60)
    clock.shift(timedelta(minutes=20))
    campus.run("reconcile_centers")
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)

    set_clock(clock, by)
    for _ in range(2):
        campus.run("follow_sessions")

    session = campus.again(session.id)
    assert (session.state, session.seconds_used) == (SessionState.SETTLED, 1200)


def test_who_wrote_the_new_time_already_is_not_moved_into_the_future(campus, clock):
    """A web server that took an order between the step and its being noticed."""
    session = campus.running(60)
    clock.shift(HOURS)
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)
    with transaction():
        clock_steps.follow(HOURS)

    assert campus.again(session.id).stop_requested_at == time.now()


def test_what_a_lab_did_stays_as_long_ago_as_it_was(campus, clock):
    session = campus.running(60)
    db.session.add(SessionActivity(session_id=session.id, reported_at=time.now(), last_busy_at=time.now()))
    clock.shift(timedelta(minutes=1))

    set_clock(clock, -HOURS)

    db.session.expire_all()
    found = db.session.get_one(SessionActivity, session.id)
    assert (time.now() - found.last_busy_at, found.last_accelerator_at) == (timedelta(minutes=1), None)


def test_what_is_over_stays_where_it_is(campus, clock):
    session = campus.running(60)
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)
    for _ in range(2):
        campus.run("follow_sessions")
    before = (campus.again(session.id).ready_at, campus.again(session.id).ended_at)

    set_clock(clock, HOURS)

    assert (campus.again(session.id).ready_at, campus.again(session.id).ended_at) == before


def test_every_moment_of_a_session_is_thought_of():
    """A new column must say whether it moves along."""
    columns = {column.name for column in LabSession.__table__.columns if isinstance(column.type, UTCDateTime)}
    moved = {column.key for column in (*clock_steps.MOMENTS, *clock_steps.OF_THE_PAST)}

    assert moved | NOT_MOVED == columns
    assert SessionState.WAITING in LIVE_STATES


def test_a_lab_that_is_lost_is_missed_although_it_was_seen_in_what_is_now_the_future(campus, clock):
    """A clock that nobody noticed being set back: after a boot, or on another host."""
    session = campus.running(60)
    campus.run("reconcile_centers")
    clock.shift(-HOURS)
    campus.hub.kill(campus.student.hub_name, session.server_name)

    campus.run("reconcile_centers")

    assert campus.again(session.id).missing == 1
