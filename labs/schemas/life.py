"""The shapes of what happens while a lab runs: more time, keep running, looks inside."""

import marshmallow as ma
from marshmallow import fields, validate

from labs.models import SessionView, ViewState
from labs.schemas.amounts import MICRO
from labs.services.idle import LONGEST_KEEP_ALIVE
from labs.services.views import LONGEST_REASON


class RepeatSchema(ma.Schema):
    """The key under which a request may be sent again and is done once."""

    class Meta:
        unknown = ma.EXCLUDE

    key = fields.String(
        required=True,
        data_key="Idempotency-Key",
        validate=validate.Length(min=1, max=200),
        metadata={"description": "Of your choice. The same key again changes nothing; with another body it is refused"},
    )


class ExtendSchema(ma.Schema):
    minutes = fields.Integer(required=True, strict=True, validate=validate.Range(min=1, max=60 * 24 * 31))


class OutlookSchema(ma.Schema):
    possible_minutes = fields.Integer(
        attribute="minutes", metadata={"description": "How many minutes more are possible now"}
    )
    limited_by = fields.String(metadata={"description": "What sets that limit: lease, credits, maintenance or ending"})
    price_micro = fields.Integer(**MICRO)


class KeepAliveSchema(ma.Schema):
    minutes = fields.Integer(
        load_default=LONGEST_KEEP_ALIVE, strict=True, validate=validate.Range(min=1, max=LONGEST_KEEP_ALIVE)
    )


class AskLookSchema(ma.Schema):
    reason = fields.String(required=True, validate=validate.Length(min=1, max=LONGEST_REASON))


class AnswerLookSchema(ma.Schema):
    yes = fields.Boolean(required=True)


class LookSchema(ma.Schema):
    id = fields.UUID()
    session_id = fields.UUID()
    viewer = fields.Function(lambda row: {"id": str(row.viewer_id), "name": row.viewer.name})
    reason = fields.String()
    state = fields.Enum(ViewState, by_value=True)
    asked_at = fields.AwareDateTime(attribute="created_at")
    answered_at = fields.AwareDateTime(allow_none=True)
    opened_at = fields.AwareDateTime(allow_none=True, metadata={"description": "when the viewer first went inside"})
    ended_at = fields.AwareDateTime(allow_none=True)
    open_url = fields.Method("get_open_url", metadata={"description": "where the viewer goes inside, by POST"})

    def get_open_url(self, row: SessionView) -> str | None:
        return f"/labs/{row.session_id}/look" if row.state is ViewState.GRANTED else None


class StorageSchema(ma.Schema):
    center = fields.String(attribute="center.slug")
    size_bytes = fields.Integer(attribute="usage.size_bytes", dump_default=None, allow_none=True)
    files = fields.Integer(attribute="usage.files", dump_default=None, allow_none=True)
    measured_at = fields.AwareDateTime(attribute="usage.measured_at", dump_default=None, allow_none=True)
    quota_bytes = fields.Integer(allow_none=True)
    has_rescue = fields.Boolean(metadata={"description": "whether POST …/files opens them without a course"})
