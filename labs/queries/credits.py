"""Reads on credits before a launch: what a person could draw on a budget now, and how long a lab that would pay for.

The ledger's own judgement, on balances that are read without a lock: true a moment ago.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app import clock
from app.db import db
from labs.errors import LaunchRefused
from labs.ledger import rates, refusals
from labs.ledger.promise import Balance, Book, Cap, Credits, Denied, Granted, Want, judge, longest
from labs.models import GRACE_SECONDS, Flavor, MemberCap, Purse, Tranche
from labs.tariff import Tariff


@dataclass(frozen=True)
class Means:
    """What is left at each level that a launch draws on."""

    budget_id: UUID
    person_id: UUID
    at: datetime
    book: Book

    @property
    def cap(self) -> Cap | None:
        return self.book.caps.get((self.budget_id, self.person_id))

    @property
    def purse(self) -> Balance:
        return self.book.purses[self.budget_id]

    def valid_at(self, at: datetime) -> int:
        """What of it is still valid at that moment."""
        return self.book.valid(self.budget_id, at)

    def judged(self, price: rates.Offer, minutes: int) -> Granted | Denied:
        """What the ledger would say to a lease of so many minutes."""
        seconds = minutes * 60 + GRACE_SECONDS
        want = Want(self.budget_id, self.person_id, price.tariff, self.at, seconds, is_free=price.is_rescue)
        return judge(self.book, want)


def means(budget_id: UUID, person_id: UUID) -> Means:
    now = clock.now()
    purse = db.session.get_one(Purse, budget_id, populate_existing=True)
    cap = db.session.get(MemberCap, (budget_id, person_id), populate_existing=True)
    tranches = db.session.execute(
        select(Tranche.id, Tranche.remaining, Tranche.valid_from, Tranche.valid_until)
        .where(Tranche.budget_id == budget_id, Tranche.remaining > 0, Tranche.valid_until > now)
        .order_by(Tranche.valid_until, Tranche.id)
    )
    book = Book(
        caps={} if cap is None else {(budget_id, person_id): Cap(cap.cap_micro, cap.held, cap.used, cap.is_open)},
        purses={budget_id: Balance(purse.available, purse.held, purse.used, purse.expired, purse.overrun)},
        tranches={budget_id: [Credits(*row) for row in tranches]},
    )
    return Means(budget_id, person_id, now, book)


def obstacle_to_pay(known: Means, flavor: Flavor, minutes: int) -> LaunchRefused | None:
    """The refusal of the ledger, if it were asked now."""
    outcome = known.judged(_price(flavor, known.at), minutes)
    return refusals.refusal(known.budget_id, outcome) if isinstance(outcome, Denied) else None


def affordable_minutes(known: Means, flavor: Flavor, most: int) -> int:
    """The longest lease that can be paid for now, up to `most`."""
    price = _price(flavor, known.at)
    return longest(lambda minutes: isinstance(known.judged(price, minutes), Granted), most)


def tariff_now(flavor: Flavor) -> Tariff:
    """What the flavor costs, as a hold of this moment would pin it."""
    return _price(flavor, clock.now()).tariff


def cost(flavor: Flavor, minutes: int) -> int:
    """What a lease of so many minutes puts aside: the most it can cost when it begins now."""
    return tariff_now(flavor).most(clock.now(), minutes * 60 + GRACE_SECONDS)


def _price(flavor: Flavor, at: datetime) -> rates.Offer:
    return rates.offers([flavor.id], at)[flavor.id]
