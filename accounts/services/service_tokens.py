"""Service tokens: a program acts for a partner, or for the platform, within scopes, until a day. Shown once.

Such a token is nobody in particular. It outlives whoever made it, sees what the partner's administrators see, and
nothing of other partners; what a person must do (launch a lab, take a seat) it cannot do.
"""

import secrets
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from flask_babel import gettext as _

from accounts import policy, queries
from accounts.errors import UnknownScope
from accounts.models import ServiceToken, fingerprint
from accounts.services import tokens
from app import audit, clock
from app.access import Actor, require
from app.db import db
from app.errors import Conflict, Invalid, NotFound

PREFIX = "chancai_service_"  # tells which of two tables to look in
MOST = 30
OF_BOTH = ("accounts:read", "courses:read", "labs:read", "labs:stop", "budgets:read", "holds:read", "holds:write")
OF_PARTNERS = (*OF_BOTH, "budgets:write")
OF_PLATFORM = (*OF_BOTH, "operations:read")


def scopes_for(partner_id: UUID | None) -> tuple[str, ...]:
    """What a token of the partner may be allowed; of the platform without one."""
    return OF_PARTNERS if partner_id else OF_PLATFORM


def make(
    actor: Actor, *, partner_id: UUID | None, name: str, scopes: Collection[str], days: int
) -> tuple[ServiceToken, str]:
    """Make a token; the second part of the answer is the secret, which nobody can see again."""
    _require(actor, partner_id)
    name = tokens.checked(name, days)
    if not scopes:
        raise Invalid(_("Choose at least one scope."), scopes=list(scopes_for(partner_id)))
    unknown = sorted(set(scopes) - set(scopes_for(partner_id)))
    if unknown:
        raise UnknownScope(unknown=unknown, scopes=list(scopes_for(partner_id)))
    if len(queries.service_tokens(partner_id)) >= MOST:
        raise Conflict(_("There are %(n)s tokens. Revoke one that is no longer used.", n=MOST))
    secret = PREFIX + secrets.token_urlsafe(32)
    token = ServiceToken(
        partner_id=partner_id,
        name=name,
        sha256=fingerprint(secret),
        scopes=sorted(set(scopes)),
        expires_at=clock.now() + timedelta(days=days),
    )
    db.session.add(token)
    db.session.flush()
    facts = {"name": name, "scopes": token.scopes, "expires_at": token.expires_at}
    audit.record(actor, "service-token.make", token, partner_id=partner_id, **facts)
    return token, secret


def revoke(actor: Actor, partner_id: UUID | None, token_id: UUID) -> None:
    """End a token at once. Revoking it again changes nothing."""
    _require(actor, partner_id)
    token = db.session.get(ServiceToken, token_id, with_for_update=True)
    if token is None or token.partner_id != partner_id:
        raise NotFound
    if token.revoked_at is None:
        token.revoked_at = clock.now()
        audit.record(actor, "service-token.revoke", token, partner_id=partner_id, name=token.name)


def list_all(actor: Actor, partner_id: UUID | None) -> list[ServiceToken]:
    """Those that were not revoked, the latest first."""
    _require(actor, partner_id)
    return queries.service_tokens(partner_id)


def _require(actor: Actor, partner_id: UUID | None) -> None:
    """Whoever does not administer the partner learns nothing; a program with a token is told that it may not."""
    if not (actor.is_administrator if partner_id is None else actor.administers(partner_id)):
        raise NotFound
    require(policy.may_hold_service_tokens(actor, partner_id))
