"""Order from the hubs what people asked for."""

import logging
import time
from dataclasses import replace
from datetime import timedelta

from app import logs
from app.db import commit_without_waiting, transaction
from labs.adapters import HubBusy, HubError, HubRefused, HubUnreachable
from labs.jobs import watching
from labs.jobs.calls import Ticket, hub_of
from labs.queries import decisions
from labs.services import centers, sessions

log = logging.getLogger(__name__)


def start_sessions() -> int:
    """Order what people asked for from the hubs."""
    started = 0
    while ticket := _claim():
        asked_by = {"request_id": ticket.request_id} if ticket.request_id else {}
        with logs.about(session=str(ticket.session_id), center=ticket.center, **asked_by):
            started += _start(ticket)
    return started


def _claim() -> Ticket | None:
    with transaction():
        commit_without_waiting()  # the hub starts nothing before its admission is written down, which is after this
        session = sessions.claim_next()
        return None if session is None else replace(Ticket.of(session), request_id=decisions.request_of(session.id))


def _start(ticket: Ticket) -> int:
    began = time.perf_counter()
    try:
        hub = hub_of(ticket.center)
        hub.start(ticket.user, ticket.server, {"session": ticket.session_id.hex}, ticket.title)
    except HubRefused as error:
        log.warning("hub refused a start", extra={"why": str(error)})
        with transaction():
            if error.code:  # its scheduler said no: once more would end the same way
                sessions.fail(ticket.session_id, error.message, "start-failed", error.code)
            else:
                sessions.restart(ticket.session_id, error.message)
        return 0
    except HubError as error:
        log.warning("start did not get through", extra={"why": str(error)})
        with transaction():
            if isinstance(error, HubUnreachable):
                centers.lost(ticket.center_id)
            sessions.try_again(ticket.session_id, error.message, _pause(error))
        return 0
    took = round((time.perf_counter() - began) * 1000)
    log.info("ordered from the hub", extra={"milliseconds": took})
    watching.watch(hub, ticket)
    return 1


def _pause(error: HubError) -> timedelta:
    wanted = error.retry_after if isinstance(error, HubBusy) else None
    return timedelta(seconds=min(30.0, wanted or 3.0))
