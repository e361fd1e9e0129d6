"""Sign in and out."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, current_app, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from accounts import policy, queries
from accounts.errors import AccountClosed, TooManyAttempts, WrongCode, WrongCredentials
from accounts.models import Person, SecondFactor, fingerprint
from accounts.pages.pictures import picture_of
from accounts.services import attempts, hub_sign_on, second_factor, signing_in
from accounts.sign_on import SESSION_KEY
from app import clock
from app.access import public
from app.db import transaction
from app.errors import DomainError
from app.pages import local_path

HALF_WAY = "half_way"
HALF_WAY_LASTS = timedelta(minutes=5)
blp = Blueprint("sign_in", __name__, template_folder="../templates")


@blp.get("/sign-in")
@public
def show() -> ResponseReturnValue:
    """Ask for e-mail and password; who is signed in already goes on."""
    way_back = local_path(request.args.get("next"))
    if current_user.is_authenticated:
        return redirect(way_back)
    return form(way_back)


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
        return form(way_back, email, refusal, 401)
    except TooManyAttempts as refusal:
        return form(way_back, email, refusal, 429)
    attempts.forgive(email, request.remote_addr)  # written with what follows: one commit less to wait for
    return go_on(person, way_back)


@blp.get("/sign-in/code")
@public
def show_code() -> ResponseReturnValue:
    """Ask for the code of the app; first let the app learn its secret where the role asks for one."""
    half = _half_way()
    return _code_form(half) if half else redirect(url_for(".show"))


@blp.post("/sign-in/code")
@public
def enter_code() -> ResponseReturnValue:
    """Check the code, and begin a new session."""
    half = _half_way()
    if half is None:
        return redirect(url_for(".show"), 303)
    code, recovery_codes = request.form.get("code", ""), []
    try:
        with transaction():
            attempts.count_code(half.person.id)
        with transaction():
            if half.factor.confirmed_at is None:
                recovery_codes = second_factor.confirm(queries.actor(half.person.id), code)
            else:
                second_factor.check(half.person, code)
            attempts.forgive_code(half.person.id)
    except WrongCode as refusal:
        return _code_form(half, refusal, 401)
    except TooManyAttempts as refusal:
        return _code_form(half, refusal, 429)
    open_session(half.person, has_shown_second_factor=True)
    if recovery_codes:
        page = render_template("accounts/recovery_codes.html", codes=recovery_codes, way_on=half.way_back)
        return make_response(page, 201)
    return redirect(half.way_back, 303)


@blp.post("/sign-out")
@public
def leave() -> ResponseReturnValue:
    """End this browser's sign-in, here and at the hubs it opened.

    The tokens of hubs end at once; the cookies that a hub gave this browser, the hub takes back: the browser
    passes by there on its way home, so that the next person at this screen finds no open lab.
    """
    key = session.get(SESSION_KEY)
    entered: list[str] = []
    if key:
        with transaction():
            entered = hub_sign_on.hubs_entered(key)
            signing_in.close(key)
    session.clear()
    by_way_of = {hub.client_id: f"{hub.public_url}/hub/logout" for hub in current_app.extensions["settings"].hubs}
    return redirect(next((by_way_of[hub] for hub in entered if hub in by_way_of), url_for("site.home")), 303)


@dataclass(frozen=True)
class _HalfWay:
    """Somebody whose password was right, and who owes the second factor."""

    person: Person
    factor: SecondFactor
    way_back: str


def _go_half_way(person: Person, way_back: str) -> None:
    until = clock.now() + HALF_WAY_LASTS
    session.clear()
    session[HALF_WAY] = {
        "person": person.id.hex,
        "password": fingerprint(person.password_hash or ""),  # a new password ends the way
        "until": until.timestamp(),
        "way_back": way_back,
    }


def _half_way() -> _HalfWay | None:
    kept: dict[str, Any] | None = session.get(HALF_WAY)
    if kept is None or kept["until"] <= clock.now().timestamp():
        return None
    person = queries.person(UUID(kept["person"]))
    factor = queries.second_factor(person.id)
    if factor is None or not person.is_active or kept["password"] != fingerprint(person.password_hash or ""):
        return None
    return _HalfWay(person, factor, local_path(kept["way_back"]))


def go_on(person: Person, way_back: str) -> ResponseReturnValue:
    """The first factor was right: ask for the second one where there is one or must be, else begin the session.

    Commits what its caller has done so far, too.
    """
    factor = queries.second_factor(person.id)
    is_asked = factor is not None and factor.confirmed_at is not None
    must_begin = not is_asked and _is_required() and policy.needs_second_factor(queries.actor(person.id))
    if is_asked or must_begin:
        with transaction():
            if must_begin:
                second_factor.begin(person.id)
        _go_half_way(person, way_back)
        return redirect(url_for("sign_in.show_code"), 303)
    open_session(person)
    return redirect(way_back, 303)


def open_session(person: Person, *, has_shown_second_factor: bool = False) -> None:
    """Begin anew: nothing from before the sign-in goes on, so nobody can plant a session."""
    before = session.get(SESSION_KEY)
    with transaction():
        if before:
            signing_in.close(before)
        key = signing_in.open_sign_in(
            person,
            request.remote_addr,
            request.user_agent.string,
            has_shown_second_factor=has_shown_second_factor,
        )
    session.clear()
    session[SESSION_KEY] = key


def _is_required() -> bool:
    """In the demo nobody is made to fetch a phone."""
    return not current_app.extensions["settings"].demo


def _code_form(half: _HalfWay, refusal: DomainError | None = None, status: int = 200) -> ResponseReturnValue:
    setup = None if half.factor.confirmed_at else picture_of(half.factor)
    page = render_template("accounts/sign_in_code.html", setup=setup, refusal=refusal)
    return make_response(page, status, _retry_after(refusal))


def _retry_after(refusal: DomainError | None) -> dict[str, str]:
    return {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, TooManyAttempts) else {}


def form(way_back: str, email: str = "", refusal: DomainError | None = None, status: int = 200) -> ResponseReturnValue:
    """The sign-in page, with what was wrong the last time."""
    page = render_template(
        "accounts/sign_in.html",
        way_back=way_back,
        email=email,
        refusal=refusal,
        demo_people=current_app.extensions.get("demo_people", ()),
        providers=queries.identity_providers(),
    )
    return make_response(page, status, _retry_after(refusal))
