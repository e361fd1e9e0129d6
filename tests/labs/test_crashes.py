"""kill -9 of the worker at every instant: before each commit, before and after each word to the hub.

A crash is an exception that nothing catches, at the n-th point where something outlasts the process. Then a new
worker comes and does its rounds. Whatever n was: every credit is where it belongs, and nothing runs unpaid.
"""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from app import clock as time
from app.db import db, transaction
from app.jobs import run_job
from labs import ledger
from labs.models import SessionState
from labs.services import sessions
from tests.labs.conftest import build
from tests.make import as_actor

ROUND = ("start_sessions", "follow_sessions", "reconcile_centers", "end_leases", "post_usage")
LAST = 56  # instants in a life, and a few more
ENDED = (SessionState.SETTLED, SessionState.VOIDED)


class Killed(BaseException):
    """kill -9: no handler of ours sees it coming."""


class Fuse:
    """Blows at the n-th commit or edge of a hub call, and counts them."""

    def __init__(self, hub, after):
        self.left, self.blown, self.ticks = after, False, 0
        event.listen(sa.Engine, "commit", self._tick)
        self._hub = hub
        for name in ("start", "stop", "remove"):
            setattr(hub, name, self._around(getattr(type(hub), name).__get__(hub)))

    def remove(self):
        event.remove(sa.Engine, "commit", self._tick)
        for name in ("start", "stop", "remove"):
            self._hub.__dict__.pop(name, None)

    def _around(self, call):
        def wrapped(*args, **kwargs):
            self._tick()
            call(*args, **kwargs)
            self._tick()

        return wrapped

    def _tick(self, *_):
        self.left -= 1
        self.ticks += 1
        if self.left == 0:
            self.blown = True
            raise Killed


def rounds(app, clock, times, redeem):
    """A worker's rounds, three seconds apart; the hub comes for its orders in between."""
    for _ in range(times):
        for name in ROUND:
            run_job(app, app.extensions["jobs"][name])
            redeem()
        clock.shift(timedelta(seconds=3))


def live_through(app, clock, campus, redeem, stop_after):
    """A whole life: launched before, run for a while, stopped by the student or by the clock."""
    rounds(app, clock, 2, redeem)
    if stop_after == "click":
        with transaction():
            sessions.stop(as_actor(campus.student), campus.session_id)
    else:
        clock.shift(timedelta(minutes=12))
    rounds(app, clock, 3, redeem)


@pytest.mark.parametrize(
    ("stop_after", "instant"),
    [("click", n) for n in range(1, LAST + 1)] + [("lease", n) for n in range(2, LAST + 1, 3)],
)
def test_a_worker_killed_at_any_instant_loses_nothing(app, committed, hub, clock, instant, stop_after):
    campus = build(app, committed, hub)
    campus.session_id = campus.launch(10).id
    student = campus.student.hub_name

    def redeem():
        session = campus.again(campus.session_id)
        if session.state is SessionState.STARTING and session.admitted_attempt < session.attempts:
            campus.redeem(session)
        db.session.rollback()

    fuse = Fuse(hub, instant)
    try:
        live_through(app, clock, campus, redeem, stop_after)
    except Killed:
        db.session.rollback()
    finally:
        fuse.remove()

    # A new worker comes back after a while, and the lease, if it still runs, comes to its end.
    clock.shift(timedelta(seconds=20))
    rounds(app, clock, 3, redeem)
    clock.shift(timedelta(minutes=11))
    rounds(app, clock, 3, redeem)

    session = campus.again(campus.session_id)
    assert session.state in ENDED
    assert not [key for key, server in hub.servers.items() if key[0] == student and server.ready]
    assert ledger.audit() == []
    available, held, used = campus.purse()
    assert held == 0
    assert used == session.charged_micro
    assert available + used == 100_000_000
    ran = 0 if session.ready_at is None else int((session.ended_at - session.ready_at).total_seconds())
    assert session.seconds_used == ran
    assert time.now() >= session.ended_at
    if instant == LAST:
        assert not fuse.blown, "the last instant must lie beyond the whole life"
