"""The audit names every kind of difference: each is made by hand in a real database, in a ledger that was in order."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.db import db
from app.ids import uuid7
from labs import ledger
from labs.ledger import auditing

C = 1_000_000


@pytest.fixture
def ids(make):
    """A ledger with everything in it: two budgets, a hold in each state, an overrun, a correction, and a loss."""
    center, student = make.center(), make.person()
    flavor = make.flavor(center)
    above = make.budget(50)
    budget = make.budget(10, parent=above)
    poor = make.budget(1, parent=above)
    for one in (budget, poor):
        make.cap(one, student)
    ids = {"center": center.id, "flavor": flavor.id, "budget": budget.id, "poor": poor.id, "person": student.id}

    def reserve(name, budget_id=budget.id):
        ids[name] = ledger.reserve(budget_id, student.id, flavor, 3600, key=name).id

    for name in ("expired", "voided", "settled", "open"):
        reserve(name)
        if name == "expired":
            hold = sa.text("UPDATE hold SET expires_at = :now WHERE id = :id")
            db.session.execute(hold, {"now": clock.now(), "id": ids[name]})
            ledger.expire_holds()
    reserve("overrun", poor.id)
    ledger.void(ids["voided"])
    ledger.settle(ids["settled"], 1800)
    ledger.post(ids["open"], 600)
    ledger.settle(ids["overrun"], 5400)
    ledger.correct(ids["settled"], C // 4, "the disk was slow", key="correction")
    ledger.write_off(center.id, 7, "the hub did not answer", key="loss")
    ids["tranche"] = _one("SELECT tranche_id FROM hold_part WHERE hold_id = :open", ids)
    ids["day"] = _one("SELECT day FROM usage_day WHERE budget_id = :budget", ids)
    ids["other"] = uuid7()
    return ids


def _one(query, ids):
    return db.session.scalar(sa.text(query), ids)


HELD = C - C // 6  # of the open hold
CAP = "{budget} {person}"
SOURCE = auditing._PLACES + auditing._BALANCED + auditing._COMMANDS + auditing._SHARES
DAY = "{budget} {day}"
ANOTHER = """
    WITH added AS (
        INSERT INTO ledger_transaction (id, created_at, key, command, body_sha256, hold_id)
        VALUES (:other, :now, 'by hand', '%s', '', %s)
    )
    INSERT INTO ledger_entry (transaction_id, account, budget_id, tranche_id, center_id, amount) VALUES %s
