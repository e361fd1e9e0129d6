"""The shapes of centers and flavors in the API."""

import marshmallow as ma
from marshmallow import fields

from labs.models import CenterKind, CenterState


class FlavorSchema(ma.Schema):
    id = fields.UUID()
    slug = fields.String()
    size = fields.String(metadata={"description": "the same word for flavors that give the same, at any center"})
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
    kind = fields.Enum(CenterKind, by_value=True, metadata={"description": "what runs its labs"})
    region = fields.String(allow_none=True, metadata={"description": "where its disks stand: CN-SC; null: not said"})
    session_limit = fields.Integer()
    idle_minutes = fields.Integer(metadata={"description": "without work, until a lab is stopped"})
    unreachable_since = fields.AwareDateTime(allow_none=True)


class CenterSchema(CenterBriefSchema):
    flavors = fields.Nested(FlavorSchema, many=True)


class CenterChangeSchema(ma.Schema):
    state = fields.Enum(CenterState, by_value=True)
    idle_minutes = fields.Integer(strict=True, metadata={"description": "without work, until a lab is stopped"})
    region = fields.String(allow_none=True, metadata={"description": "where its disks stand, as ISO 3166 writes it"})


class DriftCenterSchema(ma.Schema):
    center = fields.String()
    total = fields.Integer()
    kinds = fields.Dict(keys=fields.String(), values=fields.Integer())


class DriftItemSchema(ma.Schema):
    kind = fields.String(metadata={"description": "unreachable, missing, starting, stopping, after-lease, unpaid, …"})
    center = fields.String()
    subject_id = fields.UUID(metadata={"description": "the session, stray, hold or center that it is about"})
    since = fields.AwareDateTime(allow_none=True)
    what = fields.String()


class DriftSchema(ma.Schema):
    total = fields.Integer(metadata={"description": "returns to zero within a minute"})
    centers = fields.Nested(DriftCenterSchema, many=True)
    items = fields.Nested(DriftItemSchema, many=True, metadata={"description": "the oldest hundred of each kind"})
