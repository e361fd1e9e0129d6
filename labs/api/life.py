"""The API of what happens while a lab runs: more time, keep running, looks inside, one's files."""

from typing import Any
from uuid import UUID

from flask_smorest import Blueprint
from sqlalchemy import Select

from app.access import current_actor, require_person, scope, signed_in
from app.db import transaction
from app.paging import Rows
from labs import queries
from labs.deciding import deciding
from labs.models import LabSession, SessionView
from labs.queries import Storage
from labs.schemas import (
    AnswerLookSchema,
    AskLookSchema,
    ExtendSchema,
    KeepAliveSchema,
    LookSchema,
    OutlookSchema,
    RepeatSchema,
    SessionSchema,
    StorageSchema,
)
from labs.services import extension, idle, rescue, views
from labs.services.extension import Outlook

sessions_blp = Blueprint("lab_life_api", __name__, url_prefix="/api/v1/lab-sessions")
looks_blp = Blueprint("lab_looks_api", __name__, url_prefix="/api/v1/lab-looks", description="Looks into labs")
files_blp = Blueprint("lab_files_api", __name__, url_prefix="/api/v1", description="One's files at the centers")


@sessions_blp.get("/<uuid:session_id>/extensions")
@signed_in
@scope("labs:read")
@sessions_blp.response(200, OutlookSchema)
def show_extension(session_id: UUID) -> Outlook:
    """Show how much more time a session can have now, and what that costs."""
    return extension.outlook(queries.session(current_actor(), session_id))


@sessions_blp.post("/<uuid:session_id>/extensions")
@signed_in
@scope("labs:launch")
@sessions_blp.arguments(RepeatSchema, location="headers")
@sessions_blp.arguments(ExtendSchema)
@sessions_blp.response(200, SessionSchema)
def extend_session(headers: dict[str, Any], body: dict[str, Any], session_id: UUID) -> LabSession:
    """Give a running session more time. The credits are put aside first; a refusal says how many minutes fit."""
    actor = current_actor()
    with deciding(actor, "extend", session_id=session_id, minutes=body["minutes"], key=headers["key"]) as question:
        return question.answer(extension.extend(actor, session_id, body["minutes"], headers["key"]))


@sessions_blp.post("/<uuid:session_id>/keep-alive")
@signed_in
@scope("labs:launch")
@sessions_blp.arguments(KeepAliveSchema)
@sessions_blp.response(200, SessionSchema)
def keep_session_running(body: dict[str, Any], session_id: UUID) -> LabSession:
    """Do not stop my session for being idle. For two hours at the most, three times in a session."""
    actor = current_actor()
    with deciding(actor, "keep-alive", session_id=session_id, minutes=body["minutes"]) as question:
        return question.answer(idle.keep_running(actor, session_id, body["minutes"]))


@sessions_blp.get("/<uuid:session_id>/looks")
@signed_in
@scope("labs:read")
@sessions_blp.response(200, LookSchema(many=True))
def list_looks_into_session(session_id: UUID) -> list[SessionView]:
    """List who asked to look into a session, and what became of it."""
    return queries.views_of_session(queries.session(current_actor(), session_id).id)


@sessions_blp.post("/<uuid:session_id>/looks")
@signed_in
@scope("labs:launch")
@sessions_blp.arguments(AskLookSchema)
@sessions_blp.response(201, LookSchema)
def ask_to_look(body: dict[str, Any], session_id: UUID) -> SessionView:
    """Ask a session's person to let me look inside, read-only. For those who teach or assist in the run."""
    with transaction():
        return views.ask(current_actor(), session_id, body["reason"])


@looks_blp.get("/")
@signed_in
@scope("labs:read")
@looks_blp.response(200, LookSchema(many=True))
@looks_blp.paginate(Rows)
def list_looks() -> Select[SessionView]:
    """List who looked into my labs, and my looks into those of others."""
    return queries.views_of_person(require_person(current_actor()))


@looks_blp.post("/<uuid:look_id>/answer")
@signed_in
@scope("labs:launch")
@looks_blp.arguments(AnswerLookSchema)
@looks_blp.response(200, LookSchema)
def answer_look(body: dict[str, Any], look_id: UUID) -> SessionView:
    """Say yes or no to somebody who asked to look into my lab."""
    with transaction():
        return views.answer(current_actor(), look_id, yes=body["yes"])


@looks_blp.post("/<uuid:look_id>/end")
@signed_in
@scope("labs:launch")
@looks_blp.response(200, LookSchema)
def end_look(look_id: UUID) -> SessionView:
    """Take a yes back; or, who looked, be done with it."""
    with transaction():
        return views.end(current_actor(), look_id)


@files_blp.get("/me/storage")
@signed_in
@scope("labs:read")
@files_blp.response(200, StorageSchema(many=True))
def show_storage() -> list[Storage]:
    """Show how much my homes hold at each center where I had a lab."""
    return queries.storage_of(require_person(current_actor()))


@files_blp.post("/centers/<slug>/files")
@signed_in
@scope("labs:launch")
@files_blp.response(202, SessionSchema)
def open_files(slug: str) -> LabSession:
    """Open my files at a center: a small lab that costs nothing. If it runs already, that is the answer."""
    actor = current_actor()
    with deciding(actor, "rescue") as question:
        return question.answer(rescue.open_files(actor, slug))
