"""Forget a person: names, addresses, numbers and keys go; what others rely on stays under a pseudonym.

A person asks with the password and has two weeks to think better of it; an administrator erases at once, and types
the e-mail address to confirm. What runs is stopped first: a job finishes what could not be finished at once.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from accounts import passwords, policy, queries
from accounts.erasing import READY, STEPS
from accounts.errors import AccountGone, ErasureWaits, LastAdministrator, WrongCredentials
from accounts.models import (
    AccessToken,
    AuthorizationCode,
    Identity,
    Invitation,
    Mail,
    Membership,
    Notice,
    PasswordReset,
    Person,
    PersonalToken,
    PlatformRoleGrant,
    RecoveryCode,
    SecondFactor,
    SignIn,
)
from accounts.models_life import Erasure
from accounts.services import notices, signing_in
from app import audit, clock
from app.access import SYSTEM, Actor, PlatformRole, require, require_person
from app.audit import AuditEntry
from app.db import db
from app.errors import Invalid, NotFound

GRACE = timedelta(days=14)
ERASED = "(erased)"
PERSONAL = {"name", "name_latin", "email", "number", "person", "title"}  # facts about somebody, by their names

notices.describe(
    "erasure-asked",
    _l("Your account will be erased"),
    _l("On %(due_at)s, as you asked. Until then you can cancel it on your profile page."),
    is_essential=True,
)


def ask(actor: Actor, password: str) -> Erasure:
    """Have one's own account erased in two weeks."""
    person = queries.person(require_person(actor))
    require(policy.may_change_person(actor, person.id))
    if not passwords.matches(person.password_hash, password):
        raise WrongCredentials(_("The current password is not right."))
    _refuse_last_administrator(person.id)
    row = _wait_for(actor, person, clock.now() + GRACE, "")
    notices.notify(person.id, "erasure-asked", f"erasure:{row.id}", url="/profile/data", due_at=row.due_at)
    return row


def cancel(actor: Actor) -> None:
    """Think better of it, while there is time."""
    row = queries.erasure(require_person(actor))
    require(actor.scopes is None)
    if row is None:
        raise NotFound
    row = db.session.get_one(Erasure, row.id, with_for_update=True, populate_existing=True)
    if row.done_at is not None or not queries.person(row.person_id).is_active:
        raise AccountGone
    row.canceled_at = row.canceled_at or clock.now()
    audit.record(actor, "person.keep", queries.person(row.person_id))


def order(actor: Actor, person_id: UUID, *, confirmation: str, reason: str) -> Erasure:
    """Erase somebody now, or as soon as their labs have stopped. Cannot be undone."""
    require(policy.may_erase_people(actor))
    person = queries.person(person_id)
    if actor.person_id == person_id:
        raise Invalid(_("Ask for the erasure of your own account on your profile page."))
    if confirmation.strip().lower() != person.email.lower():
        raise Invalid(_("Type the e-mail address of the account to confirm."))
    if not reason.strip():
        raise Invalid(_("Say why the account is erased."))
    if queries.was_erased(person_id) or queries.merged_into(person_id) is not None:
        raise AccountGone
    _refuse_last_administrator(person_id)
    row = queries.erasure(person_id)
    if row is None:
        row = _wait_for(actor, person, clock.now(), reason.strip())
    else:
        row.due_at, row.reason, row.by_id = clock.now(), reason.strip(), actor.person_id
    finish(row.id)
    return row


def due() -> list[UUID]:
    """Erasures whose day has come."""
    waiting = (Erasure.done_at.is_(None), Erasure.canceled_at.is_(None), Erasure.due_at <= clock.now())
    return list(db.session.scalars(select(Erasure.id).where(*waiting).order_by(Erasure.due_at)))


def finish(erasure_id: UUID) -> bool:
    """Close the account, and erase it once nothing of it is under way any more; return whether that is done."""
    row = db.session.get_one(Erasure, erasure_id, with_for_update=True, populate_existing=True)
    if row.done_at is not None or row.canceled_at is not None or row.due_at > clock.now():
        return row.done_at is not None
    person = queries.person(row.person_id)
    if person.is_active:
        person.is_active = False
        signing_in.end_all(SYSTEM, person.id)
    if not all([ready(person.id) for ready in READY]):
        return False
    for person_id in [person.id, *queries.merged_here(person.id)]:  # the same human
        _erase(queries.person(person_id))
    row.done_at = clock.now()
    db.session.flush()
    audit.record(SYSTEM, "person.erase", person, reason=row.reason or _("asked for by the person"))
    return True


def pseudonym(person_id: UUID) -> str:
    """What stands where the name stood: the same wherever it stands, and says nothing."""
    return f"Person {person_id.hex[-6:].upper()}"


