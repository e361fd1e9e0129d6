"""Compare everything that we believe to run with everything that the hubs show, in both directions.

A pass reads the hub in pages, one call for each, and keeps nothing of a page but numbers. What a page shows running
and we believe to run is noted in one statement. What a whole pass has not shown is asked for one by one, by the
follower. What nobody ordered is asked for once more, ended, and remembered until it is gone.
"""

import itertools
import logging
from datetime import datetime, timedelta
from uuid import UUID

from app import clock
from app.db import transaction
from labs.adapters import Hub, HubError, Server
from labs.jobs.calls import hubs
from labs.models import SessionState, Sighting
from labs.queries import following
from labs.services import centers, reconcile, strays
from labs.services.reconcile import Look
from labs.services.strays import Sighted

log = logging.getLogger(__name__)
ALIVE = ("running", "starting")
PASSES = itertools.count()


def reconcile_centers() -> int:
    """Compare our rows with the servers of every hub."""
    return sum(_reconcile(center_id, hub) for center_id, hub in hubs())


def _reconcile(center_id: UUID, hub: Hub) -> int:
    began = clock.now() + timedelta(microseconds=next(PASSES) % 1000)  # no two passes bear the same mark
    done = 0
    try:
        for servers in hub.active():
            done += _page(center_id, hub, servers, began)
    except HubError as error:
        log.warning("hub cannot be reconciled", extra={"center": center_id, "why": str(error)})
        with transaction():
            centers.lost(center_id)
        return 0
    with transaction():
        done += reconcile.miss(center_id, began)
        unseen = following.strays_not_seen_since(center_id, began)
        centers.reached(center_id)
    return done + sum(_bury(hub, *stray) for stray in unseen)


def _page(center_id: UUID, hub: Hub, servers: list[Server], at: datetime) -> int:
    named = {server.name: ids for server in servers if (ids := _ids(server)) is not None}
    running = dict(named[server.name] for server in servers if server.state == "running" and server.name in named)
    with transaction():
        confirmed = reconcile.confirm(center_id, running, at)
        rest = [server for server in servers if named.get(server.name, (None,))[0] not in confirmed]
        known = reconcile.states(center_id, dict(named[server.name] for server in rest if server.name in named))
    done = 0
    for server in rest:
        session_id = named.get(server.name, (None,))[0]
        state = known.get(session_id) if session_id else None
        if state is SessionState.RUNNING and session_id:  # starts or stops, we do not know why
            with transaction():
                reconcile.observe(session_id, Look(Sighting(server.state)))
        elif state is None and server.state in ALIVE:
            done += _end_stray(center_id, hub, server, at)
    return done


def _ids(server: Server) -> tuple[UUID, UUID] | None:
    """The session and the person that a server's name and user speak of."""
    try:
        return UUID(hex=server.name.removeprefix("lab-")), UUID(hex=server.user)
    except ValueError:
        return None


def _end_stray(center_id: UUID, hub: Hub, shown: Server, at: datetime) -> int:
    """The page is a moment old: ask for this very server, and whether it has become somebody's, before ending it."""
    try:
        server = hub.server(shown.user, shown.name)
        if server is None or server.state not in ALIVE:
            return 0
        ids = _ids(server)
        with transaction():
            if ids is not None and reconcile.states(center_id, dict([ids])):
                return 0
            found = Sighted(server.user, server.name, server.state == "running", server.started_at)
            strays.sighted(center_id, found, at)
        log.warning("ending a server that nobody ordered", extra={"user": server.user, "server": server.name})
        hub.remove(server.user, server.name)
    except HubError as error:
        log.warning("hub did not take an order", extra={"server": shown.name, "why": str(error)})
    return 1


def _bury(hub: Hub, stray_id: UUID, user: str, name: str) -> int:
    """A stray that the pass did not show: gone when the hub confirms that."""
    try:
        server = hub.server(user, name)
        if server is not None and server.state != "stopped":
            with transaction():
                again = strays.insist(stray_id)
            if again:
                hub.remove(user, name)
            return int(again)
        if server is not None:
            hub.remove(user, name)
    except HubError as error:
        log.warning("hub did not say what became of a server", extra={"server": name, "why": str(error)})
        return 0
    with transaction():
        strays.gone(stray_id)
    return 1
