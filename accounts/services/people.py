"""Create people, keep their profile and password, close an account."""

from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.exc import IntegrityError

from accounts import common_passwords, passwords, policy, queries
from accounts.errors import AccountGone, CommonPassword, EmailTaken, WeakPassword, WrongCredentials
from accounts.models import Person
from accounts.services import notices, signing_in
from app import audit, clock
from app.access import Actor, require, require_person
from app.db import db
from app.errors import Invalid
from app.locale import LANGUAGES

SHORTEST_PASSWORD = 10
LONGEST_NAME = 100
LONGEST_EMAIL = 254
LONGEST_REASON = 500


def create(
    actor: Actor,
    *,
    email: str,
    name: str,
    name_latin: str | None = None,
    language: str = "zh_CN",
    time_zone: str = "Asia/Shanghai",
    password: str | None = None,
) -> Person:
    """Open an account. Without a password the person cannot sign in with one until it is set."""
    require(policy.may_create_people(actor))
    return add(
        actor,
        email=email,
        name=name,
        name_latin=name_latin,
        language=language,
        time_zone=time_zone,
        password=password,
    )


def add(
    actor: Actor,
    *,
    email: str,
    name: str,
    name_latin: str | None = None,
    language: str = "zh_CN",
    time_zone: str = "Asia/Shanghai",
    password: str | None = None,
) -> Person:
    """Open an account, for a service that has asked already whether it may."""
    person = Person(
        email=checked_email(email),
        name=checked_name(name),
        name_latin=name_latin,
        language=_language(language),
        time_zone=checked_time_zone(time_zone),
        password_hash=None,
    )
    if password is not None:
        _refuse_weak(password, person)
        person.password_hash = passwords.hashed(password)
    try:
        with db.session.begin_nested():
            db.session.add(person)
    except IntegrityError as error:
        raise EmailTaken from error
    audit.record(actor, "person.create", person, email=person.email, name=person.name)
    notices.notify(person.id, "welcome", "welcome", url="/courses", name=person.name)
    return person


def change_profile(actor: Actor, *, name: str, language: str, time_zone: str) -> Person:
    """Change one's own name, language and time zone."""
    person = queries.person(require_person(actor))
    require(policy.may_change_person(actor, person.id))
    wanted = {"name": checked_name(name), "language": _language(language), "time_zone": checked_time_zone(time_zone)}
    changes: dict[str, Any] = {k: (getattr(person, k), new) for k, new in wanted.items() if getattr(person, k) != new}
    for field, (_before, new) in changes.items():
        setattr(person, field, new)
    if changes:
        audit.record(actor, "person.change", person, **changes)
    return person


def change_password(actor: Actor, *, current: str, new: str, keep_sign_in: UUID | None) -> None:
    """Change one's own password. Every other browser has to sign in again."""
    person = queries.person(require_person(actor))
    require(policy.may_change_person(actor, person.id))
    if not passwords.matches(person.password_hash, current):
        raise WrongCredentials(_("The current password is not right."))
    _set_password(actor, person, new, keep_sign_in)


def set_password(actor: Actor, person_id: UUID, password: str) -> None:
    """Set somebody's password, as the platform's administrator. All their browsers have to sign in again."""
    require(actor.is_administrator and policy.may_change_person(actor, person_id))
    _set_password(actor, queries.person(person_id), password, keep_sign_in=None)


def replace_password(person: Person, password: str) -> None:
    """Set a forgotten password, for a service that knows that the person asked. All browsers have to sign in again."""
    _set_password(queries.actor(person.id), person, password, keep_sign_in=None)


def close(actor: Actor, person_id: UUID, reason: str) -> None:
    """Close an account: nothing is deleted, and nobody gets in any more, neither by browser nor by token."""
    require(policy.may_close_accounts(actor))
    if actor.person_id == person_id:
        raise Invalid(_("Nobody closes their own account."))
    person, reason = queries.person(person_id), _checked_reason(reason)
    person.is_active = False
    signing_in.end_all(actor, person.id)
    audit.record(actor, "person.close", person, reason=reason)


def reopen(actor: Actor, person_id: UUID, reason: str) -> None:
    require(policy.may_close_accounts(actor))
    person, reason = queries.person(person_id), _checked_reason(reason)
    if queries.merged_into(person_id) is not None or queries.was_erased(person_id):
        raise AccountGone
    person.is_active = True
    audit.record(actor, "person.reopen", person, reason=reason)


def _set_password(actor: Actor, person: Person, password: str, keep_sign_in: UUID | None) -> None:
    _refuse_weak(password, person)
    person.password_hash = passwords.hashed(password)
    signing_in.end_all(actor, person.id, keep=keep_sign_in)
    audit.record(actor, "person.set-password", person)
    event = f"password-changed:{clock.now().isoformat()}"
    notices.notify(person.id, "password-changed", event, url="/profile#sign-ins")


def _refuse_weak(password: str, person: Person) -> None:
    plain = password.casefold()
    own = {person.email.casefold(), person.email.partition("@")[0].casefold(), person.name.casefold()}
    if len(password) < SHORTEST_PASSWORD or plain in own or len(set(plain)) < 4:
        raise WeakPassword(shortest=SHORTEST_PASSWORD)
    if common_passwords.contains(password):
        raise CommonPassword
    if any("\ud800" <= c <= "\udfff" for c in password):
        raise Invalid(_("This password has signs in it that are no text."))
    if len(password) > signing_in.LONGEST_PASSWORD:
        raise Invalid(_("A password has at most %(n)s characters.", n=signing_in.LONGEST_PASSWORD))


def checked_email(text: str) -> str:
    local, at, domain = text.strip().rpartition("@")
    if not (local and at and domain) or len(text) > LONGEST_EMAIL or any(c.isspace() for c in text.strip()):
        raise Invalid(_("“%(text)s” is not an e-mail address.", text=text[:LONGEST_EMAIL]))
    return text.strip()


def checked_name(text: str) -> str:
    name = " ".join(text.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise Invalid(_("A name has 1 to %(n)s characters.", n=LONGEST_NAME))
    return name


def _checked_reason(text: str) -> str:
    reason = " ".join(text.split())
    if not 1 <= len(reason) <= LONGEST_REASON:
        raise Invalid(_("Say why, in at most %(n)s characters.", n=LONGEST_REASON))
    return reason


def _language(code: str) -> str:
    if code not in LANGUAGES:
        raise Invalid(_("There is no such language here."), languages=list(LANGUAGES))
    return code


def checked_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise Invalid(_("There is no time zone “%(name)s”.", name=name[:50]))
    return name


notices.describe(
    "password-changed",
    _l("Your password was changed"),
    _l("Browsers have to sign in again. If it was not you, ask for a new password at once, and revoke your tokens."),
    is_essential=True,
)
