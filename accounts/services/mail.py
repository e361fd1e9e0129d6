"""Mail notices to people who want that, and links to addresses: queued in a transaction, sent afterwards by a job.

A row is claimed by moving its next try into the future, so a worker that dies leaves it to the next one. A
mail that was sent just before its worker died is sent again with the same Message-ID.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import Select, select, update
from sqlalchemy.orm import contains_eager

from accounts import policy, sealing
from accounts.adapters.smtp import Letter
from accounts.models import Mail, MailState, Notice, Person
from accounts.services import notices
from app import audit, clock, locale
from app.access import Actor, require, require_person
from app.audit import plain
from app.db import db
from app.errors import Invalid
from app.jobs import wake

CLAIMED = timedelta(minutes=5)
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360, 720))  # then it is given up


def claim(limit: int) -> list[UUID]:
    """Take mails that are due, for some minutes; others take other ones."""
    now = clock.now()
    due = (
        select(Mail.id)
        .where(Mail.state == MailState.WAITING, Mail.next_at <= now)
        .order_by(Mail.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Mail)
    )
    taken = update(Mail).where(Mail.id.in_(due.scalar_subquery()))
    values = {"next_at": now + CLAIMED, "attempts": Mail.attempts + 1}
    return list(db.session.scalars(taken.values(values).returning(Mail.id)))


def post(
    kind: str,
    *,
    address: str,
    name: str,
    language: str,
    time_zone: str,
    path: str,
    key: str | None = None,
    **facts: object,
) -> None:
    """Queue a mail to an address, for what cannot be a notice. `key` ends the link, and is kept sealed till then."""
    db.session.add(
        Mail(
            kind=kind,
            address=address,
            name=name,
            language=language,
            time_zone=time_zone,
            path=path,
            sealed_key=sealing.seal(key) if key else None,
            facts={fact: plain(value) for fact, value in facts.items()},
            next_at=clock.now(),
        )
    )
    db.session.flush()
    wake("deliver_mail")


def write(mail_id: UUID, platform_url: str) -> Letter:
    """Put the mail in words, in its reader's language and zone."""
    mail = _mail(mail_id)
    if mail.notice is None:
        return _write_to_address(mail, platform_url)
    person = mail.notice.person
    with locale.reading_as(person.language, person.time_zone):
        news = notices.read(mail.notice)
        link = f"{platform_url}{news.url or '/notices'}"
        reason = _("You get this because you have an account on Chancai. Change it on your profile page:")
        lines = [_greeting(person.name), news.title, news.text, link, f"-- \n{reason}\n{platform_url}/profile"]
    return _letter(mail, person.email, person.name, news.title, lines, person.language)


def mark_done(mail_id: UUID, letter: Letter, state: MailState) -> None:
    """Remember what was sent, without what opened its link. What was caught went nowhere and keeps it."""
    mail = _mail(mail_id)
    key = _key(mail)
    mail.state, mail.done_at, mail.last_error = state, clock.now(), None
    mail.address, mail.subject, mail.text = letter.address, letter.subject, letter.text
    if key and state is not MailState.CAUGHT:
        mail.text = mail.text.replace(key, "…")
    mail.sealed_key = None


def mark_failed(mail_id: UUID, reason: str, *, is_final: bool) -> None:
    """Try again later, ever more rarely, or give up."""
    mail = _mail(mail_id)
    mail.last_error = reason[:200]
    if is_final or mail.attempts > len(WAITS):
        mail.state, mail.done_at, mail.sealed_key = MailState.FAILED, clock.now(), None
    else:
        mail.next_at = clock.now() + WAITS[mail.attempts - 1]


def choose(actor: Actor, wants_mail: bool, unwanted: Collection[str]) -> None:
    """Whether I get notices by mail as well, and of which kinds not. What may be somebody else's doing always comes."""
    person = db.session.get_one(Person, require_person(actor))
    require(policy.may_change_person(actor, person.id))
    unknown = sorted(set(unwanted) - notices.choices().keys())
    if unknown:
        raise Invalid(_("There is no such kind of notice."), unknown=unknown, kinds=list(notices.choices()))
    before = (person.wants_mail, list(person.unwanted_mail))
    person.wants_mail, person.unwanted_mail = wants_mail, sorted(set(unwanted))
    if before != (person.wants_mail, person.unwanted_mail):
        changes: dict[str, Any] = {
            "wants_mail": (before[0], wants_mail),
            "unwanted_mail": (before[1], person.unwanted_mail),
        }
        audit.record(actor, "person.choose-mail", person, **changes)


def all_mails(actor: Actor) -> Select[Mail]:
    """What went out or would have, the latest first. For the platform's administrators: mails are private."""
    require(policy.may_see_trail(actor))
    return select(Mail).order_by(Mail.created_at.desc(), Mail.id.desc())


def _write_to_address(mail: Mail, platform_url: str) -> Letter:
    with locale.reading_as(mail.language, mail.time_zone):
        title, text = notices.words(mail.kind or "", mail.facts)
        lines = [_greeting(mail.name), title, text, f"{platform_url}{mail.path}{_key(mail)}", f"-- \n{platform_url}"]
    return _letter(mail, mail.address or "", mail.name, title, lines, mail.language)


def _greeting(name: str) -> str:
    text: str = _("%(name)s,", name=name)
    return text


def _letter(mail: Mail, address: str, name: str, title: str, lines: list[str], language: str) -> Letter:
    text = "\n\n".join(line for line in lines if line) + "\n"
    return Letter(mail.id.hex, address, name, title.replace("\n", " "), text, language)


def _key(mail: Mail) -> str:
    return (sealing.unseal(mail.sealed_key) or "") if mail.sealed_key else ""


def _mail(mail_id: UUID) -> Mail:
    statement = (
        select(Mail)
        .outerjoin(Mail.notice)
        .outerjoin(Notice.person)
        .where(Mail.id == mail_id)
        .options(contains_eager(Mail.notice).contains_eager(Notice.person))
    )
    return db.session.scalars(statement).one()
