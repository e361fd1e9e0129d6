"""Whom to ask at a partner: its administrators keep the list."""

from uuid import UUID

from flask_babel import gettext as _

from accounts import policy, queries
from accounts.models_partners import PartnerContact
from accounts.services import people
from app import audit
from app.access import Actor, require
from app.db import db
from app.errors import Invalid, NotFound

MOST = 50
LONGEST_ROLE = 100
LONGEST_PHONE = 40


def add(
    actor: Actor, slug: str, *, name: str, role: str, email: str | None = None, phone: str | None = None
) -> PartnerContact:
    """Name somebody who can be asked."""
    partner = queries.partner(slug)
    require(policy.may_change_partner(actor, partner.id))
    if len(queries.contacts(partner.id)) >= MOST:
        raise Invalid(_("A partner has at most %(n)s contacts.", n=MOST))
    contact = PartnerContact(
        partner_id=partner.id,
        name=people.checked_name(name),
        role=_checked_role(role),
        email=people.checked_email(email) if email else None,
        phone=_checked_phone(phone) if phone else None,
    )
    db.session.add(contact)
    db.session.flush()
    audit.record(actor, "contact.add", contact, partner_id=partner.id, name=contact.name, role=contact.role)
    return contact


def remove(actor: Actor, slug: str, contact_id: UUID) -> None:
    partner = queries.partner(slug)
    require(policy.may_change_partner(actor, partner.id))
    contact = db.session.get(PartnerContact, contact_id)
    if contact is None or contact.partner_id != partner.id:
        raise NotFound
    audit.record(actor, "contact.remove", contact, partner_id=partner.id, name=contact.name, role=contact.role)
    db.session.delete(contact)
    db.session.flush()


def _checked_role(text: str) -> str:
    role = " ".join(text.split())
    if not 1 <= len(role) <= LONGEST_ROLE or not role.isprintable():
        raise Invalid(_("Say in at most %(n)s characters what this person answers for.", n=LONGEST_ROLE))
    return role


def _checked_phone(text: str) -> str:
    phone = " ".join(text.split())
    if len(phone) > LONGEST_PHONE or not any(c.isdigit() for c in phone) or set(phone) - set("0123456789+-()/. #*x"):
        raise Invalid(_("“%(text)s” is not a telephone number.", text=phone[:LONGEST_PHONE]))
    return phone
