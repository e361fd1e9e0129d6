"""Forgotten passwords: whoever reads the mails of an account sets a new one, with a link that works once.

Asking does the same whatever was asked for: it notes the address. A job looks later whether it is anybody's, so
neither the answer nor its time tells who has an account.
"""

import secrets
from datetime import timedelta

from flask_babel import lazy_gettext as _
from sqlalchemy import delete, func, select, update

from accounts import queries
from accounts.errors import ResetUnknown
from accounts.models import PasswordReset, Person, fingerprint
from accounts.services import mail, notices, people
from app import audit, clock
from app.db import db
from app.jobs import wake

LASTS = timedelta(minutes=30)
MOST_LINKS = 3  # that work at a time: whoever asks for others fills no mailbox, and keeps nobody from their own


def ask(email: str) -> None:
    """Note that somebody wants a new password for the account with this e-mail, if there is one."""
    db.session.add(PasswordReset(email=email.strip()[: people.LONGEST_EMAIL], expires_at=clock.now() + LASTS))
    db.session.flush()
    wake("deliver_mail")


def answer(limit: int) -> int:
    """Mail links to those who asked and have an account; forget the others."""
    asked = (
        select(PasswordReset)
        .where(PasswordReset.person_id.is_(None))
        .order_by(PasswordReset.created_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = list(db.session.scalars(asked))
    for row in rows:
        _answer(row)
    return len(rows)


def look_up(key: str) -> Person:
    """Return whose password the link sets, if it still works."""
    return _live(key)[1]


def use(key: str, password: str) -> Person:
    """Set the password, with a link that works from now on no more, nor any other that was mailed."""
    row, person = _live(key, lock=True)
    people.replace_password(person, password)
    now = clock.now()
    row.used_at = now
    audit.record(queries.actor(person.id), "person.reset-password", person, asked_at=row.created_at)
    others = update(PasswordReset).where(PasswordReset.person_id == person.id, PasswordReset.expires_at > now)
    db.session.execute(others.values(expires_at=now))
    return person


def forget_old() -> int:
    """Remove links a day after they ended."""
    old = delete(PasswordReset).where(PasswordReset.expires_at < clock.now() - timedelta(days=1))
    return len(db.session.scalars(old.returning(PasswordReset.id)).all())


def _live(key: str, lock: bool = False) -> tuple[PasswordReset, Person]:
    statement = (
        select(PasswordReset, Person)
        .join(PasswordReset.person)
        .where(
            PasswordReset.sha256 == fingerprint(key),
            PasswordReset.used_at.is_(None),
            PasswordReset.expires_at > clock.now(),
            Person.is_active,
        )
    )
    if lock:
        statement = statement.with_for_update(of=PasswordReset).execution_options(populate_existing=True)
    found = db.session.execute(statement).one_or_none()
    if found is None:
        raise ResetUnknown
    return found[0], found[1]


def _answer(row: PasswordReset) -> None:
    person = queries.person_by_email(row.email)
    if person is None or not person.is_active or row.expires_at <= clock.now() or _links(person) >= MOST_LINKS:
        db.session.delete(row)
        return
    row.person_id = person.id
    letter = {
        "address": person.email,
        "name": person.name,
        "language": person.language,
        "time_zone": person.time_zone,
    }
    if person.password_hash is None and queries.identities(person.id):
        mail.post("password-at-home", path="/sign-in", **letter)
        return
    key = secrets.token_urlsafe(32)
    row.sha256 = fingerprint(key)
    mail.post("password-reset", path="/sign-in/reset?key=", key=key, until_at=row.expires_at, **letter)


def _links(person: Person) -> int:
    live = (PasswordReset.person_id == person.id, PasswordReset.expires_at > clock.now())
    return db.session.scalar(select(func.count()).where(*live)) or 0


notices.describe(
    "password-reset",
    _("Choose a new password"),
    _(
        "Somebody asked for a new password for your account. The link works once, until %(until_at)s. "
        "If it was not you, do nothing: your password stays as it is."
    ),
)
notices.describe(
    "password-at-home",
    _("You sign in through your university or company"),
    _(
        "Somebody asked for a new password for your account. It has none: choose your university or company on the "
        "sign-in page."
    ),
)
