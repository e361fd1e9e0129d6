"""Every step of a session × everything that can die there: worker, web, hub, proxy, PostgreSQL, the hub's database.

A step is known by what it leaves behind, in our rows or at the hub; a fault strikes just before that is kept, or just
after. Then what died comes back, as its supervisor sees to, and the rounds go on. Whatever it was: nothing is charged
that did not run, nothing runs unpaid, every balance adds up, and drift returns to zero. (`test_faults_for_real.py`
does some of these to a whole campus, with real processes.)
"""

from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from app import clock as time
from app.db import db, transaction
from app.jobs import run_job
from labs import ledger
from labs.adapters import HubUnreachable
from labs.models import LabSession, SessionState
from labs.queries.drift import drift
from labs.services import orders, sessions
from tests.labs.conftest import build
from tests.make import as_actor

STEPS = {  # what a session goes through, and which process takes the step
    "launched": "web",
    "claimed": "worker",
    "told": "worker",  # the hub is told to start
    "admitted": "web",  # the hub came for its order
    "starting": "hub",
    "running": "worker",
    "posted": "worker",
    "stop-asked": "web",
    "stop-told": "worker",
    "gone": "hub",
    "settled": "worker",
    "forgotten": "worker",
}
PARTS = ("worker", "web", "hub", "hub-database", "proxy", "postgres")
ROUND = ("start_sessions", "follow_sessions", "reconcile_centers", "end_leases", "post_usage", "repair_drift")
ENDED = (SessionState.SETTLED, SessionState.VOIDED)
TICK = timedelta(seconds=3)
UNPAID_AT_MOST = 45  # seconds that a lab may run at our cost: the outage, and a round on both sides of it


class Killed(BaseException):
    """kill -9: no handler of ours sees it coming."""


class Fault:
    """Strikes once, before or after the step, whoever takes it."""

    def __init__(self, life, part, step, edge):
        self.life, self.part, self.step, self.edge = life, part, step, edge
        self.done: set[str] = set()
        self.pending: list[str] = []
        self.has_struck = False
        event.listen(sa.Engine, "commit", self._before_commit)
        event.listen(Session, "after_commit", self._after_commit)
        event.listen(sa.Engine, "begin", self._begin)

    def remove(self):
        event.remove(sa.Engine, "commit", self._before_commit)
        event.remove(Session, "after_commit", self._after_commit)
        event.remove(sa.Engine, "begin", self._begin)

    def at(self, step, edge):
        """Called by whoever takes a step that leaves nothing in our rows."""
        self._reach([step], edge)

    def _before_commit(self, connection):
        self.pending = [step for step in _steps_in(connection) if step not in self.done]
        self._reach(self.pending, "before", connection)

    def _after_commit(self, _session):
        steps, self.pending = self.pending, []
        self.life.in_commit = True
        self._reach(steps, "after")
        self.life.in_commit = False

    def _begin(self, _connection):
        self.life.die_if_doomed()

    def _reach(self, steps, edge, connection=None):
        if edge == "after":
            self.done |= set(steps)
        if self.step in steps and edge == self.edge and not self.has_struck:
            self.has_struck = True
            self.life.strike(self.part, STEPS[self.step], connection)


def _steps_in(connection):
    """The steps that this transaction, about to be committed, has in its rows."""
    row = connection.exec_driver_sql(
        "SELECT state, attempts, admitted_attempt, charged_micro, stop_requested_at, ready_at, ended_at, forgotten_at "
        "FROM lab_session LIMIT 1"
    ).first()
    if row is None:
        return []
    state, attempts, admitted, charged, stop_requested_at, ready_at, ended_at, forgotten_at = row
    steps = {
        "launched": True,
        "claimed": attempts > 0,
        "admitted": admitted > 0,
        "running": ready_at is not None,
        "posted": charged > 0 and ended_at is None,
        "stop-asked": stop_requested_at is not None,
        "settled": state in ("settled", "voided"),
        "forgotten": forgotten_at is not None,
    }
    return [step for step, is_there in steps.items() if is_there]


