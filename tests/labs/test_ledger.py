"""The ledger: what is promised, used and given back, to the micro-credit."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock, statements
from app import clock as time
from app.db import db
from labs import ledger
from labs.errors import (
    BudgetExhausted,
    BudgetOverrun,
    CorrectionTooLarge,
    HoldClosed,
    IdempotencyConflict,
    LaunchRefused,
    MemberCapExhausted,
    NotEnrolled,
    TrancheEndsBeforeLease,
    TransferTooLarge,
)
from labs.ledger import journal, rates
from labs.models import (
    Account,
    Flavor,
    Hold,
    HoldPart,
    HoldState,
    LedgerEntry,
    LedgerPeriod,
    LedgerTransaction,
    MemberCap,
    Purse,
    Tranche,
    UsageDay,
)
from tests.make import Make

C = 1_000_000  # micro-credits in a credit


@pytest.fixture(autouse=True)
def _honest(database):
    yield
    db.session.flush()
    assert ledger.audit() == []


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


def test_settling_for_less_than_was_posted_charges_what_was_posted(budget, student, center):
    hold = reserve(budget, student, center)
    ledger.post(hold.id, 1800)

    ledger.settle(hold.id, 600)

    assert (hold.posted_seconds, purse(budget)) == (1800, (9_500_000, 0, 500_000))


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

    found = ledger.audit()

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


# --- more commands ----------------------------------------------------------------------------------------------------


def row(budget):
    return db.session.get_one(Purse, budget.id, populate_existing=True)


def parts(hold):
    found = db.session.execute(
        sa.select(HoldPart.amount, HoldPart.used)
        .join(Tranche, Tranche.id == HoldPart.tranche_id)
        .where(HoldPart.hold_id == hold.id)
        .order_by(Tranche.valid_until)
    )
    return [tuple(part) for part in found]


def short_grant(budget, credits, minutes, key="short", begins=0):
    now = clock.now()
    begins, until = now + timedelta(minutes=begins), now + timedelta(minutes=minutes)
    ledger.grant(budget.id, round(credits * C), begins, until, key=key)


def test_a_hold_across_the_end_of_a_tranche_is_split(budget, student, center):
    short_grant(budget, 5, minutes=65)  # an hour, if the lab starts as late as it may

    hold = reserve(budget, student, center, hours=3)

    assert parts(hold) == [(C, 0), (2 * C, 0)]


def test_a_hold_may_draw_on_what_becomes_valid_on_the_way(make, student, center):
    budget = make.budget(0)
    make.cap(budget, student)
    short_grant(budget, 5, minutes=65)
    short_grant(budget, 5, minutes=300, key="next", begins=65)

    hold = reserve(budget, student, center, hours=3)

    assert parts(hold) == [(C, 0), (2 * C, 0)]


def test_credits_that_end_before_the_lease_say_how_much_of_it_fits(make, student, center):
    budget = make.budget(0)
    make.cap(budget, student)
    short_grant(budget, 50, minutes=95)

    with pytest.raises(TrancheEndsBeforeLease) as refusal:
        reserve(budget, student, center, hours=3)

    assert refusal.value.members["minutes"] == 90
    assert reserve(budget, student, center, hours=1.5, key="shorter").amount == 1.5 * C


def test_a_longer_lease_keeps_its_rate_and_is_promised_or_refused_like_the_first(budget, student, center):
    hold = reserve(budget, student, center, hours=2)
    ledger.post(hold.id, 60, clock.now())

    assert ledger.longest_extension(hold) == 8 * 3600
    ledger.extend(hold.id, 3600, "more")
    again = ledger.extend(hold.id, 3600, "more")

    assert (again.amount, again.seconds, purse(budget)[0]) == (3 * C, 3 * 3600, 7 * C)
    with pytest.raises(BudgetExhausted):
        ledger.extend(hold.id, 8 * 3600, "too much")
    with pytest.raises(IdempotencyConflict):
        ledger.extend(hold.id, 60, "more")
    assert ledger.settle(hold.id, 2 * 3600).posted_micro == 2 * C
    with pytest.raises(HoldClosed):
        ledger.extend(hold.id, 60, "late")


def test_rescue_is_free_and_open_to_those_who_have_nothing_left(make, center):
    budget, student = make.budget(0), make.person()
    make.cap(budget, student, credits=0)
    rescue = make.flavor(center, is_rescue=True)

    hold = ledger.reserve(budget.id, student.id, rescue, 3600, key="rescue")
    ledger.settle(hold.id, 1800)

    assert (hold.amount, hold.posted_micro) == (0, 0)


def test_one_refusal_in_a_batch_says_nothing_about_the_others(make, budget, student, center):
    flavor, stranger = flavor_at(center, C), make.person()
    reserve(budget, student, center, key="used before")
    asks = [
        ledger.Ask(budget.id, student.id, flavor.id, 8 * 3600, "a"),
        ledger.Ask(budget.id, student.id, flavor.id, 8 * 3600, "b"),
        ledger.Ask(budget.id, stranger.id, flavor.id, 60, "c"),
        ledger.Ask(budget.id, student.id, flavor.id, 60, "used before"),
        ledger.Ask(budget.id, student.id, flavor.id, 3600, "used before"),
        ledger.Ask(budget.id, student.id, flavor.id, 8 * 3600, "a"),
        ledger.Ask(budget.id, student.id, flavor.id, 60, "a"),
        ledger.Ask(budget.id, student.id, flavor.id, 3600, "d"),
    ]

    answers = ledger.reserve_many(asks)

    said = [answer.code if isinstance(answer, LaunchRefused) else "hold" for answer in answers]
    assert said == [
        *("hold", "budget-exhausted", "not-enrolled-for-compute", "idempotency-conflict"),
        *("hold", "hold", "idempotency-conflict", "hold"),
    ]
    assert answers[5].id == answers[0].id
    assert purse(budget) == (0, 10 * C, 0)


def test_many_are_settled_at_once(budget, student, center):
    holds = [reserve(budget, student, center, key=f"{n}") for n in range(5)]

    settled = ledger.settle_many([(hold.id, 60 * n) for n, hold in enumerate(holds)])

    assert [hold.posted_micro for hold in settled] == [n * C // 60 for n in range(5)]
    assert purse(budget)[1] == 0


def test_unused_credits_are_pulled_back(make, budget):
    child = make.budget(4, parent=budget)

    ledger.pull_back(child.id, budget.id, 3 * C, key="back")
    ledger.pull_back(child.id, budget.id, 3 * C, key="back")

    assert (purse(child)[0], purse(budget)[0]) == (C, 9 * C)
    with pytest.raises(TransferTooLarge):
        ledger.pull_back(child.id, budget.id, 2 * C, key="more")


def test_a_tranche_is_prolonged_and_what_expired_of_it_comes_back(budget, student, center, clock):
    hold = reserve(budget, student, center, hours=2)
    tranche = db.session.scalar(sa.select(Tranche).where(Tranche.budget_id == budget.id))
    clock.shift(timedelta(days=366))
    ledger.expire()
    ledger.settle(hold.id, 3600)
    until = time.now() + timedelta(days=30)

    for _twice in range(2):
        ledger.prolong(tranche.id, until, key="longer", reason="the term was moved")

    assert (row(budget).available, row(budget).expired, row(budget).used) == (9 * C, 0, C)
    ends = sa.select(Tranche.valid_until).where(Tranche.budget_id == budget.id, Tranche.remaining > 0)
    assert db.session.scalars(ends).all() == [until]


def test_a_charge_is_given_back_at_the_cost_of_the_center(budget, student, center):
    hold = reserve(budget, student, center, hours=2)
    ledger.settle(hold.id, 3600)

    for _twice in range(2):
        ledger.correct(hold.id, C // 4, "the disk was slow", key="correction")

    assert purse(budget) == (10 * C - 3 * C // 4, 0, 3 * C // 4)
    cap = db.session.get_one(MemberCap, (budget.id, student.id), populate_existing=True)
    assert cap.used == 3 * C // 4
    assert (total(Account.LOSS, center), total(Account.SUPPLY, center)) == (C // 4, -C // 4)
    with pytest.raises(CorrectionTooLarge):
        ledger.correct(hold.id, C, "too much", key="another")


def test_a_corrected_overrun_gives_back_what_was_paid_for_it(make, student, center):
    budget = make.budget(1)
    make.cap(budget, student)
    hold = reserve(budget, student, center)
    ledger.settle(hold.id, 3 * 3600)
    short_grant(budget, 1.5, minutes=600)

    ledger.correct(hold.id, 2 * C, "stopped too late", key="correction")

    assert (row(budget).available, row(budget).overrun, row(budget).used) == (1.5 * C, 0, C)


def test_an_overrun_is_paid_by_what_comes_in_next(make, student, center):
    budget = make.budget(1)
    make.cap(budget, student)
    ledger.settle(reserve(budget, student, center).id, 3 * 3600)

    short_grant(budget, 3, minutes=600)

    assert (row(budget).available, row(budget).overrun) == (C, 0)
    assert reserve(budget, student, center, hours=0.5, key="next").amount == C // 2


def test_what_ran_by_our_fault_is_the_loss_of_its_center(make, center):
    other = make.center("other")

    for _twice in range(2):
        ledger.write_off(center.id, 7, "the hub did not answer", key="loss")

    assert (total(Account.LOSS, center), total(Account.SUPPLY, center)) == (7, -7)
    assert total(Account.LOSS, other) == 0


def test_a_promise_that_nobody_used_is_given_back_in_the_end(budget, student, center, clock):
    hold = reserve(budget, student, center)

    clock.shift(timedelta(minutes=119))
    early = ledger.expire_holds()
    clock.shift(timedelta(minutes=2))
    late = ledger.expire_holds()

    assert (early, late, purse(budget)) == (0, 1, (10 * C, 0, 0))
    assert hold.state is HoldState.EXPIRED


def test_what_has_ended_neither_expires_nor_is_voided_again(budget, student, center, clock):
    voided, settled = (reserve(budget, student, center, key=key) for key in "ab")
    for _twice in range(2):
        ledger.void(voided.id)
    ledger.settle(settled.id, 1800)
    clock.shift(timedelta(days=1))

    assert ledger.expire_holds() == 0
    assert (voided.state, settled.state) == (HoldState.VOIDED, HoldState.SETTLED)


def test_a_promise_under_which_a_lab_lives_is_kept(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(days=1))

    assert ledger.expire_holds() == 0
    assert campus.again(session.id).hold.state is HoldState.OPEN


def test_nothing_is_written_into_a_closed_period(budget, clock):
    now = time.now()
    db.session.add(LedgerPeriod(starts_at=now - timedelta(days=30), ends_at=now + timedelta(days=1)))
    db.session.flush()

    short_grant(budget, 1, minutes=600, key="while the clock is behind")
    by_hand = sa.insert(LedgerTransaction).values(key="x", command="grant", body_sha256="x", created_at=now)
    with pytest.raises(sa.exc.IntegrityError, match="this period is closed"), db.session.begin_nested():
        db.session.execute(by_hand)

    dated = sa.select(LedgerTransaction.created_at).where(LedgerTransaction.key == "while the clock is behind")
    assert db.session.scalar(dated) == now + timedelta(days=1)


@pytest.mark.parametrize("statement", ["UPDATE ledger_transaction SET key = key", "DELETE FROM ledger_transaction"])
def test_what_was_commanded_stays_as_it_was(budget, statement):
    with pytest.raises(sa.exc.DatabaseError, match="append-only"), db.session.begin_nested():
        db.session.execute(sa.text(statement))


def test_usage_is_counted_by_day_of_booking(budget, student, center, clock):
    hold = reserve(budget, student, center, hours=10)
    ledger.post(hold.id, 3600, time.now())
    clock.shift(timedelta(hours=8))  # past midnight in Shanghai
    ledger.settle(hold.id, 8 * 3600)

    days = db.session.scalars(sa.select(UsageDay).order_by(UsageDay.day)).all()
    assert [(day.micro, day.seconds, day.sessions) for day in days] == [(C, 3600, 0), (7 * C, 7 * 3600, 1)]


def test_a_promise_takes_few_round_trips(budget, student, center, monkeypatch):
    flavor, seen = flavor_at(center, C), []
    budget_id, student_id = budget.id, student.id
    db.session.refresh(flavor)
    sa.event.listen(sa.Engine, "before_cursor_execute", count := lambda *args: seen.append(args[2]))
    for module in (journal, rates):  # what shares a trip is not seen by the engine
        monkeypatch.setattr(module, "ask", lambda *questions: seen.append(questions) or statements.ask(*questions))
    try:
        hold = ledger.reserve(budget_id, student_id, flavor, 3600, key="k")
        reserved = len(seen)
        ledger.settle(hold.id, 60)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)

    assert (reserved, len(seen) - reserved) == (2, 3), seen


def total(account, center):
    statement = sa.select(sa.func.coalesce(sa.func.sum(LedgerEntry.amount), 0))
    return db.session.scalar(statement.where(LedgerEntry.account == account, LedgerEntry.center_id == center.id))
