"""The addresses where hubs sign people in: OpenID Connect, authorization code with PKCE."""

from typing import Any

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, Response, jsonify, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from accounts import oidc, queries
from accounts.errors import UnknownHub
from accounts.sign_on import bearer
from app.access import internal, public
from app.db import transaction

blp = Blueprint("oidc", __name__)

WRITES_ON_GET = {
    "oidc.authorize": "RFC 6749, 3.1: a browser is sent here with GET, and leaves with a code that must be on record"
}


@blp.get("/.well-known/openid-configuration")
@public
def configuration() -> Response:
    """Say where everything is."""
    return jsonify(oidc.provider().configuration())


@blp.get("/oauth/jwks")
@public
def keys() -> Response:
    """The key that identity tokens are signed with."""
    return jsonify(oidc.provider().public_keys())


@blp.get("/oauth/authorize")
@public
def authorize() -> ResponseReturnValue:
    """Send whoever is signed in back to the hub with a code; ask others to sign in first."""
    provider = oidc.provider()
    provider.checked_client()
    user = current_user if current_user.is_authenticated else None
    try:
        grant = provider.get_consent_grant(end_user=user)
    except ValueError as error:  # Authlib will not repeat characters in an error that RFC 6749 forbids there
        raise UnknownHub from error
    except OAuth2Error as error:
        return _to_hub(provider.handle_error_response(None, error))
    if user is None:
        return redirect(url_for("sign_in.show", next=request.full_path))
    with transaction():
        response = provider.create_authorization_response(grant_user=user, grant=grant)
    return _to_hub(response)


@blp.post("/oauth/token")
@internal
def token() -> Response:
    """A hub trades a code for tokens. The hub proves itself with its secret, the browser's code with PKCE."""
    with transaction():  # also when it is refused: the code is used up, and a replay takes tokens back
        response: Response = oidc.provider().create_token_response()
    return response


@blp.post("/oauth/revoke")
@internal
def revoke() -> Response:
    """A hub gives a token back (RFC 7009)."""
    with transaction():
        response: Response = oidc.provider().create_endpoint_response("revocation")
    return response


@blp.get("/oauth/userinfo")
@internal
def userinfo() -> ResponseReturnValue:
    """Who the token is about; refused from the moment that person's sign-in ends."""
    row = queries.live_access_token(bearer(request) or "")
    if row is None:
        refusal: dict[str, Any] = {"error": "invalid_token", "error_description": "The token has ended or never was."}
        return refusal, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return dict(oidc.claims(row.person_id))


def _to_hub(response: Response) -> Response:
    response.headers["Referrer-Policy"] = "no-referrer"  # the address holds the code
    return response
