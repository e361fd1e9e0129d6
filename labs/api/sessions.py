"""The API of lab sessions. A view reads the request, opens the transaction, calls one service."""

from typing import Any
from uuid import UUID

from flask_smorest import Blueprint
from sqlalchemy import Select

from app.access import current_actor, scope, signed_in
from app.db import transaction
from app.paging import Rows
from labs import queries
from labs.deciding import taking_place
from labs.models import LabSession
from labs.schemas import (
    SessionQuerySchema,
    SessionSchema,
)
from labs.services import line, sessions

blp = Blueprint(
    "lab_sessions_api", __name__, url_prefix="/api/v1/lab-sessions", description="Running labs, and those that ended"
)


@blp.get("/")
@signed_in
@scope("labs:read")
@blp.arguments(SessionQuerySchema, location="query")
@blp.response(200, SessionSchema(many=True))
@blp.paginate(Rows)
def list_sessions(query: dict[str, Any]) -> Select[LabSession]:
    """List my sessions, and those of the budgets I look after; operators list all."""
    return queries.sessions_seen_by(current_actor(), live_only=query["live"], center_slug=query["center"])


@blp.get("/<uuid:session_id>")
@signed_in
@scope("labs:read")
@blp.response(200, SessionSchema)
def get_session(session_id: UUID) -> LabSession:
    """Show a session: what it does, until when, what it costs."""
    return queries.session(current_actor(), session_id)


@blp.post("/<uuid:session_id>/stop")
@signed_in
@scope("labs:stop")
@blp.response(202, SessionSchema)
def stop_session(session_id: UUID) -> LabSession:
    """Stop a session. It ends soon after; the rest of its hold returns."""
    with transaction():
        return sessions.stop(current_actor(), session_id)


@blp.post("/<uuid:session_id>/accept")
@signed_in
@scope("labs:launch")
@blp.response(202, SessionSchema)
def accept_place(session_id: UUID) -> LabSession:
    """Take the place that is kept for my session in line (state `offered`, until `offered_until`); it starts at once.

    To leave the line, stop the session."""
    actor = current_actor()
    with taking_place(actor, session_id) as question:
        return question.answer(line.accept(actor, session_id))
