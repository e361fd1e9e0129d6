"""Reads on who looks, or looked, into whose lab."""

from uuid import UUID

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import joinedload

from app.access import Actor
from app.db import db
from app.errors import NotFound
from labs.models import LabSession, SessionView, ViewState
from labs.queries.sessions import sessions_seen_by

OPEN_VIEWS = (ViewState.ASKED, ViewState.GRANTED)


def views_of_session(session_id: UUID) -> list[SessionView]:
    """Who asked to look into this lab, the latest first."""
    statement = select(SessionView).where(SessionView.session_id == session_id).order_by(SessionView.id.desc())
    return list(db.session.scalars(statement))


def views_into_labs_of(person_id: UUID) -> Select[SessionView]:
    """Who asked to look into this person's labs, the latest first."""
    return _with_session().where(LabSession.person_id == person_id)


def views_of_person(person_id: UUID) -> Select[SessionView]:
    """Looks into this person's labs, and theirs into those of others."""
    return _with_session().where(or_(LabSession.person_id == person_id, SessionView.viewer_id == person_id))


def visible_view(actor: Actor, view_id: UUID) -> SessionView:
    """One of them, for those who may see the session; for others there is no such thing."""
    seen = sessions_seen_by(actor).with_only_columns(LabSession.id).order_by(None)
    found = db.session.scalar(select(SessionView).where(SessionView.id == view_id, SessionView.session_id.in_(seen)))
    if found is None:
        raise NotFound
    return found


def open_view(session_id: UUID, viewer_id: UUID | None, *, lock: bool = False) -> SessionView | None:
    """What this person asked for and has not lost again."""
    if viewer_id is None:
        return None
    statement = select(SessionView).where(
        SessionView.session_id == session_id, SessionView.viewer_id == viewer_id, SessionView.state.in_(OPEN_VIEWS)
    )
    return db.session.scalar(statement.with_for_update(of=SessionView) if lock else statement)


def _with_session() -> Select[SessionView]:
    return (
        select(SessionView)
        .join(LabSession, LabSession.id == SessionView.session_id)
        .options(joinedload(SessionView.session, innerjoin=True))
        .order_by(SessionView.id.desc())
    )
