"""The API of holds: the two-phase protocol for programs. A view reads the request and calls one service."""

import re
from operator import attrgetter
from typing import Any
from uuid import UUID

import orjson
from flask import Response, request
from flask_smorest import Blueprint

from app.access import current_actor, scope, signed_in
from app.db import transaction
from app.dumping import Dump
from labs import queries
from labs.errors import FlavorNotGranted, IdempotencyKeyMissing
from labs.queries import HoldFacts
from labs.schemas import ExtendHoldSchema, HoldSchema, HoldUsageSchema, ReserveSchema
from labs.services import holds
from labs.services.holds import Reserved

PATH = "/api/v1/holds/"
blp = Blueprint(
    "holds_api",
    __name__,
    url_prefix=PATH.rstrip("/"),
    description="Credits put aside by other programs than labs. Reserve them before the work starts, post what was "
    "used as often as you like, settle when it ends: what was not used returns. A request that got no answer is sent "
    "again with the same Idempotency-Key; then the answer says Idempotency-Replayed: true, and nothing happens twice.",
)
KEY = re.compile(r"[\x21-\x7e]{8,100}")
KEYED = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "schema": {"type": "string", "minLength": 8, "maxLength": 100},
            "description": "new for each new request; the same again when there was no answer",
        }
    ]
}
_dump = Dump(HoldSchema())
_values = attrgetter(*_dump.columns)


@blp.post("/")
@signed_in
@scope("holds:write")
@blp.doc(**KEYED)
@blp.arguments(ReserveSchema())
@blp.response(201, HoldSchema)
def reserve(body: dict[str, Any]) -> Response:
    """Put credits aside for a member of a budget, before the work starts."""
    flavor_id = body["flavor_id"] or queries.flavor_id(body["center"], body["flavor"])
    if flavor_id is None:
        raise FlavorNotGranted
    reserved = holds.reserve(
        current_actor(),
        budget_id=body["budget_id"],
        person_id=body["person_id"],
        flavor_id=flavor_id,
        seconds=body["seconds"],
        purpose=body["purpose"],
        expires_in=body["expires_in"],
        key=_key(),
        address=request.remote_addr,
    )
    return _reserved(reserved, 201)


@blp.get("/<uuid:hold_id>")
@signed_in
@scope("holds:read")
@blp.response(200, HoldSchema)
def get_hold(hold_id: UUID) -> Response:
    """Show a hold: what it has, and what was used of it."""
    return _shown(queries.hold(current_actor(), hold_id))


@blp.post("/<uuid:hold_id>/extend")
@signed_in
@scope("holds:write")
@blp.doc(**KEYED)
@blp.arguments(ExtendHoldSchema())
@blp.response(200, HoldSchema)
def extend(body: dict[str, Any], hold_id: UUID) -> Response:
    """Put more seconds aside, at the same rate. The hold also lives as much longer."""
    key = _key()
    with transaction():
        extended = holds.extend(current_actor(), hold_id, body["seconds"], key=key)
    return _reserved(extended, 200)


@blp.post("/<uuid:hold_id>/usage")
@signed_in
@scope("holds:write")
@blp.arguments(HoldUsageSchema())
@blp.response(200, HoldSchema)
def use(body: dict[str, Any], hold_id: UUID) -> Response:
    """Charge what was used so far. More than was put aside is recorded as an overrun."""
    with transaction():
        used = holds.use(current_actor(), hold_id, body["seconds"], started_at=body["started_at"])
    return _shown(used)


@blp.post("/<uuid:hold_id>/settle")
@signed_in
@scope("holds:write")
@blp.arguments(HoldUsageSchema())
@blp.response(200, HoldSchema)
def settle(body: dict[str, Any], hold_id: UUID) -> Response:
    """Charge the last of the usage and give the rest back. Settling twice is settling once."""
    settled = holds.settle(
        current_actor(), hold_id, body["seconds"], started_at=body["started_at"], address=request.remote_addr
    )
    return _shown(settled)


@blp.post("/<uuid:hold_id>/void")
@signed_in
@scope("holds:write")
@blp.response(200, HoldSchema)
def void(hold_id: UUID) -> Response:
    """Give everything back: nothing ran."""
    with transaction():
        voided = holds.void(current_actor(), hold_id)
    return _shown(voided)


def json_of(hold: HoldFacts) -> bytes:
    """The body of the answer that shows this hold."""
    return orjson.dumps(_dump.one(_values(hold))) + b"\n"


def key_in(header: str) -> str:
    """The idempotency key, with or without the quotes of a structured header. Raises IdempotencyKeyMissing."""
    given = header.strip()
    key = given[1:-1] if given[:1] == given[-1:] == '"' else given
    if not KEY.fullmatch(key):
        raise IdempotencyKeyMissing
    return key


def _key() -> str:
    return key_in(request.headers.get("Idempotency-Key", ""))


def _reserved(reserved: Reserved, status: int) -> Response:
    response = _shown(reserved.hold, status)
    if reserved.is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _shown(hold: HoldFacts, status: int = 200) -> Response:
    return Response(json_of(hold), status, mimetype="application/json")
