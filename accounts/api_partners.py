"""The API of partners' agreements, contacts and logo, and of platform roles."""

from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import request
from flask_smorest import Blueprint
from marshmallow import fields, validate

from accounts import policy, queries
from accounts.models import Partner, PartnerKind, PlatformRoleGrant
from accounts.models_partners import Agreement, PartnerContact
from accounts.schemas import PartnerSchema
from accounts.services import agreements, contacts, logo, partners, platform_roles
from app.access import PlatformRole, current_actor, people_only, scope, signed_in
from app.db import transaction
from app.errors import NotFound

blp = Blueprint(
    "partner-administration-api", __name__, url_prefix="/api/v1/partners", description="Partners: agreements, contacts"
)
roles = Blueprint(
    "platform-roles-api", __name__, url_prefix="/api/v1/platform-roles", description="Power over the whole platform"
)
BLUEPRINTS = (blp, roles)


class AgreementSchema(ma.Schema):
    id = fields.UUID(dump_only=True)
    from_at = fields.AwareDateTime(load_default=None, metadata={"description": "Without it: from now"})
    until_at = fields.AwareDateTime(load_default=None, allow_none=True, metadata={"description": "Not included"})
    reference = fields.String(load_default="", validate=validate.Length(max=200))


class EndSchema(ma.Schema):
    until_at = fields.AwareDateTime(required=True, allow_none=True, metadata={"description": "null: open-ended"})
    reason = fields.String(required=True, validate=validate.Length(1, 200))


class OpenPartnerSchema(ma.Schema):
    slug = fields.String(required=True, validate=validate.Length(1, 40))
    kind = fields.Enum(PartnerKind, by_value=True, required=True)
    title_zh = fields.String(required=True, validate=validate.Length(1, 200))
    title_en = fields.String(required=True, validate=validate.Length(1, 200))
    time_zone = fields.String(load_default="Asia/Shanghai")
    email_domains = fields.List(fields.String(), load_default=list, validate=validate.Length(max=50))
    from_at = fields.AwareDateTime(load_default=None)
    until_at = fields.AwareDateTime(load_default=None)
    reference = fields.String(load_default="", validate=validate.Length(max=200))


class ChangePartnerSchema(ma.Schema):
    title_zh = fields.String(validate=validate.Length(1, 200))
    title_en = fields.String(validate=validate.Length(1, 200))
    time_zone = fields.String()
    email_domains = fields.List(fields.String(), validate=validate.Length(max=50))


class PartnerContactSchema(ma.Schema):
    id = fields.UUID(dump_only=True)
    name = fields.String(required=True, validate=validate.Length(1, 100))
    role = fields.String(required=True, validate=validate.Length(1, 100))
    email = fields.String(load_default=None, allow_none=True)
    phone = fields.String(load_default=None, allow_none=True)


class LogoSchema(ma.Schema):
    sha256 = fields.String()
    media_type = fields.String()


class PlatformRoleSchema(ma.Schema):
    id = fields.UUID(dump_only=True)
    person_id = fields.UUID(required=True)
    role = fields.Enum(PlatformRole, by_value=True, required=True)
    reason = fields.String(required=True, validate=validate.Length(1, 200))
    from_at = fields.AwareDateTime(load_default=None)
    until_at = fields.AwareDateTime(load_default=None, allow_none=True)


class ReasonSchema(ma.Schema):
    reason = fields.String(required=True, validate=validate.Length(1, 200))


@blp.post("")
@signed_in
@scope("partners:write")
@blp.arguments(OpenPartnerSchema)
@blp.response(201, PartnerSchema)
def open_partner(body: dict[str, Any]) -> Partner:
    """Add a partner, with its first agreement. For the platform's administrators."""
    _administrators_only()
    with transaction():
        return partners.open_partner(current_actor(), **body)


@blp.patch("/<slug>")
@signed_in
@scope("partners:write")
@blp.arguments(ChangePartnerSchema)
@blp.response(200, PartnerSchema)
def change_partner(body: dict[str, Any], slug: str) -> Partner:
    """Change what is given: its time zone by the partner's administrators, the rest by the platform's."""
    partner, actor = _own(slug), current_actor()
    with transaction():
        if {"title_zh", "title_en"} & set(body):
            titles = {name: body.get(name, getattr(partner, name)) for name in ("title_zh", "title_en")}
            partners.rename(actor, slug, **titles)
        if "email_domains" in body:
            partners.set_domains(actor, slug, body["email_domains"])
        if "time_zone" in body:
            partners.set_time_zone(actor, slug, body["time_zone"])
        return queries.partner(slug)


