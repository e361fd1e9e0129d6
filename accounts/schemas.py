"""What the API reads and writes about accounts."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from accounts.models import Notice, PartnerKind
from accounts.services import notices
from accounts.services.tokens import LONGEST_DAYS, SCOPES
from app.access import MemberRole, PlatformRole


class PartnerNameSchema(ma.Schema):
    id = fields.UUID()
    slug = fields.String()
    title_zh = fields.String()
    title_en = fields.String()


class PartnerSchema(PartnerNameSchema):
    kind = fields.Enum(PartnerKind, by_value=True)
    time_zone = fields.String()


class MembershipSchema(ma.Schema):
    partner = fields.Nested(PartnerNameSchema)
    role = fields.Enum(MemberRole, by_value=True)
    number = fields.String(allow_none=True, metadata={"description": "What the partner calls the person; text"})


class MeSchema(ma.Schema):
    id = fields.UUID()
    name = fields.String()
    name_latin = fields.String(allow_none=True)
    email = fields.String()
    language = fields.String()
    time_zone = fields.String()
    platform_roles = fields.List(fields.Enum(PlatformRole, by_value=True))
    memberships = fields.List(fields.Nested(MembershipSchema))
    scopes = fields.List(fields.String(), allow_none=True, metadata={"description": "Of this token; null: no token"})


class MemberSchema(ma.Schema):
    id = fields.UUID(metadata={"description": "Of the membership"})
    person_id = fields.UUID()
    name = fields.String(attribute="person.name")
    email = fields.String(attribute="person.email")
    role = fields.Enum(MemberRole, by_value=True)
    number = fields.String(allow_none=True)
    is_active = fields.Boolean(attribute="person.is_active")


class TokenSchema(ma.Schema):
    id = fields.UUID()
    name = fields.String()
    scopes = fields.List(fields.String())
    created_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime()
    last_used_at = fields.AwareDateTime(allow_none=True, metadata={"description": "Within minutes"})


class MadeTokenSchema(TokenSchema):
    token = fields.String(metadata={"description": "The secret. Shown this once."})


class MakeTokenSchema(ma.Schema):
    name = fields.String(required=True, validate=validate.Length(1, 60))
    scopes = fields.List(
        fields.String(validate=validate.OneOf(list(SCOPES))), required=True, validate=validate.Length(1, len(SCOPES))
    )
    days = fields.Integer(load_default=90, validate=validate.Range(1, LONGEST_DAYS))


class AskResetSchema(ma.Schema):
    email = fields.String(required=True, validate=validate.Length(1, 254))


class UseResetSchema(ma.Schema):
    key = fields.String(
        required=True, validate=validate.Length(1, 100), metadata={"description": "From the link in the mail"}
    )
    password = fields.String(required=True, validate=validate.Length(1, 200))


class MailChoiceSchema(ma.Schema):
    wants_mail = fields.Boolean(required=True)
    unwanted_mail = fields.List(fields.String(), required=True, metadata={"description": "Kinds that are not mailed"})


class SignInSchema(ma.Schema):
    id = fields.UUID()
    created_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime()
    address = fields.String(allow_none=True)
    browser = fields.String(allow_none=True)


class NoticeSchema(ma.Schema):
    id = fields.UUID()
    kind = fields.String()
    title = fields.Method("get_title", metadata={"type": "string"})
    text = fields.Method("get_text", metadata={"type": "string"})
    facts = fields.Dict()
    url = fields.String(allow_none=True)
    created_at = fields.AwareDateTime()
    read_at = fields.AwareDateTime(allow_none=True)

    def get_title(self, notice: Notice) -> str:
        return notices.read(notice).title

    def get_text(self, notice: Notice) -> str:
        return notices.read(notice).text


class NoticeFilterSchema(ma.Schema):
    unread = fields.Boolean(load_default=False, metadata={"description": "Only those not read yet"})


class TrailSchema(ma.Schema):
    id = fields.UUID()
    created_at = fields.AwareDateTime()
    actor_id = fields.UUID(allow_none=True)
    actor_name = fields.String()
    action = fields.String()
    subject = fields.String(metadata={"description": "The table of the row"})
    subject_id = fields.UUID()
    changes = fields.Dict(metadata={"description": "Facts: a new value, or [before, after]"})


class TrailSearchSchema(ma.Schema):
    who = fields.String(load_default=None, metadata={"description": "A part of the name of who did it"})
    action = fields.String(load_default=None, metadata={"description": "An action, or its first part: person"})
    subject_id = fields.UUID(load_default=None)
    from_at = fields.AwareDateTime(load_default=None)
    until_at = fields.AwareDateTime(load_default=None)


def me(person: Any, memberships: Any, platform_roles: Any, scopes: Any) -> dict[str, Any]:
    """A person as the API shows one to oneself."""
    row = {name: getattr(person, name) for name in ("id", "name", "name_latin", "email", "language", "time_zone")}
    return row | {
        "memberships": memberships,
        "platform_roles": sorted(platform_roles),
        "scopes": None if scopes is None else sorted(scopes),
    }