def _wait_for(actor: Actor, person: Person, due_at: datetime, reason: str) -> Erasure:
    row = Erasure(person_id=person.id, by_id=actor.person_id, reason=reason, due_at=due_at)
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError as error:
        raise ErasureWaits from error
    audit.record(actor, "person.ask-erasure", person, due_at=due_at)
    return row


def _erase(person: Person) -> None:
    called = pseudonym(person.id)
    words = _words(person)
    for forget in STEPS:
        forget(person.id, called)
    invitations = list(db.session.scalars(_invitations(person)))
    _forget_keys(person.id, person.email)
    db.session.execute(update(Membership).where(Membership.person_id == person.id).values(number=None))
    for invitation in invitations:
        invitation.name, invitation.email, invitation.number = called, None, None
        invitation.revoked_at = invitation.revoked_at or (None if invitation.used_at else clock.now())
    now = clock.now()
    for grant in db.session.scalars(select(PlatformRoleGrant).where(PlatformRoleGrant.person_id == person.id)):
        if grant.holds(now):
            grant.until_at = now
    person.name, person.name_latin, person.email = called, None, f"{person.id.hex}@erased.invalid"
    person.password_hash, person.is_active, person.wants_mail = None, False, False
    db.session.flush()
    _forget_in_trail(person.id, {invitation.id for invitation in invitations}, words, called)


def _words(person: Person) -> list[str]:
    """What this person was called anywhere, the longest first."""
    found = {person.name, person.name_latin, person.email}
    found |= set(db.session.scalars(select(Membership.number).where(Membership.person_id == person.id)))
    for invitation in db.session.scalars(_invitations(person)):
        found |= {invitation.name, invitation.email, invitation.number}
    changed = select(AuditEntry.changes).where(AuditEntry.subject == "person", AuditEntry.subject_id == person.id)
    for changes in db.session.scalars(changed):
        for key in PERSONAL & set(changes):
            found |= set(changes[key]) if isinstance(changes[key], list) else {changes[key]}
    return sorted({word for word in found if isinstance(word, str) and len(word) > 1}, key=len, reverse=True)


def _invitations(person: Person) -> sa.Select[Invitation]:
    by_mail = sa.func.lower(Invitation.email) == person.email.lower()
    return select(Invitation).where(sa.or_(Invitation.person_id == person.id, by_mail))


def _forget_keys(person_id: UUID, email: str) -> None:
    """Everything with which somebody got in, and what was written to them."""
    own = select(Notice.id).where(Notice.person_id == person_id)
    written = sa.or_(Mail.notice_id.in_(own), sa.func.lower(Mail.address) == email.lower())
    db.session.execute(delete(Mail).where(written))
    db.session.execute(delete(PasswordReset).where(sa.func.lower(PasswordReset.email) == email.lower()))
    kinds = (AccessToken, AuthorizationCode, SignIn, PersonalToken, RecoveryCode, SecondFactor, Identity, Notice)
    for kind in (*kinds, PasswordReset):
        db.session.execute(delete(kind).where(kind.person_id == person_id))


def _forget_in_trail(person_id: UUID, invitation_ids: set[UUID], words: list[str], called: str) -> None:
    """Take the person's names out of the trail. The database lets nothing else be changed, and only for this person."""
    db.session.execute(sa.select(sa.func.set_config("chancai.erasing", str(person_id), True)))
    of_invitation = sa.and_(AuditEntry.subject == "invitation", AuditEntry.subject_id.in_(invitation_ids))
    concerned = sa.or_(
        AuditEntry.actor_id == person_id,
        AuditEntry.subject_id == person_id,
        of_invitation,
        sa.cast(AuditEntry.changes, sa.Text).contains(str(person_id)),
    )
    for entry in db.session.scalars(select(AuditEntry).where(concerned)):
        is_about = (
            entry.subject_id == person_id
            or entry.subject_id in invitation_ids
            or entry.changes.get("person_id") == str(person_id)
        )
        if entry.actor_id == person_id:
            entry.actor_name, entry.address = called, None
        entry.changes = {
            key: _without(value, words, called, is_personal=is_about and key in PERSONAL)
            for key, value in entry.changes.items()
        }
    db.session.flush()
    db.session.execute(sa.select(sa.func.set_config("chancai.erasing", "", True)))


def _without(value: Any, words: list[str], called: str, *, is_personal: bool) -> Any:
    if isinstance(value, list):
        return [_without(item, words, called, is_personal=is_personal) for item in value]
    if not isinstance(value, str):
        return value
    if is_personal:
        return ERASED
    for word in words:
        value = value.replace(word, called)
    return value


def _refuse_last_administrator(person_id: UUID) -> None:
    """Somebody must be able to let the next one in."""
    now = clock.now()
    holders = {
        person.id
        for grant, person in queries.platform_roles()
        if grant.role is PlatformRole.ADMINISTRATOR and grant.holds(now) and person.is_active
    }
    if holders == {person_id}:
        raise LastAdministrator
