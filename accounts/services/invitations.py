"""Invite people to a partner with a code that is used once, expires, and can be taken back.

A partner announces somebody by name and number; the person brings the code and takes the role with an
account they have or make now. So a number is bound to a human by a code, not by a matching name or e-mail.
"""

import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select, update

from accounts import policy, queries
from accounts.errors import InvitationUnknown
from accounts.models import Invitation, Membership, Person, fingerprint
from accounts.services import mail, memberships, notices, people
from app import audit, clock
from app.access import NOBODY, Actor, MemberRole, require, require_person
from app.db import db
from app.errors import Forbidden, Invalid, NotFound
from app.locale import language

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # nothing that is misread
LENGTH = 16  # 80 bits
LONGEST_DAYS = 90


def invite(
    actor: Actor,
    *,
    partner_id: UUID,
    role: MemberRole,
    name: str,
    email: str | None = None,
    number: str | None = None,
    days: int = 14,
) -> tuple[Invitation, str]:
    """Let a role wait for somebody; the second part of the answer is the code, shown this once."""
    require(policy.may_manage_people(actor, partner_id) and actor.scopes is None)
    if not 1 <= days <= LONGEST_DAYS:
        raise Invalid(_("An invitation lasts from 1 to %(n)s days.", n=LONGEST_DAYS))
    code = "".join(secrets.choice(ALPHABET) for _n in range(LENGTH))
    invitation = Invitation(
        partner_id=partner_id,
        role=role,
        name=people.checked_name(name),
        email=people.checked_email(email) if email else None,
        number=(number or "").strip() or None,
        sha256=fingerprint(code),
        expires_at=clock.now() + timedelta(days=days),
    )
    db.session.add(invitation)
    db.session.flush()
    facts: dict[str, Any] = {
        "name": invitation.name,
        "email": invitation.email,
        "role": role.value,
        "number": invitation.number,
    }
    audit.record(actor, "invitation.make", invitation, partner_id=partner_id, **facts)
    if invitation.email:
        _mail(invitation, code)
    return invitation, "-".join(code[i : i + 4] for i in range(0, LENGTH, 4))


def _mail(invitation: Invitation, code: str) -> None:
    """Send the link, in the language of who invites: of who is invited nothing is known."""
    partner = invitation.partner
    mail.post(
        "invitation",
        address=invitation.email or "",
        name=invitation.name,
        language=language(),
        time_zone=partner.time_zone,
        path="/claim?code=",
        key=code,
        partner_zh=partner.title_zh,
        partner_en=partner.title_en,
        until_at=invitation.expires_at,
    )


def take_back(actor: Actor, invitation_id: UUID) -> None:
    """End an invitation that nobody has used."""
    invitation = db.session.get(Invitation, invitation_id, with_for_update={"of": Invitation})
    if invitation is None or not policy.may_see_people(actor, invitation.partner_id):
        raise NotFound
    require(policy.may_manage_people(actor, invitation.partner_id) and actor.scopes is None)
    if invitation.is_open(clock.now()):
        invitation.revoked_at = clock.now()
        audit.record(actor, "invitation.take-back", invitation, partner_id=invitation.partner_id)


def look_up(code: str) -> Invitation:
    """Return the invitation that the code opens, if it still waits."""
    invitation = db.session.scalar(select(Invitation).where(Invitation.sha256 == _digest(code)))
    if invitation is None or not invitation.is_open(clock.now()):
        raise InvitationUnknown
    return invitation


def accept(actor: Actor, code: str) -> Membership:
    """Take the role with the account that is signed in."""
    person_id = require_person(actor)
    if actor.scopes is not None:
        raise Forbidden
    invitation = _use_up(code, person_id)
    membership = memberships.add(
        actor,
        partner_id=invitation.partner_id,
        person_id=person_id,
        role=invitation.role,
        number=invitation.number,
    )
    audit.record(actor, "invitation.accept", invitation, partner_id=invitation.partner_id, person_id=person_id)
    return membership


def accept_as_new(code: str, *, name: str, email: str, password: str, language: str) -> Person:
    """Make an account and take the role with it."""
    invitation = look_up(code)
    person = people.add(
        NOBODY, email=email, name=name, language=language, time_zone=invitation.partner.time_zone, password=password
    )
    accept(queries.actor(person.id), code)
    return person


def _use_up(code: str, person_id: UUID) -> Invitation:
    """Of two who bring the code at a time, one gets it."""
    now = clock.now()
    unused = update(Invitation).where(
        Invitation.sha256 == _digest(code),
        Invitation.used_at.is_(None),
        Invitation.revoked_at.is_(None),
        Invitation.expires_at > now,
    )
    used = db.session.scalar(unused.values(used_at=now, person_id=person_id).returning(Invitation.id))
    if used is None:
        raise InvitationUnknown
    return db.session.get_one(Invitation, used, populate_existing=True)


def _digest(code: str) -> str:
    return fingerprint("".join(c for c in code.upper() if c in ALPHABET))


notices.describe(
    "invitation",
    _l("%(partner)s invites you to Chancai"),
    _l("Take your place with the account you have, or make one. The link works once, until %(until_at)s."),
)
