"""The shapes of requests for compute in the API."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from labs.models import RequestKind, RequestState
from labs.schemas.amounts import MICRO

AMOUNT = validate.Range(min=1, max=10**15)
REASON = validate.Length(min=1, max=2000)
KEY = validate.Length(min=8, max=100)


class RequestSchema(ma.Schema):
    id = fields.UUID()
    kind = fields.Enum(RequestKind, by_value=True)
    state = fields.Enum(RequestState, by_value=True)
    budget = fields.Function(
        lambda row: {"id": str(row.budget.id), "title_zh": row.budget.title_zh, "title_en": row.budget.title_en},
        metadata={"type": "object"},
    )
    partner_id = fields.UUID()
    other_budget_id = fields.UUID(allow_none=True, metadata={"description": "where a transfer's credits come from"})
    tranche_id = fields.UUID(allow_none=True)
    session_id = fields.UUID(allow_none=True)
    amount_micro = fields.Integer(allow_none=True, **MICRO)
    granted_micro = fields.Integer(allow_none=True, metadata={"description": "what was approved, in micro-credits"})
    valid_until = fields.AwareDateTime(allow_none=True)
    reason = fields.String()
    requested_at = fields.AwareDateTime(attribute="created_at")
    requested_by = fields.Function(
        lambda row: {"id": str(row.requested_by), "name": row.requester.name}, metadata={"type": "object"}
    )
    decided_by = fields.UUID(allow_none=True)
    decided_at = fields.AwareDateTime(allow_none=True)
    note = fields.String(allow_none=True)


class AskSchema(ma.Schema):
    kind = fields.Enum(RequestKind, by_value=True, required=True)
    budget_id = fields.UUID(load_default=None, metadata={"description": "what it is about; not for a correction"})
    amount_micro = fields.Integer(strict=True, load_default=None, validate=AMOUNT, **MICRO)
    other_budget_id = fields.UUID(load_default=None, metadata={"description": "for a transfer: where from"})
    tranche_id = fields.UUID(load_default=None, metadata={"description": "for an extension: which credits"})
    session_id = fields.UUID(load_default=None, metadata={"description": "for a correction: which lab"})
    valid_until = fields.AwareDateTime(load_default=None, metadata={"description": "for an extension, or a grant"})
    reason = fields.String(required=True, validate=REASON)
    key = fields.String(
        load_default=None, validate=KEY, metadata={"description": "idempotency key: the same key asks once"}
    )

    @ma.validates_schema
    def _fits_its_kind(self, data: dict[str, Any], **_: Any) -> None:
        about = "session_id" if data["kind"] is RequestKind.CORRECTION else "budget_id"
        if data[about] is None:
            raise ma.ValidationError("Missing data for required field.", about)


class ApproveSchema(ma.Schema):
    amount_micro = fields.Integer(
        strict=True, load_default=None, validate=AMOUNT, metadata={"description": "less than was asked for"}
    )
    note = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=2000))


class DeclineSchema(ma.Schema):
    note = fields.String(required=True, validate=REASON)


class RequestQuerySchema(ma.Schema):
    list = fields.String(
        load_default="all",
        validate=validate.OneOf(["all", "to-decide", "mine"]),
        metadata={"description": "all that I may see, what waits for my answer, or what I asked for"},
    )
    kind = fields.Enum(RequestKind, by_value=True, load_default=None)
    state = fields.Enum(RequestState, by_value=True, load_default=None)
    budget_id = fields.UUID(load_default=None)
    partner = fields.String(load_default=None, metadata={"description": "slug of a partner"})
    search = fields.String(load_default="", validate=validate.Length(max=100))
