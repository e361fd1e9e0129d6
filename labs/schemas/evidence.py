"""The shapes of what schedulers' accounting says, in the API."""

import marshmallow as ma
from marshmallow import fields

from labs.models import RejectState
from labs.queries.evidence import DifferenceKind


class DifferenceSchema(ma.Schema):
    kind = fields.Enum(DifferenceKind, by_value=True)
    center = fields.String()
    session_id = fields.UUID()
    since = fields.AwareDateTime(allow_none=True)
    charged_seconds = fields.Integer()
    accounted_seconds = fields.Integer(metadata={"description": "that are to be paid: up to the grace after the lease"})
    charged_micro = fields.Integer(metadata={"description": "micro-credits"})


class CursorSchema(ma.Schema):
    center = fields.String(attribute="center.slug")
    read_until = fields.AwareDateTime()
    answered_at = fields.AwareDateTime(allow_none=True)
    silent_since = fields.AwareDateTime(allow_none=True, metadata={"description": "null: it answers"})
    why = fields.String(allow_none=True)


class AccountingSchema(ma.Schema):
    differences = fields.Nested(
        DifferenceSchema, many=True, metadata={"description": "where ledger and accounting part; the oldest 200"}
    )
    cursors = fields.Nested(CursorSchema, many=True)
    unread = fields.List(fields.String(), metadata={"description": "centers of Slurm whose accounting was never read"})


class RejectSchema(ma.Schema):
    id = fields.UUID()
    created_at = fields.AwareDateTime()
    center = fields.String(attribute="center.slug")
    why = fields.String(metadata={"description": "no-field, no-number, ends-before-start, in-the-future, nobody-s …"})
    detail = fields.String()
    raw = fields.Dict(metadata={"description": "the row as it came"})
    state = fields.Enum(RejectState, by_value=True)
    decided_at = fields.AwareDateTime(allow_none=True)


class RejectQuerySchema(ma.Schema):
    state = fields.Enum(RejectState, by_value=True, load_default=RejectState.OPEN)


class RejectDecisionSchema(ma.Schema):
    state = fields.Enum(
        RejectState,
        by_value=True,
        required=True,
        validate=ma.validate.OneOf([RejectState.DISMISSED, RejectState.AGAIN]),
        metadata={"description": "dismissed: forget it; again: let the next import read it once more"},
    )
