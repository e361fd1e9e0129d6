"""Builders of rows. Every argument has a default; a test names only what it is about."""

from datetime import timedelta
from itertools import count
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from accounts import queries as accounts_queries
from accounts.models import (
    Membership,
    Partner,
    PartnerKind,
    Person,
    PersonalToken,
    PlatformRoleGrant,
    SecondFactor,
    fingerprint,
)
from accounts.models_partners import Agreement
from accounts.services import signing_in
from app import clock
from app.access import Actor, MemberRole, PlatformRole
from app.db import db
from app.locale import MICRO
from labs import ledger
from labs.models import Budget, BudgetKind, Center, Flavor, LabFile, LabTemplate, MemberCap, Rate

_number = count(1)
CENTER = PartnerKind.COMPUTING_CENTER


def as_actor(person: Person) -> Actor:
    """What a service is given when this person acts."""
    return accounts_queries.actor(person.id)


def sign_in(app: Flask, person: Person) -> FlaskClient:
    """A browser in which this person has signed in."""
    client = app.test_client()
    key = signing_in.open_sign_in(person, address="127.0.0.1", browser="test", has_shown_second_factor=True)
    db.session.commit()
    with client.session_transaction() as session:
        session["sign_in"] = key
    return client


class Make:
    def partner(self, *, agreed: bool = True, **values: Any) -> Partner:
        """A partner, under an open-ended agreement unless told otherwise."""
        n = next(_number)
        defaults = {
            "slug": f"partner-{n}",
            "kind": PartnerKind.UNIVERSITY,
            "title_zh": f"第{n}大学",
            "title_en": f"University {n}",
        }
        partner = self._save(Partner(**defaults | values))
        if agreed:
            self.agreement(partner)
        return partner

    def agreement(self, partner: Partner, **values: Any) -> Agreement:
        defaults = {"from_at": clock.now() - timedelta(days=365), "until_at": None, "reference": "test"}
        return self._save(Agreement(partner_id=partner.id, **defaults | values))

    def person(self, *, token: str | None = None, scopes: tuple[str, ...] = (), **values: Any) -> Person:
        n = next(_number)
        person = self._save(Person(**{"email": f"p{n}@example.org", "name": f"Person {n}", "language": "en"} | values))
        if token:
            expires = clock.now() + timedelta(days=1)
            row = PersonalToken(
                person_id=person.id, name="test", sha256=fingerprint(token), scopes=list(scopes), expires_at=expires
            )
            self._save(row)
        return person

    def member(self, partner: Partner | None = None, role: MemberRole = MemberRole.STUDENT, **values: Any) -> Person:
        person = self.person(**values)
        partner = partner or self.partner()
        self._save(Membership(person_id=person.id, partner_id=partner.id, role=role))
        return person

    def platform(self, role: PlatformRole, *, second_factor: bool = False, **values: Any) -> Person:
        """Somebody with a platform role. Without a second factor, a token of theirs has none of its power."""
        person = self.person(**values)
        if second_factor:
            self._save(SecondFactor(person_id=person.id, sealed_secret="none", confirmed_at=clock.now()))
        self._save(
            PlatformRoleGrant(person_id=person.id, role=role, from_at=clock.now() - timedelta(days=1), reason="test")
        )
        return person

    def center(self, slug: str = "embedded", **values: Any) -> Center:
        values.setdefault("partner_id", None) or values.update(partner_id=self.partner(kind=CENTER).id)
        defaults = {"slug": slug, "title_zh": "计算中心", "title_en": "Computing center"}
        return self._save(Center(**defaults | values))

    def flavor(self, center: Center | None = None, **values: Any) -> Flavor:
        n = next(_number)
        center = center or self.center()
        defaults = {
            "slug": f"flavor-{n}",
            "title_zh": "小型",
            "title_en": "Small",
            "cores": 1.0,
            "memory_mb": 1024,
            "price_micro": 1_000_000,
        }
        flavor = self._save(Flavor(**{"center_id": center.id} | defaults | values))
        self._save(
            Rate(flavor_id=flavor.id, valid_from=clock.now() - timedelta(days=1), price_micro=flavor.price_micro)
        )
        return flavor

    def template(self, flavors: list[Flavor] | None = None, **values: Any) -> LabTemplate:
        values.setdefault("partner_id", None) or values.update(partner_id=self.partner().id)
        defaults = {
            "title_zh": "第一课",
            "title_en": "First lesson",
            "folder": "first-lesson",
            "default_minutes": 60,
            "longest_minutes": 240,
            "flavors": flavors or [self.flavor()],
            "files": [LabFile(path="lesson.ipynb", content=b"{}", sha256="0")],
        }
        return self._save(LabTemplate(**defaults | values))

    def budget(self, credits: float = 100, *, parent: Budget | None = None, **values: Any) -> Budget:
        """A budget with so many credits in it, valid for a year."""
        now = clock.now()
        if parent is None:
            values.setdefault("partner_id", None) or values.update(partner_id=self.partner().id)
        defaults = {
            "partner_id": parent.partner_id if parent else None,
            "parent_id": parent.id if parent else None,
            "kind": BudgetKind.RUN if parent else BudgetKind.PARTNER,
            "title_zh": "算力",
            "title_en": "Compute",
            "starts_at": now - timedelta(days=1),
            "ends_at": now + timedelta(days=365),
        }
        budget = Budget(**defaults | values)
        db.session.add(budget)
        db.session.flush()
        ledger.open_purse(budget)
        if credits and parent is None:
            ledger.grant(
                budget.id,
                round(credits * MICRO),
                now - timedelta(days=1),
                now + timedelta(days=365),
                key=f"grant:{budget.id}",
            )
        elif credits and parent is not None:
            ledger.transfer(parent.id, budget.id, round(credits * MICRO), key=f"fund:{budget.id}")
        db.session.commit()
        return budget

    def cap(self, budget: Budget, person: Person, credits: float | None = None) -> MemberCap:
        cap_micro = None if credits is None else round(credits * MICRO)
        return self._save(MemberCap(budget_id=budget.id, person_id=person.id, cap_micro=cap_micro))

    def _save(self, row: Any) -> Any:
        db.session.add(row)
        db.session.commit()
        return row
