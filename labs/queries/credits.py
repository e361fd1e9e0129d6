"""Reads on credits before a launch: what a person could draw on a budget now, and how long a lab that would pay for."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select

from app import clock
from app.db import db
from labs import ledger
from labs.models import GRACE_SECONDS, Flavor, MemberCap, Purse, Tranche


@dataclass(frozen=True)
class Means:
    """What is left at each level that a launch draws on, read without a lock: true a moment ago."""

    cap: MemberCap | None
    purse: Purse
    valid: tuple[tuple[datetime, int], ...]  # (until when, how much), the first to expire first

    @property
    def of_cap(self) -> int | None:
        return None if self.cap is None else self.cap.left

    @property
    def valid_now(self) -> int:
        return min(sum(micro for _until, micro in self.valid), self.purse.available)

    def valid_until(self, at: datetime) -> int:
        """What is still valid at that moment: only that can pay for the end of a lease."""
        return min(sum(micro for until, micro in self.valid if until >= at), self.purse.available)

    def pays_for(self, amount: int) -> bool:
        return not self.purse.overrun and amount <= self.valid_now and (self.of_cap is None or amount <= self.of_cap)

    def covered_seconds(self, price_micro: int, now: datetime) -> int:
        """For how long the valid credits last when each pays for the time before its end only."""
        if not price_micro:
            return 10**9
        covered = timedelta(0)
        for until, micro in self.valid:
            covered = max(covered, min(until - now, covered + timedelta(seconds=micro * 3600 // price_micro)))
        return int(covered.total_seconds())


def means(budget_id: UUID, person_id: UUID) -> Means:
    now = clock.now()
    valid = db.session.execute(
        select(Tranche.valid_until, func.sum(Tranche.remaining))
        .where(
            Tranche.budget_id == budget_id,
            Tranche.remaining > 0,
            Tranche.valid_from <= now,
            Tranche.valid_until > now,
        )
        .group_by(Tranche.valid_until)
        .order_by(Tranche.valid_until)
    )
    return Means(
        cap=db.session.get(MemberCap, (budget_id, person_id), populate_existing=True),
        purse=db.session.get_one(Purse, budget_id, populate_existing=True),
        valid=tuple((until, int(micro)) for until, micro in valid),
    )


def cost(flavor: Flavor, minutes: int) -> int:
    """What a lease of so many minutes puts aside: the most it can cost when it begins now."""
    now = clock.now()
    return ledger.tariff(flavor.id, now).most(now, minutes * 60 + GRACE_SECONDS)


def affordable_minutes(known: Means, flavor: Flavor, longest: int) -> int:
    """The longest lease that can be paid for now, up to `longest`."""
    if flavor.is_rescue:
        return longest
    now = clock.now()
    tariff = ledger.tariff(flavor.id, now)
    covered = known.covered_seconds(tariff.price_micro, now) - GRACE_SECONDS
    low, high = 0, max(0, min(longest, covered // 60))
    while low < high:  # what a lease costs grows with its length
        middle = (low + high + 1) // 2
        if known.pays_for(tariff.most(now, middle * 60 + GRACE_SECONDS)):
            low = middle
        else:
            high = middle - 1
    return low
