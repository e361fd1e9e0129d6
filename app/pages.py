"""Pages that belong to no domain: home, health, language, the catalog of problems; and what every page shows."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from flask import Blueprint, Flask, current_app, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from app import heartbeat
from app.access import NOBODY, current_actor, public
from app.db import db
from app.errors import DomainError
from app.locale import LANGUAGES, language
from app.problems import status_of

site = Blueprint("site", __name__)
problems = Blueprint("problems", __name__)

# What the home page shows is known by the domains; each puts its part into app.extensions["home"] (see factory).
HomePart = Callable[[], dict[str, Any]]

CSP = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'{labs}",
    )
)


def init_app(app: Flask, home_parts: list[HomePart], count_unread: Callable[[], int]) -> None:
    app.extensions["home"] = home_parts
    app.extensions["count_unread"] = count_unread
    app.register_blueprint(site)
    app.register_blueprint(problems)
    app.context_processor(_layout)
    app.extensions["protection"] = _protection(app)
    app.after_request(_protect)


@site.get("/")
@public
def home() -> str:
    """What is going on for me; for strangers, what this is."""
    view: dict[str, Any] = {"labs": [], "courses": [], "budget_rows": [], "notices": []}
    if current_actor().is_signed_in:
        for part in current_app.extensions["home"]:
            view |= part()
    return render_template("home.html", **view)


@site.post("/language")
@public
def choose_language() -> ResponseReturnValue:
    """Remember the language in a cookie and go back to the page it was chosen on."""
    chosen = request.form.get("language", "")
    if chosen not in LANGUAGES:
        raise BadRequest
    response = redirect(local_path(request.form.get("next")), 303)
    response.set_cookie(
        "language",
        chosen,
        max_age=365 * 86400,
        samesite="Lax",
        httponly=True,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
    )
    return response


@site.get("/healthz")
@public
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@site.get("/readyz")
@public
def readyz() -> dict[str, str]:
    """The process answers and reaches its database."""
    db.session.execute(sa.select(1))
    return {"status": "ready"}


@site.get("/healthz/worker")
@public
def worker_health() -> tuple[dict[str, str | float], int]:
    """A worker is at work: it said so within half a minute."""
    age = heartbeat.age()
    if age is None or age > heartbeat.LIVES:
        return {"status": "silent"}, 503
    return {"status": "ok", "seconds": round(age.total_seconds(), 1)}, 200


@problems.get("/problems")
@public
def index() -> str:
    """List every message a refusal can have."""
    rows = sorted(((kind, status_of(kind)) for kind in kinds().values()), key=lambda row: row[0].code)
    return render_template("problem_list.html", kinds=rows)


@problems.get("/problems/<code>")
@public
def show(code: str) -> ResponseReturnValue:
    """Explain one kind of problem: the page that the `type` of a problem points to."""
    kind = kinds().get(code)
    status = status_of(kind) if kind else None
    return render_template("problem_kind.html", code=code, kind=kind, status=status), 200 if kind else 404


def kinds() -> dict[str, type[DomainError]]:
    """Every kind of refusal there is, by code."""
    return {kind.code: kind for kind in _below(DomainError)}


def _below(kind: type[DomainError]) -> list[type[DomainError]]:
    found = list(kind.__subclasses__())
    return found + [below for sub in found for below in _below(sub)]


def local_path(wanted: str | None) -> str:
    """Return the path if it lies on this site, else the home page: nobody is sent elsewhere by a link."""
    parts = urlsplit(wanted or "")
    elsewhere = parts.scheme or parts.netloc or (wanted or "").startswith(("//", "/\\"))
    return wanted if wanted and wanted.startswith("/") and not elsewhere else url_for("site.home")


def _layout() -> dict[str, Any]:
    """What the base layout needs on every page; nothing of it when the database is away."""
    offline = g.get("offline", False)
    actor = NOBODY if offline else current_actor()
    return {
        "actor": actor,
        "locale": language(),
        "languages": LANGUAGES,
        "unread_notices": current_app.extensions["count_unread"]() if actor.is_signed_in else 0,
    }


def _protect(response: Any) -> Any:
    """Add what every answer carries, unless the view has said it in its own way."""
    wanted: dict[str, str] = current_app.extensions["protection"]
    present = {name.lower() for name in response.headers.keys()}  # noqa: SIM118 - not a dict
    missing = [(name, value) for name, value in wanted.items() if name.lower() not in present]
    response.headers.extend(missing)
    return response


def _protection(app: Flask) -> dict[str, str]:
    labs = "".join(f" {hub.public_url}" for hub in app.extensions["settings"].hubs)
    return {
        "Content-Security-Policy": CSP.format(labs=labs),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "private, no-store",
    }
