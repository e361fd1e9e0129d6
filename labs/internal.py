"""What hubs ask of the platform: may this server start, and: this server has stopped."""

import base64
import hmac
from typing import Any

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, Unauthorized

from app.access import internal
from app.config import Settings
from app.db import transaction
from app.jobs import wake
from labs.services import orders
from labs.services.orders import NoOrder, Order

blp = Blueprint("labs_internal", __name__, url_prefix="/internal")


@blp.post("/admission")
@internal
def admission() -> ResponseReturnValue:
    """Tell a hub whether, and how large, it may start a server. Anything but an order means no."""
    center, user, server = _asked()
    with transaction():
        answer = orders.redeem(center, user, server)
    if isinstance(answer, NoOrder):
        return {"allow": False, "code": answer.code, "reason": answer.reason}
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


def _asked() -> tuple[str, str, str]:
    """(center, user, server) of a request that carries the secret of that center's hub."""
    body = request.get_json(silent=True)
    if not isinstance(body, dict) or not all(isinstance(body.get(k), str) for k in ("center", "user", "server")):
        raise BadRequest
    settings: Settings = current_app.extensions["settings"]
    secrets = {hub.center: hub.admission_secret for hub in settings.hubs}
    given = request.headers.get("Authorization", "")
    expected = "Bearer " + secrets.get(body["center"], "")
    if body["center"] not in secrets or not hmac.compare_digest(given.encode(), expected.encode()):
        raise Unauthorized
    return body["center"], body["user"], body["server"]


def _spec(order: Order) -> dict[str, Any]:
    return {
        "session": str(order.session_id),
        "cores": order.cores,
        "memory_mb": order.memory_mb,
        "accelerators": order.accelerators,
        "lease_ends_at": order.lease_ends_at.isoformat(),
        "display_name": order.display_name,
        "language": order.language,
        "timezone": order.time_zone,
        "default_path": order.default_path,
        "environment": {},
        "files": [{"path": path, "base64": base64.b64encode(data).decode()} for path, data in order.files],
    }
