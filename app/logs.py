"""Logs: one line an event, with the request's id; secrets are taken out before anything is written."""

import logging
import re
import sys
from typing import Any

from flask import Flask, g, has_request_context, request

from app.ids import uuid7

SECRETS = re.compile(
    r"(?i)\b(authorization|password|secret|token|code|code_verifier|access_token|client_secret)"
    r"(\"?'?\s*[=:]\s*\"?'?)(bearer |token |basic )?[^\s\"'&,}]+"
)

NUMBER = re.compile(r"[\w-]{8,64}")


class Redact(logging.Filter):
    """Replace what looks like a secret in a message; the last net, not the first."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        clean = SECRETS.sub(r"\1\2***", message)
        if clean != message:
            record.msg, record.args = clean, ()
        record.request_id = g.get("request_id", "-") if has_request_context() else "-"
        return True


class Line(logging.Formatter):
    """time level logger request-id message key=value …"""

    STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request_id", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        extra = {k: v for k, v in vars(record).items() if k not in self.STANDARD}
        return text + "".join(f" {k}={v}" for k, v in extra.items())


def configure(level: int = logging.INFO) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line("%(asctime)s %(levelname)-7s %(name)s %(request_id)s %(message)s"))
    handler.addFilter(Redact())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("apscheduler", "httpx", "httpcore", "alembic.runtime.plugins"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def init_app(app: Flask) -> None:
    app.before_request(_number_the_request)
    app.after_request(_tell_the_number)


def number_of(given: str) -> str:
    """The number of a request: the one it brought in X-Request-Id, if that is one, or a new one."""
    return given if NUMBER.fullmatch(given) else uuid7().hex


def _number_the_request() -> None:
    g.request_id = number_of(request.headers.get("X-Request-Id", ""))


def _tell_the_number(response: Any) -> Any:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    return response
