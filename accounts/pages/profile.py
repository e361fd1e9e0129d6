"""My account: profile, password, tokens, where I am signed in."""

from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import current_user
from werkzeug.exceptions import BadRequest

from accounts import queries
from accounts.services import attempts, mail, notices, people, signing_in, tokens
from app import clock
from app.access import current_actor, require_person, signed_in
from app.db import transaction
from app.errors import DomainError, Invalid
from app.locale import LANGUAGES
from app.problems import status_of

blp = Blueprint("profile", __name__, template_folder="../templates")
DAYS = (7, 30, 90, 180, 365)


@blp.get("/profile")
@signed_in
def show() -> ResponseReturnValue:
    """My account."""
    return _page()


@blp.post("/profile")
@signed_in
def change() -> ResponseReturnValue:
    """Change my name, language and time zone."""
    wanted = {name: request.form.get(name, "") for name in ("name", "language", "time_zone")}
    try:
        with transaction():
            people.change_profile(current_actor(), **wanted)
    except Invalid as refusal:
        return _page(profile_refusal=refusal)
    flash(_("Your profile is saved."), "success")
    response = redirect(url_for(".show"), 303)
    response.delete_cookie("language")  # the choice made here is the one that counts from now on
    return response


@blp.post("/profile/mail")
@signed_in
def choose_mail() -> ResponseReturnValue:
    """Choose which notices come by mail too."""
    with transaction():
        unwanted = notices.choices().keys() - set(request.form.getlist("kinds"))
        mail.choose(current_actor(), "wants_mail" in request.form, unwanted)
    flash(_("Your choice is saved."), "success")
    return redirect(url_for(".show", _anchor="mail"), 303)


@blp.post("/profile/password")
@signed_in
def change_password() -> ResponseReturnValue:
    """Change my password; other browsers have to sign in again."""
    actor, current, new = current_actor(), request.form.get("current", ""), request.form.get("new", "")
    try:
        with transaction():
            attempts.count(actor.email, request.remote_addr)
        with transaction():
            people.change_password(actor, current=current, new=new, keep_sign_in=current_user.sign_in_id)
            attempts.forgive(actor.email, request.remote_addr)
    except DomainError as refusal:
        return _page(password_refusal=refusal)
    flash(_("Your password is changed. Everywhere else you were signed out."), "success")
    return redirect(url_for(".show"), 303)


@blp.post("/profile/tokens")
@signed_in
def make_token() -> ResponseReturnValue:
    """Make a token and show it this once. Not a redirect: the secret is kept nowhere, not even in the session."""
    try:
        days = int(request.form.get("days", ""))
    except ValueError as error:
        raise BadRequest from error
    try:
        with transaction():
            row, secret = tokens.make(
                current_actor(), name=request.form.get("purpose", ""), scopes=request.form.getlist("scopes"), days=days
            )
    except DomainError as refusal:
        return _page(token_refusal=refusal)
    return _page(made_token={"name": row.name, "secret": secret, "expires_at": row.expires_at}, status=201)


@blp.post("/profile/tokens/<uuid:token_id>/revoke")
@signed_in
def revoke_token(token_id: UUID) -> ResponseReturnValue:
    """Revoke a token."""
    with transaction():
        tokens.revoke(current_actor(), token_id)
    flash(_("The token is revoked."), "success")
    return redirect(url_for(".show", _anchor="tokens"), 303)


@blp.post("/profile/sign-ins/<uuid:sign_in_id>/end")
@signed_in
def end_sign_in(sign_in_id: UUID) -> ResponseReturnValue:
    """Sign out another browser, or this one."""
    with transaction():
        signing_in.end(current_actor(), sign_in_id)
    if sign_in_id == current_user.sign_in_id:
        return redirect(url_for("site.home"), 303)
    flash(_("That browser is signed out."), "success")
    return redirect(url_for(".show", _anchor="sign-ins"), 303)


def _page(
    *,
    profile_refusal: DomainError | None = None,
    password_refusal: DomainError | None = None,
    token_refusal: DomainError | None = None,
    made_token: dict[str, Any] | None = None,
    status: int = 200,
) -> ResponseReturnValue:
    person_id = require_person(current_actor())
    refusal = profile_refusal or password_refusal or token_refusal
    page = render_template(
        "accounts/profile.html",
        person=queries.person(person_id),
        memberships=queries.memberships(person_id),
        tokens=queries.tokens(person_id),
        identities=queries.identities(person_id),
        providers=queries.identity_providers(),
        second_factor=queries.second_factor(person_id),
        sign_ins=queries.live_sign_ins(person_id),
        this_sign_in=current_user.sign_in_id,
        scopes=tokens.SCOPES,
        mail_kinds=notices.choices(),
        day_options=[(days, ngettext("%(num)s day", "%(num)s days", days)) for days in DAYS],
        languages=LANGUAGES,
        time_zones=_time_zones(),
        profile_refusal=profile_refusal,
        password_refusal=password_refusal,
        token_refusal=token_refusal,
        made_token=made_token,
        form=request.form,
        now=clock.now(),
    )
    return make_response(page, status_of(type(refusal)) if refusal else status)


def _time_zones() -> list[tuple[str, str]]:
    names = sorted(name for name in available_timezones() if "/" in name or name == "UTC")
    return [(name, name.replace("_", " ")) for name in names]
