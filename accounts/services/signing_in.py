"""Sign in with a password, and end sign-ins. Ending one takes the tokens of hubs with it."""

import logging
import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, update

from accounts import passwords, policy, queries
from accounts.errors import AccountClosed, WrongCredentials
from accounts.models import AccessToken, Person, SignIn, fingerprint
from app import audit, clock
from app.access import Actor, require, require_person
from app.db import db
from app.errors import NotFound

log = logging.getLogger(__name__)
LASTS = timedelta(hours=12)
LONGEST_PASSWORD = 200


def check_password(email: str, password: str) -> Person:
    """Return the person with that e-mail and password. Takes argon2's time whoever is asked for.

    A hash made with weaker parameters than today's is replaced on the way.
    """
    person = queries.person_by_email(email)
    known = passwords.matches(person.password_hash if person else None, password[:LONGEST_PASSWORD])
    if person is None or person.password_hash is None or not known:
        raise WrongCredentials
    if not person.is_active:
        raise AccountClosed
    if passwords.is_outdated(person.password_hash):
        person.password_hash = passwords.hashed(password)
    return person


def open_sign_in(
    person: Person, address: str | None, browser: str | None, *, has_shown_second_factor: bool = False
) -> str:
    """Begin a sign-in; return the key that the browser's session carries from now on."""
    key = secrets.token_urlsafe(32)
    sign_in = SignIn(
        person_id=person.id,
        key_sha256=fingerprint(key),
        expires_at=clock.now() + LASTS,
        address=address,
        browser=(browser or "")[:300] or None,
        second_factor_at=clock.now() if has_shown_second_factor else None,
    )
    db.session.add(sign_in)
    db.session.flush()
    audit.record(Actor(person_id=person.id, name=person.name), "sign-in.open", sign_in)
    return key


def close(key: str) -> None:
    """End the sign-in that this browser holds, if it still lives."""
    sign_in = db.session.scalar(select(SignIn).where(SignIn.key_sha256 == fingerprint(key)).with_for_update())
    if sign_in is not None and sign_in.ended_at is None:
        _end(queries.actor(sign_in.person_id), sign_in)


def end(actor: Actor, sign_in_id: UUID) -> None:
    """End one of one's own sign-ins: that browser has to sign in again, and so have the hubs it opened."""
    person_id = require_person(actor)
    statement = select(SignIn).where(SignIn.id == sign_in_id, SignIn.person_id == person_id)
    sign_in = db.session.scalar(statement.with_for_update())
    if sign_in is None:
        raise NotFound
    if sign_in.ended_at is None:
        _end(actor, sign_in)


def end_all(actor: Actor, person_id: UUID, keep: UUID | None = None) -> int:
    """End every sign-in of a person but the one to keep: called when a password changes or an account is closed."""
    require(policy.may_change_person(actor, person_id))
    statement = select(SignIn).where(SignIn.person_id == person_id, SignIn.ended_at.is_(None))
    live = [row for row in db.session.scalars(statement.order_by(SignIn.id).with_for_update()) if row.id != keep]
    for sign_in in live:
        _end(actor, sign_in)
    return len(live)


def _end(actor: Actor, sign_in: SignIn) -> None:
    now = clock.now()
    sign_in.ended_at = now
    tokens = update(AccessToken).where(AccessToken.sign_in_id == sign_in.id, AccessToken.revoked_at.is_(None))
    db.session.execute(tokens.values(revoked_at=now))
    audit.record(actor, "sign-in.end", sign_in)
