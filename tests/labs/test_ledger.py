"""The ledger: what is promised, used and given back, to the micro-credit."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from labs import ledger, ledger_audit
from labs.errors import (
    BudgetExhausted,
    BudgetOverrun,
    HoldClosed,
    IdempotencyConflict,
    MemberCapExhausted,
    NotEnrolled,
    TransferTooLarge,
)
from labs.models import Flavor, Hold, HoldPart, HoldState, LedgerEntry, MemberCap, Purse, Tranche
from tests.make import Make

C = 1_000_000  # micro-credits in a credit


@pytest.fixture(autouse=True)
def _honest(database):
    yield
    db.session.flush()
    assert ledger_audit.audit() == []


@pytest.fixture
def center(make):
    return make.center()


@pytest.fixture
def student(make):
    return make.person()


@pytest.fixture
def budget(make, student):
    budget = make.budget(10)
    make.cap(budget, student)
    return budget


def purse(budget):
    row = db.session.get_one(Purse, budget.id, populate_existing=True)
    return row.available, row.held, row.used


def reserve(budget, student, center, hours=1, price=C, key="k"):
    return ledger.reserve(budget.id, student.id, flavor_at(center, price), int(hours * 3600), key=key)


def flavor_at(center, price):
    """A flavor of that price; the same one for the same price, as a replay names the same."""
    known = sa.select(Flavor).where(Flavor.center_id == center.id, Flavor.price_micro == price)
    return db.session.scalar(known) or Make().flavor(center, price_micro=price)


def test_a_hold_takes_its_price_out_of_what_is_available(budget, student, center):
    hold = reserve(budget, student, center, hours=2)

    assert hold.amount == 2 * C
    assert purse(budget) == (8 * C, 2 * C, 0)


def test_the_rest_of_a_hold_returns_when_it_is_settled(budget, student, center):
    hold = reserve(budget, student, center, hours=2)

    ledger.settle(hold.id, 1800)

    assert purse(budget) == (9_500_000, 0, 500_000)
    assert hold.state is HoldState.SETTLED


def test_a_voided_hold_costs_nothing(budget, student, center):
    hold = reserve(budget, student, center)

    ledger.void(hold.id)

    assert purse(budget) == (10 * C, 0, 0)


def test_a_hold_rounds_up_and_usage_rounds_down(budget, student, center):
    hold = ledger.reserve(budget.id, student.id, flavor_at(center, 7), 1001, key="odd")  # 1.946… micro-credits

    ledger.settle(hold.id, 1001)

    assert hold.amount == 2
    assert purse(budget) == (10 * C - 1, 0, 1)


def test_usage_is_cumulative_and_never_goes_back(budget, student, center):
    hold = reserve(budget, student, center)

    for seconds in (600, 1200, 900, 1200):
        ledger.post(hold.id, seconds)

    assert hold.posted_seconds == 1200
    assert purse(budget) == (9 * C, C - C // 3, C // 3)


def test_settling_or_voiding_twice_changes_nothing(budget, student, center):
    hold = reserve(budget, student, center)
    ledger.settle(hold.id, 1800)
    before = purse(budget)

    ledger.settle(hold.id, 3600)
    ledger.post(hold.id, 3600)

    assert purse(budget) == before
    with pytest.raises(HoldClosed):
        ledger.void(hold.id)


def test_a_hold_with_usage_cannot_be_voided(budget, student, center):
    hold = reserve(budget, student, center)
    ledger.post(hold.id, 60)

    with pytest.raises(HoldClosed):
        ledger.void(hold.id)


def test_a_budget_is_never_promised_twice(budget, student, center):
    reserve(budget, student, center, hours=8, key="a")

    with pytest.raises(BudgetExhausted) as refusal:
        reserve(budget, student, center, hours=3, key="b")

    layer = refusal.value.members["layer"]
    assert (layer["limit"], layer["held"], layer["asked"], layer["left"]) == (10 * C, 8 * C, 3 * C, 2 * C)
    db.session.rollback()


def test_a_member_draws_no_more_than_the_cap(make, center):
    budget, student = make.budget(10), make.person()
    make.cap(budget, student, credits=1)
    reserve(budget, student, center, hours=0.5, key="a")

    with pytest.raises(MemberCapExhausted) as refusal:
        reserve(budget, student, center, hours=0.75, key="b")

    layer = refusal.value.members["layer"]
    assert (layer["name"], layer["limit"], layer["held"], layer["asked"]) == ("member-cap", C, C // 2, 750_000)
    assert refusal.value.members["reason"] == "MEMBER_CAP_EXHAUSTED"


def test_what_a_member_used_counts_against_the_cap_for_good(make, center):
    budget, student = make.budget(10), make.person()
    make.cap(budget, student, credits=1)
    ledger.settle(reserve(budget, student, center, key="a").id, 1800)

    reserve(budget, student, center, hours=0.5, key="b")
    with pytest.raises(MemberCapExhausted):
        reserve(budget, student, center, hours=0.01, key="c")


def test_strangers_draw_nothing(make, budget, center):
    with pytest.raises(NotEnrolled):
        reserve(budget, make.person(), center)


def test_the_same_key_gives_the_same_hold_again(budget, student, center):
    first = reserve(budget, student, center, key="same")

    second = reserve(budget, student, center, key="same")

    assert second.id == first.id
    assert purse(budget) == (9 * C, C, 0)


def test_the_same_key_for_something_else_is_a_conflict(budget, student, center):
    reserve(budget, student, center, key="same")

    with pytest.raises(IdempotencyConflict):
        reserve(budget, student, center, hours=2, key="same")


def test_a_grant_given_twice_under_one_key_counts_once(make, budget):
    now = clock.now()
    for _ in range(2):
        ledger.grant(budget.id, 5 * C, now, now + timedelta(days=1), key="once")

    assert purse(budget) == (15 * C, 0, 0)


def test_what_exceeds_the_hold_is_an_overrun_and_blocks_the_budget(budget, student, center):
    hold = reserve(budget, student, center)

    ledger.settle(hold.id, 2 * 3600)

    row = db.session.get_one(Purse, budget.id, populate_existing=True)
    assert (row.available, row.held, row.used, row.overrun) == (9 * C, 0, 2 * C, C)
    with pytest.raises(BudgetOverrun), db.session.begin_nested():
        reserve(budget, student, center, key="next")


def test_the_first_to_expire_is_spent_first(make, budget, student, center):
    now = clock.now()
    ledger.grant(budget.id, 3 * C, now, now + timedelta(days=7), key="short")

    hold = reserve(budget, student, center, hours=4)

    parts = db.session.scalars(sa.select(HoldPart).where(HoldPart.hold_id == hold.id).order_by(HoldPart.position)).all()
    assert [(part.amount, part.tranche.valid_until) for part in parts] == [
        (3 * C, now + timedelta(days=7)),
        (C, now + timedelta(days=365)),
    ]


def test_credits_whose_time_is_over_cannot_be_promised(make, student, center, clock):
    budget = make.budget(1)
    make.cap(budget, student)
    clock.shift(timedelta(days=366))

    with pytest.raises(BudgetExhausted) as refusal:
        reserve(budget, student, center)

    assert refusal.value.members["layer"]["left"] == 0
    db.session.rollback()


def test_expired_credits_leave_the_budget(make, budget, clock):
    clock.shift(timedelta(days=366))

    assert ledger.expire() == 1
    assert ledger.expire() == 0

    row = db.session.get_one(Purse, budget.id, populate_existing=True)
    assert (row.available, row.expired) == (0, 10 * C)


def test_what_returns_to_an_expired_tranche_expires(budget, student, center, clock):
    hold = reserve(budget, student, center, hours=2)
    clock.shift(timedelta(days=366))

    ledger.settle(hold.id, 3600)

    row = db.session.get_one(Purse, budget.id, populate_existing=True)
    assert (row.available, row.held, row.used, row.expired) == (8 * C, 0, C, C)


def test_a_transfer_keeps_the_validity_of_its_credits(make, budget):
    child = make.budget(0, parent=budget)

    ledger.transfer(budget.id, child.id, 4 * C, key="t")

    assert purse(budget)[0] == 6 * C
    assert purse(child)[0] == 4 * C
    until = sa.select(Tranche.valid_until).where(Tranche.budget_id == child.id)
    assert db.session.scalar(until) == clock.now() + timedelta(days=365)


def test_nobody_passes_on_more_than_there_is(make, budget):
    child = make.budget(0, parent=budget)

    with pytest.raises(TransferTooLarge):
        ledger.transfer(budget.id, child.id, 11 * C, key="t")
    db.session.rollback()


def test_the_audit_finds_a_balance_that_somebody_touched(make, student, center):
    budget = make.budget(1)
    db.session.execute(sa.update(Purse).where(Purse.budget_id == budget.id).values(available=C + 1))

    found = ledger_audit.audit()

    assert [(d.what, d.cached, d.computed) for d in found] == [("purse.available", C + 1, C)]
    db.session.execute(sa.update(Purse).where(Purse.budget_id == budget.id).values(available=C))


def test_the_database_itself_refuses_a_negative_balance(make, budget):
    with pytest.raises(sa.exc.IntegrityError), db.session.begin_nested():
        db.session.execute(sa.update(Purse).where(Purse.budget_id == budget.id).values(available=-1))


def test_entries_of_every_transaction_sum_to_zero(budget, student, center):
    hold = reserve(budget, student, center)
    ledger.post(hold.id, 100)
    ledger.settle(hold.id, 200)

    total = sa.func.sum(LedgerEntry.amount)
    sums = db.session.scalars(sa.select(total).group_by(LedgerEntry.transaction_id)).all()
    assert set(sums) == {0}
    assert len(sums) >= 4
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Hold)) == 1
    assert db.session.get_one(MemberCap, (budget.id, student.id), populate_existing=True).used == 200 * C // 3600
