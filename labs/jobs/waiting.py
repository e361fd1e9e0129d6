"""Give free places to those who wait for one, in order; take back those that were offered and not taken."""

from uuid import UUID

from app.db import transaction
from labs.services import line


def offer_places() -> int:
    """Each step is a transaction of its own, so that a crash leaves nothing half done."""
    done = 0
    for session_id in line.missed_ids():
        with transaction():
            done += line.miss(session_id)
    for center_id in line.centers_with_line():
        while _offer(center_id):
            done += 1
    return done


def _offer(center_id: UUID) -> bool:
    with transaction():
        return line.offer_next(center_id) is not None
