"""My second factor: turn it on and off, and make new recovery codes."""

from flask import Blueprint, current_app, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from accounts import queries
from accounts.errors import TooManyAttempts, WrongCode
from accounts.pages.pictures import picture_of
from accounts.services import attempts, second_factor, signing_in
from app.access import current_actor, require_person, signed_in
from app.db import transaction
from app.errors import DomainError, NotFound
from app.problems import status_of

blp = Blueprint("second_factor", __name__, url_prefix="/profile/second-factor", template_folder="../templates")


@blp.get("")
@signed_in
def show() -> ResponseReturnValue:
    """How to set it up, or what can be done with it."""
    return _page()


@blp.post("")
@signed_in
def begin() -> ResponseReturnValue:
    """Make a secret for my app."""
    with transaction():
        second_factor.begin(require_person(current_actor()))
    return redirect(url_for(".show"), 303)


@blp.post("/confirm")
@signed_in
def confirm() -> ResponseReturnValue:
    """Turn it on with the first code; other browsers have to sign in again."""
    actor = current_actor()
    try:
        _count()
        with transaction():
            codes = second_factor.confirm(actor, request.form.get("code", ""), current_user.sign_in_id)
            signing_in.end_all(actor, require_person(actor), keep=current_user.sign_in_id)
            attempts.forgive_code(require_person(actor))
    except (WrongCode, TooManyAttempts) as refusal:
        return _page(refusal)
    return _show_codes(codes)


@blp.post("/recovery-codes")
@signed_in
def renew() -> ResponseReturnValue:
    """Make new recovery codes."""
    try:
        _count()
        with transaction():
            codes = second_factor.renew_recovery_codes(current_actor(), request.form.get("code", ""))
            attempts.forgive_code(require_person(current_actor()))
    except (WrongCode, TooManyAttempts) as refusal:
        return _page(refusal)
    return _show_codes(codes)


@blp.post("/off")
@signed_in
def turn_off() -> ResponseReturnValue:
    """Turn it off."""
    is_required = not current_app.extensions["settings"].demo
    try:
        _count()
        with transaction():
            second_factor.turn_off(current_actor(), request.form.get("code", ""), is_required=is_required)
            attempts.forgive_code(require_person(current_actor()))
    except (WrongCode, TooManyAttempts) as refusal:
        return _page(refusal)
    flash(_("The second factor is off."), "success")
    return redirect(url_for("profile.show"), 303)


def _count() -> None:
    with transaction():
        attempts.count_code(require_person(current_actor()))


def _show_codes(codes: list[str]) -> ResponseReturnValue:
    page = render_template("accounts/recovery_codes.html", codes=codes, way_on=url_for("profile.show"))
    return make_response(page, 201)


def _page(refusal: DomainError | None = None) -> ResponseReturnValue:
    person_id = require_person(current_actor())
    factor = queries.second_factor(person_id)
    if factor is None:
        raise NotFound
    page = render_template(
        "accounts/second_factor.html",
        setup=None if factor.confirmed_at else picture_of(factor),
        factor=factor,
        codes_left=queries.recovery_codes_left(person_id),
        refusal=refusal,
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)
