"""The API of everybody's accounts, for the platform's administrators in person: close, reopen, merge."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import fields, validate
from sqlalchemy import Select

from accounts import policy, queries
from accounts.api_partners import ReasonSchema
from accounts.models import Person
from accounts.models_life import Erasure, PersonMerge
from accounts.pages.my_data import zip_of
from accounts.services import attempts, erasing, merging, people
from app.access import current_actor, people_only, scope, signed_in
from app.db import transaction
from app.errors import NotFound
from app.paging import Rows

blp = Blueprint("people-api", __name__, url_prefix="/api/v1/people", description="Everybody's accounts")
merges = Blueprint("merges-api", __name__, url_prefix="/api/v1/merges", description="Accounts that became one")
mine = Blueprint("my-data-api", __name__, url_prefix="/api/v1/me", description="Data about the person who asks")
BLUEPRINTS = (blp, merges, mine)


class PersonSchema(ma.Schema):
    id = fields.UUID()
    name = fields.String()
    email = fields.String()
    is_active = fields.Boolean()
    created_at = fields.AwareDateTime()


class SearchSchema(ma.Schema):
    search = fields.String(load_default="", validate=validate.Length(max=100))


class TwoSchema(ma.Schema):
    kept_id = fields.UUID(required=True, metadata={"description": "The account that stays"})
    merged_id = fields.UUID(required=True, metadata={"description": "The account that goes up in it"})


class MergeSchema(TwoSchema):
    id = fields.UUID(dump_only=True)
    reason = fields.String(required=True, validate=validate.Length(1, 500))
    created_at = fields.AwareDateTime(dump_only=True)
    undo_until = fields.AwareDateTime(dump_only=True)
    undone_at = fields.AwareDateTime(dump_only=True, allow_none=True)


class MergePartSchema(ma.Schema):
    title = fields.String()
    moves = fields.Integer(metadata={"description": "Rows that would change hands"})
    stays = fields.Integer(metadata={"description": "Rows of which the kept account has one already"})


class MergeObstacleSchema(ma.Schema):
    code = fields.String()
    text = fields.String()


class MergePreviewSchema(ma.Schema):
    parts = fields.List(fields.Nested(MergePartSchema))
    obstacles = fields.List(fields.Nested(MergeObstacleSchema))
    warnings = fields.List(fields.String())


class EraseSchema(ReasonSchema):
    confirmation = fields.String(required=True, metadata={"description": "The e-mail address of the account"})


class AskErasureSchema(ma.Schema):
    password = fields.String(required=True, validate=validate.Length(1, 200))


class ErasureSchema(ma.Schema):
    due_at = fields.AwareDateTime()


@blp.get("")
@signed_in
@people_only
@blp.arguments(SearchSchema, location="query")
@blp.response(200, PersonSchema(many=True))
@blp.paginate(Rows)
def find_people(query: dict[str, Any]) -> Select[Person]:
    """Find people by a part of the name or e-mail."""
    _administrators_only()
    return queries.people(query["search"])


@blp.post("/<uuid:person_id>/close")
@signed_in
@people_only
@blp.arguments(ReasonSchema)
@blp.response(200, PersonSchema)
def close_person(body: dict[str, Any], person_id: UUID) -> Person:
    """Close an account: nothing is deleted, nobody gets in any more."""
    _administrators_only()
    with transaction():
        people.close(current_actor(), person_id, body["reason"])
    return queries.person(person_id)


@blp.post("/<uuid:person_id>/reopen")
@signed_in
@people_only
@blp.arguments(ReasonSchema)
@blp.response(200, PersonSchema)
def reopen_person(body: dict[str, Any], person_id: UUID) -> Person:
    """Open an account again."""
    _administrators_only()
    with transaction():
        people.reopen(current_actor(), person_id, body["reason"])
    return queries.person(person_id)


@blp.post("/<uuid:person_id>/erase")
@signed_in
@people_only
@blp.arguments(EraseSchema)
@blp.response(202, PersonSchema)
def erase_person(body: dict[str, Any], person_id: UUID) -> Person:
    """Forget a person for good; at once, or as soon as their labs have stopped."""
    _administrators_only()
    with transaction():
        erasing.order(current_actor(), person_id, **body)
    return queries.person(person_id)


@mine.post("/export")
@signed_in
@scope("accounts:read")
@mine.response(200, {"type": "string", "format": "binary"}, content_type="application/zip")
def export() -> Response:
    """Have everything that is kept about me, as a ZIP of JSON files. A few times in a quarter of an hour."""
    return zip_of(current_actor())


@mine.post("/erasure")
@signed_in
@people_only
@mine.arguments(AskErasureSchema)
@mine.response(202, ErasureSchema)
def ask_erasure(body: dict[str, Any]) -> Erasure:
    """Have my account erased in two weeks."""
    actor = current_actor()
    with transaction():
        attempts.count(actor.email, request.remote_addr)
    with transaction():
        row = erasing.ask(actor, body["password"])
        attempts.forgive(actor.email, request.remote_addr)
    return row


@mine.delete("/erasure")
@signed_in
@people_only
@mine.response(204)
def cancel_erasure() -> None:
    """Keep my account after all."""
    with transaction():
        erasing.cancel(current_actor())


@merges.get("")
@signed_in
@people_only
@merges.response(200, MergeSchema(many=True))
@merges.paginate(Rows)
def list_merges() -> Select[PersonMerge]:
    """List merges, the latest first."""
    _administrators_only()
    return queries.merges()


@merges.post("/preview")
@signed_in
@people_only
@merges.arguments(TwoSchema)
@merges.response(200, MergePreviewSchema)
def preview_merge(body: dict[str, Any]) -> dict[str, Any]:
    """Say what a merge would move and what stands against it. Changes nothing."""
    _administrators_only()
    preview = merging.preview(current_actor(), **body)
    return {
        "parts": [{"title": str(t), "moves": o.moves, "stays": o.stays} for t, o in preview.parts],
        "obstacles": [{"code": o.code, "text": str(o.text)} for o in preview.obstacles],
        "warnings": [str(text) for text in preview.warnings],
    }


@merges.post("")
@signed_in
@people_only
@merges.arguments(MergeSchema)
@merges.response(201, MergeSchema)
def merge(body: dict[str, Any]) -> PersonMerge:
    """Make one account of two that are one person."""
    _administrators_only()
    with transaction():
        return merging.merge(current_actor(), **body)


@merges.post("/<uuid:merge_id>/undo")
@signed_in
@people_only
@merges.arguments(ReasonSchema)
@merges.response(200, MergeSchema)
def undo_merge(body: dict[str, Any], merge_id: UUID) -> PersonMerge:
    """Make two of one again, within thirty days."""
    _administrators_only()
    with transaction():
        return merging.undo(current_actor(), merge_id, body["reason"])


def _administrators_only() -> None:
    """For everybody else there is no such place."""
    if not policy.may_see_accounts(current_actor()):
        raise NotFound
