"""The trail: who did what to which row, written in the transaction that does it.

Names of fields that hold secrets are never recorded with their values.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from flask import has_request_context, request
from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.access import Actor
from app.db import Entity, db
from app.ids import uuid7
from app.statements import Question, insert_rows, insertion

SECRET = ("password", "secret", "token", "sha256", "hash", "code_challenge")


class AuditEntry(Entity):
    """One act. Never changed, never deleted by the application."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index(None, "subject", "subject_id"),
        Index(None, "created_at"),
        Index(
            "ix_audit_entry_concerns", text("(changes ->> 'person_id')"), postgresql_where=text("changes ? 'person_id'")
        ),
    )

    actor_id: Mapped[UUID | None] = mapped_column(index=True)
    actor_name: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    subject_id: Mapped[UUID]
    partner_id: Mapped[UUID | None] = mapped_column(index=True)
    changes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    address: Mapped[str | None]


class Row(Protocol):
    """Any table with an id of its own."""

    __tablename__: str
    id: Any


def record(actor: Actor, action: str, row: Row, *, partner_id: UUID | None = None, **changes: object) -> None:
    """Write down an act in the current transaction; `changes` are the facts: new values or (before, after)."""
    address = request.remote_addr if has_request_context() else None
    columns = entry(actor, action, row.__tablename__, row.id, changes, partner_id=partner_id, address=address)
    db.session.add(AuditEntry(**columns))


def record_all(entries: list[dict[str, Any]]) -> None:
    """Write down many acts at once, each as `entry` makes them."""
    insert_rows(AuditEntry, _rows(entries))


def recording(entries: list[dict[str, Any]], *, where: str) -> tuple[Question, dict[str, Any]]:
    """`record_all` to be asked together with what is recorded; acts of which `where` does not hold are left out."""
    return insertion(AuditEntry, _rows(entries), where=where)


def _rows(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": uuid7(), "created_at": clock.now(), **columns} for columns in entries]


def entry(
    actor: Actor,
    action: str,
    subject: str,
    subject_id: UUID,
    changes: Mapping[str, object],
    *,
    partner_id: UUID | None,
    address: str | None,
) -> dict[str, Any]:
    """The columns of an act; `record` knows the address by itself, a batch of several requests does not."""
    facts = {name: "(secret)" if any(word in name for word in SECRET) else plain(v) for name, v in changes.items()}
    return {
        "actor_id": actor.person_id,
        "actor_name": actor.name,
        "action": action,
        "subject": subject,
        "subject_id": subject_id,
        "partner_id": partner_id,
        "changes": facts,
        "address": address,
    }


def plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
