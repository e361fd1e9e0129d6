"""Until when a lab ran, for all we know; and which labs a whole pass over a hub has missed."""

from datetime import timedelta

import pytest

from app import clock
from app.db import db
from labs.models import LabSession, Sighting
from labs.services import reconcile
from labs.services.reconcile import Look

ENDS = [
    # last seen alive, what the evidence names, until when it ran: seconds from now
    (-30, None, -30),  # a worker that was away does not charge for the time in which nobody looked
    (60, None, 0),  # the clock was set back since
    (None, None, 0),
    (-30, -10, -10),
    (-30, -50, -30),  # it was alive after that
    (-30, 20, 0),  # a hub whose clock is ahead
    (None, -10, 0),
]


@pytest.mark.parametrize(("last", "named", "until"), ENDS)
def test_it_ran_until(last, named, until):
    now = clock.now()

    def at(seconds):
        return None if seconds is None else now + timedelta(seconds=seconds)

    session = LabSession(last_running_at=at(last))

    assert reconcile._ended_at(session, Look(Sighting.GONE, ended_at=at(named))) == at(until)


@pytest.mark.parametrize(
    ("seen_at", "is_missed"),
    [(None, True), (-10, True), (0, False), (1, False), (3600, True)],
)
def test_a_pass_has_missed_what_was_not_seen_since_it_began(campus, seen_at, is_missed):
    """What was seen in times to come was seen before the clock was set back."""
    began = clock.now()
    session = campus.running()
    session.seen_at = None if seen_at is None else began + timedelta(seconds=seen_at)
    session.missing = 0
    db.session.commit()

    assert reconcile.miss(session.center_id, began) == int(is_missed)
    db.session.refresh(session)
    assert session.missing == int(is_missed)
