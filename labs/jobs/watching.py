"""Follow a start as it happens: the hub's progress stream says within milliseconds that a lab is ready.

Beside the jobs, in a thread for each start, and only as a shortcut: what it misses, the follower's next round finds.
"""

import logging
import threading
import time
from uuid import UUID

from flask import Flask, current_app

from app import jobs
from app.db import db
from labs.adapters import Hub, HubError
from labs.jobs.calls import Ticket

log = logging.getLogger(__name__)
LONGEST_SECONDS = 15.0  # then the follower takes over
_watched: dict[UUID, float] = {}  # session → until when its watcher is trusted
_lock = threading.Lock()


def is_watched(session_id: UUID) -> bool:
    with _lock:
        until = _watched.get(session_id)
        return until is not None and time.monotonic() < until


def watch(hub: Hub, ticket: Ticket) -> None:
    """Watch this start, where a worker runs that can."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    with _lock:
        _watched[ticket.session_id] = time.monotonic() + LONGEST_SECONDS
    if not jobs.beside(app, lambda: _watch(app, hub, ticket)):
        _unwatch(ticket)


def _watch(app: Flask, hub: Hub, ticket: Ticket) -> None:
    try:
        ready = any(step.ready for step in hub.progress(ticket.user, ticket.server))
    except HubError as error:
        log.info("a start could not be watched", extra={"session": ticket.session_id, "why": str(error)})
        ready = False
    try:
        if ready:
            _act(app, hub, ticket)
    finally:
        _unwatch(ticket)


def _act(app: Flask, hub: Hub, ticket: Ticket) -> None:
    from labs.jobs.following import SIGHTINGS, act
    from labs.services.reconcile import Look

    with app.app_context():
        try:
            act(hub, ticket, Look(SIGHTINGS["running"]))
        finally:
            db.session.remove()


def _unwatch(ticket: Ticket) -> None:
    with _lock:
        _watched.pop(ticket.session_id, None)
