"""News for people: put down in the transaction that makes them, read in the reader's language."""

from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from flask_babel import LazyString
from flask_babel import lazy_gettext as _
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from accounts.models import Mail, Notice, Person
from app import clock, locale
from app.access import Actor, require_person
from app.audit import plain
from app.db import db
from app.errors import NotFound
from app.jobs import wake


@dataclass(frozen=True)
class News:
    """A notice in the reader's language."""

    id: UUID
    title: str
    text: str
    url: str | None
    created_at: datetime
    read_at: datetime | None


@dataclass(frozen=True)
class Words:
    """How a kind of notice reads: texts with %(fact)s in them."""

    title: str | LazyString
    text: str | LazyString = ""
    label: str | LazyString = ""  # what people choose by, whether they get it by mail
    is_essential: bool = False  # mailed to everybody: somebody else may have done it


KINDS: dict[str, Words] = {}


def describe(
    kind: str,
    title: str | LazyString,
    text: str | LazyString = "",
    *,
    label: str | LazyString = "",
    is_essential: bool = False,
) -> None:
    """Say how notices of this kind read. Each domain does so for its own kinds when it is loaded.

    A fact `x` may be given as `x_zh` and `x_en`; names that end in `_at` are moments, in `_micro` credits,
    in `_seconds` durations, and are shown as the reader is used to.
    """
    KINDS[kind] = Words(title, text, label, is_essential)


def choices() -> dict[str, str]:
    """The kinds of which people choose whether they come by mail, and what to call them."""
    return {kind: str(words.label) for kind, words in sorted(KINDS.items()) if words.label and not words.is_essential}


def notify(person_id: UUID, kind: str, event: str, url: str | None = None, **facts: object) -> None:
    """Tell a person something, in the current transaction. `event` names what happened: it is told once."""
    row = {name: plain(value) for name, value in facts.items()}
    statement = insert(Notice).values(person_id=person_id, kind=kind, event=event, url=url, facts=row)
    once = statement.on_conflict_do_nothing(index_elements=["person_id", "event"])
    notice_id = db.session.scalar(once.returning(Notice.id))
    if notice_id is not None:
        _queue_mail(person_id, notice_id, kind)


def read(notice: Notice) -> News:
    """Put the notice in words, for whoever reads now."""
    title, text = words(notice.kind, notice.facts)
    return News(notice.id, title, text, notice.url, notice.created_at, notice.read_at)


def words(kind: str, known: dict[str, Any]) -> tuple[str, str]:
    """Title and text of that kind with these facts, for whoever reads now."""
    said = KINDS.get(kind, Words(kind))
    facts = _Facts({name: _shown(name, value) for name, value in known.items()})
    for name in known:
        if name.endswith("_zh"):
            name = name.removesuffix("_zh")
            facts[name] = locale.pick(SimpleNamespace(**known), name)
    return str(said.title) % facts, str(said.text) % facts


def mark_read(actor: Actor, notice_id: UUID) -> Notice:
    notice = db.session.get(Notice, notice_id)
    if notice is None or notice.person_id != require_person(actor):
        raise NotFound
    notice.read_at = notice.read_at or clock.now()
    return notice


def mark_all_read(actor: Actor, until: datetime | None = None) -> int:
    """Mark what the person has seen: everything unread, or what came up to a moment."""
    statement = update(Notice).where(Notice.person_id == require_person(actor), Notice.read_at.is_(None))
    if until is not None:
        statement = statement.where(Notice.created_at <= until)
    ids = db.session.scalars(statement.values(read_at=clock.now()).returning(Notice.id))
    return len(ids.all())


def _queue_mail(person_id: UUID, notice_id: UUID, kind: str) -> None:
    """Send it by mail too, if the reader wants that; a job does so after the commit."""
    reader = select(Person.id).where(Person.id == person_id, Person.is_active)
    if not KINDS.get(kind, Words(kind)).is_essential:
        reader = reader.where(Person.wants_mail, ~Person.unwanted_mail.contains([kind]))
    if db.session.scalar(reader) is not None:
        db.session.execute(insert(Mail).values(notice_id=notice_id, next_at=clock.now()))
        wake("deliver_mail")


class _Facts(dict[str, str]):
    """A notice outlives the words for its kind: what they name and it does not know is a dash."""

    def __missing__(self, name: str) -> str:
        return "–"


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name.endswith("_at"):
        return locale.moment(datetime.fromisoformat(value))
    if name.endswith("_micro"):
        return locale.credits_text(value)
    if name.endswith("_seconds"):
        return locale.duration(value)
    return str(value)


describe("welcome", _("Welcome, %(name)s"), _("Find a course, take a seat, and open its lab."), label=_("A welcome"))
