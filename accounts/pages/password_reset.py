"""Forgot the password: ask for a link by mail, and set a new one with it."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from accounts.errors import ResetUnknown, TooManyAttempts
from accounts.services import attempts, password_reset
from app.access import public
from app.db import transaction
from app.errors import DomainError, Invalid
from app.problems import status_of

blp = Blueprint("password_reset", __name__, url_prefix="/sign-in", template_folder="../templates")


@blp.get("/forgot")
@public
def show() -> ResponseReturnValue:
    """Ask for the e-mail address."""
    return _asking()


@blp.post("/forgot")
@public
def ask() -> ResponseReturnValue:
    """Mail a link, if the account exists; say the same in any case."""
    email = request.form.get("email", "")
    try:
        _count()
    except TooManyAttempts as refusal:
        return _asking(refusal)
    with transaction():
        password_reset.ask(email)
    return render_template("accounts/forgot_asked.html", email=email.strip()[:254])


@blp.get("/reset")
@public
def show_reset() -> ResponseReturnValue:
    """Ask for the new password. Looking at the link takes nothing: mail programs do that, too."""
    key = request.args.get("key", "")
    try:
        person = password_reset.look_up(key)
    except ResetUnknown as refusal:
        return _asking(refusal)
    return render_template("accounts/reset.html", key=key, email=person.email, refusal=None)


@blp.post("/reset")
@public
def reset() -> ResponseReturnValue:
    """Set the new password."""
    key, password = request.form.get("key", ""), request.form.get("password", "")
    try:
        _count()
        with transaction():
            password_reset.use(key, password)
    except (ResetUnknown, TooManyAttempts) as refusal:
        return _asking(refusal)
    except Invalid as refusal:
        page = render_template("accounts/reset.html", key=key, email=password_reset.look_up(key).email, refusal=refusal)
        return make_response(page, status_of(type(refusal)))
    flash(_("Your password is changed. Sign in with the new one."), "success")
    return redirect(url_for("sign_in.show"), 303)


def _count() -> None:
    with transaction():
        attempts.count_reset(request.remote_addr)


def _asking(refusal: DomainError | None = None) -> ResponseReturnValue:
    headers = {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, TooManyAttempts) else {}
    page = render_template("accounts/forgot.html", refusal=refusal)
    return make_response(page, status_of(type(refusal)) if refusal else 200, headers)
