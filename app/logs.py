"""Logs: one line an event, with the request's id; secrets are taken out before anything is written.

With LOG_FORMAT=json each line is an object. People stand in logs by a pseudonym only, the same for the same person as
long as the platform's secret key stays; `chancai logs pseudonym ID` says how a person is called.
"""

import hashlib
import hmac
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import click
from flask import Flask, current_app, g, has_app_context, has_request_context, request
from flask.cli import AppGroup

from app.ids import uuid7

SECRETS = re.compile(
    r"(?i)\b(authorization|password|secret|token|code|code_verifier|access_token|client_secret)"
    r"(\"?'?\s*[=:]\s*\"?'?)(bearer |token |basic )?[^\s\"'&,}]+"
)
SECRET_NAMES = re.compile(r"(?i)authorization|cookie|passw|secret|token|jwt|_key$")
IN_URLS = re.compile(r"(://[^\s:/@]*:)[^\s@/]+@")
MAILBOX = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
PEOPLE = frozenset({"person", "user", "viewer", "owner"})  # fields that hold somebody's id
REQUEST_ID = re.compile(r"[\w-]{8,64}")

_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


@contextmanager
def about(**facts: str) -> Iterator[None]:
    """Let every line that is written inside say this too: `job`, `session`, `center`, `request_id`."""
    mark = _about.set({**_about.get(), **facts})
    try:
        yield
    finally:
        _about.reset(mark)


def request_id() -> str:
    """The id of the request that is answered, or of what is done on its behalf; "-" where there is none."""
    if has_request_context():
        return str(g.get("request_id", "-"))
    return _about.get().get("request_id", "-")


def request_id_header() -> dict[str, str]:
    """What calls to other parts of the installation carry, so that their logs can be put beside ours."""
    known = request_id()
    return {} if known == "-" else {"X-Request-Id": known}


def pseudonym(person_id: UUID, key: str) -> str:
    """Twelve letters that stand for a person in logs."""
    return hmac.new(key.encode(), b"person in logs:" + person_id.bytes, hashlib.sha256).hexdigest()[:12]


def clean(text: str) -> str:
    """Without what looks like a secret or a mailbox; the last net, not the first."""
    return MAILBOX.sub("[mail]", IN_URLS.sub(r"\1***@", SECRETS.sub(r"\1\2***", text)))


class Redact(logging.Filter):
    """Clean a message, and say which request it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        cleaned = clean(message)
        if cleaned != message:
            record.msg, record.args = cleaned, ()
        record.request_id = request_id()
        return True


STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request_id", "taskName"}


def facts(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says beside its message: the surroundings', then its own."""
    said = {k: v for k, v in _about.get().items() if k != "request_id"}
    said |= {k: v for k, v in vars(record).items() if k not in STANDARD}
    return {name: _fact(name, value) for name, value in said.items()}


def _fact(name: str, value: Any) -> Any:
    if SECRET_NAMES.search(name):
        return "***"
    if name in PEOPLE:
        return _somebody(value)
    return value if value is None or isinstance(value, (bool, int, float)) else clean(str(value))


def _somebody(value: Any) -> str:
    try:
        person_id = value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        return "***"
    return pseudonym(person_id, str(current_app.secret_key)) if has_app_context() else "***"


class Line(logging.Formatter):
    """time level logger request-id message key=value …"""

    def format(self, record: logging.LogRecord) -> str:
        text = clean(super().format(record))
        return text + "".join(f" {k}={v}" for k, v in facts(record).items())


class JsonLine(logging.Formatter):
    """One object a line: time, level, logger, message, request_id, person, and whatever the event says."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean(record.getMessage()),
        }
        known = getattr(record, "request_id", "-")
        line |= {"request_id": known} if known != "-" else {}
        line |= _who_asks() | facts(record)
        if record.exc_info:
            line["exception"] = clean(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def _who_asks() -> dict[str, str]:
    """The person of this request, where somebody has looked who that is: a line in a log is no reason to."""
    user = g.get("_login_user") if has_request_context() else None  # kept there by Flask-Login
    actor = getattr(user, "actor", None)
    person_id = getattr(actor, "person_id", None)
    return {} if person_id is None else {"person": _somebody(person_id)}


def configure(level: int = logging.INFO) -> None:
    handler = logging.StreamHandler(sys.stderr)
    as_json = os.environ.get("LOG_FORMAT") == "json"
    plain = Line("%(asctime)s %(levelname)-7s %(name)s %(request_id)s %(message)s")
    handler.setFormatter(JsonLine() if as_json else plain)
    handler.addFilter(Redact())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("apscheduler", "httpx", "httpcore", "alembic.runtime.plugins"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def init_app(app: Flask) -> None:
    app.before_request(_number_the_request)
    app.after_request(_tell_the_number)
    group = AppGroup("logs", help="What stands in the logs.")

    @group.command("pseudonym")
    @click.argument("person_id", metavar="PERSON", type=click.UUID)
    def show_pseudonym(person_id: UUID) -> None:
        """Say how this person is called in the logs."""
        click.echo(pseudonym(person_id, str(app.secret_key)))

    app.cli.add_command(group)


def number_of(given: str) -> str:
    """The number of a request: the one it brought in X-Request-Id, if that is one, or a new one."""
    return given if REQUEST_ID.fullmatch(given) else uuid7().hex


def _number_the_request() -> None:
    g.request_id = number_of(request.headers.get("X-Request-Id", ""))


def _tell_the_number(response: Any) -> Any:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    return response
