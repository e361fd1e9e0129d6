"""The shapes of budgets and what moves between them in the API."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from labs.models import BudgetKind
from labs.schemas.amounts import MICRO


class PurseSchema(ma.Schema):
    available = fields.Integer(**MICRO)
    held = fields.Integer(**MICRO)
    used = fields.Integer(**MICRO)
    expired = fields.Integer(**MICRO)
    overrun = fields.Integer(**MICRO)
    total = fields.Integer(**MICRO)


class BudgetSchema(ma.Schema):
    id = fields.UUID()
    parent_id = fields.UUID(allow_none=True)
    partner_id = fields.UUID()
    kind = fields.Enum(BudgetKind, by_value=True)
    title_zh = fields.String()
    title_en = fields.String()
    starts_at = fields.AwareDateTime()
    ends_at = fields.AwareDateTime()
    is_closed = fields.Boolean()
    member_cap_micro = fields.Integer(allow_none=True, **MICRO)
    purse = fields.Nested(PurseSchema)


class MemberCapSchema(ma.Schema):
    person = fields.Function(lambda row: {"id": str(row.person_id), "name": row.person.name})
    cap_micro = fields.Integer(allow_none=True, **MICRO)
    held = fields.Integer(**MICRO)
    used = fields.Integer(**MICRO)
    left = fields.Integer(allow_none=True, **MICRO)
    is_open = fields.Boolean()


class BudgetUsageSchema(BudgetSchema):
    members = fields.Nested(MemberCapSchema, many=True, metadata={"description": "those who used most first"})


class CapSchema(ma.Schema):
    cap_micro = fields.Integer(
        strict=True, required=True, allow_none=True, validate=validate.Range(min=0, max=10**15), **MICRO
    )


class TransferSchema(ma.Schema):
    amount_micro = fields.Integer(strict=True, required=True, validate=validate.Range(min=1, max=10**15), **MICRO)
    key = fields.String(
        required=True,
        validate=validate.Length(min=8, max=100),
        metadata={"description": "idempotency key: the same key moves credits once"},
    )


class GrantSchema(TransferSchema):
    valid_from = fields.AwareDateTime(required=True)
    valid_until = fields.AwareDateTime(required=True)

    @ma.validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        if data["valid_until"] <= data["valid_from"]:
            raise ma.ValidationError("Must be after valid_from.", "valid_until")
