"""The trail: who did what to which row, written in the transaction that does it.

Names of fields that hold secrets are never recorded with their values.
"""

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from flask import has_request_context, request
from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.access import Actor
from app.db import Entity, db

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
    facts = {name: "(secret)" if any(word in name for word in SECRET) else plain(v) for name, v in changes.items()}
    db.session.add(
        AuditEntry(
            actor_id=actor.person_id,
            actor_name=actor.name,
            action=action,
            subject=row.__tablename__,
            subject_id=row.id,
            partner_id=partner_id,
            changes=facts,
            address=request.remote_addr if has_request_context() else None,
        )
    )


def plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
