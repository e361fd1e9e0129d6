"""What holds for the ledger whatever is done to it, in any order: Hypothesis does it, a plain model counts along."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import clock as time
from app.db import db
from labs import ledger, ledger_audit
from labs.errors import (
    BudgetExhausted,
    BudgetOverrun,
    HoldClosed,
    IdempotencyConflict,
    MemberCapExhausted,
    TransferTooLarge,
)
from labs.models import HOUR, HoldState, MemberCap, Purse

REFUSALS = (BudgetExhausted, BudgetOverrun, HoldClosed, IdempotencyConflict, MemberCapExhausted, TransferTooLarge)

seconds = st.integers(1, 4 * HOUR)
PRICES = (0, 1, 7, 3_600, 1_000_000, 2_500_001)
prices = st.sampled_from(PRICES)
which = st.integers(0, 5)
steps = st.one_of(
    st.tuples(st.just("reserve"), prices, seconds, st.integers(0, 9)),  # the last one names the key: keys repeat
    st.tuples(st.just("post"), which, seconds),
    st.tuples(st.just("settle"), which, seconds),
    st.tuples(st.just("void"), which),
    st.tuples(st.just("grant"), st.integers(1, 3_000_000), st.integers(1, 20)),
    st.tuples(st.just("transfer"), st.integers(1, 3_000_000)),
    st.tuples(st.just("expire")),
    st.tuples(st.just("wait"), st.integers(1, 5)),
)


@dataclass
class World:
    """Two budgets, one below the other, somebody with a cap, and the holds made so far."""

    parent: object
    budget: object
    person: object
    flavors: dict
    clock: object
    holds: list = field(default_factory=list)
    count: int = 0
    calls: list = field(default_factory=list)

    def call(self, command, *arguments, **named):
        done = command(*arguments, **named)
        self.calls.append((command, arguments, named))
        return done

    def do(self, step):
        name, *arguments = step
        getattr(self, name)(*arguments)

    def reserve(self, price, length, key):
        hold = self.call(ledger.reserve, self.budget.id, self.person.id, self.flavors[price], length, key=f"key-{key}")
        if hold.id not in [known.id for known in self.holds]:
            self.holds.append(hold)

    def post(self, number, length):
        if self.holds:
            self.call(ledger.post, self.holds[number % len(self.holds)].id, length)

    def settle(self, number, length):
        if self.holds:
            self.call(ledger.settle, self.holds[number % len(self.holds)].id, length)

    def void(self, number):
        if self.holds:
            self.call(ledger.void, self.holds[number % len(self.holds)].id)

    def grant(self, amount, days):
        self.count += 1
        now = time.now()
        until = now + timedelta(days=days)
        self.call(ledger.grant, self.parent.id, amount, now, until, key=f"grant-{self.count}")

    def transfer(self, amount):
        self.count += 1
        self.call(ledger.transfer, self.parent.id, self.budget.id, amount, key=f"transfer-{self.count}")

    def expire(self):
        ledger.expire()

    def wait(self, days):
        self.clock.shift(timedelta(days=days))


@pytest.fixture
def world(make, clock):
    center, person = make.center(), make.person()
    parent = make.budget(3)
    budget = make.budget(2, parent=parent)
    make.cap(budget, person, credits=2)
    flavors = {price: make.flavor(center, price_micro=price) for price in (*PRICES, 99_983)}
    return World(parent, budget, person, flavors, clock)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(steps, max_size=14))
def test_whatever_is_done_the_books_are_right(world, plan):
    start = time.now()
    outer = db.session.begin_nested()
    world.holds, world.count = [], 0
    posted = {}
    for step in plan:
        savepoint = db.session.begin_nested()
        try:
            world.do(step)
            savepoint.commit()
        except REFUSALS:
            savepoint.rollback()  # as the edge does: what was refused leaves nothing behind
        for hold in world.holds:
            assert hold.posted_seconds >= posted.get(hold.id, 0), "usage never goes back"
            posted[hold.id] = hold.posted_seconds
    _check(world)
    outer.rollback()
    world.clock.move_to(start)


def _check(world):
    assert ledger_audit.audit() == []
    purse = db.session.get_one(Purse, world.budget.id, populate_existing=True)
    cap = db.session.get_one(MemberCap, (world.budget.id, world.person.id), populate_existing=True)
    still_held = used = overrun = 0
    for hold in world.holds:
        cost = hold.price_micro * hold.posted_seconds // HOUR
        assert hold.posted_micro == cost, "the price is pinned"
        assert hold.state is not HoldState.VOIDED or cost == 0, "what was voided never ran"
        used += cost
        overrun += max(0, cost - hold.amount)
        still_held += max(0, hold.amount - cost) if hold.state is HoldState.OPEN else 0
    assert (purse.held, purse.used, purse.overrun) == (still_held, used, overrun)
    assert (cap.held, cap.used) == (still_held, used)
    assert cap.held + cap.used - overrun <= cap.cap_micro, "nobody is promised more than the cap"
    assert purse.available >= 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(steps, max_size=10))
def test_what_was_done_can_be_said_again_and_changes_nothing(world, plan):
    """Replay of every command that was done, under its key."""
    outer = db.session.begin_nested()
    world.holds, world.count, world.calls = [], 0, []
    for step in plan:
        if step[0] in ("wait", "expire"):
            continue
        savepoint = db.session.begin_nested()
        try:
            world.do(step)
            savepoint.commit()
        except REFUSALS:
            savepoint.rollback()
    before = _balances(world)

    for command, arguments, named in list(world.calls):
        command(*arguments, **named)

    assert _balances(world) == before
    outer.rollback()


def _balances(world):
    purses = [db.session.get_one(Purse, b.id, populate_existing=True) for b in (world.parent, world.budget)]
    cap = db.session.get_one(MemberCap, (world.budget.id, world.person.id), populate_existing=True)
    return [(p.available, p.held, p.used, p.overrun) for p in purses], cap.held, cap.used


@pytest.mark.parametrize("length", [1, 59, 3600, 4 * HOUR])
def test_usage_of_the_whole_hold_never_exceeds_it(world, length):
    for price in (1, 7, 99_983):
        hold = ledger.reserve(world.budget.id, world.person.id, world.flavors[price], length, key=f"{price}-{length}")

        ledger.settle(hold.id, length)

        assert hold.posted_micro <= hold.amount < hold.posted_micro + 2
