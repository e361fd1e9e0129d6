"""Sign in and out."""

from flask import Blueprint, current_app, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from accounts.errors import AccountClosed, TooManyAttempts, WrongCredentials
from accounts.services import attempts, signing_in
from accounts.sign_on import SESSION_KEY
from app.access import public
from app.db import transaction
from app.errors import DomainError
from app.pages import local_path

blp = Blueprint("sign_in", __name__, template_folder="../templates")


@blp.get("/sign-in")
@public
def show() -> ResponseReturnValue:
    """Ask for e-mail and password; who is signed in already goes on."""
    way_back = local_path(request.args.get("next"))
    if current_user.is_authenticated:
        return redirect(way_back)
    return _form(way_back)


@blp.post("/sign-in")
@public
def enter() -> ResponseReturnValue:
    """Check e-mail and password, and begin a new session."""
    email, password = request.form.get("email", ""), request.form.get("password", "")
    way_back = local_path(request.form.get("next"))
    try:
        with transaction():
            attempts.count(email, request.remote_addr)
        person = signing_in.check_password(email, password)
    except (WrongCredentials, AccountClosed) as refusal:
        return _form(way_back, email, refusal, 401)
    except TooManyAttempts as refusal:
        return _form(way_back, email, refusal, 429)
    before = session.get(SESSION_KEY)
    with transaction():
        attempts.forgive(email, request.remote_addr)
        if before:
            signing_in.close(before)
        key = signing_in.open_sign_in(person, request.remote_addr, request.user_agent.string)
    session.clear()  # nothing from before the sign-in goes on: nobody can plant a session
    session[SESSION_KEY] = key
    return redirect(way_back, 303)


@blp.post("/sign-out")
@public
def leave() -> ResponseReturnValue:
    """End this browser's sign-in, here and at the hubs it opened."""
    key = session.get(SESSION_KEY)
    if key:
        with transaction():
            signing_in.close(key)
    session.clear()
    return redirect(url_for("site.home"), 303)


def _form(way_back: str, email: str = "", refusal: DomainError | None = None, status: int = 200) -> ResponseReturnValue:
    demo_people = current_app.extensions.get("demo_people", ())
    page = render_template(
        "accounts/sign_in.html", way_back=way_back, email=email, refusal=refusal, demo_people=demo_people
    )
    headers = {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, TooManyAttempts) else {}
    return make_response(page, status, headers)
