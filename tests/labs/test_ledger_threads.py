"""The ledger under many threads at once, with real commits: Hypothesis chooses what meets what."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app import clock as time
from app.db import db, transaction
from app.errors import Conflict
from labs import ledger
from labs.errors import BudgetExhausted, MemberCapExhausted
from labs.models import Command, Hold, HoldState, LedgerPeriod, LedgerTransaction, MemberCap, Purse
from tests.labs.test_races import at_once

C = 1_000_000
PEOPLE = 6
ENDS = (Command.SETTLE, Command.VOID, Command.EXPIRE)
lengths = st.integers(60, 3600)


@dataclass
class World:
    app: object
    above: object
    below: object
    beside: object
    people: list
    flavor: object


class Rush(RuleBasedStateMachine):
    """A partner's budget, two below it, six people with caps; every rule is a crowd."""

    def __init__(self, world):
        super().__init__()
        self.world = world
        self.count = 0

    @initialize()
    def empty(self):
        """What the example before left behind is settled, expired and out of the way."""
        with transaction():
            ledger.settle_many([(hold_id, 0) for hold_id in self._open()])
            self.posted = dict(db.session.execute(sa.select(Hold.id, Hold.posted_seconds)).all())

    def key(self):
        self.count += 1
        return f"{id(self)}-{self.count}"

    def crowd(self, *works):
        """Do all at once, each in a transaction of its own; nothing but refusals may come of it."""
        answers = at_once(self.world.app, lambda number: works[number](), len(works), threads=8)
        db.session.rollback()
        broken = [answer for answer in answers if isinstance(answer, Exception) and not isinstance(answer, Conflict)]
        assert broken == []
        return answers

    @rule(number=st.integers(2, 10), seconds=lengths, credits=st.integers(0, 4 * C))
    def exactly_those_are_promised_that_fit(self, number, seconds, credits):
        with transaction():
            if credits:
                now = time.now()
                ledger.grant(self.world.below, credits, now, now + timedelta(days=9), key=self.key())
        free = db.session.get_one(Purse, self.world.below, populate_existing=True)
        is_open, available, amount = not free.overrun, free.available, ledger.price(C, seconds)
        cap = self._caps()
        room = [(limit - held - used) // amount for limit, held, used in cap]
        asked = Counter(n % PEOPLE for n in range(number))
        possible = sum(min(asked[n], max(0, room[n])) for n in range(PEOPLE))
        db.session.rollback()

        answers = self.crowd(*(self._reserve(n % PEOPLE, seconds, self.key()) for n in range(number)))

        promised = [answer for answer in answers if not isinstance(answer, Conflict)]
        assert len(promised) == (min(possible, available // amount) if is_open else 0)

    @rule(number=st.integers(2, 8), seconds=lengths)
    def one_key_is_one_hold(self, number, seconds):
        key = self.key()

        answers = self.crowd(*(self._reserve(0, seconds, key) for _ in range(number)))

        kinds = {str(answer) if isinstance(answer, Conflict) else answer for answer in answers}
        assert len({answer for answer in answers if not isinstance(answer, Conflict)}) <= 1, kinds

    @rule(number=st.integers(2, 6), seconds=lengths)
    def one_key_for_different_things_is_one_of_them(self, number, seconds):
        key = self.key()
        budgets = (self.world.below, self.world.beside)
        longest = ledger.price(C, seconds + number)
        purses = [db.session.get_one(Purse, budget_id, populate_existing=True) for budget_id in budgets]
        limit, held, used = self._caps()[0]
        plenty = limit - held - used >= longest and all(
            not purse.overrun and purse.available >= longest for purse in purses
        )
        db.session.rollback()

        answers = self.crowd(*(self._reserve(0, seconds + n, key, budgets[n % 2]) for n in range(number)))

        promised = [answer for answer in answers if not isinstance(answer, Conflict)]
        assert len(promised) <= 1
        if plenty:  # without it, those on a budget that is empty are refused for that before their key is known
            others = Counter(answer.code for answer in answers if isinstance(answer, Conflict))
            assert (len(promised), others) == (1, {"idempotency-conflict": number - 1})

    @rule(data=st.data())
    def everything_at_once(self, data):
        holds = self._open()
        db.session.rollback()
        kinds = data.draw(st.lists(st.sampled_from("rpsvetbgx"), min_size=4, max_size=12))
        choices = [(data.draw(st.integers(0, 99)), data.draw(lengths), data.draw(st.integers(1, 2 * C))) for _ in kinds]

        self.crowd(
            *(
                self._work(kind, holds[number % len(holds)] if holds else None, number, seconds, amount)
                for kind, (number, seconds, amount) in zip(kinds, choices, strict=True)
            )
        )

    def _work(self, kind, hold_id, number, seconds, amount):
        above, below, key = self.world.above, self.world.below, self.key()
        if kind in "psve" and hold_id is None:
            return lambda: None
        return {
            "r": self._reserve(number % PEOPLE, seconds, key),
            "p": lambda: ledger.post(hold_id, seconds).id,
            "s": lambda: ledger.settle(hold_id, seconds).id,
            "v": lambda: ledger.void(hold_id).id,
            "e": lambda: ledger.extend(hold_id, 600, key).id,
            "t": lambda: ledger.transfer(above, below, amount, key=key),
            "b": lambda: ledger.pull_back(below, above, amount, key=key),
            "g": lambda: len(ledger.settle_many([(one, 30) for one in self._open()[:3]])),
            "x": lambda: ledger.expire() + ledger.expire_holds(),
        }[kind]

    @invariant()
    def the_books_are_right(self):
        assert ledger.audit() == []
        for hold in db.session.scalars(sa.select(Hold).execution_options(populate_existing=True)):
            assert hold.posted_seconds >= self.posted.get(hold.id, 0), "usage never goes back"
            self.posted[hold.id] = hold.posted_seconds
        ends = dict(
            db.session.execute(
                sa.select(LedgerTransaction.hold_id, sa.func.count())
                .where(LedgerTransaction.command.in_(ENDS), LedgerTransaction.hold_id.is_not(None))
                .group_by(LedgerTransaction.hold_id)
            ).all()
        )
        closed = set(db.session.scalars(sa.select(Hold.id).where(Hold.state != HoldState.OPEN)))
        assert ends == dict.fromkeys(closed, 1)
        for limit, held, _used in self._caps():
            assert held <= limit
        db.session.rollback()

    def _reserve(self, person, seconds, key, budget_id=None):
        world = self.world
        ask = ledger.Ask(budget_id or world.below, world.people[person], world.flavor, seconds, key)

        def work():
            (answer,) = ledger.reserve_many([ask])
            if isinstance(answer, Conflict):
                raise answer
            return answer.id

        return work

    def _open(self):
        return list(db.session.scalars(sa.select(Hold.id).where(Hold.state == HoldState.OPEN).order_by(Hold.id)))

    def _caps(self):
        rows = db.session.execute(
            sa.select(MemberCap.cap_micro, MemberCap.held, MemberCap.used)
            .where(MemberCap.budget_id == self.world.below)
            .order_by(MemberCap.person_id)
        )
        return [tuple(row) for row in rows]


@pytest.fixture
def world(app, committed, clock):
    above = committed.budget(30)
    below, beside = committed.budget(3, parent=above), committed.budget(3, parent=above)
    people = sorted((committed.person() for _ in range(PEOPLE)), key=lambda person: person.id)
    for person in people:
        committed.cap(below, person, credits=40)
        committed.cap(beside, person, credits=40)
    flavor = committed.flavor(committed.center())
    return World(app, above.id, below.id, beside.id, [person.id for person in people], flavor.id)


def test_whatever_meets_whatever_the_books_are_right(world):
    run_state_machine_as_test(
        lambda: Rush(world),
        settings=settings(
            max_examples=8,
            stateful_step_count=8,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        ),
    )


@pytest.mark.parametrize("size", [1, 4])
def test_batches_that_meet_promise_exactly_what_there_is(app, world, size):
    """Of many asks of one credit on a budget of three, three are promised, however they are bundled."""

    def ask(number):
        asks = [
            ledger.Ask(world.below, world.people[n % PEOPLE], world.flavor, 3600, f"{number}-{n}") for n in range(size)
        ]
        return [isinstance(answer, Hold) for answer in ledger.reserve_many(asks)]

    answers = at_once(app, ask, 24 // size)

    assert sum(sum(answer) for answer in answers) == 3
    assert ledger.audit() == []


def test_who_books_while_a_period_is_being_closed_waits_and_is_dated_after_it(app, world):
    """Whoever would look for the end before it is there would be refused by the database, or be dated inside."""
    start, end = time.now() - timedelta(days=1), time.now() + timedelta(minutes=1)

    def book():
        with app.app_context(), transaction():
            ledger.reserve_many([ledger.Ask(world.below, world.people[0], world.flavor, 60, "meanwhile")])

    with ThreadPoolExecutor(1) as pool:
        with transaction():
            ledger.lock_books()
            db.session.add(LedgerPeriod(starts_at=start, ends_at=end))
            db.session.flush()
            booking = pool.submit(book)
            with pytest.raises(TimeoutError):
                booking.result(timeout=0.4)
        booking.result(timeout=5)

    dated = sa.select(LedgerTransaction.created_at).where(LedgerTransaction.key == "meanwhile")
    assert db.session.scalar(dated) == end
    db.session.execute(sa.text("TRUNCATE ledger_period CASCADE"))
    db.session.commit()


def test_a_period_is_closed_after_those_who_book_and_before_those_who_come(app, world):
    """Who closes waits for a command under way; the next command, whose clock is behind, is dated after the end."""
    start, end = time.now() - timedelta(days=1), time.now() + timedelta(minutes=1)

    def close():
        with app.app_context(), transaction():
            ledger.lock_books()
            db.session.add(LedgerPeriod(starts_at=start, ends_at=end))

    with ThreadPoolExecutor(1) as pool:
        with transaction():
            ledger.grant(world.above, C, time.now(), time.now() + timedelta(days=9), key="under way")
            closing = pool.submit(close)
            with pytest.raises(TimeoutError):
                closing.result(timeout=0.4)
        closing.result(timeout=5)
    with transaction():
        ledger.grant(world.above, C, time.now(), time.now() + timedelta(days=9), key="late")

    dated = dict(db.session.execute(sa.select(LedgerTransaction.key, LedgerTransaction.created_at)).all())
    assert dated["under way"] == time.now()
    assert dated["late"] == end
    assert ledger.audit() == []
    db.session.execute(sa.text("TRUNCATE ledger_period CASCADE"))
    db.session.commit()


def meanwhile(app, first, second):
    """What the second command gives or raises that comes while the transaction of the first is still open."""

    def work():
        with app.app_context():
            try:
                with transaction():
                    return second()
            except Exception as error:
                return error

    with ThreadPoolExecutor(1) as pool:
        with transaction():
            first()
            answer = pool.submit(work)
            wait([answer], timeout=0.4)
        return answer.result(timeout=5)


def ask(world, person, credits, key):
    return ledger.reserve_many([ledger.Ask(world.below, world.people[person], world.flavor, 3600 * credits, key)])[0]


def held(world):
    with transaction():
        return ask(world, 0, 1, "held").id


def test_who_reserves_waits_for_the_purse_and_decides_on_what_is_left(app, world):
    answer = meanwhile(app, lambda: ask(world, 0, 3, "first"), lambda: ask(world, 1, 1, "second"))

    assert isinstance(answer, BudgetExhausted)


def test_who_reserves_waits_for_the_cap_and_decides_on_what_is_left(app, world):
    with transaction():
        db.session.get_one(MemberCap, (world.below, world.people[0])).cap_micro = 2 * C

    answer = meanwhile(app, lambda: ask(world, 0, 2, "first"), lambda: ask(world, 0, 1, "second"))

    assert isinstance(answer, MemberCapExhausted)


def test_who_posts_waits_for_the_hold_and_leaves_it_when_it_is_closed(app, world):
    hold_id = held(world)

    posted = meanwhile(app, lambda: ledger.settle(hold_id, 600), lambda: ledger.post(hold_id, 1800).posted_seconds)

    assert posted == 600
    assert ledger.audit() == []


def test_a_hold_that_somebody_is_at_does_not_expire(app, world, clock):
    hold_id = held(world)
    clock.shift(timedelta(hours=5))

    expired = meanwhile(app, lambda: ledger.settle(hold_id, 60), ledger.expire_holds)

    assert expired == 0
    assert ledger.audit() == []


def test_who_has_read_a_hold_before_looks_again_under_the_lock(app, world):
    hold_id = held(world)

    with transaction():
        before = db.session.get_one(Hold, hold_id)
        assert before.state is HoldState.OPEN
        at_once(app, lambda _number: ledger.settle(hold_id, 600).id, 1)
        posted = ledger.post(hold_id, 1800).posted_seconds

    assert posted == 600
    assert ledger.audit() == []
