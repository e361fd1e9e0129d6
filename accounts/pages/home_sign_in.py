"""Sign in through a partner's identity provider: the way there and the way back."""

import hmac
import logging
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, current_app, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from accounts import queries, sealing
from accounts.adapters import Arrival, ProviderRefused, ProviderUnreachable
from accounts.adapters.openid import OpenIdProvider
from accounts.errors import AccountClosed, IdentityUnknown, SignOnFailed
from accounts.models import IdentityProvider
from accounts.pages import sign_in
from accounts.services import home_sign_in
from app import clock
from app.access import current_actor, public, signed_in
from app.db import db, transaction
from app.errors import NotFound, Unavailable
from app.locale import pick
from app.pages import local_path

blp = Blueprint("home_sign_in", __name__, template_folder="../templates")
log = logging.getLogger(__name__)
DEPARTURE = "departure"
ARRIVAL = "arrival"
DEPARTURE_LASTS = timedelta(minutes=10)
WRITES_ON_GET = {
    "home_sign_in.arrive": "OpenID Connect Core, 3.1.2.5: the browser comes back with GET; a session begins"
}


@blp.get("/sign-in/with/<slug>")
@public
def depart(slug: str) -> ResponseReturnValue:
    """Send the browser to the partner's provider; who is signed in already connects the two accounts."""
    provider = queries.identity_provider(slug)
    try:
        departure = _client(provider).depart()
    except (ProviderUnreachable, ProviderRefused) as error:
        raise _unavailable(provider, error) from error
    session[DEPARTURE] = {
        "slug": slug,
        "state": departure.state,
        "nonce": departure.nonce,
        "verifier": departure.verifier,
        "until": (clock.now() + DEPARTURE_LASTS).timestamp(),
        "way_back": local_path(request.args.get("next")),
        "link": str(current_user.id) if current_user.is_authenticated else None,
    }
    return redirect(departure.url)


@blp.get("/sign-in/back")
@public
def arrive() -> ResponseReturnValue:
    """Take the browser back from a provider, once, and only the one that was sent there."""
    kept: dict[str, Any] = session.pop(DEPARTURE, {})
    try:
        provider = _checked(kept)
        arrival = _proof(provider, kept)
        if kept["link"] is not None:
            return _ask(provider, arrival, kept["link"])
        with transaction():
            person = home_sign_in.recognize(provider, arrival)
    except (SignOnFailed, IdentityUnknown, AccountClosed) as refusal:
        log.info("sign-on refused", extra={"code": refusal.code, "partner": kept.get("slug"), "why": refusal.members})
        return sign_in.form(local_path(kept.get("way_back")), refusal=type(refusal)(), status=401)
    return sign_in.go_on(person, kept["way_back"])


@blp.post("/profile/identities")
@signed_in
def link() -> ResponseReturnValue:
    """Connect the sign-in that this browser just came back from to my account."""
    kept: dict[str, Any] = session.pop(ARRIVAL, {})
    if not kept or kept["until"] <= clock.now().timestamp() or kept["person"] != str(current_user.id):
        raise SignOnFailed
    with transaction():
        home_sign_in.link(current_actor(), Arrival(**kept["arrival"]))
    flash(_("You can sign in that way now."), "success")
    return redirect(url_for("profile.show"), 303)


@blp.post("/profile/identities/<uuid:identity_id>/unlink")
@signed_in
def unlink(identity_id: UUID) -> ResponseReturnValue:
    """Disconnect a sign-in at a partner from my account."""
    with transaction():
        home_sign_in.unlink(current_actor(), identity_id)
    flash(_("The two are no longer connected."), "success")
    return redirect(url_for("profile.show"), 303)


def _checked(kept: dict[str, Any]) -> IdentityProvider:
    """The provider that this browser was sent to, if this is its way back."""
    state, issuer = request.args.get("state", ""), request.args.get("iss")
    if not kept or kept["until"] <= clock.now().timestamp():
        raise SignOnFailed(why="no departure")
    if not hmac.compare_digest(state.encode(), kept["state"].encode()):
        raise SignOnFailed(why="wrong state")
    try:
        provider = queries.identity_provider(kept["slug"])
    except NotFound:
        raise SignOnFailed(why="provider disconnected") from None
    if issuer is not None and issuer != provider.issuer:  # RFC 9207: a mix-up of two providers
        raise SignOnFailed(why="wrong issuer")
    if "code" not in request.args:
        raise SignOnFailed(why="no code")
    return provider


def _proof(provider: IdentityProvider, kept: dict[str, Any]) -> Arrival:
    client = _client(provider)
    db.session.commit()  # nothing is held while the provider thinks
    try:
        return client.arrive(request.args["code"], nonce=kept["nonce"], verifier=kept["verifier"])
    except ProviderRefused as error:
        raise SignOnFailed(why=str(error)) from error
    except ProviderUnreachable as error:
        raise _unavailable(provider, error) from error


def _ask(provider: IdentityProvider, arrival: Arrival, person_id: str) -> ResponseReturnValue:
    """Ask before two accounts are connected: somebody else may have sent this browser on its way."""
    if not current_user.is_authenticated or str(current_user.id) != person_id:
        raise SignOnFailed(why="another person is signed in")
    until = (clock.now() + DEPARTURE_LASTS).timestamp()
    session[ARRIVAL] = {"person": person_id, "until": until, "arrival": asdict(arrival)}
    return render_template("accounts/connect.html", partner=provider.partner, arrival=arrival)


def _client(provider: IdentityProvider) -> OpenIdProvider:
    """One client for each provider and process: it keeps the provider's keys."""
    clients: dict[tuple[str, ...], OpenIdProvider] = current_app.extensions.setdefault("openid", {})
    key = (provider.issuer, provider.client_id, provider.sealed_client_secret)
    if key not in clients:
        back = current_app.extensions["settings"].platform_url + url_for("home_sign_in.arrive")
        secret = sealing.unseal(provider.sealed_client_secret) or ""
        clients[key] = OpenIdProvider(provider.issuer, provider.client_id, secret, back)
    return clients[key]


def _unavailable(provider: IdentityProvider, error: Exception) -> Unavailable:
    log.warning("identity provider", extra={"issuer": provider.issuer, "why": str(error)})
    return Unavailable(_("The sign-in of %(partner)s does not answer.", partner=pick(provider.partner)), retry_after=30)
