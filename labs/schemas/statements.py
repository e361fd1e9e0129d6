"""The shapes of statements and closed months in the API."""

from typing import Any

import marshmallow as ma
from marshmallow import fields

from labs.months import Month
from labs.schemas.amounts import MICRO


class TotalsSchema(ma.Schema):
    """What the budgets of a statement did together. A balance is available + held - overrun."""

    opening = fields.Integer(**MICRO)
    granted = fields.Integer(**MICRO)
    received = fields.Integer(**MICRO)
    passed_on = fields.Integer(**MICRO)
    pulled_in = fields.Integer(**MICRO)
    pulled_out = fields.Integer(**MICRO)
    used = fields.Integer(**MICRO)
    corrected = fields.Integer(**MICRO)
    expired = fields.Integer(**MICRO)
    closing = fields.Integer(**MICRO)
    seconds = fields.Integer()
    sessions = fields.Integer()


class StatementOutlineSchema(ma.Schema):
    month = fields.String(metadata={"description": "like 2026-02"})
    is_preliminary = fields.Boolean()
    number = fields.Integer(allow_none=True)
    sha256 = fields.String(allow_none=True)
    closed_at = fields.AwareDateTime(allow_none=True)
    totals = fields.Nested(TotalsSchema, allow_none=True)


class UsedSchema(ma.Schema):
    id = fields.UUID()
    micro = fields.Integer(**MICRO)
    seconds = fields.Integer()
    sessions = fields.Integer()


class StatementSchema(ma.Schema):
    """A statement or a part of it. `body` is the whole one, as it is sealed; a part has none."""

    partner = fields.Function(lambda sheet: sheet.partner.slug)
    month = fields.String()
    is_preliminary = fields.Boolean()
    number = fields.Integer(allow_none=True)
    previous = fields.String(allow_none=True)
    sha256 = fields.String(allow_none=True)
    closed_at = fields.AwareDateTime(allow_none=True)
    totals = fields.Dict(keys=fields.String(), values=fields.Integer(), metadata={"description": "micro-credits"})
    budgets_used = fields.List(fields.Nested(UsedSchema))
    people = fields.List(fields.Nested(UsedSchema))
    flavors = fields.List(fields.Nested(UsedSchema))
    body = fields.Function(
        lambda sheet: sheet.body if sheet.is_whole else None,
        metadata={"type": ["object", "null"], "description": "as sealed; see docs/statements.md"},
    )


class StatementQuerySchema(ma.Schema):
    budget = fields.UUID(load_default=None, metadata={"description": "this budget and those below it"})
    person = fields.UUID(load_default=None)
    flavor = fields.UUID(load_default=None)


class PeriodSchema(ma.Schema):
    month = fields.Function(lambda period: str(Month.of(period.starts_at)), metadata={"type": "string"})
    starts_at = fields.AwareDateTime()
    ends_at = fields.AwareDateTime()
    created_at = fields.AwareDateTime(data_key="closed_at")
    closed_by = fields.UUID(allow_none=True, metadata={"description": "null: the clock"})


class ClosingSchema(ma.Schema):
    month = fields.String(required=True, metadata={"description": "like 2026-02"})

    @ma.validates("month")
    def _is_a_month(self, value: str, **_: Any) -> None:
        if Month.parse(value) is None:
            raise ma.ValidationError("Not a month; write it like 2026-02.")
