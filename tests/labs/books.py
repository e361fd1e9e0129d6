"""A partner's books over some months, and the verbs of the tests of periods and statements."""

from datetime import timedelta

import pytest

from app import clock as time
from app.access import SYSTEM, MemberRole, PlatformRole
from app.db import db, transaction
from app.locale import MICRO
from labs import ledger, queries
from labs.months import Month
from labs.services import periods
from tests.make import as_actor

MONTHS = [Month(2026, number) for number in range(1, 5)]
TODAY = "2026-03-02T09:00:00+00:00"


class Books:
    """A partner with 100 credits since January, 40 of them passed on to a run with two students."""

    def __init__(self, make, clock):
        self.make, self.clock, self.count = make, clock, 0
        clock.move_to("2026-01-10T08:00:00+00:00")
        self.partner = make.partner(slug="haibin", title_zh="海滨大学", title_en="Haibin University")
        self.admin = make.member(self.partner, MemberRole.ADMINISTRATOR, name="周婷")
        self.operator = as_actor(make.platform(PlatformRole.OPERATOR))
        center = make.center(title_zh="海蓝计算中心", title_en="Hailan Computing Center")
        self.flavors = {
            "small": make.flavor(center, slug="small"),
            "large": make.flavor(center, slug="large", title_zh="大型", title_en="Large", price_micro=4 * MICRO),
        }
        self.root = make.budget(100, partner_id=self.partner.id, title_zh="本年度算力", title_en="Compute of this year")
        self.run = make.budget(40, parent=self.root, title_zh="深度学习 2026 春", title_en="Deep learning, spring 2026")
        self.people = {"li": make.person(name="李娜"), "wang": make.person(name="王伟")}
        for person in self.people.values():
            make.cap(self.run, person)

    def now(self):
        return time.now()

    def reserve(self, who, seconds, flavor="small", budget=None, key=None):
        self.count += 1
        budget_id = (budget or self.run).id
        key = key or f"hold-{self.count}"
        return ledger.reserve(budget_id, self.people[who].id, self.flavors[flavor], seconds, key=key)

    def use(self, who, seconds, flavor="small", budget=None):
        """A lab that ran for so long, and is paid."""
        hold = self.reserve(who, seconds, flavor, budget)
        ledger.settle(hold.id, seconds)
        db.session.commit()
        return hold

    def grant(self, micro, *, days=300, to=None, key=None):
        self.count += 1
        start = self.now()
        budget_id = (to or self.root).id
        ledger.grant(budget_id, micro, start, start + timedelta(days=days), key=key or f"grant-{self.count}")

    def other_run(self, who, seconds):
        """Another run of the partner, and what somebody used there."""
        other = self.make.budget(10, parent=self.root, title_zh="物联网", title_en="Internet of things")
        self.make.cap(other, self.people[who])
        self.use(who, seconds, budget=other)
        return other

    def give_debt(self, micro):
        """Let a lab run longer than it was promised, so that the run owes so much."""
        hold = self.reserve("li", 60)
        ledger.settle(hold.id, 60 + micro * 3600 // MICRO)

    def close(self, month):
        """Close the month, as its operator does some time after; return the partner's statement."""
        here = self.now()
        self.clock.move_to(max(here, month.ends_at))
        with transaction():
            periods.close(SYSTEM, month)
        self.clock.move_to(here)
        return queries.statement_of(self.partner.id, month)

    def last(self):
        return queries.last_statement(self.partner.id)

    def url(self, month):
        return f"/partners/{self.partner.slug}/statements/{month}"


@pytest.fixture
def books(make, clock):
    return Books(make, clock)