@blp.get("/<slug>/agreements")
@signed_in
@scope("accounts:read")
@blp.response(200, AgreementSchema(many=True))
def list_agreements(slug: str) -> list[Agreement]:
    """List what was ever agreed with a partner. For its administrators."""
    return queries.agreements(_own(slug).id)


@blp.post("/<slug>/agreements")
@signed_in
@scope("partners:write")
@blp.arguments(AgreementSchema)
@blp.response(201, AgreementSchema)
def make_agreement(body: dict[str, Any], slug: str) -> Agreement:
    """Agree with a partner on [from_at, until_at). For the platform's administrators."""
    _administrators_only()
    with transaction():
        return agreements.make(current_actor(), slug, **body)


@blp.post("/<slug>/agreements/<uuid:agreement_id>/end")
@signed_in
@scope("partners:write")
@blp.arguments(EndSchema)
@blp.response(200, AgreementSchema)
def set_end(body: dict[str, Any], slug: str, agreement_id: UUID) -> Agreement:
    """Move the end of an agreement, or take it away. For the platform's administrators."""
    _administrators_only()
    until_at: datetime | None = body["until_at"]
    if agreement_id not in {agreement.id for agreement in queries.agreements(queries.partner(slug).id)}:
        raise NotFound
    with transaction():
        return agreements.set_end(current_actor(), agreement_id, until_at, body["reason"])


@blp.get("/<slug>/contacts")
@signed_in
@scope("accounts:read")
@blp.response(200, PartnerContactSchema(many=True))
def list_contacts(slug: str) -> list[PartnerContact]:
    """List whom to ask at a partner. For its people."""
    partner = queries.partner(slug)
    if not policy.may_see_contacts(current_actor(), partner.id):
        raise NotFound
    return queries.contacts(partner.id)


@blp.post("/<slug>/contacts")
@signed_in
@scope("partners:write")
@blp.arguments(PartnerContactSchema)
@blp.response(201, PartnerContactSchema)
def add_contact(body: dict[str, Any], slug: str) -> PartnerContact:
    """Name somebody who can be asked. For the partner's administrators."""
    _own(slug)
    with transaction():
        return contacts.add(current_actor(), slug, **body)


@blp.delete("/<slug>/contacts/<uuid:contact_id>")
@signed_in
@scope("partners:write")
@blp.response(204)
def remove_contact(slug: str, contact_id: UUID) -> None:
    """Take a contact from the list."""
    _own(slug)
    with transaction():
        contacts.remove(current_actor(), slug, contact_id)


@blp.put("/<slug>/logo")
@signed_in
@scope("partners:write")
@blp.response(200, LogoSchema)
def put_logo(slug: str) -> object:
    """Show a picture with the partner's name: the body is the PNG, JPEG or SVG itself, at most 256 KB."""
    _own(slug)
    content = request.get_data(cache=False)
    with transaction():
        return logo.put(current_actor(), slug, content)


@blp.delete("/<slug>/logo")
@signed_in
@scope("partners:write")
@blp.response(204)
def remove_logo(slug: str) -> None:
    """Show no picture any more."""
    _own(slug)
    with transaction():
        logo.remove(current_actor(), slug)


@roles.get("")
@signed_in
@people_only
@roles.response(200, PlatformRoleSchema(many=True))
def list_roles() -> list[PlatformRoleGrant]:
    """List who has a role on the platform, now or later. For the platform's administrators."""
    _administrators_only()
    return [grant for grant, _person in queries.platform_roles()]


@roles.post("")
@signed_in
@people_only
@roles.arguments(PlatformRoleSchema)
@roles.response(201, PlatformRoleSchema)
def grant_role(body: dict[str, Any]) -> PlatformRoleGrant:
    """Give a person a role for [from_at, until_at), with a reason."""
    _administrators_only()
    with transaction():
        return platform_roles.grant(current_actor(), **body)


@roles.post("/<uuid:grant_id>/end")
@signed_in
@people_only
@roles.arguments(ReasonSchema)
@roles.response(200, PlatformRoleSchema)
def end_role(body: dict[str, Any], grant_id: UUID) -> PlatformRoleGrant:
    """Take a role back, now."""
    _administrators_only()
    with transaction():
        return platform_roles.end(current_actor(), grant_id, body["reason"])


def _administrators_only() -> None:
    """For everybody else there is no such place."""
    if not policy.may_manage_partners(current_actor()):
        raise NotFound


def _own(slug: str) -> Partner:
    partner = queries.partner(slug)
    if not policy.may_change_partner(current_actor(), partner.id):
        raise NotFound
    return partner
