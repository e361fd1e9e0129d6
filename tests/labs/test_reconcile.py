"""The table of what follows from a sighting: every state of a session × everything that a center can show."""

from datetime import timedelta

import pytest

from labs.models import SessionState as S
from labs.models import Sighting
from labs.services.reconcile import Look, Step, decide

NOW, SOON, LATE = timedelta(0), timedelta(seconds=1), timedelta(minutes=5)
ABSENT, STARTING, RUNNING, STOPPING, GONE, AWAY = (
    Sighting.ABSENT,
    Sighting.STARTING,
    Sighting.RUNNING,
    Sighting.STOPPING,
    Sighting.GONE,
    Sighting.UNREACHABLE,
)
IN_LINE = [
    (state, *row)
    for state in (S.WAITING, S.OFFERED)
    for row in (
        (ABSENT, {}, Step.NONE),
        (GONE, {}, Step.NONE),
        (STARTING, {}, Step.STOP),
        (RUNNING, {}, Step.STOP),
        (STOPPING, {}, Step.STOP),
    )
]
ENDED = [(state, *row[1:]) for state in (S.SETTLED, S.VOIDED) for row in IN_LINE[:5]]

TABLE = [
    # state, seen, what is known beside, what follows
    (S.RESERVED, ABSENT, {}, Step.NONE),
    (S.RESERVED, GONE, {}, Step.NONE),
    (S.RESERVED, STARTING, {}, Step.NONE),
    (S.RESERVED, RUNNING, {}, Step.MARK_RUNNING),
    (S.RESERVED, STOPPING, {}, Step.NONE),
    (S.STARTING, ABSENT, {"since_order": SOON}, Step.NONE),
    (S.STARTING, ABSENT, {"since_order": LATE}, Step.RESTART),
    (S.STARTING, GONE, {"since_order": SOON}, Step.NONE),  # the last attempt's, for this one is still on its way
    (S.STARTING, GONE, {"since_order": SOON, "is_admitted": True}, Step.RESTART),
    (S.STARTING, GONE, {"since_order": LATE}, Step.RESTART),
    (S.STARTING, GONE, {"since_order": SOON, "is_final": True}, Step.VOID),
    (S.STARTING, STARTING, {"since_order": SOON}, Step.NONE),
    (S.STARTING, STARTING, {"since_order": LATE}, Step.GIVE_UP),
    (S.STARTING, RUNNING, {"since_order": SOON}, Step.MARK_RUNNING),
    (S.STARTING, STOPPING, {"since_order": SOON}, Step.NONE),
    (S.STARTING, STOPPING, {"since_order": LATE}, Step.GIVE_UP),
    (S.RUNNING, ABSENT, {"missing": 1}, Step.NONE),
    (S.RUNNING, ABSENT, {"missing": 2}, Step.SETTLE),
    (S.RUNNING, GONE, {"missing": 1}, Step.SETTLE),
    (S.RUNNING, STARTING, {}, Step.NONE),
    (S.RUNNING, RUNNING, {}, Step.NONE),
    (S.RUNNING, STOPPING, {}, Step.NONE),
    (S.STOPPING, ABSENT, {"missing": 1}, Step.SETTLE),
    (S.STOPPING, GONE, {"missing": 1}, Step.SETTLE),
    (S.STOPPING, STARTING, {}, Step.STOP),
    (S.STOPPING, RUNNING, {}, Step.STOP),
    (S.STOPPING, RUNNING, {"since_told": SOON}, Step.NONE),
    (S.STOPPING, RUNNING, {"since_told": timedelta(seconds=5)}, Step.STOP),
    (S.STOPPING, STOPPING, {}, Step.STOP),
    (S.STOPPING, STOPPING, {"since_told": timedelta(seconds=59)}, Step.NONE),
    (S.STOPPING, STOPPING, {"since_told": timedelta(seconds=60)}, Step.STOP),
    *IN_LINE,
    *ENDED,
]


@pytest.mark.parametrize(("state", "seen", "known", "step"), TABLE)
def test_what_follows(state, seen, known, step):
    known = {"since_order": NOW, **known}
    look = Look(seen, is_final=known.pop("is_final", False))

    assert decide(state, look, **known) is step


@pytest.mark.parametrize("state", list(S))
def test_a_hub_that_does_not_answer_proves_nothing(state):
    assert decide(state, Look(AWAY), missing=9, since_order=LATE, since_told=LATE) is Step.NONE


def test_the_table_is_whole():
    assert {(state, seen) for state, seen, *_ in TABLE} == {
        (s, seen) for s in S for seen in Sighting if seen is not AWAY
    }
