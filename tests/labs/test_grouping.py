"""Requests done together: every one gets its own answer, in order, whatever becomes of the others or of the leader."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from app.db import db
from app.errors import Conflict
from labs import grouping
from labs.grouping import Group, Groups, NobodyAnswered


class Refused(Conflict):
    code = "test-refused"
    title = "refused"


class Bench:
    """A group whose work can be held up, so that others gather behind it."""

    def __init__(self, app, work=None, **limits):
        self.app, self.batches = app, []
        self._work = work or (lambda items: [item * 10 for item in items])
        self.may_go = threading.Event()
        self.may_go.set()
        self.group = Group(self._noted, **limits)

    def _noted(self, items):
        self.batches.append(list(items))
        assert self.may_go.wait(10)
        return self._work(items)

    def submit(self, item):
        with self.app.app_context():
            try:
                return self.group.submit(item)
            except Exception as error:
                return error

    def gathered(self, *items):
        """What each gets when the first is at work while the others come, one after the other."""
        self.may_go.clear()
        with ThreadPoolExecutor(len(items)) as pool:
            futures = []
            for number, item in enumerate(items):
                futures.append(pool.submit(self.submit, item))
                until(lambda n=number: self.batches if n == 0 else len(self.group._waiting) == n)
            self.may_go.set()
            return [future.result(15) for future in futures]


def until(found, seconds=5):
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_who_comes_alone_is_done_at_once(app):
    bench = Bench(app)

    assert bench.submit(4) == 40
    assert bench.batches == [[4]]


def test_those_who_wait_are_done_together_in_their_order_and_each_gets_its_own(app):
    bench = Bench(app)

    answers = bench.gathered(1, 2, 3, 4, 5)

    assert answers == [10, 20, 30, 40, 50]
    assert bench.batches == [[1], [2, 3, 4, 5]]


def test_a_batch_has_bounds_and_the_lead_is_handed_on(app):
    bench = Bench(app, most=2)

    assert bench.gathered(1, 2, 3, 4, 5, 6) == [10, 20, 30, 40, 50, 60]
    assert bench.batches == [[1], [2, 3], [4, 5], [6]]


def test_who_is_refused_is_refused_alone(app):
    bench = Bench(app, lambda items: [Refused() if item == 3 else item for item in items])

    answers = bench.gathered(1, 2, 3, 4)

    assert isinstance(answers[2], Refused)
    assert [answers[n] for n in (0, 1, 3)] == [1, 2, 4]
    assert bench.batches == [[1], [2, 3, 4]]


def test_a_poisonous_item_hurts_only_itself(app):
    bench = Bench(app, lambda items: [1 // item for item in items])

    answers = bench.gathered(1, 1, 0, 1)

    assert isinstance(answers[2], ZeroDivisionError)
    assert [answers[n] for n in (0, 1, 3)] == [1, 1, 1]
    assert bench.batches == [[1], [1, 0, 1], [1], [0], [1]]


def test_a_fault_of_the_database_is_everybodys_and_is_not_tried_again_for_each(app):
    def away(items):
        raise sa.exc.OperationalError("", {}, Exception("gone"), connection_invalidated=True)

    bench = Bench(app, away)

    answers = bench.gathered(1, 2, 3)

    assert {type(answer) for answer in answers} == {sa.exc.OperationalError}
    assert bench.batches == [[1], [2, 3]]


def test_a_deadlock_is_the_fault_of_the_company(app):
    class Deadlock(Exception):
        sqlstate = "40P01"

    def stuck(items):
        if len(items) > 1:
            raise sa.exc.OperationalError("", {}, Deadlock())
        return items

    assert Bench(app, stuck).gathered(1, 2, 3) == [1, 2, 3]


def test_a_wrong_number_of_answers_is_a_fault_and_mixes_nothing_up(app):
    bench = Bench(app, lambda items: items[:1])

    assert bench.gathered(1, 2, 3) == [1, 2, 3]


def test_a_leader_that_dies_hands_on_the_lead_and_leaves_nobody_waiting(app):
    class Killed(BaseException):
        pass

    def die(items):
        if items == [1]:
            raise Killed
        return items

    bench = Bench(app, die)
    bench.may_go.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(bench.submit, 1)
        until(lambda: bench.batches)
        others = [pool.submit(bench.submit, n) for n in (2, 3)]
        until(lambda: len(bench.group._waiting) == 2)
        bench.may_go.set()
        with pytest.raises(Killed):
            first.result(10)
        assert [other.result(10) for other in others] == [2, 3]
    assert bench.submit(4) == 4


def test_a_follower_whose_leader_dies_learns_that_it_may_ask_again(app):
    class Killed(BaseException):
        pass

    def die(items):
        if 3 in items:
            raise Killed
        return items

    bench = Bench(app, die)
    bench.may_go.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(bench.submit, 1)
        until(lambda: bench.batches)
        second = pool.submit(bench.submit, 2)
        until(lambda: len(bench.group._waiting) == 1)
        third = pool.submit(bench.submit, 3)
        until(lambda: len(bench.group._waiting) == 2)
        bench.may_go.set()
        assert first.result(10) == 1
        with pytest.raises(Killed):  # it leads
            second.result(10)
        assert isinstance(third.result(10), NobodyAnswered)


def test_nobody_waits_for_ever_and_who_gave_up_is_not_done(app):
    bench = Bench(app, wait=0.05)
    bench.may_go.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(bench.submit, 1)
        until(lambda: bench.batches)

        late = pool.submit(bench.submit, 2).result(5)
        bench.may_go.set()

        assert first.result(5) == 10
    assert isinstance(late, NobodyAnswered)
    assert bench.batches == [[1]]


def test_each_batch_has_a_session_of_its_own_that_ends_with_it(app):
    sessions = []

    def work(items):
        sessions.append(db.session())
        return items

    group = Group(work)
    with app.app_context():
        mine = db.session()
        group.submit(1)
        group.submit(2)
        assert db.session() is mine

    assert len({id(session) for session in [mine, *sessions]}) == 3


def test_groups_do_not_wait_for_each_other_and_go_when_they_are_done(app):
    held, entered = threading.Event(), threading.Event()

    def work(items):
        if "slow" in items:
            entered.set()
            assert held.wait(10)
        return items

    groups = Groups(work)

    def submit(about, item):
        with app.app_context():
            return groups.submit(about, item)

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(submit, "a", "slow")
        assert entered.wait(5)
        assert submit("b", "quick") == "quick"
        held.set()
        assert slow.result(5) == "slow"
    assert groups._groups == {}


def test_many_threads_get_each_their_own(app):
    group = Group(lambda items: [item * 2 for item in items])

    def one(number):
        with app.app_context():
            return group.submit(number)

    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(one, range(500))) == [number * 2 for number in range(500)]
    assert not group._has_leader
    assert group._waiting == []


def test_a_batch_is_never_larger_than_its_bound():
    assert grouping.MOST <= 100


def test_who_comes_while_it_is_not_our_turn_yet_is_in_the_same_batch(app):
    ours = threading.Event()
    bench = Bench(app, turn=lambda: ours.wait(10))

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(bench.submit, number) for number in range(3)]
        until(lambda: len(bench.group._waiting) == 3)
        ours.set()
        answers = [future.result(15) for future in futures]

    assert answers == [0, 10, 20]
    assert [sorted(batch) for batch in bench.batches] == [[0, 1, 2]]


def test_a_turn_that_never_comes_is_told_to_those_who_wait_and_the_next_go_on(app):
    turns = iter([RuntimeError("the lock was not to be had"), None])

    def turn():
        if (fault := next(turns)) is not None:
            raise fault

    bench = Bench(app, turn=turn)

    assert isinstance(bench.submit(1), RuntimeError)
    assert bench.submit(2) == 20
