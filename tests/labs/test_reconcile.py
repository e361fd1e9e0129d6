"""The table of what follows from a sighting: every state of a session × everything that a hub can show."""

from datetime import timedelta

import pytest

from labs.models import SessionState as S
from labs.models import Sighting
from labs.services.reconcile import Step, decide

SOON, LATE = timedelta(seconds=1), timedelta(minutes=5)
ABSENT, STARTING, RUNNING, STOPPING, AWAY = (
    Sighting.ABSENT,
    Sighting.STARTING,
    Sighting.RUNNING,
    Sighting.STOPPING,
    Sighting.UNREACHABLE,
)

TABLE = [
    # state, seen, missing, since the order or the stop, what follows
    (S.WAITING, ABSENT, 1, LATE, Step.NONE),
    (S.WAITING, STARTING, 0, LATE, Step.STOP),
    (S.WAITING, RUNNING, 0, LATE, Step.STOP),
    (S.WAITING, STOPPING, 0, LATE, Step.STOP),
    (S.OFFERED, ABSENT, 1, LATE, Step.NONE),
    (S.OFFERED, STARTING, 0, LATE, Step.STOP),
    (S.OFFERED, RUNNING, 0, LATE, Step.STOP),
    (S.OFFERED, STOPPING, 0, LATE, Step.STOP),
    (S.RESERVED, ABSENT, 1, LATE, Step.NONE),
    (S.RESERVED, STARTING, 0, LATE, Step.NONE),
    (S.RESERVED, RUNNING, 0, LATE, Step.MARK_RUNNING),
    (S.RESERVED, STOPPING, 0, LATE, Step.NONE),
    (S.STARTING, ABSENT, 1, SOON, Step.NONE),
    (S.STARTING, ABSENT, 1, LATE, Step.RESTART),
    (S.STARTING, STARTING, 0, SOON, Step.NONE),
    (S.STARTING, STARTING, 0, LATE, Step.GIVE_UP),
    (S.STARTING, RUNNING, 0, SOON, Step.MARK_RUNNING),
    (S.STARTING, STOPPING, 0, SOON, Step.NONE),
    (S.STARTING, STOPPING, 0, LATE, Step.GIVE_UP),
    (S.RUNNING, ABSENT, 1, LATE, Step.NONE),
    (S.RUNNING, ABSENT, 2, LATE, Step.SETTLE),
    (S.RUNNING, STARTING, 0, LATE, Step.NONE),
    (S.RUNNING, RUNNING, 0, LATE, Step.NONE),
    (S.RUNNING, STOPPING, 0, LATE, Step.NONE),
    (S.STOPPING, ABSENT, 1, SOON, Step.SETTLE),
    (S.STOPPING, STARTING, 0, SOON, Step.STOP),
    (S.STOPPING, RUNNING, 0, SOON, Step.STOP),
    (S.STOPPING, STOPPING, 0, SOON, Step.NONE),
    (S.STOPPING, STOPPING, 0, LATE, Step.STOP),
    (S.SETTLED, ABSENT, 1, LATE, Step.NONE),
    (S.SETTLED, RUNNING, 0, LATE, Step.STOP),
    (S.SETTLED, STARTING, 0, LATE, Step.STOP),
    (S.SETTLED, STOPPING, 0, LATE, Step.STOP),
    (S.VOIDED, ABSENT, 1, LATE, Step.NONE),
    (S.VOIDED, RUNNING, 0, LATE, Step.STOP),
    (S.VOIDED, STARTING, 0, LATE, Step.STOP),
    (S.VOIDED, STOPPING, 0, LATE, Step.STOP),
]


@pytest.mark.parametrize(("state", "seen", "missing", "since", "step"), TABLE)
def test_what_follows(state, seen, missing, since, step):
    assert decide(state, seen, missing=missing, since_order=since, since_stop=since) is step


@pytest.mark.parametrize("state", list(S))
def test_a_hub_that_does_not_answer_proves_nothing(state):
    assert decide(state, AWAY, missing=9, since_order=LATE, since_stop=LATE) is Step.NONE


def test_the_table_is_whole():
    assert {(state, seen) for state, seen, *_ in TABLE} == {
        (s, seen) for s in S for seen in Sighting if seen is not AWAY
    }
