"""Make one account of two that are one person: look first, then do it, and for thirty days undo it.

What the merged account had follows to the one that is kept; what the kept one has already stays where it is. The
merged account is closed. Nothing is deleted, and every row that changed hands is named in the record.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask_babel import gettext as _
from sqlalchemy import select

from accounts import merging, policy, queries
from accounts.errors import AlreadyMerged, CannotMerge, UndoTooLate
from accounts.merging import PARTS, Obstacle, Outlook, Text
from accounts.models import Person
from accounts.models_life import PersonMerge
from accounts.services import signing_in
from app import audit, clock
from app.access import Actor, require
from app.db import db
from app.errors import Invalid, NotFound

UNDO = timedelta(days=30)


@dataclass(frozen=True)
class Preview:
    """What a merge would do, and what stands against it."""

    kept: Person
    merged: Person
    parts: list[tuple[Text, Outlook]]  # those with something to say
    warnings: list[Text]

    @property
    def obstacles(self) -> list[Obstacle]:
        return [obstacle for _title, outlook in self.parts for obstacle in outlook.obstacles]


def preview(actor: Actor, *, kept_id: UUID, merged_id: UUID) -> Preview:
    """Say what would move, what would stay, and what must be done before. Writes nothing."""
    require(policy.may_merge_people(actor))
    _refuse_same(kept_id, merged_id)
    kept, merged = queries.person(kept_id), queries.person(merged_id)
    _refuse_closed(kept, merged)
    return _look(kept, merged)


def merge(actor: Actor, *, kept_id: UUID, merged_id: UUID, reason: str) -> PersonMerge:
    """Move everything of the merged account to the kept one, and close the merged one.

    Both persons are locked in the order of their ids, so two merges at once wait for each other.
    """
    require(policy.may_merge_people(actor))
    _refuse_same(kept_id, merged_id)
    if not reason.strip():
        raise Invalid(_("Say why the two accounts are one person."))
    kept, merged = _lock(kept_id, merged_id)
    _refuse_closed(kept, merged)
    obstacles = _look(kept, merged).obstacles
    if obstacles:
        raise CannotMerge(obstacles=[{"code": o.code, "text": str(o.text)} for o in obstacles])

    moved = {name: part.move(merged_id, kept_id) for name, part in PARTS.items()}
    db.session.flush()
    db.session.expire_all()
    signing_in.end_all(actor, merged_id)
    queries.person(merged_id).is_active = False
    row = PersonMerge(
        kept_id=kept_id,
        merged_id=merged_id,
        by_id=actor.person_id,
        reason=reason.strip(),
        moved=moved,
        undo_until=clock.now() + UNDO,
    )
    db.session.add(row)
    db.session.flush()
    _record(actor, "person.merge", row, reason=row.reason)
    return row


def undo(actor: Actor, merge_id: UUID, reason: str) -> PersonMerge:
    """Make two of one again: what moved goes back, what came since stays with the one that was kept."""
    require(policy.may_merge_people(actor))
    if not reason.strip():
        raise Invalid(_("Say why they are two people after all."))
    row = db.session.get(PersonMerge, merge_id)
    if row is None:
        raise NotFound
    _lock(row.kept_id, row.merged_id)
    row = db.session.get_one(PersonMerge, merge_id, with_for_update=True, populate_existing=True)
    if row.undone_at is not None:
        raise AlreadyMerged(_("This merge was undone before."))
    if clock.now() >= row.undo_until:
        raise UndoTooLate(undo_until=row.undo_until)
    if queries.merged_into(row.kept_id) is not None:
        raise AlreadyMerged(_("The account that was kept went up in another one since. Undo that first."))
    if queries.was_erased(row.kept_id) or queries.was_erased(row.merged_id):
        raise UndoTooLate(_("One of the two was erased."))

    for name, part in reversed(PARTS.items()):
        if name in row.moved:
            part.undo(row.merged_id, row.kept_id, row.moved[name])
    db.session.flush()
    db.session.expire_all()
    row.undone_at = clock.now()
    queries.person(row.merged_id).is_active = True
    _record(actor, "person.unmerge", row, reason=reason.strip())
    return row


def _look(kept: Person, merged: Person) -> Preview:
    looked = [(part.title, part.look(merged.id, kept.id)) for part in PARTS.values()]
    warnings = [text for about in merging.WARNINGS if (text := about(merged.id)) is not None]
    return Preview(kept, merged, [(title, outlook) for title, outlook in looked if outlook != Outlook()], warnings)


def _lock(*person_ids: UUID) -> tuple[Person, ...]:
    """Both persons, in the order of their ids. Other domains' locks come first, as they do where something starts."""
    for lock in merging.LOCKS:
        for person_id in sorted(person_ids):
            lock(person_id)
    rows = db.session.scalars(
        select(Person)
        .where(Person.id.in_(person_ids))
        .order_by(Person.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    found = {row.id: row for row in rows}
    if len(found) != len(person_ids):
        raise NotFound
    return tuple(found[person_id] for person_id in person_ids)


def _refuse_same(kept_id: UUID, merged_id: UUID) -> None:
    if kept_id == merged_id:
        raise Invalid(_("Name two different accounts."))


def _refuse_closed(*people: Person) -> None:
    closed = [person.name for person in people if not person.is_active]
    if closed:
        raise AlreadyMerged(_("%(name)s is closed.", name=closed[0]))


def _record(actor: Actor, action: str, row: PersonMerge, reason: str) -> None:
    """Twice: in the trail of each of the two."""
    for person_id in (row.kept_id, row.merged_id):
        other_id = row.merged_id if person_id == row.kept_id else row.kept_id
        audit.record(actor, action, row, person_id=person_id, other_id=other_id, reason=reason)
