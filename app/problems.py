"""Turn every refusal into an answer: problem+json (RFC 9457) for the API, a page for people."""

import logging
from http import HTTPStatus
from pathlib import Path
from typing import Any

import marshmallow as ma
import sqlalchemy.exc
from flask import Flask, Response, current_app, g, json, make_response, redirect, render_template, request, url_for
from flask_babel import gettext
from flask_smorest import Api
from werkzeug.exceptions import HTTPException

from app.access import public
from app.db import db
from app.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, SignInRequired, TooMany, Unavailable

log = logging.getLogger(__name__)

STATUS: dict[type[DomainError], int] = {
    NotFound: 404,
    Forbidden: 403,
    SignInRequired: 401,
    Conflict: 409,
    Invalid: 422,
    TooMany: 429,
    Unavailable: 503,
}
HTTP_CODES = {400: "bad-request", 401: "sign-in-required", 403: "forbidden", 404: "not-found", 429: "too-many-requests"}
FOR_PROGRAMS = ("/api/v1/", "/internal/", "/metrics", "/oauth/token", "/oauth/userinfo", "/oauth/revoke")
LAST_RESORT = Path(__file__).parent / "static" / "unavailable.html"
TRANSIENT = {"55P03", "57014", "40P01", "40001", "57P01", "57P02", "57P03", "53300", "08006", "08001", "08003"}


class ProblemSchema(ma.Schema):
    type = ma.fields.String(metadata={"description": "URI of the kind of problem; stable, dispatch on it"})
    title = ma.fields.String(metadata={"description": "What this kind of problem is"})
    status = ma.fields.Integer()
    code = ma.fields.String(metadata={"description": "The last part of `type`"})
    detail = ma.fields.String(metadata={"description": "What went wrong this time"})
    instance = ma.fields.String(metadata={"description": "Id of the request, for the people who run the service"})
    remedies = ma.fields.List(
        ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Raw()),
        metadata={"description": "What to do next: {code, text, url}"},
    )
    errors = ma.fields.List(
        ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String()),
        metadata={"description": "For invalid input: one {pointer, detail} for each fault"},
    )


class ProblemApi(Api):
    """flask-smorest with problem+json in its documents, and without its app-wide error handler."""

    def _register_error_handlers(self) -> None:
        """`init_app` below answers for pages and API alike."""

    @public
    def _openapi_json(self) -> Response:
        response: Response = super()._openapi_json()
        return response

    def _register_responses(self) -> None:
        content = {"application/problem+json": {"schema": ProblemSchema}}
        for status in HTTPStatus:
            self.spec.components.response(status.name, {"description": status.phrase, "content": content}, lazy=True)
        problem = {"description": "Any other problem", "content": content}
        self.spec.components.response(self.DEFAULT_ERROR_RESPONSE_NAME, problem, lazy=True)


