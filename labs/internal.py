"""What hubs ask of the platform, and tell it: may this server start; this server has stopped; this is what labs do."""

import base64
import hmac
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, NotFound, Unauthorized

from app.access import internal
from app.config import Settings
from app.db import transaction
from app.jobs import wake
from labs.services import activity, orders, slurm_quotas
from labs.services.activity import HomeSize, LabNews, LabReport
from labs.services.orders import NoOrder, Order
from labs.services.slurm_quotas import Told

log = logging.getLogger(__name__)
SERVER = re.compile(r"lab-[0-9a-f]{32}")
SLURM_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,63}")
MOST_ROWS = 500  # hubs send pages of 200
MOST_KERNELS, MOST_FILES, MOST_BYTES = 100_000, 2**31 - 1, 2**60
LONGEST_KEEP_ALIVE_MINUTES = 24 * 60
LONGEST_WORDS = 500

blp = Blueprint("labs_internal", __name__, url_prefix="/internal")


@blp.post("/admission")
@internal
def admission() -> ResponseReturnValue:
    """Tell a hub whether, and how large, it may start a server. Anything but an order means no."""
    began = time.perf_counter()
    center, user, server = _asked()
    with transaction():
        answer = orders.redeem(center, user, server, _runs_as())
    took = round((time.perf_counter() - began) * 1000)
    if isinstance(answer, NoOrder):
        log.info("start not admitted", extra={"server": server, "code": answer.code, "milliseconds": took})
        return {"allow": False, "code": answer.code, "reason": answer.reason}
    log.info("start admitted", extra={"session": answer.session_id, "milliseconds": took})
    return {"allow": True, "spec": _spec(answer)}


@blp.post("/ended")
@internal
def ended() -> ResponseReturnValue:
    """Hear from a hub that a server has stopped, and look at it at once."""
    center, user, server = _asked()
    with transaction():
        if orders.ended(center, user, server) is not None:
            wake("follow_sessions")
    return "", 204


@blp.post("/labs")
@internal
def labs() -> ResponseReturnValue:
    """Hear what the labs of a center do, a page of them at a time; answer what each of them is to know."""
    body = _told("center")
    rows = body.get("labs")
    if not isinstance(rows, list) or len(rows) > MOST_ROWS:
        raise BadRequest
    reports = [report for report in map(_report, rows) if report]
    skipped = len(rows) - len(reports)
    if skipped:
        log.warning("The hub of %s reported %i labs in a way that makes no sense", body["center"], skipped)
    with transaction():
        news = activity.report(body["center"], reports)
        answer = {server: _news(one) for server, one in news.items()}
    return {"labs": answer, "skipped": skipped}


@blp.post("/quotas")
@internal
def quotas() -> ResponseReturnValue:
    """Tell the keeper of a Slurm cluster what its quotas should be, unless it knows; hear how far the cluster is."""
    body = _told("center")
    told = _quotas_told(body.get("state"))
    with transaction():
        wanted = slurm_quotas.wanted(body["center"])
        if wanted is None:
            raise NotFound
        if told is not None:
            slurm_quotas.hear(body["center"], told)
        answer = slurm_quotas.as_json(wanted)
    version = slurm_quotas.version(answer)
    return {"version": version} | ({} if body.get("have") == version else {"quotas": answer})


def _quotas_told(state: Any) -> Told | None:
    """None: the keeper has nothing to tell yet."""
    if state is None:
        return None
    try:
        differences = [str(text)[:LONGEST_WORDS] for text in state["differences"]]
        number, written = _count(state, "number", MOST_FILES) or 0, _count(state, "written", MOST_FILES) or 0
        failure = state.get("failure")
        return Told(differences, number, written, None if failure is None else str(failure)[:LONGEST_WORDS])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadRequest from error


def _asked() -> tuple[str, str, str]:
    body = _told("center", "user", "server")
    return body["center"], body["user"], body["server"]


def _runs_as() -> str:
    """The account of the cluster in a hub's question, when it could be one."""
    name = request.get_json().get("runs_as", "")
    if name and not (isinstance(name, str) and SLURM_USER.fullmatch(name)):
        raise BadRequest
    return str(name)


def _told(*names: str) -> dict[str, Any]:
    """The body of a request that carries the secret of its center's hub, with these texts in it."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in names):
        raise BadRequest
    settings: Settings = current_app.extensions["settings"]
    secrets = {hub.center: hub.admission_secret for hub in settings.hubs}
    given = request.headers.get("Authorization", "")
    expected = "Bearer " + secrets.get(body["center"], "")
    if body["center"] not in secrets or not hmac.compare_digest(given.encode(), expected.encode()):
        raise Unauthorized
    return body


def _report(row: Any) -> LabReport | None:
    """One lab's row; None when any of it makes no sense, so that one lab never silences the others."""
    try:
        if not SERVER.fullmatch(row["server"]):
            return None
        return LabReport(
            server=row["server"],
            kernels=_count(row, "kernels", MOST_KERNELS) or 0,
            busy_kernels=_count(row, "busy_kernels", MOST_KERNELS) or 0,
            last_busy_at=_moment(row, "last_busy_at"),
            accelerator_percent=_count(row, "accelerator_percent", 100),
            last_accelerator_at=_moment(row, "last_accelerator_at"),
            last_seen_person_at=_moment(row, "last_seen_person_at"),
            keep_alive_minutes=_count(row, "keep_alive_minutes", LONGEST_KEEP_ALIVE_MINUTES),
            home=_home(row),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def _home(row: Mapping[str, Any]) -> HomeSize | None:
    """None: not measured yet."""
    size, measured_at = _count(row, "home_bytes", MOST_BYTES), _moment(row, "home_measured_at")
    if size is None or measured_at is None:
        return None
    return HomeSize(size, _count(row, "home_files", MOST_FILES) or 0, measured_at)


def _count(row: Mapping[str, Any], name: str, most: int) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(name)
    return value


def _moment(row: Mapping[str, Any], name: str) -> datetime | None:
    value = row.get(name)
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(name)
    return moment.astimezone(UTC)


def _news(news: LabNews) -> dict[str, Any]:
    settings: Settings = current_app.extensions["settings"]
    return {
        "owner": news.owner,
        "lease_ends_at": _iso(news.lease_ends_at),
        "keep_alive_until": _iso(news.keep_alive_until),
        "notices": [
            {
                **{"id": notice.id, "kind": notice.kind, "tone": notice.tone, "text": notice.text},
                "url": notice.url and settings.platform_url + notice.url,
            }
            for notice in news.notices
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _spec(order: Order) -> dict[str, Any]:
    slurm = {"slurm": {name: value for name, value in asdict(order.slurm).items() if value}} if order.slurm else {}
    return {
        **slurm,
        "session": str(order.session_id),
        "cores": order.cores,
        "memory_mb": order.memory_mb,
        "accelerators": order.accelerators,
        **({"pool": order.pool} if order.pool else {}),
        "lease_ends_at": order.lease_ends_at.isoformat(),
        "display_name": order.display_name,
        "language": order.language,
        "timezone": order.time_zone,
        "default_path": order.default_path,
        "home_left_bytes": order.home_left_bytes,
        "environment": {},
        "files": [{"path": path, "base64": base64.b64encode(data).decode()} for path, data in order.files],
    }
