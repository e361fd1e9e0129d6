"""Charge what runs, end what has run for its time, and warn before."""

from collections.abc import Callable, Iterator
from uuid import UUID

from app.db import transaction
from labs import ledger
from labs.services import sessions

WARN_MINUTES = (2, 10)  # the more urgent first, which makes the other one needless


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


def expire_holds() -> int:
    """Give back what was promised and never used nor closed in its time."""
    with transaction():
        return ledger.expire_holds()


def _each(ids: list[UUID], step: Callable[[UUID], bool]) -> Iterator[int]:
    for session_id in ids:
        with transaction():
            yield int(step(session_id))
