"""Look after the sessions that start, stop or are missing: one call to the hub for each, several times a second."""

import logging

from app.db import transaction
from labs.adapters import Hub, HubError, Server
from labs.jobs.calls import Ticket, hubs, quietly
from labs.models import Sighting
from labs.services import reconcile, sessions
from labs.services.reconcile import Step

log = logging.getLogger(__name__)
SIGHTINGS: dict[str, Sighting] = {
    "starting": Sighting.STARTING,
    "running": Sighting.RUNNING,
    "stopping": Sighting.STOPPING,
    "stopped": Sighting.ABSENT,
}


def follow_sessions() -> int:
    """Look after the sessions that start, stop or are missing: ask the hub for each of them."""
    done = 0
    for center_id, hub in hubs():
        with transaction():
            tickets = [Ticket.of(session) for session in sessions.to_follow(center_id)]
            leftovers = [Ticket.of(session) for session in sessions.to_forget(center_id)]
        done += sum(_follow(hub, ticket) for ticket in tickets)
        done += sum(_forget(hub, ticket) for ticket in leftovers)
    return done


def _follow(hub: Hub, ticket: Ticket) -> int:
    seen = _look(hub, ticket)
    with transaction():
        step = reconcile.observe(ticket.session_id, seen)
    if step in (Step.STOP, Step.GIVE_UP):
        quietly(hub.stop, ticket)
    return step is not Step.NONE


def _look(hub: Hub, ticket: Ticket) -> Sighting:
    try:
        server = hub.server(ticket.user, ticket.server)
    except HubError as error:
        log.warning("hub did not answer", extra={"session": ticket.session_id, "why": str(error)})
        return Sighting.UNREACHABLE
    return Sighting.ABSENT if server is None else SIGHTINGS[server.state]


def _forget(hub: Hub, ticket: Ticket) -> int:
    """Remove the named server of an ended session from the hub; confirmed when the hub no longer knows it."""
    if quietly(hub.remove, ticket) and _look_again(hub, ticket) is None:
        with transaction():
            sessions.forgotten(ticket.session_id)
        return 1
    return 0


def _look_again(hub: Hub, ticket: Ticket) -> Server | None:
    try:
        return hub.server(ticket.user, ticket.server)
    except HubError:
        return Server(ticket.user, ticket.server)  # unknown: ask again later
