"""What the jobs must look after at a center, as narrow rows: ids and names, so that ten thousand labs fit."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, or_, select

from app import clock
from app.db import db
from labs.models import Center, LabSession, LabTemplate, SessionState, Stray

ON_THE_MOVE = (SessionState.STARTING, SessionState.STOPPING)
AT_ONCE = 200  # servers looked after in one round; the next takes the others


def _tickets() -> Select[Any]:
    return (
        select(LabSession.id, LabSession.center_id, Center.slug, LabSession.person_id, LabTemplate.title_en)
        .add_columns(LabSession.state)
        .join(Center, Center.id == LabSession.center_id)
        .join(LabTemplate, LabTemplate.id == LabSession.template_id)
    )


def to_follow(center_id: UUID) -> list[Any]:
    """Sessions on the move: starting or stopping; then those that run and were not seen. Least recently seen first."""
    moving = _tickets().where(LabSession.center_id == center_id, LabSession.state.in_(ON_THE_MOVE))
    missing = _tickets().where(
        LabSession.center_id == center_id, LabSession.missing > 0, LabSession.state == SessionState.RUNNING
    )
    order = LabSession.seen_at.asc().nulls_first()
    found = list(db.session.execute(moving.order_by(order, LabSession.id).limit(AT_ONCE)))
    return found + list(db.session.execute(missing.order_by(order, LabSession.id).limit(AT_ONCE)))


def to_forget(center_id: UUID) -> list[Any]:
    """Ended sessions of which the hub may still keep a named server."""
    ended = _tickets().where(
        LabSession.center_id == center_id,
        LabSession.state.in_((SessionState.SETTLED, SessionState.VOIDED)),
        LabSession.forgotten_at.is_(None),
    )
    return list(db.session.execute(ended.order_by(LabSession.id).limit(AT_ONCE)))


def strays_not_seen_since(center_id: UUID, at: datetime) -> list[Any]:
    """Strays that a whole pass, begun then, has not shown: (id, hub_user, server_name)."""
    statement = select(Stray.id, Stray.hub_user, Stray.server_name).where(
        Stray.center_id == center_id,
        Stray.gone_at.is_(None),
        or_(Stray.last_seen_at < at, Stray.last_seen_at > clock.now() + timedelta(seconds=1)),  # the clock was set back
    )
    return list(db.session.execute(statement.order_by(Stray.id).limit(AT_ONCE)))
