"""The shapes of holds in the API: credits that a program puts aside, charges and gives back."""

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from labs.models import HoldState
from labs.schemas.amounts import MICRO

LONGEST = 366 * 86400
SHORTEST_EXPIRY = 60
PURPOSE = re.compile(r"[^\x00-\x1f\x7f]{1,200}\Z")
SECONDS: dict[str, Any] = {"strict": True, "required": True}


class HoldSchema(ma.Schema):
    id = fields.UUID()
    budget_id = fields.UUID()
    person_id = fields.UUID()
    center_id = fields.UUID()
    flavor_id = fields.UUID(allow_none=True)
    purpose = fields.String(allow_none=True, metadata={"description": "null: it belongs to a lab session"})
    state = fields.Enum(HoldState, by_value=True)
    seconds = fields.Integer(allow_none=True, metadata={"description": "how long it pays for"})
    amount_micro = fields.Integer(attribute="amount", **MICRO)
    price_micro = fields.Integer(metadata={"description": "micro-credits an hour, outside the bands of the rate"})
    posted_seconds = fields.Integer(metadata={"description": "used so far"})
    posted_micro = fields.Integer(**MICRO)
    created_at = fields.AwareDateTime()
    started_at = fields.AwareDateTime(allow_none=True)
    expires_at = fields.AwareDateTime(allow_none=True)
    closed_at = fields.AwareDateTime(allow_none=True)


class ReserveSchema(ma.Schema):
    budget_id = fields.UUID(required=True)
    person_id = fields.UUID(required=True, metadata={"description": "for whom; must be among the budget's members"})
    flavor_id = fields.UUID(load_default=None, metadata={"description": "or else center and flavor"})
    center = fields.String(load_default=None, metadata={"description": "slug"})
    flavor = fields.String(load_default=None, metadata={"description": "slug of the center's flavor"})
    seconds = fields.Integer(**SECONDS, validate=validate.Range(min=1, max=LONGEST))
    purpose = fields.String(required=True, validate=validate.Regexp(PURPOSE))
    expires_in = fields.Integer(
        strict=True,
        load_default=None,
        validate=validate.Range(min=SHORTEST_EXPIRY, max=2 * LONGEST),
        metadata={"description": "seconds after which an open hold ends by itself; without it a day after its time"},
    )

    @ma.validates_schema
    def _names_a_flavor(self, data: dict[str, Any], **_: Any) -> None:
        slugs = (data["center"], data["flavor"])
        if (all(slugs), any(slugs)) != ((False, False) if data["flavor_id"] else (True, True)):
            raise ma.ValidationError("Give either flavor_id, or center and flavor.", "flavor_id")


class ExtendHoldSchema(ma.Schema):
    seconds = fields.Integer(**SECONDS, validate=validate.Range(min=1, max=LONGEST))


class HoldUsageSchema(ma.Schema):
    seconds = fields.Integer(
        **SECONDS,
        validate=validate.Range(min=0, max=2 * LONGEST),
        metadata={"description": "used since it started, all together: sending a number twice changes nothing"},
    )
    started_at = fields.AwareDateTime(
        load_default=None, metadata={"description": "since when it runs; by default since the hold was made"}
    )
