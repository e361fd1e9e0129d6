"""The shapes of the budget tree, the burn-down and the forecast in the API."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from labs.models import BudgetKind
from labs.queries import BudgetStatus
from labs.schemas.amounts import MICRO
from labs.schemas.budgets import BudgetSchema

TITLE = validate.Length(min=1, max=120)
SHARE = validate.Range(min=0, max=10**15)
AMOUNT = validate.Range(min=1, max=10**15)
KEY: dict[str, Any] = {"validate": validate.Length(min=8, max=100)}


class SumsSchema(ma.Schema):
    granted = fields.Integer(**MICRO)
    passed_on = fields.Integer(**MICRO)
    available = fields.Integer(**MICRO)
    held = fields.Integer(**MICRO)
    used = fields.Integer(**MICRO)
    expired = fields.Integer(**MICRO)
    overrun = fields.Integer(**MICRO)


class BranchSchema(ma.Schema):
    budget = fields.Nested(BudgetSchema)
    depth = fields.Integer(metadata={"description": "0: on top"})
    own = fields.Nested(SumsSchema, metadata={"description": "the budget itself"})
    whole = fields.Nested(SumsSchema, metadata={"description": "the budget and all below it"})


class TreeQuerySchema(ma.Schema):
    kind = fields.Enum(BudgetKind, by_value=True, load_default=None)
    status = fields.Enum(BudgetStatus, by_value=True, load_default=None)
    search = fields.String(load_default="", validate=validate.Length(max=100))


class _Dates(ma.Schema):
    @ma.validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        if "starts_at" in data and "ends_at" in data and data["ends_at"] <= data["starts_at"]:
            raise ma.ValidationError("Must be after starts_at.", "ends_at")


class OpenRootSchema(_Dates):
    title_zh = fields.String(required=True, validate=TITLE)
    title_en = fields.String(required=True, validate=TITLE)
    starts_at = fields.AwareDateTime(required=True)
    ends_at = fields.AwareDateTime(required=True)


class OpenBelowSchema(OpenRootSchema):
    kind = fields.Enum(BudgetKind, by_value=True, required=True)
    member_cap_micro = fields.Integer(strict=True, load_default=None, allow_none=True, validate=SHARE, **MICRO)
    fund_micro = fields.Integer(strict=True, load_default=0, validate=SHARE, **MICRO)
    key = fields.String(
        load_default=None, metadata={"description": "idempotency key: the same key opens one budget"}, **KEY
    )


class ChangeBudgetSchema(_Dates):
    title_zh = fields.String(validate=TITLE)
    title_en = fields.String(validate=TITLE)
    starts_at = fields.AwareDateTime()
    ends_at = fields.AwareDateTime()
    member_cap_micro = fields.Integer(strict=True, allow_none=True, validate=SHARE, **MICRO)


class MoveSchema(ma.Schema):
    from_id = fields.UUID(required=True, metadata={"description": "the budget that gives"})
    amount_micro = fields.Integer(strict=True, required=True, validate=AMOUNT, **MICRO)
    key = fields.String(required=True, metadata={"description": "idempotency key: moves credits once"}, **KEY)


class SharesSchema(ma.Schema):
    """Either number; with neither, the limits are taken away."""

    set_micro = fields.Integer(strict=True, load_default=None, allow_none=True, validate=SHARE, **MICRO)
    raise_micro = fields.Integer(strict=True, load_default=None, allow_none=True, validate=AMOUNT, **MICRO)
    preview = fields.Boolean(load_default=False, metadata={"description": "only say what would happen"})
    version = fields.String(
        load_default=None, metadata={"description": "from a preview: refuse if the members have changed since"}
    )


class SharesAfterSchema(ma.Schema):
    members = fields.Integer()
    changed = fields.Integer()
    exhausted = fields.Integer(metadata={"description": "who would have nothing left"})
    promised_micro = fields.Integer(
        allow_none=True, metadata={"description": "all shares together, in micro-credits; null: some have no limit"}
    )
    version = fields.String()


class TrancheSchema(ma.Schema):
    id = fields.UUID()
    amount = fields.Integer(**MICRO)
    remaining = fields.Integer(**MICRO)
    valid_from = fields.AwareDateTime()
    valid_until = fields.AwareDateTime()


class DaySchema(ma.Schema):
    day = fields.Date()
    used_micro = fields.Integer(attribute="used", **MICRO)
    came_micro = fields.Integer(attribute="came", metadata={"description": "granted and passed on, less given back"})
    expired_micro = fields.Integer(attribute="expired", **MICRO)
    left_micro = fields.Integer(attribute="left", metadata={"description": "available or promised at the day's end"})


class PaceSchema(ma.Schema):
    per_day = fields.Integer(**MICRO)
    low = fields.Integer(**MICRO)
    high = fields.Integer(**MICRO)


class ForecastSchema(ma.Schema):
    pace = fields.Nested(PaceSchema)
    runs_out_on = fields.Date(attribute="outcome.runs_out_on", allow_none=True)
    earliest = fields.Date(allow_none=True, metadata={"description": "with the high pace"})
    latest = fields.Date(allow_none=True, metadata={"description": "with the low pace; null: it lasts"})
    left_micro = fields.Integer(attribute="outcome.left", metadata={"description": "unused when the budget ends"})
    expires_micro = fields.Integer(attribute="outcome.expires", metadata={"description": "unused before that"})
    days_known = fields.Integer(metadata={"description": "how many days it is drawn from"})


class BurnDownSchema(ma.Schema):
    starts_on = fields.Date()
    ends_on = fields.Date(metadata={"description": "the day after the last"})
    available_micro = fields.Integer(attribute="available", **MICRO)
    held_micro = fields.Integer(attribute="held", **MICRO)
    has_below = fields.Boolean(metadata={"description": "the budgets below are counted in"})
    days = fields.Nested(DaySchema, many=True)
    forecast = fields.Nested(ForecastSchema)
