"""The line against a plain model, whatever is done to it in whatever order: Hypothesis does it.

In the model everybody draws a number at the door, and a new one where they are sent to the end; the lowest number is
next. It knows no locks, no counters, and of time only when an offer is over.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app import clock as time
from app.db import db
from labs import ledger, queries
from labs.errors import OfferOver
from labs.jobs.waiting import offer_places
from labs.models import CenterLoad, CenterState, LabSession
from labs.services import line, sessions
from tests.make import as_actor

OFFER_FOR = timedelta(minutes=3)
OFFERS = 2
picks = st.integers(0, 30)


@dataclass
class Model:
    limit: int = 2
    is_up: bool = True
    number: int = 0
    waiting: dict = field(default_factory=dict)  # name → its number
    offered: dict = field(default_factory=dict)  # name → (until when the place is kept, its number)
    placed: set = field(default_factory=set)
    gone: set = field(default_factory=set)
    offers: dict = field(default_factory=dict)

    @property
    def order(self):
        return sorted(self.waiting, key=self.waiting.__getitem__)

    @property
    def has_room(self):
        return len(self.offered) + len(self.placed) < self.limit

    def arrive(self, name):
        self.offers[name] = 0
        if self.has_room and not self.waiting:
            self.placed.add(name)
        else:
            self._to_the_end(name)

    def leave(self, name):
        for where in (self.waiting, self.offered):
            where.pop(name, None)
        self.placed.discard(name)
        self.gone.add(name)

    def take(self, name):
        del self.offered[name]
        self.placed.add(name)

    def round(self, now):
        """What the worker does: first those who have missed their offer, the oldest first; then the free places."""
        missed = {name: until for name, (until, _) in self.offered.items() if until <= now}
        for name in sorted(missed, key=missed.__getitem__):
            self._miss(name)
        while self.is_up and self.waiting and self.has_room:
            name = self.order[0]
            self.offered[name] = (now + OFFER_FOR, self.waiting.pop(name))
            self.offers[name] += 1

    def _miss(self, name):
        _, number = self.offered.pop(name)
        if not self.is_up:  # nobody could have taken it
            self.waiting[name], self.offers[name] = number, self.offers[name] - 1
        elif self.offers[name] >= OFFERS:
            self.gone.add(name)
        else:
            self._to_the_end(name)

    def _to_the_end(self, name):
        self.number += 1
        self.waiting[name] = self.number


class Line(RuleBasedStateMachine):
    """A center with a few places, and people who come, wait, take what is kept for them, let it go by, and leave."""

    def __init__(self, campus: Any, clock: Any) -> None:
        super().__init__()
        self.campus, self.clock, self.start = campus, clock, time.now()
        db.session.commit()
        self.outer = db.engine.begin_nested()  # type: ignore[attr-defined]  # the test's own connection
        self.people: dict[str, Any] = {}  # name → the id of its session
        self.model = Model()
        self.campus.center.session_limit = self.model.limit
        db.session.flush()

    def teardown(self) -> None:
        try:
            assert ledger.audit() == []
        finally:
            db.session.rollback()
            self.outer.rollback()
            db.session.expire_all()
            self.clock.move_to(self.start)

    def _pick(self, names, number):
        return sorted(names)[number % len(names)]

    def _session(self, name):
        return db.session.get_one(LabSession, self.people[name])

    @initialize(limit=st.integers(1, 2), number=st.integers(3, 5))
    def a_crowd_is_there(self, limit, number):
        """So that there is a line from the start."""
        self.the_center_grows_or_shrinks(limit)
        for _ in range(number):
            self.somebody_comes()

    @precondition(lambda self: self.model.is_up)
    @rule()
    def somebody_comes(self):
        name = f"{len(self.people):03}"
        person = self.campus.make.person()
        self.campus.make.cap(self.campus.budget, person)
        self.clock.shift(timedelta(seconds=1))
        self.people[name] = sessions.request(
            as_actor(person),
            template_id=self.campus.template.id,
            flavor_id=self.campus.flavor.id,
            minutes=1,
            budget_id=self.campus.budget.id,
        ).id
        self.model.arrive(name)

    @precondition(lambda self: self.model.waiting or self.model.offered or self.model.placed)
    @rule(pick=picks)
    def somebody_leaves(self, pick):
        """The line, an offer, or a place, which becomes free."""
        name = self._pick({*self.model.waiting, *self.model.offered, *self.model.placed}, pick)
        session = self._session(name)
        sessions.stop(as_actor(session.person), session.id)
        self.model.leave(name)

    @rule()
    def the_worker_comes_round(self):
        offer_places()
        self.model.round(time.now())

    @precondition(lambda self: self.model.placed)
    @rule(pick=picks)
    def a_lab_ends_and_the_worker_comes_round(self, pick):
        name = self._pick(self.model.placed, pick)
        session = self._session(name)
        sessions.stop(as_actor(session.person), session.id)
        self.model.leave(name)
        self.the_worker_comes_round()

    @precondition(lambda self: self.model.waiting or self.model.offered or self.model.placed)
    @rule(pick=picks)
    def somebody_takes_a_place(self, pick):
        """Who was offered one has it; who was not, or too late, is refused; and twice is once."""
        name = self._pick({*self.model.waiting, *self.model.offered, *self.model.placed}, pick)
        session = self._session(name)
        actor = as_actor(session.person)
        if name in self.model.placed:
            line.accept(actor, session.id)
        elif name in self.model.offered and self.model.offered[name][0] > time.now() and self.model.is_up:
            line.accept(actor, session.id)
            self.model.take(name)
        elif self.model.is_up:
            with pytest.raises(OfferOver):
                line.accept(actor, session.id)

    @precondition(lambda self: self.model.offered)
    @rule(drains=st.booleans())
    def nobody_comes_in_time(self, drains):
        """The place goes to the next; where the center took no labs meanwhile, nobody has missed anything."""
        if drains and self.model.is_up:
            self.the_center_takes_labs_or_does_not()
        self.clock.shift(OFFER_FOR)
        self.the_worker_comes_round()
        self.everybody_is_where_the_model_says()
        if not self.model.is_up:
            self.the_center_takes_labs_or_does_not()
            self.the_worker_comes_round()

    @rule(seconds=st.sampled_from([1, 179, 180, 400]))
    def time_goes_by(self, seconds):
        self.clock.shift(timedelta(seconds=seconds))

    @rule(limit=st.integers(1, 4))
    def the_center_grows_or_shrinks(self, limit):
        self.campus.center.session_limit = self.model.limit = limit
        db.session.flush()

    @rule()
    def the_center_takes_labs_or_does_not(self):
        self.model.is_up = not self.model.is_up
        self.campus.center.state = CenterState.UP if self.model.is_up else CenterState.DRAINING
        db.session.flush()

    @precondition(lambda self: not self.model.is_up)
    @rule()
    def the_center_takes_labs_again(self):
        self.the_center_takes_labs_or_does_not()

    @invariant()
    def everybody_is_where_the_model_says(self):
        db.session.expire_all()
        found: dict[str, set[str]] = {}
        for name in self.people:
            found.setdefault(str(self._session(name).state), set()).add(name)
        model = self.model
        assert found.get("waiting", set()) == set(model.waiting)
        assert found.get("offered", set()) == set(model.offered)
        assert found.get("reserved", set()) == model.placed
        assert found.get("voided", set()) == model.gone
        places = {line.place(self._session(name)): name for name in model.waiting}
        assert [places[n + 1] for n in range(len(places))] == model.order
        assert {name: self._session(name).offers for name in self.people} == model.offers

    @invariant()
    def the_counters_are_right(self):
        assert queries.miscounted_loads() == {}
        load = db.session.get(CenterLoad, self.campus.center.id)
        if load is not None:
            taken = len(self.model.offered) + len(self.model.placed)
            assert (load.taken, load.waiting) == (taken, len(self.model.waiting))


def test_the_line_is_that_of_a_plain_model(campus, clock):
    run_state_machine_as_test(
        lambda: Line(campus, clock),
        settings=settings(
            max_examples=20,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a shorter story is not worth minutes
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        ),
    )
