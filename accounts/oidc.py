"""OpenID Connect for the hubs: Authlib's rules for a server, over our rows and settings.

Clients are the hubs in the settings; nobody registers one at run time, so nobody is asked for consent.
"""

import hmac
import os
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Payload, FlaskOAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin, InvalidRequestError, OAuth2Request, TokenMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, Request, current_app, request
from joserfc.jwk import RSAKey

from accounts import queries
from accounts.errors import UnknownHub
from accounts.models import AccessToken, AuthorizationCode, Person, SignIn
from accounts.services import hub_sign_on
from app import clock
from app.config import LOOPBACK, HubSettings, Settings
from app.db import db
from app.errors import Unavailable

ALGORITHM = "RS256"
SCOPES = ("openid", "profile")
AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


def init_app(app: Flask) -> None:
    settings: Settings = app.extensions["settings"]
    _allow_http_on_loopback(settings.platform_url)
    app.extensions["oidc"] = _Provider(settings) if settings.oidc_key else None


def provider() -> "_Provider":
    found = current_app.extensions["oidc"]
    if found is None:
        raise Unavailable("OIDC_KEY_FILE is not set: this installation signs nobody in to hubs.", retry_after=300)
    return found  # type: ignore[no-any-return]


class _Provider(AuthorizationServer):
    """The authorization server, and the key its identity tokens are signed with."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.issuer = settings.platform_url
        self.key = RSAKey.import_key(settings.oidc_key, {"use": "sig", "alg": ALGORITHM})
        self.key.ensure_kid()
        self._clients = {hub.client_id: Client(hub) for hub in settings.hubs}
        self.load_config({"OAUTH2_SCOPES_SUPPORTED": list(SCOPES)})
        self.register_grant(_CodeGrant, [_IdToken(self), _S256(required=True)])
        self.register_endpoint(_Revocation)

    def query_client(self, client_id: str) -> "Client | None":
        return self._clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        row = hub_sign_on.keep_token(request.authorization_code.row, token["access_token"])
        token["expires_in"] = int((row.expires_at - clock.now()).total_seconds())

    def create_oauth2_request(self, _request: object) -> OAuth2Request:
        return _OAuth2Request(self.issuer, request)

    def checked_client(self) -> "Client":
        """The hub that asks, at its own address. Anybody else is told so here and sent nowhere (RFC 6749, 4.1.2.1)."""
        client = self.query_client(request.args.get("client_id", ""))
        if client is None or not client.check_redirect_uri(request.args.get("redirect_uri", "")):
            raise UnknownHub
        return client

    def public_keys(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    def configuration(self) -> dict[str, Any]:
        """What OpenID Connect Discovery 1.0 asks a provider to say about itself."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/oauth/authorize",
            "token_endpoint": f"{self.issuer}/oauth/token",
            "userinfo_endpoint": f"{self.issuer}/oauth/userinfo",
            "revocation_endpoint": f"{self.issuer}/oauth/revoke",
            "jwks_uri": f"{self.issuer}/oauth/jwks",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": AUTH_METHODS,
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": ["sub", "name", "preferred_username", "groups"],
        }


class Client(ClientMixin):
    """A hub as an OAuth client."""

    id_token_signed_response_alg = ALGORITHM

    def __init__(self, hub: HubSettings) -> None:
        self._hub = hub

    @property
    def client_id(self) -> str:
        return self._hub.client_id

    @property
    def redirect_uri(self) -> str:
        return f"{self._hub.public_url.rstrip('/')}/hub/oauth_callback"

    def get_client_id(self) -> str:
        return self._hub.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(name for name in (scope or "").split() if name in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(client_secret.encode(), self._hub.client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in AUTH_METHODS

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Code(AuthorizationCodeMixin):
    """One of our codes, as Authlib wants to see it."""

    code_challenge_method = "S256"

    def __init__(self, row: AuthorizationCode) -> None:
        self.row = row
        self.code_challenge = row.code_challenge

    def get_redirect_uri(self) -> str:
        return self.row.redirect_uri

    def get_scope(self) -> str:
        return self.row.scope

    def get_nonce(self) -> str | None:
        return self.row.nonce

    def get_auth_time(self) -> int:
        return int(db.session.get_one(SignIn, self.row.sign_in_id).created_at.timestamp())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Token(TokenMixin):
    """One of our tokens, as Authlib wants to see it."""

    def __init__(self, row: AccessToken) -> None:
        self.row = row

    def check_client(self, client: Client) -> bool:
        return self.row.client_id == client.client_id


def claims(person_id: Any) -> UserInfo:
    """What a hub learns about a person: a name that never changes, one to show, and the partners as groups."""
    actor = queries.actor(person_id)
    groups = sorted(slug for slug, _zh, _en in actor.partners.values())
    return UserInfo(sub=person_id.hex, name=actor.name, preferred_username=person_id.hex, groups=groups)


class _CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        hub_sign_on.keep_code(
            code,
            person_id=request.user.id,
            sign_in_id=request.user.sign_in_id,
            client_id=request.client.client_id,
            redirect_uri=request.payload.redirect_uri,
            scope=request.scope,
            nonce=request.payload.data.get("nonce"),
            code_challenge=request.payload.data["code_challenge"],
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """Uses the code up, whatever else is wrong with the request: a code is tried once."""
        row = hub_sign_on.redeem(code, client.client_id)
        return Code(row) if row else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """It stays, marked as used, so that a replay is noticed."""

    def authenticate_user(self, authorization_code: Code) -> Person:
        return queries.person(authorization_code.row.person_id)


class _IdToken(OpenIDCode):
    def __init__(self, provider: _Provider) -> None:
        super().__init__(require_nonce=False)
        self._provider = provider

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        return hub_sign_on.nonce_is_known(nonce, request.payload.client_id)

    def resolve_client_private_key(self, client: Client) -> RSAKey:
        return self._provider.key

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        return {"iss": self._provider.issuer, "aud": [client.client_id]}

    def get_encode_header(self, client: Client) -> dict[str, Any]:
        return {"alg": ALGORITHM, "kid": self._provider.key.kid}

    def get_client_algorithm(self, client: Client) -> str:
        return ALGORITHM

    def generate_user_info(self, user: Person, scope: str) -> UserInfo:
        return claims(user.id)


class _S256(CodeChallenge):
    """PKCE with S256, from every client: Authlib alone would let one that has a secret go without."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: AuthorizationCodeGrant, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with 'code_challenge_method=S256' is required.")
        super().validate_code_challenge(grant, redirect_uri)


class _Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = AUTH_METHODS

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        row = queries.live_access_token(token_string)
        return Token(row) if row else None

    def revoke_token(self, token: Token, request: OAuth2Request) -> None:
        hub_sign_on.revoke(token.row)


class _OAuth2Request(FlaskOAuth2Request):
    """Is judged by the platform's public address: TLS may end in front of us."""

    def __init__(self, issuer: str, flask_request: Request) -> None:
        uri = f"{issuer}{flask_request.full_path}"
        OAuth2Request.__init__(self, method=flask_request.method, uri=uri, headers=flask_request.headers)
        self._request = flask_request
        self.payload = FlaskOAuth2Payload(flask_request)


def _allow_http_on_loopback(platform_url: str) -> None:
    """Authlib insists on https; on one's own machine there is nobody in between."""
    parts = urlsplit(platform_url)
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
