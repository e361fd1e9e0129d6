"""A student with a lab to launch and a budget to pay for it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from accounts.models import Person
from app.db import db, transaction
from app.jobs import run_job
from labs.models import Budget, Center, Flavor, LabSession, LabTemplate, Purse
from labs.services import sessions
from tests.fakes import FakeHub
from tests.labs.books import books
from tests.make import Make, as_actor

__all__ = ["books"]


@dataclass
class Campus:
    """All that a launch needs, and the verbs of the tests."""

    app: Flask
    make: Make
    hub: FakeHub
    center: Center
    flavor: Flavor
    template: LabTemplate
    budget: Budget
    student: Person

    def __post_init__(self) -> None:
        self.budget_id = self.budget.id

    def launch(self, minutes: int = 60, **changes: Any) -> LabSession:
        who = changes.pop("who", self.student)
        values: dict[str, Any] = {
            "template_id": self.template.id,
            "flavor_id": self.flavor.id,
            "minutes": minutes,
            "budget_id": self.budget.id,
        }
        with transaction():
            return sessions.request(as_actor(who), **values | changes)

    def run(self, name: str) -> int:
        db.session.commit()
        done = run_job(self.app, self.app.extensions["jobs"][name])
        db.session.expire_all()
        return done

    def running(self, minutes: int = 60, **changes: Any) -> LabSession:
        """A session that has come all the way to a running lab."""
        session = self.launch(minutes, **changes)
        self.run("start_sessions")
        self.redeem(session)
        self.run("follow_sessions")
        return self.again(session.id)

    def redeem(self, session: LabSession) -> Any:
        from labs.services import orders

        with transaction():
            return orders.redeem("embedded", session.person.hub_name, session.server_name)

    def again(self, session_id: UUID) -> LabSession:
        db.session.expire_all()
        return db.session.get_one(LabSession, session_id)

    def purse(self) -> tuple[int, int, int]:
        """(available, held, used) of the budget."""
        db.session.expire_all()
        purse = db.session.get_one(Purse, self.budget_id)
        return purse.available, purse.held, purse.used


def build(app: Flask, make: Make, hub: FakeHub, credits: float = 100) -> Campus:
    center = make.center()
    flavor = make.flavor(center)
    student = make.person(name="王伟")
    partner = make.budget(10 * credits)
    budget = make.budget(credits, parent=partner)
    make.cap(budget, student)
    return Campus(app, make, hub, center, flavor, make.template([flavor]), budget, student)


@pytest.fixture
def campus(app: Flask, make: Make, hub: FakeHub) -> Campus:
    return build(app, make, hub)
