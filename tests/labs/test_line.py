"""The line at a full center: in order, nobody overtakes, no place stays empty, none is given twice."""

from datetime import timedelta

import pytest

from accounts.models import Notice
from app import clock as time
from app.access import PlatformRole
from app.db import db, transaction
from app.errors import Forbidden
from labs import errors, ledger, queries
from labs.models import CenterLoad, CenterState, SessionState
from labs.services import centers, line, places, sessions
from tests.make import as_actor

C = 1_000_000
HELD = C + C * 300 // 3600 + 1  # an hour of the small flavor, and the grace


@pytest.fixture(autouse=True)
def _honest(database):
    yield
    assert ledger.audit() == []
    assert queries.miscounted_loads() == {}


@pytest.fixture
def full(campus):
    """One place, and somebody's lab in it."""
    campus.center.session_limit = 1
    db.session.commit()
    campus.first = campus.running(60)
    return campus


def somebody(campus, credits=None):
    person = campus.make.person()
    campus.make.cap(campus.budget, person, credits)
    return person


def waiting(campus, number=1):
    return [campus.launch(who=somebody(campus)) for _ in range(number)]


def stop(campus, session):
    with transaction():
        sessions.stop(as_actor(session.person), session.id)
    for _ in range(2):
        campus.run("follow_sessions")


def accept(session):
    with transaction():
        return line.accept(as_actor(session.person), session.id)


def states(campus, *rows):
    return [str(campus.again(row.id).state) for row in rows]


def notices(session):
    return [n.kind for n in db.session.query(Notice).filter_by(person_id=session.person_id).order_by(Notice.id)]


def test_at_a_full_center_a_lab_waits_and_holds_nothing(full):
    (session,) = waiting(full)

    assert session.state is SessionState.WAITING
    assert (session.hold_id, line.place(session)) == (None, 1)
    assert full.purse()[1] == HELD  # of the lab that runs
    assert full.run("start_sessions") == 0


def test_a_second_click_in_line_is_the_same_place(full):
    (session,) = waiting(full)

    again = full.launch(who=session.person)

    assert again.id == session.id
    assert db.session.get(CenterLoad, full.center.id).waiting == 1


def test_who_cannot_pay_is_refused_and_does_not_wait(full):
    with pytest.raises(errors.MemberCapExhausted):
        full.launch(who=somebody(full, credits=0.5))


def test_a_free_place_is_kept_for_the_first_for_three_minutes(full):
    first, second = waiting(full, 2)

    stop(full, full.first)
    assert full.run("offer_places") == 1

    first = full.again(first.id)
    assert (first.state, first.offered_until) == (SessionState.OFFERED, time.now() + timedelta(minutes=3))
    assert states(full, second) == ["waiting"]
    assert line.place(full.again(second.id)) == 1
    assert notices(first) == ["lab-place-offered"]
    assert full.run("offer_places") == 0


def test_taking_the_place_puts_the_credits_aside_and_starts_the_lab(full):
    (session,) = waiting(full)
    stop(full, full.first)
    full.run("offer_places")
    before = full.purse()

    accept(session)
    accept(session)  # a double click

    assert full.purse() == (before[0] - HELD, HELD, before[2])
    assert states(full, session) == ["reserved"]
    assert full.run("start_sessions") == 1


def test_nobody_overtakes_who_waits_while_a_place_is_free(full):
    (first,) = waiting(full)
    stop(full, full.first)

    late = full.launch(who=somebody(full))

    assert states(full, first, late) == ["waiting", "waiting"]
    full.run("offer_places")
    assert states(full, first, late) == ["offered", "waiting"]


def test_a_missed_offer_sends_to_the_end_and_the_second_one_out_of_the_line(full, clock):
    first, second = waiting(full, 2)
    stop(full, full.first)
    full.run("offer_places")

    clock.shift(timedelta(minutes=3))
    full.run("offer_places")

    assert states(full, first, second) == ["waiting", "offered"]
    assert notices(first)[-1] == "lab-place-missed"
    clock.shift(timedelta(minutes=3))
    full.run("offer_places")
    assert states(full, first, second) == ["offered", "waiting"]
    clock.shift(timedelta(minutes=3))
    full.run("offer_places")
    assert states(full, first, second) == ["voided", "offered"]
    assert (full.again(first.id).stop_reason, notices(first)[-1]) == ("missed-offers", "lab-left-line")


