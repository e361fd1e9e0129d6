"""The short way for the two requests on holds that come by the thousand: reserve and settle, with a service token.

It stands before Flask and takes only what is plain: a token that was read a moment ago, and a body whose every value
is as it should be. All else goes the long way, as if nothing had been here; so there is one place that says what is
wrong with a request. Both ways call the same services, and tests hold their answers against each other.
"""

import re
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from flask import Flask

from accounts import seen_tokens
from accounts.queries import Visitor
from accounts.services import service_tokens
from app.errors import Forbidden, NotFound
from app.logs import about, number_of
from app.metrics import ROUTE
from labs.api.holds import PATH, blp, json_of, key_in
from labs.errors import IdempotencyKeyMissing
from labs.schemas.holds import LONGEST, PURPOSE, SHORTEST_EXPIRY
from labs.services import holds

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Answer = tuple[str, bytes, list[tuple[str, str]]]  # status, body, headers of its own
BEARER = "Bearer " + service_tokens.PREFIX
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SETTLE = re.compile(f"{PATH}({ID.pattern})/settle")
LARGEST = 4096  # bytes; a body that says all that can be said is a fraction of it
WISH = {"budget_id", "person_id", "flavor_id", "seconds", "purpose"}
LONG_WAY = (seen_tokens.Stale, Forbidden, NotFound, IdempotencyKeyMissing)  # what was remembered may be over


class NotPlain(Exception):
    """This request is not for here."""


def init_app(app: Flask) -> None:
    """When everything is in place that answers requests."""
    app.extensions["hold_edge"] = edge = HoldEdge(app)
    app.wsgi_app = edge  # type: ignore[method-assign]


class HoldEdge:
    def __init__(self, app: Flask) -> None:
        self._app = app
        self._long_way: WSGIApplication = app.wsgi_app
        protection: dict[str, str] = app.extensions["protection"]
        self._headers = [("Content-Type", "application/json"), *protection.items(), ("Vary", "Cookie")]

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "POST" or not environ["PATH_INFO"].startswith(PATH):
            return self._long_way(environ, start_response)
        number = number_of(environ.get("HTTP_X_REQUEST_ID", ""))
        try:
            with about(request_id=number):
                status, sent, headers = self._done(environ)
        except (NotPlain, *LONG_WAY):
            return self._long_way(environ, start_response)
        except Exception as error:
            return self._explained(environ, error)(environ, start_response)
        length, environ[ROUTE] = str(len(sent)), f"{blp.name}.{'reserve' if environ['PATH_INFO'] == PATH else 'settle'}"
        start_response(status, [*self._headers, ("Content-Length", length), ("X-Request-Id", number), *headers])
        return [sent]

    def _done(self, environ: "WSGIEnvironment") -> Answer:
        path: str = environ["PATH_INFO"]
        settles = SETTLE.fullmatch(path)
        if settles is None and path != PATH:
            raise NotPlain
        visitor = _visitor(environ)
        body, address = _body(environ), environ.get("REMOTE_ADDR")
        with self._app.app_context():
            if settles is not None:
                seconds = _settled(body)
                hold = holds.settle(
                    visitor.actor,
                    UUID(settles[1]),
                    seconds,
                    started_at=None,
                    address=address,
                    token_id=visitor.token_id,
                )
                return "200 OK", json_of(hold), []
            key = key_in(environ.get("HTTP_IDEMPOTENCY_KEY", ""))
            wish = _wish(body)
            reserved = holds.reserve(visitor.actor, **wish, key=key, address=address, token_id=visitor.token_id)
        return "201 CREATED", json_of(reserved.hold), [("Idempotency-Replayed", "true")] if reserved.is_replay else []

    def _explained(self, environ: "WSGIEnvironment", error: Exception) -> "WSGIApplication":
        """What Flask answers where a view raises this."""
        app = self._app
        with app.request_context(environ):
            try:
                app.preprocess_request()
                return app.finalize_request(app.handle_user_exception(error))
            except Exception as fault:
                return app.handle_exception(fault)


def _visitor(environ: "WSGIEnvironment") -> Visitor:
    sent: str = environ.get("HTTP_AUTHORIZATION", "")
    visitor = seen_tokens.recall(sent[len("Bearer ") :]) if sent.startswith(BEARER) else None
    if visitor is None or "holds:write" not in (visitor.actor.scopes or ()):
        raise NotPlain
    return visitor


def _body(environ: "WSGIEnvironment") -> dict[str, Any]:
    length: str = environ.get("CONTENT_LENGTH") or ""
    if environ.get("CONTENT_TYPE") != "application/json" or not length.isascii() or not length.isdigit():
        raise NotPlain
    if int(length) > LARGEST:
        raise NotPlain
    raw = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = BytesIO(raw)  # for the long way
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise NotPlain from error
    if type(body) is not dict:
        raise NotPlain
    return body


def _wish(body: dict[str, Any]) -> dict[str, Any]:
    """What `ReserveSchema` makes of a body with nothing unusual in it."""
    given = body.keys()
    if given - WISH not in (set(), {"expires_in"}) or len(given & WISH) != len(WISH):
        raise NotPlain
    purpose = body["purpose"]
    if type(purpose) is not str or PURPOSE.match(purpose) is None:
        raise NotPlain
    lasts = body.get("expires_in")
    return {
        **{name: _id(body[name]) for name in ("budget_id", "person_id", "flavor_id")},
        "seconds": _whole(body["seconds"], 1, LONGEST),
        "purpose": purpose,
        "expires_in": None if lasts is None else _whole(lasts, SHORTEST_EXPIRY, 2 * LONGEST),
    }


def _settled(body: dict[str, Any]) -> int:
    """What `HoldUsageSchema` makes of a body with nothing unusual in it."""
    if body.keys() != {"seconds"}:
        raise NotPlain
    return _whole(body["seconds"], 0, 2 * LONGEST)


def _whole(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise NotPlain
    return value


def _id(value: object) -> UUID:
    if type(value) is not str or ID.fullmatch(value) is None:
        raise NotPlain
    return UUID(value)
