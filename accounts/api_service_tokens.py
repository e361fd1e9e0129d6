"""The API of service tokens: of a partner, and of the platform. For people in a browser: no token makes tokens."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask_smorest import Blueprint
from marshmallow import fields, validate

from accounts import queries
from accounts.models import ServiceToken
from accounts.schemas import MadeTokenSchema, TokenSchema
from accounts.services import service_tokens
from accounts.services.tokens import LONGEST_DAYS
from app.access import current_actor, people_only, signed_in
from app.db import transaction

of_partners = Blueprint(
    "service-tokens-api", __name__, url_prefix="/api/v1/partners/<slug>/tokens", description="Tokens of a partner"
)
of_platform = Blueprint(
    "platform-tokens-api", __name__, url_prefix="/api/v1/service-tokens", description="Tokens of the platform"
)
BLUEPRINTS = (of_partners, of_platform)


class MakeServiceTokenSchema(ma.Schema):
    name = fields.String(required=True, validate=validate.Length(1, 60))
    scopes = fields.List(fields.String(), required=True, validate=validate.Length(1, 20))
    days = fields.Integer(load_default=90, validate=validate.Range(1, LONGEST_DAYS))


@of_partners.get("")
@signed_in
@people_only
@of_partners.response(200, TokenSchema(many=True))
def list_tokens(slug: str) -> list[ServiceToken]:
    """List a partner's tokens that were not revoked. For the partner's administrators."""
    return service_tokens.list_all(current_actor(), queries.partner(slug).id)


@of_partners.post("")
@signed_in
@people_only
@of_partners.arguments(MakeServiceTokenSchema)
@of_partners.response(201, MadeTokenSchema)
def make_token(body: dict[str, Any], slug: str) -> dict[str, Any]:
    """Make a token that acts for the partner."""
    with transaction():
        return _shown(*service_tokens.make(current_actor(), partner_id=queries.partner(slug).id, **body))


@of_partners.delete("/<uuid:token_id>")
@signed_in
@people_only
@of_partners.response(204)
def revoke_token(slug: str, token_id: UUID) -> None:
    """Revoke a token of the partner."""
    with transaction():
        service_tokens.revoke(current_actor(), queries.partner(slug).id, token_id)


@of_platform.get("")
@signed_in
@people_only
@of_platform.response(200, TokenSchema(many=True))
def list_platform_tokens() -> list[ServiceToken]:
    """List the platform's tokens that were not revoked. For its administrators."""
    return service_tokens.list_all(current_actor(), None)


@of_platform.post("")
@signed_in
@people_only
@of_platform.arguments(MakeServiceTokenSchema)
@of_platform.response(201, MadeTokenSchema)
def make_platform_token(body: dict[str, Any]) -> dict[str, Any]:
    """Make a token that acts for the platform, as an operator would."""
    with transaction():
        return _shown(*service_tokens.make(current_actor(), partner_id=None, **body))


@of_platform.delete("/<uuid:token_id>")
@signed_in
@people_only
@of_platform.response(204)
def revoke_platform_token(token_id: UUID) -> None:
    """Revoke a token of the platform."""
    with transaction():
        service_tokens.revoke(current_actor(), None, token_id)


def _shown(token: ServiceToken, secret: str) -> dict[str, Any]:
    return {name: getattr(token, name) for name in TokenSchema().fields} | {"token": secret}
