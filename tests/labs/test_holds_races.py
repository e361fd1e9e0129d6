"""Many programs draw on one budget at once: real threads, real commits; a batch does what one by one does."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.access import SYSTEM
from app.audit import AuditEntry
from app.db import db, transaction
from labs import ledger
from labs.errors import BudgetExhausted, IdempotencyConflict
from labs.grouping import Group, _Ticket
from labs.models import Hold, HoldState, LedgerTransaction, MemberCap, Purse
from labs.queries import HoldFacts
from labs.services import holds
from labs.services.holds import Reserved
from tests.labs.conftest import build

C = 1_000_000


@pytest.fixture
def campus(app, committed, hub):
    campus = build(app, committed, hub, credits=10)
    campus.partner_id = campus.budget.partner_id
    campus.flavor_id, campus.student_id = campus.flavor.id, campus.student.id
    db.session.commit()
    return campus


def reserve(campus, key, **changes):
    asked = {
        "budget_id": campus.budget_id,
        "person_id": campus.student_id,
        "flavor_id": campus.flavor_id,
        "seconds": 3600,
        "purpose": "race",
        "expires_in": None,
        "address": None,
    }
    return holds.reserve(SYSTEM, **asked | changes, key=key)


def at_once(app, work, items, threads=16):
    """What each gave or raised."""

    def one(item):
        with app.app_context():
            try:
                return work(item)
            except Exception as error:
                return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, items))


def test_of_many_at_once_exactly_those_get_credits_for_whom_there_are_some(app, campus):
    answers = at_once(app, lambda n: reserve(campus, f"many-{n:04}"), range(40))

    got = [answer for answer in answers if isinstance(answer, Reserved)]
    assert {type(answer) for answer in answers} == {Reserved, BudgetExhausted}
    assert len({answer.hold.id for answer in got}) == len(got) == 10
    assert campus.purse() == (0, 10 * C, 0)
    assert ledger.audit() == []
    assert db.session.scalar(sa.select(sa.func.count()).where(AuditEntry.action == "hold.reserve")) == 10


def test_one_key_sent_many_times_at_once_is_one_hold(app, campus):
    answers = at_once(app, lambda n: reserve(campus, "the-same-key"), range(30))

    assert {type(answer) for answer in answers} == {Reserved}
    assert len({answer.hold.id for answer in answers}) == 1
    assert sum(not answer.is_replay for answer in answers) == 1
    assert campus.purse()[1] == C
    assert db.session.scalar(sa.select(sa.func.count()).where(AuditEntry.action == "hold.reserve")) == 1


def test_one_key_for_two_wishes_at_once_is_one_hold_and_conflicts(app, campus):
    answers = at_once(app, lambda n: reserve(campus, "the-same-key", seconds=60 * (1 + n % 2)), range(20))

    got = [answer for answer in answers if isinstance(answer, Reserved)]
    assert {type(answer) for answer in answers} == {Reserved, IdempotencyConflict}
    assert len({answer.hold.id for answer in got}) == 1
    assert ledger.audit() == []


def test_settling_at_once_is_settling_once(app, campus):
    hold = reserve(campus, "one-hold").hold

    answers = at_once(app, lambda n: holds.settle(SYSTEM, hold.id, 1800, started_at=None, address=None), range(20))

    assert {type(answer) for answer in answers} == {HoldFacts}
    assert {(answer.state, answer.posted_micro) for answer in answers} == {(HoldState.SETTLED, C // 2)}
    assert campus.purse() == (10 * C - C // 2, 0, C // 2)
    assert db.session.scalar(sa.select(sa.func.count()).where(AuditEntry.action == "hold.settle")) == 1
    assert ledger.audit() == []


def test_reserving_and_settling_together_loses_nothing(app, campus):
    def one(number):
        reserved = reserve(campus, f"both-{number:04}", seconds=360)
        return holds.settle(SYSTEM, reserved.hold.id, 180, started_at=None, address=None)

    answers = at_once(app, one, range(60))

    assert {type(answer) for answer in answers} == {HoldFacts}
    assert campus.purse() == (10 * C - 60 * C // 20, 0, 60 * C // 20)
    assert ledger.audit() == []


def _wishes(campus, numbers, seed):
    rolls = random.Random(seed)
    source = holds.Source(SYSTEM, None)
    return [
        holds._Wish(
            source,
            campus.partner_id,
            ledger.Ask(
                budget_id=campus.budget_id,
                person_id=campus.student_id,
                flavor_id=campus.flavor_id,
                seconds=60 * rolls.randint(1, 120),
                key=f"run-{rolls.randint(0, 25)}",  # some come twice, with the same or another length
                expires_at=clock.now() + timedelta(days=1),
                purpose="race",
            ),
        )
        for _number in numbers
    ]


def _said(answers):
    return [
        (answer.hold.amount, answer.is_replay) if isinstance(answer, Reserved) else type(answer).__name__
        for answer in answers
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_batch_gives_what_one_by_one_gives(app, campus, committed, seed):
    wishes = _wishes(campus, range(30), seed)
    with transaction():
        together = _said(holds._do_all(wishes))
        left = db.session.get_one(Purse, campus.budget_id).available
        db.session.rollback()

    alone = []
    for wish in wishes:
        with transaction():
            alone += _said(holds._do_all([wish]))
    db.session.expire_all()

    assert together == alone
    assert db.session.get_one(Purse, campus.budget_id).available == left
    assert len(set(map(str, alone))) > 3  # holds, replays, conflicts and refusals


def test_a_fault_in_a_batch_leaves_nothing_of_it_but_what_is_done_alone(app, campus):
    """One wish names a person that breaks the statement: the others get theirs all the same."""
    wishes = _wishes(campus, range(5), seed=1)
    poisoned = wishes[2]

    def work(batch):
        answers = holds._do_all(batch)
        if poisoned in batch:
            raise RuntimeError("after everything was written")
        return answers

    with app.app_context():
        answers = Group(work)._done([_Ticket(wish) for wish in wishes])

    assert isinstance(answers[2], RuntimeError)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Hold)) == len(
        {answer.hold.id for answer in answers if isinstance(answer, Reserved)}
    )
    keys = set(db.session.scalars(sa.select(LedgerTransaction.key)))
    assert ledger.audit() == []
    assert sum(isinstance(answer, Reserved) for answer in answers) >= 3
    assert keys


def test_who_repeats_after_a_commit_without_an_answer_gets_the_same_hold(app, campus):
    """The leader commits and dies before it can tell anybody."""

    def die(batch):
        with app.app_context(), transaction():
            holds._do_all(batch)
        raise KeyboardInterrupt

    lost = holds._GROUPS
    source = holds.Source(SYSTEM, None)
    assert lost is not None
    ask = ledger.Ask(
        budget_id=campus.budget_id,
        person_id=campus.student_id,
        flavor_id=campus.flavor_id,
        seconds=3600,
        key=source.key("no-answer"),
        expires_at=clock.now() + timedelta(days=1),
        purpose="race",
        terms="expires in None",
    )
    with app.app_context(), pytest.raises(KeyboardInterrupt):
        Group(die).submit(holds._Wish(source, campus.partner_id, ask))

    again = reserve(campus, "no-answer")

    assert again.is_replay
    assert campus.purse()[1] == C


def _end(campus, hold_id, seconds):
    return holds._End(holds.Source(SYSTEM, None), campus.partner_id, campus.budget_id, hold_id, seconds, clock.now())


def _wish(campus, key, seconds=3600, budget_id=None):
    ask = ledger.Ask(budget_id or campus.budget_id, campus.student_id, campus.flavor_id, seconds, key, purpose="race")
    return holds._Wish(holds.Source(SYSTEM, None), campus.partner_id, ask)


def _done(items):
    with transaction():
        return holds._do_all(items)


def _traces(action):
    return db.session.scalars(sa.select(AuditEntry.subject_id).where(AuditEntry.action == action)).all()


def test_what_a_settlement_returns_is_promised_in_the_same_batch(app, campus):
    full = reserve(campus, "most of it", seconds=8 * 3600).hold
    reserve(campus, "the rest", seconds=2 * 3600)

    answers = _done([_wish(campus, "before it"), _end(campus, full.id, 3600), _wish(campus, "too much", 7 * 3600)])

    assert _said([answers[0], answers[2]]) == [(C, False), "BudgetExhausted"]
    assert (answers[1].state, answers[1].posted_micro) == (HoldState.SETTLED, C)
    assert campus.purse() == (6 * C, 3 * C, C)
    assert _traces("hold.settle") == [full.id]
    assert ledger.audit() == []


def test_what_a_settlement_overruns_stops_the_promises_of_the_same_batch(app, campus):
    hold = reserve(campus, "one-hold").hold

    answers = _done([_end(campus, hold.id, 7200), _wish(campus, "next")])

    assert _said(answers[1:]) == ["BudgetOverrun"]
    assert ledger.audit() == []


def test_batches_of_several_processes_never_lock_each_other_out(app, campus, committed):
    """Each settles for some members and reserves for others, in orders that cross."""
    people = [campus.student_id, *(committed.person().id for _ in range(5))]
    for person_id in people[1:]:
        committed._save(MemberCap(budget_id=campus.budget_id, person_id=person_id))
    made = [reserve(campus, f"first-{n:04}", seconds=60, person_id=people[n % 6]).hold.id for n in range(24)]

    def batch(number):
        ends = [_end(campus, hold_id, 60) for hold_id in made[number::8]]
        wishes = [_wish(campus, f"then-{number}-{n}", 60) for n in range(4)]
        for wish, person_id in zip(wishes, people[number % 6 :] + people, strict=False):
            object.__setattr__(wish.ask, "person_id", person_id)
        return _done([*wishes, *ends])

    answers = at_once(app, batch, range(8), threads=8)

    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert {type(one) for answer in answers for one in answer} == {Reserved, HoldFacts}
    assert len(_traces("hold.reserve")) == 24 + 32
    assert sorted(_traces("hold.settle")) == sorted(made)
    assert ledger.audit() == []


def test_a_hold_that_was_not_made_after_all_leaves_no_trace(app, campus, committed):
    """The same key for another budget, whose purse is another lock: the second one finds out when it writes."""
    other = committed.budget(10, partner_id=campus.partner_id).id
    committed._save(MemberCap(budget_id=other, person_id=campus.student_id))

    with ThreadPoolExecutor(1) as pool:
        with transaction():
            (first,) = holds._do_all([_wish(campus, "the-same-key")])
            waits = pool.submit(lambda: at_once(app, _done, [[_wish(campus, "the-same-key", budget_id=other)]])[0])
            with pytest.raises(TimeoutError):
                waits.result(timeout=0.4)
        (second,) = waits.result(timeout=5)

    assert isinstance(second, IdempotencyConflict)
    assert _traces("hold.reserve") == [first.hold.id]
    assert ledger.audit() == []
