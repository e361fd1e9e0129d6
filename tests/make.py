"""Builders of rows. Every argument has a default; a test names only what it is about."""

from datetime import timedelta
from itertools import count
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from accounts import queries as accounts_queries
from accounts.models import Membership, Partner, PartnerKind, Person, PersonalToken, PlatformRoleGrant, fingerprint
from accounts.services import signing_in
from app import clock
from app.access import Actor, MemberRole, PlatformRole
from app.db import db

_number = count(1)


def as_actor(person: Person) -> Actor:
    """What a service is given when this person acts."""
    return accounts_queries.actor(person.id)


def sign_in(app: Flask, person: Person) -> FlaskClient:
    """A browser in which this person has signed in."""
    client = app.test_client()
    key = signing_in.open_sign_in(person, address="127.0.0.1", browser="test")
    db.session.commit()
    with client.session_transaction() as session:
        session["sign_in"] = key
    return client


class Make:
    def partner(self, **values: Any) -> Partner:
        n = next(_number)
        defaults = {
            "slug": f"partner-{n}",
            "kind": PartnerKind.UNIVERSITY,
            "title_zh": f"第{n}大学",
            "title_en": f"University {n}",
        }
        return self._save(Partner(**defaults | values))

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

    def platform(self, role: PlatformRole, **values: Any) -> Person:
        person = self.person(**values)
        self._save(
            PlatformRoleGrant(person_id=person.id, role=role, from_at=clock.now() - timedelta(days=1), reason="test")
        )
        return person

    def _save(self, row: Any) -> Any:
        db.session.add(row)
        db.session.commit()
        return row