def test_an_offer_that_is_over_is_not_taken_any_more(full, clock):
    (session,) = waiting(full)
    stop(full, full.first)
    full.run("offer_places")
    clock.shift(timedelta(minutes=3))

    with pytest.raises(errors.OfferOver):
        accept(session)

    assert full.purse()[1] == 0


def test_who_was_offered_nothing_takes_nothing(full):
    (session,) = waiting(full)

    with pytest.raises(errors.OfferOver) as refusal:
        accept(session)

    assert refusal.value.members["place"] == 1


def test_leaving_the_line_is_free_and_the_next_moves_up(full):
    first, second = waiting(full, 2)

    stop(full, first)

    assert states(full, first) == ["voided"]
    assert line.place(full.again(second.id)) == 1
    stop(full, full.first)
    full.run("offer_places")
    assert states(full, second) == ["offered"]
    stop(full, second)  # declines the place
    assert db.session.get(CenterLoad, full.center.id).taken == 0


def test_a_center_that_takes_no_labs_keeps_its_line_and_offers_nothing(full, clock):
    first, second = waiting(full, 2)
    operator = as_actor(full.make.platform(PlatformRole.OPERATOR))
    stop(full, full.first)
    full.run("offer_places")
    with transaction():
        centers.set_state(operator, "embedded", CenterState.DRAINING)

    clock.shift(timedelta(minutes=3))
    full.run("offer_places")

    assert states(full, first, second) == ["waiting", "waiting"]
    assert (line.place(full.again(first.id)), full.again(first.id).offers) == (1, 0)  # not their fault
    with transaction():
        centers.set_state(operator, "embedded", CenterState.UP)
    full.run("offer_places")
    assert states(full, first, second) == ["offered", "waiting"]


def test_only_the_person_takes_the_place(full):
    (session,) = waiting(full)
    stop(full, full.first)
    full.run("offer_places")
    operator = as_actor(full.make.platform(PlatformRole.OPERATOR))

    with pytest.raises(Forbidden), transaction():
        line.accept(operator, session.id)


def test_the_estimate_plays_the_line_through(full, clock):
    first, second = waiting(full, 2)
    clock.shift(timedelta(minutes=10))

    outlooks = [queries.outlook(full.again(row.id)) for row in (first, second)]

    ends_at = full.again(full.first.id).lease_ends_at
    assert [(o.place, o.latest_at) for o in outlooks] == [(1, ends_at), (2, ends_at + timedelta(minutes=60))]


def test_the_estimate_learns_how_much_of_a_lease_people_use(full, clock):
    clock.shift(timedelta(minutes=30))
    stop(full, full.first)
    lab = full.running(60, who=somebody(full))
    (session,) = waiting(full)

    outlook = queries.outlook(session)

    assert outlook.likely_at == full.again(lab.id).ready_at + timedelta(minutes=30)
    assert outlook.latest_at == full.again(lab.id).lease_ends_at


def test_a_raised_limit_is_offered_to_those_who_wait(full):
    first, second, third = waiting(full, 3)
    full.again(first.id).center.session_limit = 3
    db.session.commit()

    assert full.run("offer_places") == 2

    assert states(full, first, second, third) == ["offered", "offered", "waiting"]


def test_a_place_is_given_back_once_however_often_a_lab_ends(full):
    stop(full, full.first)
    for _ in range(3):
        with transaction():
            sessions.end(full.first.id, time.now(), "again")

    assert db.session.get(CenterLoad, full.center.id).taken == 0


def test_counters_that_went_wrong_are_found_and_set_right(full):
    waiting(full, 2)
    load = db.session.get(CenterLoad, full.center.id)
    load.taken, load.waiting = 5, 0
    db.session.commit()

    found = queries.miscounted_loads()[full.center.id]
    with transaction():
        places.recount(full.center.id)

    assert [(seen.taken, seen.waiting) for seen in found] == [(5, 0), (1, 2)]
    assert queries.miscounted_loads() == {}


def test_a_hub_that_is_down_does_not_count_the_time_in_line_against_a_lab(full, clock):
    (session,) = waiting(full)
    clock.shift(timedelta(hours=1))
    stop(full, full.first)
    full.run("offer_places")
    accept(session)
    full.hub.down = True

    full.run("start_sessions")

    assert states(full, session) == ["reserved"]  # tried again, not given up at once
