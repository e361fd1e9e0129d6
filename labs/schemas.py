"""The shapes that the labs API reads and writes. Amounts are micro-credits: 1 credit = 1,000,000."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from labs.models import BudgetKind, CenterState, LabSession, SessionState, Sighting

MICRO: dict[str, Any] = {"metadata": {"description": "micro-credits"}}


class FlavorSchema(ma.Schema):
    id = fields.UUID()
    slug = fields.String()
    title_zh = fields.String()
    title_en = fields.String()
    cores = fields.Float()
    memory_mb = fields.Integer()
    accelerators = fields.Integer()
    accelerator_kind = fields.String(allow_none=True)
    price_micro = fields.Integer(metadata={"description": "micro-credits an hour"})
    longest_minutes = fields.Integer()


class CenterBriefSchema(ma.Schema):
    slug = fields.String()
    title_zh = fields.String()
    title_en = fields.String()
    state = fields.Enum(CenterState, by_value=True)
    session_limit = fields.Integer()
    unreachable_since = fields.AwareDateTime(allow_none=True)


class CenterSchema(CenterBriefSchema):
    flavors = fields.Nested(FlavorSchema, many=True)


class CenterStateSchema(ma.Schema):
    state = fields.Enum(CenterState, by_value=True, required=True)


class SessionSchema(ma.Schema):
    id = fields.UUID()
    state = fields.Enum(SessionState, by_value=True)
    seen = fields.Enum(Sighting, by_value=True, allow_none=True, metadata={"description": "what the hub showed last"})
    person = fields.Function(lambda row: {"id": str(row.person_id), "name": row.person.name})
    template = fields.Function(
        lambda row: {
            "id": str(row.template_id),
            "title_zh": row.template.title_zh,
            "title_en": row.template.title_en,
        }
    )
    center = fields.String(attribute="center.slug")
    flavor = fields.String(attribute="flavor.slug")
    budget_id = fields.UUID()
    lease_minutes = fields.Integer()
    requested_at = fields.AwareDateTime(attribute="created_at")
    ready_at = fields.AwareDateTime(allow_none=True)
    lease_ends_at = fields.AwareDateTime(allow_none=True)
    ended_at = fields.AwareDateTime(allow_none=True)
    stop_reason = fields.String(allow_none=True)
    failure = fields.String(allow_none=True)
    price_micro = fields.Integer(attribute="hold.price_micro", metadata={"description": "micro-credits an hour"})
    held_micro = fields.Integer(attribute="hold.amount", **MICRO)
    charged_micro = fields.Integer(**MICRO)
    seconds_used = fields.Integer()
    open_url = fields.Method("get_open_url", metadata={"description": "where its person goes inside, while it runs"})

    def get_open_url(self, row: LabSession) -> str | None:
        return f"/labs/{row.id}/open" if row.state is SessionState.RUNNING else None


class SessionQuerySchema(ma.Schema):
    live = fields.Boolean(load_default=False, metadata={"description": "only those that have not ended"})
    center = fields.String(load_default=None, metadata={"description": "slug of a center"})


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
    member_cap_micro = fields.Integer(allow_none=True, **MICRO)
    purse = fields.Nested(PurseSchema)


class MemberCapSchema(ma.Schema):
    person = fields.Function(lambda row: {"id": str(row.person_id), "name": row.person.name})
    cap_micro = fields.Integer(allow_none=True, **MICRO)
    held = fields.Integer(**MICRO)
    used = fields.Integer(**MICRO)
    left = fields.Integer(allow_none=True, **MICRO)
    is_open = fields.Boolean()


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


class LevelSchema(ma.Schema):
    name = fields.String(metadata={"description": "cap (one's own share) or budget"})
    left_micro = fields.Integer(**MICRO)
    limit_micro = fields.Integer(**MICRO)


class OfferSchema(ma.Schema):
    flavor = fields.Nested(FlavorSchema)
    longest_minutes = fields.Integer()
    affordable_minutes = fields.Integer()
    obstacle = fields.String(
        allow_none=True, metadata={"description": "maintenance, unreachable or unaffordable; null: available"}
    )


class LaunchPanelSchema(ma.Schema):
    default_minutes = fields.Integer()
    is_member = fields.Boolean()
    can_launch = fields.Boolean()
    levels = fields.Nested(LevelSchema, many=True)
    offers = fields.Nested(OfferSchema, many=True)
    live = fields.Nested(SessionSchema, allow_none=True)
