"""What people are at a partner: join, number, leave."""

from uuid import UUID

from sqlalchemy.exc import IntegrityError

from accounts import policy, queries
from accounts.errors import AlreadyMember
from accounts.models import Membership
from app import audit
from app.access import Actor, MemberRole, require
from app.db import db
from app.errors import NotFound


def join(actor: Actor, *, partner_id: UUID, person_id: UUID, role: MemberRole, number: str | None = None) -> Membership:
    """Give a person a role at a partner, with the number the partner knows them by."""
    require(policy.may_manage_people(actor, partner_id))
    return add(actor, partner_id=partner_id, person_id=person_id, role=role, number=number)


def add(actor: Actor, *, partner_id: UUID, person_id: UUID, role: MemberRole, number: str | None) -> Membership:
    """Give a person a role, for a service that has asked already whether it may."""
    person = queries.person(person_id)
    membership = Membership(
        person_id=person.id, partner_id=partner_id, role=role, number=(number or "").strip() or None
    )
    try:
        with db.session.begin_nested():
            db.session.add(membership)
    except IntegrityError as error:
        raise AlreadyMember(role=role.value) from error
    facts = {"person": person.name, "person_id": person.id, "role": role.value, "number": membership.number}
    audit.record(actor, "membership.join", membership, partner_id=partner_id, **facts)
    return membership


def leave(actor: Actor, membership_id: UUID) -> None:
    """Take a role at a partner away. What the person did in it stays."""
    membership = db.session.get(Membership, membership_id, with_for_update={"of": Membership})
    if membership is None or not policy.may_see_people(actor, membership.partner_id):
        raise NotFound
    require(policy.may_manage_people(actor, membership.partner_id))
    facts = {"person_id": membership.person_id, "role": membership.role.value, "number": membership.number}
    audit.record(actor, "membership.leave", membership, partner_id=membership.partner_id, **facts)
    db.session.delete(membership)