class Life:
    """A session's whole life, played by a person, a worker, a web server and a hub that can die."""

    def __init__(self, app, campus, clock):
        self.app, self.campus, self.hub, self.clock = app, campus, campus.hub, clock
        self.hub.autostart = False
        self.away: dict[str, int] = {}  # part → rounds until it is back
        self.fault: Fault | None = None
        self.ran = 0.0  # seconds that servers were up
        self.told: set[tuple[str, str]] = set()
        self.is_doomed = self.in_commit = False
        for name, step in (("start", "told"), ("stop", "stop-told"), ("remove", None)):
            setattr(self.hub, name, self._around(getattr(type(self.hub), name).__get__(self.hub), step))

    def restore(self):
        for name in ("start", "stop", "remove"):
            self.hub.__dict__.pop(name, None)

    def strike(self, part, actor, connection):
        """The part dies now, while `actor` takes a step."""
        self.away[part] = 3
        if part in ("hub", "hub-database"):
            self._lose_the_hub(part, actor)
        elif part == "proxy":
            for key, server in list(self.hub.servers.items()):
                if server.pending == "spawn":
                    self.hub.make_failed(*key, "Spawn failed: no route could be added")
        elif part == "postgres":
            _end_connections(self.app)
        elif part == actor:
            self.is_doomed = self.in_commit  # the commit is through; it dies before it does anything else
            if not self.in_commit:
                raise Killed

    def _lose_the_hub(self, part, actor):
        self.hub.down = True
        for key in list(self.hub.servers):  # its labs die with it, and no hook of its says so
            self.hub.make_stopped(*key)
            self.told.add(key)
        if part == "hub-database":
            self.hub.servers.clear()
        if actor == "hub":
            raise HubUnreachable("call", "the connection was lost")

    def die_if_doomed(self):
        if self.is_doomed:
            self.is_doomed = False
            raise Killed

    def _around(self, call, step):
        def wrapped(*args, **kwargs):
            self.die_if_doomed()
            if step and self.fault:
                self.fault.at(step, "before")
            call(*args, **kwargs)
            if step and self.fault:
                self.fault.at(step, "after")

        return wrapped

    # What people, the hub and the worker do

    def launch(self):
        self._try("web", lambda: self.campus.launch(10))

    def ask_to_stop(self):
        def ask():
            with transaction():
                for session in db.session.query(LabSession).where(LabSession.state.not_in(ENDED)):
                    sessions.stop(as_actor(self.campus.student), session.id)

        self._try("web", ask)

    def rounds(self, times):
        for _ in range(times):
            if self.away.get("worker", 0) == 0:
                for name in ROUND:
                    self._try("worker", lambda name=name: run_job(self.app, self.app.extensions["jobs"][name]))
                    self._let_the_hub_work()
            for part in list(self.away):
                self.away[part] = max(0, self.away[part] - 1)
            if not (self.away.get("hub") or self.away.get("hub-database")):
                self.hub.down = False
            self.wait(TICK)

    def wait(self, span):
        if any(server.ready for server in self.hub.servers.values()):
            self.ran += span.total_seconds()
        self.clock.shift(span)

    def _let_the_hub_work(self):
        """Come for orders, bring servers up, tell what has ended."""
        for key, server in list(self.hub.servers.items()):
            if server.pending == "spawn" and not self.hub.down:
                self._try("hub", lambda key=key: self._spawn(key))
            if server.stopped and key not in self.told and not self.hub.down:
                self.told.add(key)
                self._step("gone")
                self._ask_web(lambda key=key: orders.ended("embedded", *key))

    def _spawn(self, key):
        answer = self._ask_web(lambda: orders.redeem("embedded", *key))
        if not isinstance(answer, orders.Order):
            self.hub.make_failed(*key)
            return
        self.told.discard(key)
        self._step("starting")
        if key in self.hub.servers and self.hub.servers[key].pending == "spawn":
            self.hub.make_ready(*key)

    def _step(self, step):
        try:
            for edge in ("before", "after"):
                if self.fault:
                    self.fault.at(step, edge)
        except HubUnreachable:
            pass

    def _ask_web(self, work):
        if self.away.get("web", 0):
            return None
        answer = []

        def ask():
            with transaction():
                answer.append(work())

        self._try("web", ask)
        return answer[0] if answer else None

    def _try(self, part, work):
        """What a process does; when it dies, or the database does, somebody starts it again."""
        if self.away.get(part, 0):
            return
        try:
            work()
        except (Killed, sa.exc.DBAPIError):
            pass
        finally:
            self.is_doomed = False
            db.session.rollback()


def _end_connections(app):
    """As when PostgreSQL was killed: every connection of ours is gone, with what was not committed."""
    url = app.extensions["settings"].database_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


CELLS = [(step, edge, part) for step in STEPS for edge in ("before", "after") for part in PARTS]


@pytest.mark.parametrize(("step", "edge", "part"), CELLS)
def test_whatever_dies_wherever_it_dies(app, committed, hub, clock, step, edge, part):
    life = Life(app, build(app, committed, hub), clock)
    life.fault = Fault(life, part, step, edge)
    try:
        life.launch()
        life.launch()  # a person clicks again where nothing came of it
        life.rounds(3)
        life.launch()
        life.rounds(3)
        life.wait(timedelta(minutes=2))
        life.rounds(1)
        life.ask_to_stop()
        life.rounds(4)
        life.ask_to_stop()  # where nothing came of it
        life.rounds(2)
        life.wait(timedelta(minutes=12))
        life.rounds(5)
    finally:
        life.fault.remove()
        life.restore()

    assert life.fault.has_struck
    db.session.expire_all()
    found = db.session.query(LabSession).all()
    assert found
    assert all(session.state in ENDED for session in found)
    assert not [server for server in hub.servers.values() if server.ready]
    charged = sum(session.seconds_used for session in found)
    assert charged <= life.ran, "nothing is charged that did not run"
    assert life.ran - charged <= UNPAID_AT_MOST, "nothing runs unpaid"
    assert ledger.audit() == []
    assert life.campus.purse()[1:] == (0, sum(session.charged_micro for session in found))
    assert drift().items == []
    assert time.now() > found[0].created_at
