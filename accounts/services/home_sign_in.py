"""Sign in at home: through the identity provider of a partner.

An identity is (issuer, subject). A first sign-in makes an account only where the partner asked for that, and
never joins an account that exists because a name or an e-mail is the same: its owner connects the two.
"""

import logging
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy.exc import IntegrityError

from accounts import policy, queries, sealing
from accounts.adapters import Arrival
from accounts.adapters.openid import is_safe_address
from accounts.errors import AccountClosed, IdentityTaken, IdentityUnknown, ProviderTaken
from accounts.models import Identity, IdentityProvider, Person
from accounts.services import memberships, people
from app import audit
from app.access import NOBODY, Actor, MemberRole, require, require_person
from app.db import db
from app.errors import Invalid, NotFound

log = logging.getLogger(__name__)


def connect(
    actor: Actor,
    *,
    slug: str,
    issuer: str,
    client_id: str,
    client_secret: str,
    creates_accounts: bool = False,
    role: MemberRole = MemberRole.STUDENT,
) -> IdentityProvider:
    """Let a partner's people sign in at home. The issuer is written exactly as it calls itself."""
    require(policy.may_connect_providers(actor))
    partner = queries.partner(slug)
    if not is_safe_address(issuer, issuer) or not client_id or not client_secret:
        raise Invalid(_("An issuer is an https address, and gave us a client id and a secret."))
    if role is MemberRole.ADMINISTRATOR:
        raise Invalid(_("Nobody becomes an administrator by signing in."))
    row = IdentityProvider(
        partner_id=partner.id,
        issuer=issuer,
        client_id=client_id,
        sealed_client_secret=sealing.seal(client_secret),
        creates_accounts=creates_accounts,
        role=role,
    )
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError as error:
        raise ProviderTaken from error
    audit.record(
        actor, "identity-provider.connect", row, partner_id=partner.id, issuer=issuer, creates=creates_accounts
    )
    return row


def disconnect(actor: Actor, slug: str) -> None:
    """Close that way in. Identities stay: connected again, people find their accounts."""
    require(policy.may_connect_providers(actor))
    row = queries.identity_provider(slug)
    audit.record(actor, "identity-provider.disconnect", row, partner_id=row.partner_id, issuer=row.issuer)
    db.session.delete(row)


def recognize(provider: IdentityProvider, arrival: Arrival) -> Person:
    """Whose identity this is; at a first sign-in, a new account where the partner asked for that."""
    identity = queries.identity(arrival.issuer, arrival.subject)
    if identity is None:
        return _welcome(provider, arrival)
    person = queries.person(identity.person_id)
    if not person.is_active:
        raise AccountClosed
    return person


def link(actor: Actor, arrival: Arrival) -> Identity:
    """Connect an identity to the account that is signed in."""
    person_id = require_person(actor)
    require(policy.may_change_person(actor, person_id))
    known = queries.identity(arrival.issuer, arrival.subject)
    if known is not None and known.person_id == person_id:
        return known
    return _keep(actor, person_id, arrival)


def unlink(actor: Actor, identity_id: UUID) -> None:
    """Disconnect an identity; somebody without a password keeps the last one."""
    person_id = require_person(actor)
    require(policy.may_change_person(actor, person_id))
    identity = db.session.get(Identity, identity_id)
    if identity is None or identity.person_id != person_id:
        raise NotFound
    if queries.person(person_id).password_hash is None and len(queries.identities(person_id)) == 1:
        raise Invalid(_("This is your only way to sign in. Set a password first."))
    audit.record(actor, "identity.unlink", identity, issuer=identity.issuer)
    db.session.delete(identity)


def _welcome(provider: IdentityProvider, arrival: Arrival) -> Person:
    if not provider.creates_accounts or not arrival.email:
        raise IdentityUnknown
    if queries.person_by_email(arrival.email) is not None:
        log.info("identity not joined by e-mail", extra={"issuer": arrival.issuer})
        raise IdentityUnknown
    person = people.add(
        NOBODY,
        email=arrival.email,
        name=arrival.name or arrival.email.partition("@")[0],
        time_zone=provider.partner.time_zone,
    )
    actor = queries.actor(person.id)
    memberships.add(actor, partner_id=provider.partner_id, person_id=person.id, role=provider.role, number=None)
    _keep(actor, person.id, arrival)
    return person


def _keep(actor: Actor, person_id: UUID, arrival: Arrival) -> Identity:
    identity = Identity(person_id=person_id, issuer=arrival.issuer, subject=arrival.subject)
    try:
        with db.session.begin_nested():
            db.session.add(identity)
    except IntegrityError as error:
        raise IdentityTaken from error
    audit.record(actor, "identity.link", identity, issuer=arrival.issuer)
    return identity
