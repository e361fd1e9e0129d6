"""Look after the sessions that start, stop or are missing: one call to the hub for each, several times a second."""

import logging
from uuid import UUID

from app.db import transaction
from labs.adapters import Hub, HubError, HubUnreachable, Server
from labs.adapters.backend import Backend, HubBackend, Status
from labs.jobs import watching
from labs.jobs.calls import Ticket, hubs, quietly
from labs.models import SessionState, Sighting
from labs.queries import following
from labs.services import centers, reconcile, sessions
from labs.services.reconcile import Look, Step

log = logging.getLogger(__name__)
SIGHTINGS: dict[str, Sighting] = {
    "starting": Sighting.STARTING,
    "running": Sighting.RUNNING,
    "stopping": Sighting.STOPPING,
    "stopped": Sighting.GONE,  # the hub says so of its own process
}
SILENCES = 3  # calls in a row without an answer, and the round is over


def follow_sessions() -> int:
    """Look after the sessions on the move: ask the hub for each of them."""
    return sum(_follow_all(center_id, hub) for center_id, hub in hubs())


def _follow_all(center_id: UUID, hub: Hub) -> int:
    with transaction():
        tickets = [Ticket(*row) for row in following.to_follow(center_id)]
        leftovers = [Ticket(*row) for row in following.to_forget(center_id)]
    done = silences = 0
    for ticket in tickets:
        if watching.is_watched(ticket.session_id):
            continue
        look = _look(hub, ticket)
        silences = silences + 1 if look.seen is Sighting.UNREACHABLE else 0
        done += act(hub, ticket, look)
        if silences == SILENCES:
            with transaction():
                centers.lost(center_id)
            return done
    return done + sum(_forget(hub, ticket) for ticket in leftovers)


def act(hub: Hub, ticket: Ticket, look: Look) -> int:
    """Write down what was seen, and tell the hub what follows from it."""
    with transaction():
        step = reconcile.observe(ticket.session_id, look)
    if step in (Step.STOP, Step.GIVE_UP):
        quietly(hub.stop, ticket)
    return step is not Step.NONE


def _look(hub: Hub, ticket: Ticket) -> Look:
    try:
        backend: Backend = HubBackend(hub)
        status = backend.status(ticket.user, ticket.server, is_awaited=ticket.state is SessionState.STARTING)
        return _seen(status)
    except HubUnreachable as error:
        log.warning("hub did not answer", extra={"session": ticket.session_id, "why": str(error)})
    except HubError as error:
        log.warning("hub did not say what runs", extra={"session": ticket.session_id, "why": str(error)})
    return Look(Sighting.UNREACHABLE)


def _seen(status: Status) -> Look:
    """What a second source said of a server that is gone outranks the hub's list."""
    evidence = status.evidence
    if status.seen != "gone" or evidence is None:
        return Look(Sighting(status.seen))
    return Look(Sighting.GONE, evidence.ended_at, evidence.why, evidence.is_final, evidence.code)


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
