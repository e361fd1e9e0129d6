"""A partner's identity provider, spoken to by OpenID Connect: code flow with PKCE, state and nonce.

Addresses come from the issuer's discovery document, are kept for some minutes, and must be https like the
issuer (http only where the issuer itself is on this machine). Keys are read again when a token names a new one.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from accounts.adapters import Arrival, Departure, ProviderRefused, ProviderUnreachable
from app import clock
from app.config import LOOPBACK

TIMEOUT = httpx.Timeout(8, connect=3)
KEPT = timedelta(minutes=10)
SCOPE = "openid profile email"
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"]
LONGEST_ANSWER = 256 * 1024
CLOCK_SKEW = 60


class OpenIdProvider:
    """One provider, as one client of it."""

    def __init__(self, issuer: str, client_id: str, client_secret: str, redirect_uri: str) -> None:
        self.issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._kept: dict[str, tuple[datetime, dict[str, Any]]] = {}

    def depart(self) -> Departure:
        """Where to send a browser that wants to sign in."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _n in range(3))
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        address = self._endpoint("authorization_endpoint")
        return Departure(f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", state, nonce, verifier)

    def arrive(self, code: str, *, nonce: str, verifier: str) -> Arrival:
        """Trade the code of a browser that came back for proof of who it is."""
        answer = self._call(
            "POST",
            self._endpoint("token_endpoint"),
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._redirect_uri,
                "code_verifier": verifier,
            },
            auth=(self._client_id, self._client_secret),
        )
        claims = self._verified(answer.get("id_token"), nonce)
        if not claims.get("name") and "userinfo_endpoint" in self._configuration():
            claims = self._with_userinfo(claims, str(answer.get("access_token", "")))
        return Arrival(self.issuer, claims["sub"], _text(claims.get("name")), _text(claims.get("email")))

    def _verified(self, token: object, nonce: str) -> dict[str, Any]:
        """OpenID Connect Core, 3.1.3.7: signature, issuer, audience, time, nonce."""
        if not isinstance(token, str):
            raise ProviderRefused("no identity token")
        try:
            claims = self._decoded(token)
            rules = jwt.JWTClaimsRegistry(
                now=int(clock.now().timestamp()),
                leeway=CLOCK_SKEW,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self._client_id},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            rules.validate(claims)
        except (JoseError, ValueError) as error:
            raise ProviderRefused(f"identity token: {type(error).__name__}") from error
        others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (others or "azp" in claims) and claims.get("azp") != self._client_id:
            raise ProviderRefused("identity token: made for another client")
        if not isinstance(claims["sub"], str) or not 1 <= len(claims["sub"]) <= 255:
            raise ProviderRefused("identity token: no subject")
        return claims

    def _decoded(self, token: str) -> dict[str, Any]:
        try:
            return dict(jwt.decode(token, self._keys(), algorithms=ALGORITHMS).claims)
        except (JoseError, ValueError):
            self._kept.pop("keys", None)  # the provider may have a new key
            return dict(jwt.decode(token, self._keys(), algorithms=ALGORITHMS).claims)

    def _with_userinfo(self, claims: dict[str, Any], access_token: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {access_token}"}
        more = self._call("GET", self._endpoint("userinfo_endpoint"), headers=headers)
        if more.get("sub") != claims["sub"]:  # Core, 5.3.2
            raise ProviderRefused("userinfo is about somebody else")
        return more | claims

    def _keys(self) -> KeySet:
        return KeySet.import_key_set(self._read("keys", self._endpoint("jwks_uri")))  # type: ignore[arg-type]

    def _configuration(self) -> dict[str, Any]:
        found = self._read("configuration", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise ProviderRefused("the discovery document is of another issuer")
        return found

    def _endpoint(self, name: str) -> str:
        address = str(self._configuration().get(name, ""))
        if not is_safe_address(address, self.issuer):
            raise ProviderRefused(f"{name} is not https")
        return address

    def _read(self, name: str, address: str) -> dict[str, Any]:
        now = clock.now()
        kept_at, found = self._kept.get(name, (None, {}))
        if kept_at is None or now - kept_at > KEPT:
            found = self._call("GET", address)
            self._kept[name] = now, found
        return found

    def _call(
        self,
        method: str,
        address: str,
        *,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            with httpx.Client(timeout=TIMEOUT, follow_redirects=False) as client:
                answer = client.request(method, address, data=data, headers=headers, auth=auth)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderUnreachable(f"{method} {urlsplit(address).path}: {type(error).__name__}") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise ProviderUnreachable(f"{method} {urlsplit(address).path}: {answer.status_code}")
        if answer.status_code != 200 or len(answer.content) > LONGEST_ANSWER:
            raise ProviderRefused(f"{method} {urlsplit(address).path}: {answer.status_code}")
        try:
            found = answer.json()
        except ValueError as error:
            raise ProviderRefused(f"{method} {urlsplit(address).path}: no JSON") from error
        if not isinstance(found, dict):
            raise ProviderRefused(f"{method} {urlsplit(address).path}: no JSON object")
        return found


def is_safe_address(address: str, issuer: str) -> bool:
    """https; or http, where the issuer itself is http on this machine (development and tests)."""
    parts, own = urlsplit(address), urlsplit(issuer)
    if parts.scheme == "https":
        return bool(parts.hostname)
    return parts.scheme == own.scheme == "http" and parts.hostname in LOOPBACK and own.hostname in LOOPBACK


def _text(value: object) -> str | None:
    return " ".join(value.split())[:254] or None if isinstance(value, str) else None
