"""Who sent this request: the browser's session for pages and API, a bearer token for the API alone.

A token is never looked at on a page: pages declare no scopes, so a token would reach too far there. An API
view that declares no scope is closed to tokens. When a token was used is remembered in this process and
written with the next request that changes something, because a GET writes nothing.
"""

import logging
import threading
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from flask import Flask, Request, Response, current_app, g, request, session
from flask_login import LoginManager, UserMixin, current_user
from sqlalchemy.exc import SQLAlchemyError

from accounts import queries, seen_tokens
from accounts.errors import ScopeMissing
from accounts.models import Person, PersonalToken, ServiceToken
from accounts.queries import Visitor
from accounts.services import service_tokens
from app import clock
from app.access import Actor, PlatformRole, require_person
from app.csrf import SAFE
from app.db import db, transaction
from app.errors import DomainError

log = logging.getLogger(__name__)
SESSION_KEY = "sign_in"
API = "/api/v1/"
USE_IS_NEWS_AFTER = timedelta(minutes=1)
Token = PersonalToken | ServiceToken
KINDS: dict[str, type[Token]] = {kind.__tablename__: kind for kind in (PersonalToken, ServiceToken)}


class SignedIn(UserMixin):
    """The person behind this request. Plain data: it survives commits, and costs one query."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor

    @property
    def actor(self) -> Actor:
        return self._visitor.actor

    @property
    def language(self) -> str | None:
        return self._visitor.language

    @property
    def time_zone(self) -> str:
        return self._visitor.time_zone

    @property
    def id(self) -> UUID | None:
        return self._visitor.person_id

    @property
    def sign_in_id(self) -> UUID | None:
        return self._visitor.sign_in_id

    @property
    def signed_in_at(self) -> datetime | None:
        return self._visitor.signed_in_at

    @property
    def waiting_roles(self) -> frozenset[PlatformRole]:
        """Platform roles that give no power yet, because no second factor was shown."""
        return self._visitor.waiting_roles

    @property
    def person(self) -> Person:
        return queries.person(require_person(self._visitor.actor))

    def get_id(self) -> str:
        return str(self._visitor.person_id or self._visitor.token_id)


def init_app(app: Flask) -> None:
    login = LoginManager()
    login.session_protection = None  # a changed address or browser is no crime; the key alone counts
    login.init_app(app)
    login.request_loader(_load)
    app.extensions["token_uses"] = _Uses()
    app.before_request(_refuse_token)
    app.after_request(_write_uses)


def bearer(request: Request) -> str | None:
    """The secret that a program sends along, if it does."""
    sent = request.authorization
    return sent.token or "" if sent is not None and sent.type == "bearer" else None


def _load(request: Request) -> SignedIn | None:
    """Never raises: the refusal of a token is kept for `_refuse_token`, since error pages ask for the visitor too."""
    if g.get("offline"):  # the database is away, and the page that says so must not ask it
        return None
    secret = bearer(request) if request.path.startswith(API) else None
    if secret is not None:
        return _from_token(secret)
    key = session.get(SESSION_KEY)
    asks = not current_app.extensions["settings"].demo
    visitor = queries.visitor_by_sign_in(key, asks_second_factor=asks) if isinstance(key, str) else None
    return SignedIn(visitor) if visitor else None


def _from_token(secret: str) -> SignedIn | None:
    if secret.startswith(service_tokens.PREFIX):
        found = queries.visitor_by_service_token(secret)
        if isinstance(found, Visitor):
            seen_tokens.remember(secret, found)
    else:
        asks_second_factor = not current_app.extensions["settings"].demo
        found = queries.visitor_by_token(secret, asks_second_factor=asks_second_factor)
    if isinstance(found, DomainError):
        g.token_refusal = found
        return None
    if found.token_id is not None:
        current_app.extensions["token_uses"].note(
            ServiceToken if found.is_service else PersonalToken, found.token_id, found.token_used_at
        )
    return SignedIn(found)


def _refuse_token() -> None:
    if not request.path.startswith(API) or bearer(request) is None:
        return
    known = current_user.is_authenticated  # loads the token
    if not known:
        raise g.token_refusal
    view = current_app.view_functions.get(request.endpoint or "")
    if view is not None and getattr(view, "access", None) != "public" and getattr(view, "scope", None) is None:
        raise ScopeMissing


class _Uses:
    """When tokens were used in this process, not yet written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, UUID], datetime] = {}

    def note(self, kind: type[Token], token_id: UUID, written_at: datetime | None) -> None:
        now = clock.now()
        if written_at is None or now - written_at >= USE_IS_NEWS_AFTER:
            with self._lock:
                self._seen[kind.__tablename__, token_id] = now

    def take(self) -> dict[tuple[str, UUID], datetime]:
        with self._lock:
            seen, self._seen = self._seen, {}
        return seen


def _write_uses(response: Response) -> Response:
    if request.method in SAFE or g.get("offline"):
        return response
    uses = current_app.extensions["token_uses"].take()
    if uses:
        try:
            with transaction():
                for (kind, token_id), used_at in sorted(uses.items()):
                    token = KINDS[kind]
                    statement = sa.update(token).where(token.id == token_id)
                    db.session.execute(statement.values(last_used_at=used_at))
        except SQLAlchemyError:
            log.warning("uses of tokens not written", extra={"tokens": len(uses)})
    return response
