"""The shapes that the courses API reads and writes."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from accounts.schemas import PartnerNameSchema
from courses.live_class import SORTS as CLASS_SORTS
from courses.live_class import STATES as CLASS_STATES
from courses.models import CourseLevel, CourseState, EnrollmentState, RunState, TeachingRole, UnitKind
from courses.queries import SORTS


class CatalogQuerySchema(ma.Schema):
    q = fields.String(
        load_default="", metadata={"description": "Words that titles, summaries, teacher or partner hold"}
    )
    level = fields.Enum(CourseLevel, by_value=True, load_default=None)
    partner = fields.String(load_default="", metadata={"description": "Slug of the partner that offers the course"})
    sort = fields.String(load_default="newest", validate=validate.OneOf(SORTS))


class NameSchema(ma.Schema):
    id = fields.UUID()
    name = fields.String()


class ContactSchema(NameSchema):
    email = fields.String()


class CourseSchema(ma.Schema):
    id = fields.UUID()
    slug = fields.String()
    title_zh = fields.String()
    title_en = fields.String()
    summary_zh = fields.String()
    summary_en = fields.String()
    level = fields.Enum(CourseLevel, by_value=True)
    hours = fields.Integer(metadata={"description": "Hours of study"})
    state = fields.Enum(CourseState, by_value=True)
    partner = fields.Nested(PartnerNameSchema)
    teacher = fields.Nested(NameSchema, attribute="owner")


class OutlineSchema(ma.Schema):
    id = fields.UUID()
    position = fields.Integer()
    kind = fields.Enum(UnitKind, by_value=True)
    title_zh = fields.String()
    title_en = fields.String()
    minutes_estimate = fields.Integer()


class UnitSchema(OutlineSchema):
    body_zh = fields.String(metadata={"description": "CommonMark"})
    body_en = fields.String(metadata={"description": "CommonMark"})
    lab_template_id = fields.UUID(allow_none=True)


class IdleSchema(ma.Schema):
    idle_minutes = fields.Integer(
        strict=True, required=True, allow_none=True, metadata={"description": "without work, until a lab is stopped"}
    )


class RegionSchema(ma.Schema):
    region = fields.String(
        required=True, allow_none=True, metadata={"description": "where data must lie, as ISO 3166 writes it: CN-SC"}
    )


class SeatPoolSchema(ma.Schema):
    partner = fields.Nested(PartnerNameSchema, allow_none=True, metadata={"description": "null: shared by all"})
    cap = fields.Integer()
    used = fields.Integer()
    free = fields.Integer()


class TeacherSchema(ma.Schema):
    person = fields.Nested(NameSchema)
    role = fields.Enum(TeachingRole, by_value=True)


class EnrollmentSchema(ma.Schema):
    id = fields.UUID()
    run_id = fields.UUID()
    person = fields.Nested(NameSchema)
    state = fields.Enum(EnrollmentState, by_value=True)
    state_at = fields.AwareDateTime(metadata={"description": "Since when it is in this state"})


class PlacedEnrollmentSchema(EnrollmentSchema):
    place = fields.Integer(allow_none=True, metadata={"description": "Place on the waiting list, from 1"})


class RunBriefSchema(ma.Schema):
    id = fields.UUID()
    slug = fields.String()
    title_zh = fields.String()
    title_en = fields.String()
    state = fields.Enum(RunState, by_value=True)
    starts_at = fields.AwareDateTime()
    ends_at = fields.AwareDateTime()
    enroll_from_at = fields.AwareDateTime()
    enroll_until_at = fields.AwareDateTime()
    has_waiting_list = fields.Boolean()
    pools = fields.List(fields.Nested(SeatPoolSchema))


class RunSchema(RunBriefSchema):
    course = fields.Nested(CourseSchema)
    teachers = fields.List(fields.Nested(TeacherSchema))
    units = fields.List(fields.Nested(OutlineSchema))
    waiting = fields.Integer(metadata={"description": "How many people wait for a seat"})
    my_enrollment = fields.Nested(PlacedEnrollmentSchema, allow_none=True)


class CourseDetailSchema(CourseSchema):
    runs = fields.List(fields.Nested(RunBriefSchema))
    units = fields.List(fields.Nested(OutlineSchema))


class EnrollSchema(ma.Schema):
    person_id = fields.UUID(load_default=None, metadata={"description": "Who enrolls; you, unless you teach the run"})


class RemovalSchema(ma.Schema):
    reason = fields.String(required=True, validate=validate.Length(min=1, max=500))


class LaunchSchema(ma.Schema):
    flavor_id = fields.UUID(load_default=None, metadata={"description": "one flavor of one center; or else a size"})
    size = fields.String(
        load_default=None,
        validate=validate.Length(min=1, max=100),
        metadata={"description": "as the launch panel names it: at whichever center is best"},
    )
    center = fields.String(load_default=None, metadata={"description": "with a size: at this center only"})
    minutes = fields.Integer(required=True, strict=True, validate=validate.Range(min=1, max=10_000_000))
    wait = fields.Boolean(
        load_default=True, metadata={"description": "join the line where the center is full; else CAPACITY_FULL"}
    )

    @ma.validates_schema
    def _says_what(self, data: dict[str, Any], **_: object) -> None:
        if (data["flavor_id"] is None) == (data["size"] is None):
            raise ma.ValidationError("Give either flavor_id or size.", "flavor_id")
        if data["center"] is not None and data["size"] is None:
            raise ma.ValidationError("A center is chosen with a size; a flavor has its own.", "center")


class LaunchKeySchema(ma.Schema):
    class Meta:
        unknown = ma.EXCLUDE

    key = fields.String(
        data_key="Idempotency-Key",
        load_default=None,
        metadata={"description": "the same key and body give the same session, also after it has ended"},
    )


class RosterEntrySchema(EnrollmentSchema):
    person = fields.Nested(ContactSchema)


class ClassLabSchema(ma.Schema):
    id = fields.UUID()
    state = fields.String()
    flavor = fields.String(attribute="flavor.slug")
    since_at = fields.AwareDateTime()
    lease_ends_at = fields.AwareDateTime(allow_none=True)
    extended_minutes = fields.Integer(metadata={"description": "given later"})
    cost_micro = fields.Integer(metadata={"description": "Micro-credits used until now"})
    work = fields.String(metadata={"description": "busy, quiet, idle (about to be stopped for it) or unknown"})
    kernels = fields.Integer(allow_none=True)
    busy_kernels = fields.Integer(allow_none=True)
    reported_at = fields.AwareDateTime(allow_none=True, metadata={"description": "when the lab said so"})
    keep_alives = fields.Integer(metadata={"description": "how often its person kept it running"})
    storage_bytes = fields.Integer(allow_none=True, metadata={"description": "of the person's home at the center"})


class ClassSeatSchema(ma.Schema):
    person = fields.Nested(ContactSchema)
    state = fields.Enum(EnrollmentState, by_value=True, allow_none=True, metadata={"description": "null: a teacher"})
    unit = fields.Nested(OutlineSchema, allow_none=True)
    lab = fields.Nested(ClassLabSchema, allow_none=True, metadata={"description": "What runs now, if anything"})


class ClassQuerySchema(ma.Schema):
    q = fields.String(load_default="", metadata={"description": "words in the name or the address"})
    state = fields.String(load_default="", validate=validate.OneOf(("", *CLASS_STATES)))
    sort = fields.String(load_default=CLASS_SORTS[0], validate=validate.OneOf(CLASS_SORTS))


class ClassActionSchema(ma.Schema):
    action = fields.String(required=True, validate=validate.OneOf(("stop", "extend")))
    session_ids = fields.List(fields.UUID(), required=True, validate=validate.Length(min=1, max=500))
    minutes = fields.Integer(
        load_default=15, strict=True, validate=validate.Range(min=1), metadata={"description": "how much longer"}
    )
    key = fields.String(
        load_default="", validate=validate.Length(max=150), metadata={"description": "the same key extends once"}
    )


class ClassResultSchema(ma.Schema):
    session_id = fields.UUID()
    person = fields.String()
    done = fields.Boolean()
    code = fields.Function(lambda row: row.problem.code if row.problem else None)
    title = fields.Function(lambda row: str(row.problem.title) if row.problem else None)
    detail = fields.Function(lambda row: str(row.problem.detail) if row.problem and row.problem.detail else None)