"""
SUPPLY = "(:other, 'supply', NULL, NULL, :center, -1)"

# What is done to the books, and what the audit says: what differs, of whom, what is written there, what it should be;
# or by how much it differs, where that says enough.
TOUCHED = [
    ("UPDATE purse SET available = available + 1 WHERE budget_id = :budget", [("purse.available", "{budget}", 1)]),
    ("UPDATE purse SET held = held - 1 WHERE budget_id = :budget", [("purse.held", "{budget}", -1)]),
    ("UPDATE purse SET used = used + 1 WHERE budget_id = :budget", [("purse.used", "{budget}", 1)]),
    ("UPDATE purse SET expired = expired + 1 WHERE budget_id = :budget", [("purse.expired", "{budget}", 1)]),
    ("UPDATE purse SET overrun = overrun - 1 WHERE budget_id = :poor", [("purse.overrun", "{poor}", -1)]),
    ("UPDATE tranche SET remaining = remaining - 1 WHERE id = :tranche", [("tranche.remaining", "{tranche}", -1)]),
    ("UPDATE member_cap SET held = held + 1 WHERE budget_id = :budget", [("cap.held", CAP, 1)]),
    ("UPDATE member_cap SET used = used - 1 WHERE budget_id = :budget", [("cap.used", CAP, -1)]),
    (
        "UPDATE usage_day SET micro = micro + 1 WHERE budget_id = :budget",
        [("usage_day", DAY, C // 4 + C // 6 + 1, C // 4 + C // 6)],
    ),
    ("DELETE FROM usage_day WHERE budget_id = :budget", [("usage_day", DAY, 0, C // 4 + C // 6)]),
    (
        "INSERT INTO usage_day (budget_id, day, person_id, flavor_id, micro, seconds, sessions) "
        "VALUES (:budget, CAST(:day AS date) + 1, :person, :flavor, 5, 1, 1)",
        [("usage_day", "{budget} {tomorrow}", 5, 0)],
    ),
    ("UPDATE flavor SET price_micro = 5 WHERE id = :flavor", [("flavor.price", "{flavor}", 5, C)]),
    ("UPDATE hold SET amount = amount + 1 WHERE id = :open", [("hold.amount", "{open}", C + 1, C)]),
    (
        "UPDATE hold_part SET amount = amount + 1 WHERE hold_id = :open",
        [("hold.amount", "{open}", C, C + 1), ("tranche.held", "{tranche}", 1), ("cap.held", CAP, -1)],
    ),
    (
        "UPDATE hold_part SET used = used - 1 WHERE hold_id = :settled",
        [("hold.spent", "{settled}", C // 2 - 1, C // 2)],
    ),
    (
        "UPDATE hold SET posted_micro = posted_micro + 1 WHERE id = :settled",
        [("hold.posted", "{settled}", C // 2 + 1, C // 2), ("center.used", "{center}", 1), ("cap.used", CAP, -1)],
    ),
    (
        "UPDATE hold SET corrected_micro = corrected_micro + 1 WHERE id = :settled",
        [("hold.corrected", "{settled}", C // 4 + 1, C // 4), ("center.used", "{center}", -1), ("cap.used", CAP, 1)],
    ),
    ("UPDATE hold SET state = 'voided' WHERE id = :settled", [("hold.ends", "{settled}", 1000, 1)]),
    ("UPDATE hold SET state = 'expired' WHERE id = :overrun", [("hold.ends", "{overrun}", 1_000_000, 1)]),
    (
        "UPDATE hold SET state = 'settled' WHERE id = :open",
        [("hold.ends", "{open}", 1, 0), ("tranche.held", "{tranche}", -HELD), ("cap.held", CAP, HELD)],
    ),
    (
        "UPDATE hold SET state = 'open' WHERE id = :voided",
        [("hold.ends", "{voided}", 0, 1000), ("tranche.held", "{tranche}", C), ("cap.held", CAP, -C)],
    ),
    (
        "UPDATE hold SET state = 'open' WHERE id = :expired",
        [("hold.ends", "{expired}", 0, 1_000_000), ("tranche.held", "{tranche}", C), ("cap.held", CAP, -C)],
    ),
    (
        ANOTHER % ("void", ":settled", SUPPLY + ", (:other, 'loss', NULL, NULL, :center, 1)"),
        [("hold.ends", "{settled}", 1, 1001)],
    ),
    (ANOTHER % ("grant", "NULL", SUPPLY), [("transaction", "{other}", 0, -1)]),
    (
        ANOTHER % ("grant", "NULL", SUPPLY + ", (:other, 'available', :budget, :tranche, NULL, 1)"),
        [("purse.available", "{budget}", -1), ("tranche.remaining", "{tranche}", -1)],
    ),
    (
        ANOTHER % ("post", "NULL", SUPPLY + ", (:other, 'used', :budget, NULL, :center, 1)"),
        [
            *(("hold.posted", "no hold", 0, 1), ("purse.used", "{budget}", -1)),
            *(("center.used", "{center}", -1), ("usage_day", DAY, -1)),
        ],
    ),
]


def test_a_ledger_in_order_has_no_differences(ids):
    assert ledger.audit() == []


@pytest.mark.parametrize(("statement", "expected"), TOUCHED, ids=[what[0].strip()[:70] for what in TOUCHED])
def test_the_audit_names_what_was_touched_and_nothing_else(ids, statement, expected):
    db.session.execute(sa.text(statement), {**ids, "now": clock.now()})

    found = ledger.audit()

    names = {**ids, "tomorrow": ids["day"] + timedelta(days=1)}
    assert len(found) == len(expected), found
    for what, whose, *numbers in expected:
        (one,) = (difference for difference in found if difference.what == what)
        said = (one.cached, one.computed) if len(numbers) == 2 else (one.cached - one.computed,)
        assert (one.id, said) == (whose.format(**names), tuple(numbers))


def test_every_kind_of_difference_was_tried():
    tried = {what for _statement, expected in TOUCHED for what, *_rest in expected}
    words = set(re.findall(r"'((?:purse|tranche|hold|cap|center|flavor)\.[a-z]+|transaction|usage_day)'", SOURCE))

    assert tried == words
