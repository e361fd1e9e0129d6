"""Compare everything that we believe to run with everything that the hubs show, in both directions."""

import logging
from uuid import UUID

from app import clock
from app.db import transaction
from labs.adapters import Hub, HubError, Server
from labs.jobs.calls import hubs
from labs.models import SessionState, Sighting
from labs.services import centers, reconcile

log = logging.getLogger(__name__)


def reconcile_centers() -> int:
    """Compare everything that we believe to run with everything that the hubs show, in both directions."""
    return sum(_reconcile(center_id, hub) for center_id, hub in hubs())


def _reconcile(center_id: UUID, hub: Hub) -> int:
    with transaction():
        unseen = reconcile.live_rows(center_id)
    strays = 0
    try:
        for servers in hub.active():
            strays += _reconcile_page(center_id, hub, servers)
            for server in servers:
                unseen.pop(server.name, None)
    except HubError as error:
        log.warning("hub cannot be reconciled", extra={"center": center_id, "why": str(error)})
        with transaction():
            centers.lost(center_id)
        return 0
    missing = [session_id for session_id, state in unseen.values() if state is SessionState.RUNNING]
    for session_id in missing:
        with transaction():
            reconcile.observe(session_id, Sighting.ABSENT)
    with transaction():
        centers.reached(center_id)
    return strays + len(missing)


def _reconcile_page(center_id: UUID, hub: Hub, servers: list[Server]) -> int:
    with transaction():
        owned = reconcile.owned([server.name for server in servers], center_id)
        running = [UUID(hex=s.name.removeprefix("lab-")) for s in servers if s.name in owned and s.state == "running"]
        reconcile.confirm_running(running, clock.now())
    strays = [s for s in servers if s.name not in owned and s.state in ("running", "starting")]
    for server in strays:
        log.warning("stopping a server that nobody ordered", extra={"user": server.user, "server": server.name})
        try:
            hub.remove(server.user, server.name)
        except HubError as error:
            log.warning("hub did not take an order", extra={"server": server.name, "why": str(error)})
    return len(strays)
