"""The shape of the launch panel in the API."""

import marshmallow as ma
from marshmallow import fields

from labs.schemas.amounts import MICRO
from labs.schemas.centers import FlavorSchema
from labs.schemas.sessions import SessionSchema


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
