"""The worker killed inside `offer_places`, before anything that it writes; and several workers on one line at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from app.audit import AuditEntry
from app.db import db, transaction
from app.jobs import run_job
from labs import ledger, queries
from labs.models import LabSession, SessionState
from labs.services import sessions
from tests.labs.conftest import build
from tests.make import as_actor

LAST = 32  # writes and commits in the round, and a few more
WRITES = ("INSERT", "UPDATE", "DELETE")


class Killed(BaseException):
    """kill -9: no handler of ours sees it coming."""


class Fuse:
    """Blows before the n-th write or commit."""

    def __init__(self, after):
        self.left, self.blown = after, False
        event.listen(sa.Engine, "before_cursor_execute", self._statement)
        event.listen(sa.Engine, "commit", self._tick)

    def remove(self):
        event.remove(sa.Engine, "before_cursor_execute", self._statement)
        event.remove(sa.Engine, "commit", self._tick)

    def _statement(self, _connection, _cursor, statement, *_):
        if statement.lstrip().upper().startswith(WRITES):
            self._tick()

    def _tick(self, *_):
        self.left -= 1
        if self.left == 0:
            self.blown = True
            raise Killed


def line_up(app, committed, hub, clock, number, limit):
    """A full center with that many places and so many in line: one lab each for people who are named by number."""
    campus = build(app, committed, hub)
    campus.center.session_limit = limit
    db.session.commit()
    campus.ids = []
    for _ in range(limit + number):
        person = committed.person()
        committed.cap(campus.budget, person)
        campus.ids.append(campus.launch(1, who=person).id)
        clock.shift(timedelta(seconds=1))
    return campus


def leave(campus, *numbers):
    for number in numbers:
        session = campus.again(campus.ids[number])
        with transaction():
            sessions.stop(as_actor(session.person), session.id)


def shown(campus):
    """Each lab by its number: its state, how many offers it got, and where it stands."""
    rows = [campus.again(session_id) for session_id in campus.ids]
    return [(str(row.state), row.offers, queries.place_in_line(row)) for row in rows]


def offers_told():
    """To whom a place was offered, once for each time; in the order in which they came."""
    rows = db.session.query(AuditEntry).filter_by(action="session.offer")
    return sorted(row.subject_id for row in rows)


@pytest.fixture
def expected():
    """After the round: 2 has missed its second offer, 3 its first; 4 and 5 have the places; 6, 7 and then 3 wait."""
    return [
        ("voided", 0, None),
        ("voided", 0, None),
        ("voided", 2, None),
        ("waiting", 1, 3),
        ("offered", 1, None),
        ("offered", 1, None),
        ("waiting", 0, 1),
        ("waiting", 0, 2),
    ]


def before_the_round(app, committed, hub, clock):
    """Two places, kept for 2 (for the second time) and 3, who do not come; 4 to 7 wait."""
    campus = line_up(app, committed, hub, clock, number=6, limit=2)
    leave(campus, 0, 1)
    campus.run("offer_places")
    campus.again(campus.ids[2]).offers = 2
    db.session.commit()
    clock.shift(timedelta(minutes=3))
    return campus


@pytest.mark.parametrize("instant", range(1, LAST + 1))
def test_a_worker_killed_while_it_offers_places_loses_none_and_gives_none_twice(
    app, committed, hub, clock, expected, instant
):
    campus = before_the_round(app, committed, hub, clock)
    fuse = Fuse(instant)
    try:
        run_job(app, app.extensions["jobs"]["offer_places"])
    except Killed:
        db.session.rollback()
    finally:
        fuse.remove()

    campus.run("offer_places")  # the next worker

    assert shown(campus) == expected
    assert offers_told() == [campus.ids[n] for n in (2, 3, 4, 5)]
    assert queries.miscounted_loads() == {}
    assert ledger.audit() == []
    if instant == LAST:
        assert not fuse.blown, "the last instant must lie beyond the whole round"


def test_workers_on_one_line_at_once_offer_each_free_place_once(app, committed, hub, clock):
    campus = line_up(app, committed, hub, clock, number=12, limit=2)
    campus.again(campus.ids[0]).center.session_limit = 7
    db.session.commit()
    job = app.extensions["jobs"]["offer_places"]

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _n: run_job(app, job), range(8)))

    assert sum(done) == 5
    states = [state for state, _, _ in shown(campus)]
    assert states == ["reserved"] * 2 + ["offered"] * 5 + ["waiting"] * 7
    assert [offers for _, offers, _ in shown(campus)] == [0] * 2 + [1] * 5 + [0] * 7
    assert offers_told() == campus.ids[2:7]
    assert queries.miscounted_loads() == {}


def test_workers_at_once_take_a_missed_place_back_once(app, committed, hub, clock, expected):
    campus = before_the_round(app, committed, hub, clock)
    job = app.extensions["jobs"]["offer_places"]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _n: run_job(app, job), range(8)))

    found = shown(campus)
    assert sorted(state for state, _, _ in found) == sorted(state for state, _, _ in expected)
    assert found[2] == expected[2]
    assert found[3][:2] == ("waiting", 1)
    assert db.session.query(LabSession).filter_by(state=SessionState.OFFERED).count() == 2
    assert queries.miscounted_loads() == {}
