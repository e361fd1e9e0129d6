"""The shape of the launch panel in the API."""

from typing import Any

import marshmallow as ma
from marshmallow import fields

from labs.errors import LaunchRefused
from labs.schemas.amounts import MICRO
from labs.schemas.centers import FlavorSchema
from labs.schemas.sessions import SessionSchema
from labs.services.panel import Offer


class LevelSchema(ma.Schema):
    name = fields.String(
        metadata={"description": "cap (one's own share), budget, or valid (of the budget, until the lease's end)"}
    )
    left_micro = fields.Integer(**MICRO)
    limit_micro = fields.Integer(**MICRO)


class PlaceSchema(ma.Schema):
    center = fields.String(attribute="center.slug")
    flavor = fields.Nested(FlavorSchema)
    price_now_micro = fields.Integer(attribute="price_now", metadata={"description": "micro-credits an hour, now"})
    longest_minutes = fields.Integer()
    affordable_minutes = fields.Integer()
    obstacle = fields.String(
        allow_none=True, metadata={"description": "the reason a launch would be refused for; null: available"}
    )
    refusal = fields.Method(
        "get_refusal", allow_none=True, metadata={"description": "that refusal, as a launch would answer it"}
    )
    line = fields.Integer(attribute="load.waiting", metadata={"description": "how many labs wait at its center"})
    is_full = fields.Boolean(metadata={"description": "a launch would join the line"})
    estimated_start_at = fields.Function(
        lambda offer: offer.wait and offer.wait.likely_at.isoformat(),
        allow_none=True,
        metadata={"description": "when a launch that joins the line would probably get its place"},
    )

    expected_wait_seconds = fields.Integer(attribute="prospect.wait_seconds")
    is_home = fields.Boolean(metadata={"description": "one's files of this lab lie at its center"})

    def get_refusal(self, offer: Offer) -> dict[str, Any] | None:
        return None if offer.refusal is None else refusal_object(offer.refusal)


class OfferSchema(PlaceSchema):
    size = fields.String(attribute="flavor.size", metadata={"description": "to launch it wherever it is best"})
    elsewhere = fields.Nested(
        PlaceSchema, many=True, metadata={"description": "the same size at other centers, the next best first"}
    )


class OpenTermsSchema(ma.Schema):
    center = fields.String(attribute="center.slug")
    number = fields.Integer()
    text_zh = fields.String()
    text_en = fields.String()


class LaunchPanelSchema(ma.Schema):
    default_minutes = fields.Integer()
    home = fields.String(
        attribute="home.slug", dump_default=None, metadata={"description": "the center where one's files lie"}
    )
    is_member = fields.Boolean()
    can_launch = fields.Boolean()
    levels = fields.Nested(LevelSchema, many=True)
    offers = fields.Nested(
        OfferSchema, many=True, metadata={"description": "one for each size, as the best center offers it"}
    )
    terms = fields.Nested(
        OpenTermsSchema, many=True, metadata={"description": "to accept before a launch at that center"}
    )
    live = fields.Nested(SessionSchema, allow_none=True)


def refusal_object(refusal: LaunchRefused) -> dict[str, Any]:
    """A refusal as the API answers it, without what belongs to one answer."""
    return {
        "code": refusal.code,
        "title": str(refusal.title),
        "detail": None if refusal.detail is None else str(refusal.detail),
        "remedies": [{"code": r.code, "text": str(r.text), "url": r.url} for r in refusal.remedies],
        **{k: (v.isoformat() if hasattr(v, "isoformat") else v) for k, v in refusal.members.items()},
    }
