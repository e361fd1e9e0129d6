"""The ledger against a plain model, whatever is done to it in whatever order: Hypothesis does it.

The model knows no double entry and no locks. It counts with sums of integers, prices with one number for each second,
and spends by the simplest rule that is right: the first to expire first, each only for time before its end.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app import clock as time
from app.db import db
from app.errors import Conflict
from labs import ledger
from labs.models import HOUR, Hold, HoldPart, HoldState, LedgerEntry, MemberCap, Purse, Rate, Tranche
from labs.services import rates

SLACK = 300
CAP = 2_500_000
BANDS = [{"days": [1, 2, 3, 4, 5], "from": "08:00", "until": "18:00", "price_micro": 1_700_003}]
lengths = st.integers(1, 4 * HOUR)
amounts = st.integers(1, 2_000_000)


@dataclass
class ModelHold:
    by_second: object  # second number → micro-credits an hour
    amount: int
    parts: dict  # end of the tranche → [amount, used]
    seconds: int
    made: object
    state: str = "open"
    started: object = None
    posted_seconds: int = 0
    posted: int = 0
    corrected: int = 0


@dataclass
class ModelBudget:
    left: dict = field(default_factory=lambda: defaultdict(int))  # end of the tranche → credits
    expired: int = 0
    used: int = 0
    overrun: int = 0


def price_by_second(base, bands, start):
    """The price at each second after `start`, looked up minute by minute."""
    known = {}

    def at(second):
        moment = (start + timedelta(seconds=second)).astimezone(ZoneInfo("Asia/Shanghai"))
        minute = (moment.date(), moment.hour, moment.minute)
        if minute not in known:
            text = f"{moment.hour:02}:{moment.minute:02}"
            inside = [b for b in bands if moment.isoweekday() in b["days"] and b["from"] <= text < b["until"]]
            known[minute] = inside[0]["price_micro"] if inside else base
        return known[minute]

    return at


def costs(base, bands, start, seconds):
    """Micro-credits times HOUR that 0, 1, 2 … seconds cost."""
    if not bands:
        return [base * second for second in range(seconds + 1)]
    at, sums = price_by_second(base, bands, start), [0]
    for second in range(seconds):
        sums.append(sums[-1] + at(second))
    return sums


class Books(RuleBasedStateMachine):
    """Two budgets, one below the other, somebody with a cap, and three flavors: plain, banded, rescue."""

    holds = Bundle("holds")

    def __init__(self, world):
        super().__init__()
        self.world = world
        self.outer = db.session.begin_nested()
        self.start = time.now()
        self.above, self.below = ModelBudget(), ModelBudget()
        self.budgets = {"above": (world.above, self.above), "below": (world.below, self.below)}
        self.prices = dict.fromkeys(world.flavors, 0)
        self.prices |= {"plain": 1_000_000, "banded": 400_001}
        self.model = {}
        self.done = []
        self.count = 0

    def teardown(self):
        try:
            assert ledger.audit() == []
            assert (
                db.session.scalars(
                    sa.select(LedgerEntry.transaction_id)
                    .group_by(LedgerEntry.transaction_id)
                    .having(sa.func.sum(LedgerEntry.amount) != 0)
                ).all()
                == []
            )
        finally:
            self.outer.rollback()
            db.session.expire_all()
            self.world.clock.move_to(self.start)

    # --- commands -------------------------------------------------------------------------------------------------

    def call(self, command, *arguments, **named):
        """Do it in a savepoint, as an edge does: what is refused leaves nothing behind. Returns what came of it."""
        savepoint = db.session.begin_nested()
        try:
            answer = command(*arguments, **named)
            savepoint.commit()
        except Conflict as refusal:
            savepoint.rollback()
            return refusal
        self.done.append((command, arguments, named))
        return answer

    def key(self):
        self.count += 1
        return f"key-{self.count}"

    @rule(amount=amounts, hours=st.integers(1, 6), target_budget=st.sampled_from(["above", "below"]))
    def grant(self, amount, hours, target_budget):
        budget, model = self.budgets[target_budget]
        self.count += 1
        until = time.now() + timedelta(hours=hours, seconds=self.count)
        self.call(ledger.grant, budget.id, amount, time.now(), until, key=self.key())
        self._arrive(model, until, amount)

    @rule(amount=amounts, down=st.booleans())
    def pass_on(self, amount, down):
        source, target = ("above", "below") if down else ("below", "above")
        command = ledger.transfer if down else ledger.pull_back
        (from_row, from_model), (to_row, to_model) = self.budgets[source], self.budgets[target]
        answer = self.call(command, from_row.id, to_row.id, amount, key=self.key())
        valid = {until: left for until, left in sorted(from_model.left.items()) if until > time.now()}
        if amount > sum(valid.values()):
            assert answer.code == "transfer-too-large"
            return
        assert answer is None
        for until, left in valid.items():
            part = min(left, amount)
            amount -= part
            from_model.left[until] -= part
            if part:
                self._arrive(to_model, until, part)

    @rule(target=holds, flavor=st.sampled_from(["plain", "plain", "banded", "rescue"]), seconds=lengths)
    def reserve(self, flavor, seconds):
        base, bands = self.prices[flavor], BANDS if flavor == "banded" else []
        amount = self._most(base, bands, seconds)
        cap_held, cap_used = self._cap()
        now = time.now()
        parts = self._cover(base, bands, now + timedelta(seconds=SLACK), 0, seconds, 0, amount)
        answer = self.call(
            ledger.reserve,
            *(self.world.below.id, self.world.person.id, self.world.flavors[flavor], seconds),
            key=self.key(),
        )
        if flavor != "rescue" and cap_held + cap_used + amount > CAP:
            assert answer.reason == "MEMBER_CAP_EXHAUSTED"
        elif flavor != "rescue" and self.below.overrun:
            assert answer.reason == "BUDGET_OVERRUN"
        elif flavor != "rescue" and parts is None:
            assert answer.reason in ("BUDGET_EXHAUSTED", "TRANCHE_ENDS_BEFORE_LEASE")
            enough = amount <= sum(left for until, left in self.below.left.items() if until > now)
            assert (answer.reason == "TRANCHE_ENDS_BEFORE_LEASE") == enough
            if enough:
                fits = answer.members["seconds"]
                sure = (fits, self._most(base, bands, fits))
                assert self._cover(base, bands, now + timedelta(seconds=SLACK), 0, sure[0], 0, sure[1]) is not None
        else:
            assert isinstance(answer, Hold), answer
            assert (answer.amount, answer.price_micro) == (amount, base)
            for until, part in (parts or {}).items():
                self.below.left[until] -= part
            self.model[answer.id] = ModelHold(
                (base, bands), amount, {until: [part, 0] for until, part in (parts or {}).items()}, seconds, now
            )
            return answer.id
        return None

    @rule(hold_id=holds, seconds=st.integers(1, HOUR))
    def extend(self, hold_id, seconds):
        hold = self.model.get(hold_id)
        if hold is None:
            return
        base, bands = hold.by_second
        start = hold.started or hold.made
        if bands:
            total = -(-costs(base, bands, start, hold.seconds + seconds)[-1] // HOUR)
        else:
            total = -(-base * (hold.seconds + seconds) // HOUR)
        more = max(0, total - hold.amount)
        cap_held, cap_used = self._cap()
        parts = self._cover(base, bands, start, hold.seconds, hold.seconds + seconds, hold.amount, hold.amount + more)
        answer = self.call(ledger.extend, hold_id, seconds, self.key())
        is_free = base == 0
        if hold.state != "open":
            assert answer.code == "hold-closed"
        elif not is_free and max(0, CAP - cap_held - cap_used) < more:
            assert answer.reason == "MEMBER_CAP_EXHAUSTED"
        elif not is_free and self.below.overrun:
            assert answer.reason == "BUDGET_OVERRUN"
        elif not is_free and parts is None:
            assert answer.reason in ("BUDGET_EXHAUSTED", "TRANCHE_ENDS_BEFORE_LEASE")
        else:
            assert isinstance(answer, Hold), answer
            for until, part in (parts or {}).items():
                self.below.left[until] -= part
                hold.parts.setdefault(until, [0, 0])[0] += part
            hold.amount += more if not is_free else 0
            hold.seconds += seconds

    @rule(hold_id=holds, seconds=st.integers(0, 5 * HOUR))
    def post(self, hold_id, seconds):
        hold = self.model.get(hold_id)
        if hold is not None:
            self._start(hold)
            row = self.call(ledger.post, hold_id, seconds, hold.started)
            if hold.state == "open" and seconds > hold.posted_seconds:
                self._charge(hold, seconds)
            assert row.posted_seconds == hold.posted_seconds, "usage never goes back"

    @rule(hold_id=holds, seconds=st.integers(0, 5 * HOUR))
    def settle(self, hold_id, seconds):
        hold = self.model.get(hold_id)
        if hold is not None:
            self._start(hold)
            self.call(ledger.settle, hold_id, seconds, hold.started)
            if hold.state == "open":
                self._charge(hold, max(seconds, hold.posted_seconds))
                self._release(hold, "settled")

    @rule(hold_id=holds)
    def void(self, hold_id):
        hold = self.model.get(hold_id)
        if hold is not None:
            answer = self.call(ledger.void, hold_id)
            if hold.state == "voided":
                assert answer.state is HoldState.VOIDED
            elif hold.state != "open" or hold.posted_seconds:
                assert answer.code == "hold-closed"
            else:
                self._release(hold, "voided")

    @rule(hold_id=holds, amount=st.integers(1, 1_000_000))
    def correct(self, hold_id, amount):
        hold = self.model.get(hold_id)
        if hold is None:
            return
        budget = self.below
        answer = self.call(ledger.correct, hold_id, amount, "our fault", key=self.key())
        if amount > hold.posted - hold.corrected:
            assert answer.code == "correction-too-large"
            return
        hold.corrected += amount
        budget.used -= amount
        assert self._adopt(budget) == amount, "what was charged is there again, and no more"

    @rule(number=st.integers(0, 9), hours=st.integers(1, 5))
    def prolong(self, number, hours):
        rows = db.session.scalars(
            sa.select(Tranche).where(Tranche.budget_id == self.world.below.id).order_by(Tranche.created_at, Tranche.id)
        ).all()
        if not rows:
            return
        old = rows[number % len(rows)]
        self.count += 1
        until = max(time.now(), old.valid_until) + timedelta(hours=hours, seconds=self.count)
        self.call(ledger.prolong, old.id, until, key=self.key())
        assert self._adopt(self.below) == 0, "time is added, and no credits"

    @rule()
    def expire(self):
        ledger.expire()
        for _row, model in self.budgets.values():
            for until in [until for until in model.left if until <= time.now()]:
                model.expired += model.left.pop(until)

    @rule()
    def expire_holds(self):
        ledger.expire_holds()
        for hold in self.model.values():
            if hold.state == "open" and hold.made + timedelta(seconds=hold.seconds + HOUR) <= time.now():
                self._release(hold, "expired")

    @rule(flavor=st.sampled_from(["plain", "banded"]), price=st.sampled_from([0, 1, 7, 99_983, 2_500_001]))
    def set_rate(self, flavor, price):
        bands = BANDS if flavor == "banded" else []
        self.world.clock.shift(timedelta(seconds=1))
        rates.set_rate(self.world.operator, self.world.flavors[flavor].id, None, price, bands)
        self.prices[flavor] = price

    @rule(minutes=st.integers(1, 200))
    def wait(self, minutes):
        self.world.clock.shift(timedelta(minutes=minutes))

    @rule(data=st.data())
    def say_it_again(self, data):
        """Replay of a command under its key: nothing changes."""
        if not self.done:
            return
        command, arguments, named = data.draw(st.sampled_from(self.done))
        before = self._balances()
        savepoint = db.session.begin_nested()
        try:
            command(*arguments, **named)
        except Conflict as refusal:
            assert refusal.code == "hold-closed", refusal  # noqa: PT017 - a void after its hold was settled
        savepoint.commit()
        assert self._balances() == before

    @rule(data=st.data())
    def say_something_else_under_the_same_key(self, data):
        reserved = [done for done in self.done if done[0] is ledger.reserve]
        if reserved:
            command, (budget, person, flavor, seconds), named = data.draw(st.sampled_from(reserved))
            answer = self.call(command, budget, person, flavor, seconds + 1, **named)
            assert answer.reason == "IDEMPOTENCY_CONFLICT"

    # --- what must hold after each step -----------------------------------------------------------------------------

    @invariant()
    def balances_are_those_of_the_model(self):
        for row, model in self.budgets.values():
            purse = db.session.get_one(Purse, row.id, populate_existing=True)
            assert (purse.available, purse.expired) == (sum(model.left.values()), model.expired)
            assert (purse.used, purse.overrun) == (model.used, model.overrun)
        purse = db.session.get_one(Purse, self.world.below.id, populate_existing=True)
        cap = db.session.get_one(MemberCap, (self.world.below.id, self.world.person.id), populate_existing=True)
        assert purse.held == sum(a - u for h in self.model.values() if h.state == "open" for a, u in h.parts.values())
        assert (cap.held, cap.used) == self._cap()

    @invariant()
    def parts_lie_where_the_model_put_them(self):
        found = defaultdict(dict)
        rows = db.session.execute(
            sa.select(HoldPart.hold_id, Tranche.valid_until, sa.func.sum(HoldPart.amount), sa.func.sum(HoldPart.used))
            .join(Tranche, Tranche.id == HoldPart.tranche_id)
            .group_by(HoldPart.hold_id, Tranche.valid_until)
        )
        for hold_id, until, amount, used in rows:
            found[hold_id][until] = [int(amount), int(used)]
        for hold_id, hold in self.model.items():
            assert found[hold_id] == {until: part for until, part in hold.parts.items() if part[0]}

    # --- the model --------------------------------------------------------------------------------------------------

    def _arrive(self, budget, until, amount):
        paid = min(budget.overrun, amount)
        budget.overrun -= paid
        budget.left[until] += amount - paid

    def _most(self, base, bands, seconds):
        sums = costs(base, bands, time.now(), seconds + SLACK) if bands else None
        if not bands:
            return -(-base * seconds // HOUR)
        return max(-(-(sums[first + seconds] - sums[first]) // HOUR) for first in range(SLACK + 1))

    def _cover(self, base, bands, start, first, last, paid, total):
        """First to expire first, and of each no more than what is used before its end; None: it does not suffice."""
        sums, parts = costs(base, bands, start, last), {}
        for until, left in sorted(self.below.left.items()):
            before = int((until - start).total_seconds())
            if until <= time.now() or before <= first:
                continue
            due = total if before >= last else max(paid, min(total, sums[before] // HOUR))
            part = min(left, due - paid)
            if part:
                parts[until] = part
                paid += part
        return parts if paid == total else None

    def _start(self, hold):
        if hold.started is None:
            hold.started = time.now()

    def _charge(self, hold, seconds):
        base, bands = hold.by_second
        cost = costs(base, bands, hold.started, seconds)[-1] // HOUR if bands else base * seconds // HOUR
        rest = cost - hold.posted
        for _until, part in sorted(hold.parts.items()):
            taken = min(rest, part[0] - part[1])
            part[1] += taken
            rest -= taken
        self.below.used += cost - hold.posted
        self.below.overrun += rest
        hold.posted, hold.posted_seconds = cost, seconds

    def _release(self, hold, state):
        for until, (amount, used) in hold.parts.items():
            if until > time.now():
                self.below.left[until] += amount - used
            else:
                self.below.expired += amount - used
        hold.state = state

    def _cap(self):
        still = sum(a - u for h in self.model.values() if h.state == "open" for a, u in h.parts.values())
        return still, sum(hold.posted - hold.corrected for hold in self.model.values())

    def _adopt(self, budget):
        """Take over from the tables which tranche has what, where the rule leaves that open; return what was added."""
        row = next(row for row, model in self.budgets.values() if model is budget)
        whole = sum(budget.left.values()) + budget.expired - budget.overrun
        budget.left.clear()
        for until, left in db.session.execute(
            sa.select(Tranche.valid_until, Tranche.remaining).where(Tranche.budget_id == row.id)
        ):
            budget.left[until] += left
        purse = db.session.get_one(Purse, row.id, populate_existing=True)
        budget.expired, budget.overrun = purse.expired, purse.overrun
        return sum(budget.left.values()) + budget.expired - budget.overrun - whole

    def _balances(self):
        db.session.expire_all()
        purses = [db.session.get_one(Purse, row.id) for row, _model in self.budgets.values()]
        holds = db.session.execute(sa.select(Hold.id, Hold.state, Hold.amount, Hold.posted_micro).order_by(Hold.id))
        return [(p.available, p.held, p.used, p.expired, p.overrun) for p in purses], holds.all()


@dataclass
class World:
    above: object
    below: object
    person: object
    flavors: dict
    operator: object
    clock: object


@pytest.fixture
def world(make, clock):
    from app.access import SYSTEM

    above = make.budget(0)
    below = make.budget(0, parent=above)
    person, center = make.person(), make.center()
    make.cap(below, person, credits=CAP / 1_000_000)
    banded = make.flavor(center, price_micro=400_001)
    db.session.add(Rate(flavor_id=banded.id, valid_from=time.now(), price_micro=400_001, bands=BANDS))
    db.session.commit()
    flavors = {"plain": make.flavor(center), "banded": banded, "rescue": make.flavor(center, is_rescue=True)}
    return World(above, below, person, flavors, SYSTEM, clock)


def test_the_books_are_those_of_a_plain_model(world):
    run_state_machine_as_test(
        lambda: Books(world),
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        ),
    )
