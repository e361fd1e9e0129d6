"""The shapes of rates, and of the account of a session, in the API."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from labs.models import Account, Command, HoldState
from labs.schemas.amounts import MICRO

TIME = validate.Regexp(r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")


class BandSchema(ma.Schema):
    """Hours of the week at another price, in the center's time zone."""

    days = fields.List(
        fields.Integer(validate=validate.Range(1, 7)),
        required=True,
        metadata={"description": "days of the week as in ISO 8601: 1 is Monday"},
    )
    begins = fields.String(required=True, data_key="from", attribute="from", validate=TIME)
    until = fields.String(required=True, validate=TIME)
    price_micro = fields.Integer(required=True, validate=validate.Range(0, 10**15), **MICRO)
    name_zh = fields.String(load_default="", validate=validate.Length(max=40))
    name_en = fields.String(load_default="", validate=validate.Length(max=40))


class RateSchema(ma.Schema):
    id = fields.UUID(dump_only=True)
    valid_from = fields.AwareDateTime(
        load_default=None, allow_none=True, metadata={"description": "now, where none is given; never in the past"}
    )
    price_micro = fields.Integer(
        required=True,
        validate=validate.Range(0, 10**15),
        metadata={"description": "micro-credits an hour, outside of the bands"},
    )
    bands = fields.List(fields.Nested(BandSchema), load_default=list, validate=validate.Length(max=20))


class PartOfHoldSchema(ma.Schema):
    tranche_id = fields.UUID()
    valid_until = fields.AwareDateTime()
    amount_micro = fields.Integer(**MICRO)
    used_micro = fields.Integer(**MICRO)


class MovementSchema(ma.Schema):
    account = fields.Enum(Account, by_value=True)
    amount_micro = fields.Integer(**MICRO)
    tranche_id = fields.UUID(allow_none=True)


class BookedSchema(ma.Schema):
    at = fields.AwareDateTime()
    command = fields.Enum(Command, by_value=True)
    reason = fields.String(allow_none=True)
    movements = fields.List(fields.Nested(MovementSchema))


class HoldAccountSchema(ma.Schema):
    id = fields.UUID()
    state = fields.Enum(HoldState, by_value=True)
    created_at = fields.AwareDateTime()
    started_at = fields.AwareDateTime(allow_none=True)
    closed_at = fields.AwareDateTime(allow_none=True)
    seconds = fields.Integer(allow_none=True, metadata={"description": "how long it pays for, with the grace"})
    amount_micro = fields.Integer(attribute="amount", **MICRO)
    price_micro = fields.Integer(metadata={"description": "micro-credits an hour, as pinned"})
    bands = fields.List(fields.Nested(BandSchema))
    time_zone = fields.String(allow_none=True)
    posted_seconds = fields.Integer()
    posted_micro = fields.Integer(**MICRO)
    corrected_micro = fields.Integer(**MICRO)


class ExplanationSchema(ma.Schema):
    session_id = fields.UUID(attribute="session.id")
    hold = fields.Nested(HoldAccountSchema, allow_none=True)
    parts = fields.List(fields.Nested(PartOfHoldSchema))
    commands = fields.List(fields.Nested(BookedSchema))
    returned_micro = fields.Integer(**MICRO)
    expired_micro = fields.Integer(**MICRO)
    overrun_micro = fields.Integer(**MICRO)
    lost_micro = fields.Integer(metadata={"description": "micro-credits that the center bears"})


def plain(bands: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bands as they are stored: days in order, each once."""
    return [dict(band) | {"days": sorted(set(band["days"]))} for band in bands]
