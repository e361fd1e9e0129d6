"""Personal tokens: a program acts for a person, within scopes, until a day. Shown once."""

import secrets
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from accounts import policy, queries
from accounts.errors import UnknownScope
from accounts.models import PersonalToken, fingerprint
from app import audit, clock
from app.access import Actor, require, require_person
from app.db import db
from app.errors import Conflict, Invalid, NotFound

PREFIX = "chancai_"  # lets secret scanners find one that leaked
LONGEST_DAYS = 365
MOST = 30

SCOPES: dict[str, LazyString] = {
    "courses:read": _l("See courses, runs and enrollments"),
    "courses:enroll": _l("Enroll and withdraw"),
    "labs:read": _l("See labs and what they cost"),
    "labs:launch": _l("Start labs, spending credits"),
    "labs:stop": _l("Stop labs"),
    "budgets:read": _l("See budgets and what was used"),
    "budgets:write": _l("Pass credits on and change shares, as far as you may"),
    "holds:read": _l("See credits that programs put aside, as far as you may"),
    "holds:write": _l("Put credits aside for other programs and charge them, as far as you may"),
    "operations:read": _l("See centers and all sessions, as far as you may"),
    "operations:write": _l("Open and close centers and grant credits, as far as you may"),
    "accounts:read": _l("See your account, notices and partners"),
    "accounts:write": _l("Mark notices as read"),
    "partners:write": _l("Change partners, their agreements and contacts, as far as you may"),
}


def make(actor: Actor, *, name: str, scopes: Collection[str], days: int) -> tuple[PersonalToken, str]:
    """Make a token; the second part of the answer is the secret, which nobody can see again."""
    person_id = require_person(actor)
    require(policy.may_hold_tokens(actor))
    name = checked(name, days)
    _check(scopes)
    if len(queries.tokens(person_id)) >= MOST:
        raise Conflict(_("You have %(n)s tokens. Revoke one that is no longer used.", n=MOST))
    secret = PREFIX + secrets.token_urlsafe(32)
    token = PersonalToken(
        person_id=person_id,
        name=name,
        sha256=fingerprint(secret),
        scopes=sorted(set(scopes)),
        expires_at=clock.now() + timedelta(days=days),
    )
    db.session.add(token)
    db.session.flush()
    audit.record(actor, "token.make", token, name=name, scopes=token.scopes, expires_at=token.expires_at)
    return token, secret


def checked(name: str, days: int) -> str:
    """Return the name without needless blanks; refuse one that is none, and days beyond what a token may last."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= 60:
        raise Invalid(_("Give the token a name of at most 60 characters."))
    if not 1 <= days <= LONGEST_DAYS:
        raise Invalid(_("A token lasts from 1 to %(n)s days.", n=LONGEST_DAYS))
    return name


def revoke(actor: Actor, token_id: UUID) -> None:
    """End a token at once. Revoking it again changes nothing."""
    person_id = require_person(actor)
    require(policy.may_hold_tokens(actor))
    statement = select(PersonalToken).where(PersonalToken.id == token_id, PersonalToken.person_id == person_id)
    token = db.session.scalar(statement.with_for_update())
    if token is None:
        raise NotFound
    if token.revoked_at is None:
        token.revoked_at = clock.now()
        audit.record(actor, "token.revoke", token, name=token.name)


def _check(scopes: Collection[str]) -> None:
    if not scopes:
        raise Invalid(_("Choose at least one scope."), scopes=list(SCOPES))
    unknown = sorted(set(scopes) - SCOPES.keys())
    if unknown:
        raise UnknownScope(unknown=unknown, scopes=list(SCOPES))
