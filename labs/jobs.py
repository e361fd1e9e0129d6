"""Scheduled work on labs: start, follow, reconcile, charge, end. The hub is called between two transactions."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from app import clock
from app.db import db, transaction
from app.jobs import Job
from labs import ledger
from labs.adapters import Hub, HubBusy, HubError, HubRefused, HubUnreachable, Server
from labs.models import Center, LabSession, SessionState, Sighting
from labs.services import centers, reconcile, sessions
from labs.services.reconcile import Step

log = logging.getLogger(__name__)
SIGHTINGS: dict[str, Sighting] = {
    "starting": Sighting.STARTING,
    "running": Sighting.RUNNING,
    "stopping": Sighting.STOPPING,
    "stopped": Sighting.ABSENT,
}
WARN_MINUTES = (2, 10)  # the more urgent first, which makes the other one needless


@dataclass(frozen=True)
class Ticket:
    """What the hub must be told about a session, carried out of the transaction that read it."""

    session_id: UUID
    center_id: UUID
    center: str
    user: str
    server: str
    title: str

    @classmethod
    def of(cls, session: LabSession) -> "Ticket":
        return cls(
            session_id=session.id,
            center_id=session.center_id,
            center=session.center.slug,
            user=session.person.hub_name,
            server=session.server_name,
            title=session.template.title_en,
        )


def start_sessions() -> int:
    """Order what people asked for from the hubs."""
    started = 0
    while ticket := _claim():
        started += _start(ticket)
    return started


def follow_sessions() -> int:
    """Look after the sessions that start, stop or are missing: ask the hub for each of them."""
    done = 0
    for center_id, hub in _hubs():
        with transaction():
            tickets = [Ticket.of(session) for session in sessions.to_follow(center_id)]
            leftovers = [Ticket.of(session) for session in sessions.to_forget(center_id)]
        done += sum(_follow(hub, ticket) for ticket in tickets)
        done += sum(_forget(hub, ticket) for ticket in leftovers)
    return done


def reconcile_centers() -> int:
    """Compare everything that we believe to run with everything that the hubs show, in both directions."""
    return sum(_reconcile(center_id, hub) for center_id, hub in _hubs())


def post_usage() -> int:
    """Charge what runs."""
    return sum(_each(sessions.running_ids(), sessions.post_usage))


def end_leases() -> int:
    """Stop what has run for its time, and warn those whose time ends soon."""
    for minutes in WARN_MINUTES:
        for session_id in sessions.ending_within_ids(minutes):
            with transaction():
                sessions.warn(session_id, minutes)
    return sum(_each(sessions.lease_over_ids(), sessions.end_lease))


def expire_credits() -> int:
    """Take back credits whose time is over."""
    with transaction():
        return ledger.expire()


JOBS = [
    Job(start_sessions, every=timedelta(seconds=2)),
    Job(follow_sessions, every=timedelta(milliseconds=400)),
    Job(reconcile_centers, every=timedelta(seconds=10)),
    Job(end_leases, every=timedelta(seconds=5)),
    Job(post_usage, every=timedelta(seconds=60)),
    Job(expire_credits, every=timedelta(minutes=10)),
]


def _claim() -> Ticket | None:
    with transaction():
        session = sessions.claim_next()
        return None if session is None else Ticket.of(session)


def _start(ticket: Ticket) -> int:
    try:
        _hub(ticket.center).start(ticket.user, ticket.server, {"session": ticket.session_id.hex}, ticket.title)
    except HubRefused as error:
        log.warning("hub refused a start", extra={"session": ticket.session_id, "why": str(error)})
        with transaction():
            sessions.restart(ticket.session_id, error.message)
        return 0
    except HubError as error:
        log.warning("start did not get through", extra={"session": ticket.session_id, "why": str(error)})
        with transaction():
            if isinstance(error, HubUnreachable):
                centers.lost(ticket.center_id)
            sessions.try_again(ticket.session_id, error.message, _pause(error))
        return 0
    return 1


def _pause(error: HubError) -> timedelta:
    wanted = error.retry_after if isinstance(error, HubBusy) else None
    return timedelta(seconds=min(30.0, wanted or 3.0))


def _follow(hub: Hub, ticket: Ticket) -> int:
    seen = _look(hub, ticket)
    with transaction():
        step = reconcile.observe(ticket.session_id, seen)
    if step in (Step.STOP, Step.GIVE_UP):
        _quietly(hub.stop, ticket)
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
    if _quietly(hub.remove, ticket) and _look_again(hub, ticket) is None:
        with transaction():
            sessions.forgotten(ticket.session_id)
        return 1
    return 0


def _look_again(hub: Hub, ticket: Ticket) -> Server | None:
    try:
        return hub.server(ticket.user, ticket.server)
    except HubError:
        return Server(ticket.user, ticket.server)  # unknown: ask again later


def _quietly(call: Callable[[str, str], None], ticket: Ticket) -> bool:
    """Tell the hub; when that fails the next pass tells it again."""
    try:
        call(ticket.user, ticket.server)
    except HubError as error:
        log.warning("hub did not take an order", extra={"session": ticket.session_id, "why": str(error)})
        return False
    return True


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


def _each(ids: list[UUID], step: Callable[[UUID], bool]) -> Iterator[int]:
    for session_id in ids:
        with transaction():
            yield int(step(session_id))


def _hubs() -> list[tuple[UUID, Hub]]:
    with transaction():
        known = db.session.execute(select(Center.id, Center.slug).order_by(Center.slug)).all()
    hubs: dict[str, Hub] = current_app.extensions["hubs"]
    return [(center_id, hubs[slug]) for center_id, slug in known if slug in hubs]


def _hub(center: str) -> Hub:
    try:
        return current_app.extensions["hubs"][center]  # type: ignore[no-any-return]
    except KeyError:
        raise HubUnreachable("start", f"no hub is configured for the center {center}") from None
