"""The diagram of a session's life: every step from every state, those that are there and those that are not."""

from datetime import timedelta

import pytest

from app import clock as time
from app.access import SYSTEM
from app.db import db, transaction
from labs import ledger
from labs.models import IN_LINE, SessionState
from labs.models.sessions import LIVE_STATES
from labs.services import sessions
from labs.services.sessions import MOVES
from tests.make import as_actor

S = SessionState


def stop(campus, session):
    sessions.stop(as_actor(campus.student), session.id)


STEPS = {
    "claim_next": lambda campus, session: sessions.claim_next(),
    "try_again": lambda campus, session: sessions.try_again(session.id, "busy", timedelta(seconds=3)),
    "restart": lambda campus, session: sessions.restart(session.id, "no answer"),
    "mark_running": lambda campus, session: sessions.mark_running(session.id),
    "stop": stop,
    "end_lease": lambda campus, session: sessions.end_lease(session.id),
    "end_idle": lambda campus, session: sessions.end_idle(session.id, 30),
    "end": lambda campus, session: sessions.end(session.id, time.now(), "gone"),
    "fail": lambda campus, session: sessions.fail(session.id, "no", "start-failed"),
}

# From where a step leads, and to where. Everything that does not stand here stays as it is.
LEADS = {
    "claim_next": {S.RESERVED: S.STARTING},
    "try_again": {S.STARTING: S.RESERVED},
    "restart": {S.STARTING: S.RESERVED},
    "mark_running": {S.RESERVED: S.RUNNING, S.STARTING: S.RUNNING},
    "stop": {
        S.WAITING: S.VOIDED,
        S.OFFERED: S.VOIDED,
        S.RESERVED: S.VOIDED,
        S.STARTING: S.STOPPING,
        S.RUNNING: S.STOPPING,
    },
    "end_lease": {S.RUNNING: S.STOPPING},
    "end_idle": {S.RUNNING: S.STOPPING},
    "end": {
        S.WAITING: S.VOIDED,
        S.OFFERED: S.VOIDED,
        S.RESERVED: S.VOIDED,
        S.STARTING: S.VOIDED,
        S.RUNNING: S.SETTLED,
        S.STOPPING: S.SETTLED,
    },
    "fail": {
        S.WAITING: S.VOIDED,
        S.OFFERED: S.VOIDED,
        S.RESERVED: S.VOIDED,
        S.STARTING: S.VOIDED,
    },
}


def in_state(campus, state):
    """A session that has come to this state as sessions do; in line, as the line would leave it."""
    session = campus.launch(60)
    session_id = session.id
    with transaction():
        if state in IN_LINE:
            session = sessions.locked(session_id)
            sessions.ledger.void(session.held_by)
            session.hold_id, session.state = None, state
        if state in (S.STARTING, S.RUNNING, S.STOPPING, S.SETTLED):
            sessions.claim_next()
        if state in (S.RUNNING, S.STOPPING, S.SETTLED):
            sessions.mark_running(session_id)
            sessions.locked(session_id).lease_ends_at = time.now()
        if state in (S.STOPPING, S.SETTLED):
            stop(campus, session)
        if state is S.SETTLED:
            sessions.end(session_id, time.now(), "gone")
        if state is S.VOIDED:
            sessions.fail(session_id, "no", "start-failed")
    session = campus.again(session_id)
    assert session.state is state
    return session


@pytest.mark.parametrize("state", S, ids=str)
@pytest.mark.parametrize("step", STEPS)
def test_each_step_leads_where_the_diagram_says_and_nowhere_else(campus, step, state):
    session = in_state(campus, state)

    with transaction():
        STEPS[step](campus, session)

    assert campus.again(session.id).state is LEADS[step].get(state, state)
    assert ledger.audit() == []


@pytest.mark.parametrize("state", S, ids=str)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_may_be_taken_twice(campus, step, state):
    session = in_state(campus, state)
    with transaction():
        STEPS[step](campus, session)
    after = campus.again(session.id).state

    with transaction():
        STEPS[step](campus, session)

    again = campus.again(session.id).state
    assert again is LEADS[step].get(after, after)
    assert ledger.audit() == []


@pytest.mark.parametrize("to", S, ids=str)
@pytest.mark.parametrize("state", S, ids=str)
def test_no_move_is_made_that_the_diagram_does_not_have(campus, state, to):
    session = campus.launch(60)
    session.state = state

    if to in MOVES[state]:
        sessions._move(session, to)
        assert session.state is to
    else:
        with pytest.raises(AssertionError):
            sessions._move(session, to)
        assert session.state is state
    db.session.rollback()


def test_what_has_ended_never_moves_again():
    assert [state for state in S if not MOVES[state]] == [S.SETTLED, S.VOIDED]
    assert all(MOVES[state] for state in LIVE_STATES)


def test_every_step_of_the_diagram_is_in_the_table_above():
    leads = {(before, after) for steps in LEADS.values() for before, after in steps.items()}
    line = {(S.WAITING, S.OFFERED), (S.WAITING, S.RESERVED), (S.OFFERED, S.WAITING), (S.OFFERED, S.RESERVED)}
    late = {(S.RESERVED, S.STOPPING), (S.STOPPING, S.VOIDED)}  # the tests below

    assert leads | line | late == {(before, after) for before, to in MOVES.items() for after in to}


def test_a_lab_that_is_started_again_is_stopped_at_the_hub_too(campus):
    session = in_state(campus, S.STARTING)
    with transaction():
        sessions.restart(session.id, "no answer")

    with transaction():
        sessions.stop(SYSTEM, session.id)

    assert campus.again(session.id).state is S.STOPPING


def test_a_lab_that_was_never_ready_and_is_gone_is_not_charged(campus):
    session = in_state(campus, S.STARTING)
    with transaction():
        stop(campus, session)

    with transaction():
        sessions.end(session.id, time.now(), "stopped")

    assert campus.again(session.id).state is S.VOIDED
    assert campus.purse()[2] == 0