def init_app(app: Flask) -> None:
    app.register_error_handler(DomainError, _domain_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(sqlalchemy.exc.DBAPIError, _database_error)
    app.register_error_handler(sqlalchemy.exc.TimeoutError, _database_error)
    app.register_error_handler(Exception, _fault)


def status_of(error: type[DomainError]) -> int:
    return next(code for kind, code in STATUS.items() if issubclass(error, kind))


def _domain_error(error: DomainError) -> Response:
    if isinstance(error, SignInRequired) and not _is_api() and request.method == "GET":
        return redirect(url_for("sign_in.show", next=request.full_path.rstrip("?")))  # type: ignore[return-value]
    log.info("refused", extra={"code": error.code, "path": request.path})
    members = {k: (v.isoformat() if hasattr(v, "isoformat") else v) for k, v in error.members.items()}
    if error.remedies:
        members["remedies"] = [
            {k: v for k, v in (("code", r.code), ("text", str(r.text)), ("url", r.url)) if v} for r in error.remedies
        ]
    detail = None if error.detail is None else str(error.detail)
    return _answer(status_of(type(error)), error.code, str(error.title), detail, members, advice=str(error.advice))


def _http_error(error: HTTPException) -> Response:
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()  # type: ignore[return-value]
    messages = getattr(error, "data", {}).get("messages")  # set by webargs when input is invalid
    if messages:
        return _answer(error.code, Invalid.code, str(Invalid.title), None, {"errors": _flatten(messages)})
    kind = next((k for k, status in STATUS.items() if status == error.code), None)
    if kind is not None:
        return _answer(error.code, kind.code, str(kind.title), None, {}, advice=str(kind.advice))
    return _answer(error.code, HTTP_CODES.get(error.code, "about:blank"), error.name, error.description, {})


def _database_error(error: Exception) -> Response:
    """The database is away, or somebody held a lock for too long: nothing was done, try again."""
    sqlstate = getattr(getattr(error, "orig", None), "sqlstate", None)
    transient = (
        isinstance(error, (sqlalchemy.exc.TimeoutError, sqlalchemy.exc.OperationalError))
        or getattr(error, "connection_invalidated", False)
        or sqlstate in TRANSIENT
    )
    if isinstance(error, sqlalchemy.exc.DataError) and "NUL" in str(error.orig):
        db.session.rollback()
        return _domain_error(Invalid(gettext("A text holds a character that no text may hold (NUL).")))
    if not transient:
        return _fault(error)
    g.offline = True
    db.session.remove()
    log.error("database not available", extra={"sqlstate": sqlstate, "path": request.path})
    refusal = Unavailable(gettext("The database does not answer in time."), retry_after=3)
    return _domain_error(refusal)


def _fault(error: Exception) -> Response:
    log.error("fault", exc_info=error, extra={"path": request.path})
    if current_app.testing or current_app.debug:
        raise error
    g.offline = True  # the page of a fault must not need what may be broken
    return _answer(
        500,
        "fault",
        gettext("Something went wrong on our side"),
        None,
        {},
        advice=gettext("Nothing you did is to blame. Try again; if it stays, tell us the number below."),
    )


def _answer(
    status: int, code: str, title: str, detail: str | None, members: dict[str, Any], advice: str = ""
) -> Response:
    problem = {"type": _type_uri(code), "title": title, "status": status, "code": code, "detail": detail, **members}
    problem["instance"] = g.get("request_id")
    problem = {key: value for key, value in problem.items() if value is not None}
    headers = {"Cache-Control": "no-store"}
    if "retry_after" in members:
        headers["Retry-After"] = str(members["retry_after"])
    if _is_api():
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="chancai"'
        response = current_app.response_class(json.dumps(problem), status, mimetype="application/problem+json")
        response.headers.update(headers)
        return response
    if "HX-Request" in request.headers:  # htmx: show the refusal in the alert region of the same page
        headers |= {"HX-Retarget": "#alerts", "HX-Reswap": "innerHTML"}
        return make_response(render_template("_alert.html", problem=problem, advice=advice), status, headers)
    return make_response(_page(problem, advice), status, headers)


def _page(problem: dict[str, Any], advice: str) -> str:
    try:
        return render_template("problem.html", problem=problem, advice=advice)
    except Exception:
        if current_app.testing and problem["code"] != "fault":
            raise
        log.exception("the page of a problem cannot be drawn")
        return LAST_RESORT.read_text()


def _is_api() -> bool:
    return request.path.startswith(FOR_PROGRAMS)


def _type_uri(code: str) -> str:
    return code if code == "about:blank" else url_for("problems.show", code=code, _external=True)


def _flatten(messages: Any, pointer: str = "#") -> list[dict[str, str]]:
    """{"json": {"seats": ["Must be positive."]}} -> [{"pointer": "#/seats", "detail": ...}]"""
    if isinstance(messages, dict):
        faults: list[dict[str, str]] = []
        for key, value in messages.items():
            inner = pointer if key in ("json", "query", "path", "_schema") else f"{pointer}/{key}"
            faults += _flatten(value, inner)
        return faults
    return [{"pointer": pointer, "detail": str(message)} for message in messages]
