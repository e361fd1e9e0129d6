"""The life of a lab session with a hub in memory: every step, and what it costs."""

from datetime import timedelta

import pytest

from accounts.models import Notice
from app import clock as time
from app.access import MemberRole, PlatformRole
from app.db import db, transaction
from app.errors import NotFound
from labs import errors, ledger
from labs.adapters import HubBusy, HubRefused
from labs.models import BudgetManager, CenterState, MemberCap, Purse, SessionState
from labs.services import budgets, orders, sessions
from tests.make import as_actor

C = 1_000_000
GRACE = C * 300 // 3600 + 1  # five minutes are paid for in every hold


@pytest.fixture(autouse=True)
def _honest(database):
    yield
    assert ledger.audit() == []


def notices(session):
    return [n.kind for n in db.session.query(Notice).filter_by(person_id=session.person_id).order_by(Notice.id)]


def test_a_launch_puts_its_price_aside_and_the_worker_starts_it(campus):
    session = campus.launch(60)

    assert session.state is SessionState.RESERVED
    assert campus.purse() == (99 * C - GRACE, C + GRACE, 0)
    assert campus.hub.servers == {}

    assert campus.run("start_sessions") == 1

    assert campus.again(session.id).state is SessionState.STARTING
    assert (campus.student.hub_name, session.server_name) in campus.hub.servers


def test_a_lab_that_answers_is_running_and_its_lease_begins(campus, clock):
    session = campus.launch(60)
    campus.run("start_sessions")
    clock.shift(timedelta(seconds=4))

    campus.run("follow_sessions")

    session = campus.again(session.id)
    assert session.state is SessionState.RUNNING
    assert session.ready_at == time.now()
    assert session.lease_ends_at == time.now() + timedelta(minutes=60)


def test_a_stopped_lab_is_charged_to_the_second(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(minutes=15))

    with transaction():
        sessions.stop(as_actor(campus.student), session.id)
    campus.run("follow_sessions")
    campus.run("follow_sessions")

    session = campus.again(session.id)
    assert session.state is SessionState.SETTLED
    assert (session.seconds_used, session.charged_micro, session.stop_reason) == (900, C // 4, "student")
    assert campus.purse() == (100 * C - C // 4, 0, C // 4)


def test_two_clicks_are_one_lab(campus):
    first = campus.launch()
    second = campus.launch()

    assert first.id == second.id
    assert campus.purse()[1] == C + GRACE


def test_stopping_what_the_hub_never_heard_of_is_free_at_once(campus):
    session = campus.launch()

    with transaction():
        sessions.stop(as_actor(campus.student), session.id)

    assert campus.again(session.id).state is SessionState.VOIDED
    assert campus.purse() == (100 * C, 0, 0)
    assert campus.run("start_sessions") == 0


def test_a_lab_stopped_while_it_starts_costs_nothing(campus):
    campus.hub.autostart = False
    session = campus.launch()
    campus.run("start_sessions")

    with transaction():
        sessions.stop(as_actor(campus.student), session.id)
    for _ in range(3):
        campus.run("follow_sessions")

    assert campus.again(session.id).state is SessionState.VOIDED
    assert campus.purse() == (100 * C, 0, 0)
    assert campus.hub.servers == {}


def test_usage_is_posted_while_a_lab_runs(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(minutes=30))
    campus.run("reconcile_centers")

    assert campus.run("post_usage") == 1

    assert campus.again(session.id).charged_micro == C // 2
    assert campus.purse()[2] == C // 2


def test_a_lease_that_ends_stops_the_lab_with_a_notice(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(minutes=60))

    assert campus.run("end_leases") == 1
    campus.run("follow_sessions")
    campus.run("follow_sessions")

    session = campus.again(session.id)
    assert (session.state, session.stop_reason) == (SessionState.SETTLED, "lease-ended")
    assert session.charged_micro == C
    assert "lab-lease-ended" in notices(session)


def test_people_are_warned_ten_and_two_minutes_before_the_end_and_once_each(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(minutes=51))
    campus.run("end_leases")
    campus.run("end_leases")
    clock.shift(timedelta(minutes=8))
    campus.run("end_leases")
    campus.run("end_leases")

    assert notices(session) == ["lab-ends-soon", "lab-ends-soon"]


def test_a_lab_killed_behind_our_back_is_settled_with_the_last_evidence(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(minutes=10))
    campus.run("reconcile_centers")  # seen for the last time
    campus.hub.kill(campus.student.hub_name, session.server_name)
    clock.shift(timedelta(seconds=10))

    campus.run("reconcile_centers")
    assert campus.again(session.id).state is SessionState.RUNNING  # once is not enough
    campus.run("follow_sessions")

    session = campus.again(session.id)
    assert (session.state, session.stop_reason) == (SessionState.SETTLED, "vanished")
    assert session.seconds_used == 600
    assert "lab-vanished" in notices(session)


def test_a_lab_that_slipped_between_two_pages_goes_on(campus):
    session = campus.running(60)
    with transaction():
        orders.ended("embedded", campus.student.hub_name, session.server_name)  # hearsay

    campus.run("follow_sessions")

    session = campus.again(session.id)
    assert (session.state, session.missing) == (SessionState.RUNNING, 0)


def test_a_server_that_nobody_ordered_is_stopped(campus):
    session = campus.running(60)
    campus.hub.add_stray("mallory", "lab-" + "0" * 32)
    campus.hub.add_stray("mallory", "free-for-all")

    assert campus.run("reconcile_centers") == 2

    assert list(campus.hub.servers) == [(campus.student.hub_name, session.server_name)]


def test_a_hub_that_is_down_delays_a_start_and_charges_nothing(campus, clock):
    campus.hub.down = True
    session = campus.launch()
    campus.run("start_sessions")

    assert campus.again(session.id).state is SessionState.RESERVED
    campus.hub.down = False
    clock.shift(timedelta(seconds=4))
    campus.run("start_sessions")
    campus.run("follow_sessions")
    assert campus.again(session.id).state is SessionState.RUNNING
    assert campus.again(session.id).seconds_used == 0


def test_a_hub_that_stays_down_voids_the_launch_with_a_notice(campus, clock):
    campus.hub.down = True
    session = campus.launch()
    for _ in range(20):
        campus.run("start_sessions")
        clock.shift(timedelta(seconds=10))

    session = campus.again(session.id)
    assert (session.state, session.stop_reason) == (SessionState.VOIDED, "hub-unreachable")
    assert campus.purse() == (100 * C, 0, 0)
    assert notices(session) == ["lab-start-failed"]


def test_a_hub_that_asks_to_slow_down_is_asked_later(campus, clock):
    campus.hub.fail_next("start", HubBusy("start", "slow down", retry_after=20))
    session = campus.launch()
    campus.run("start_sessions")

    assert campus.again(session.id).not_before == time.now() + timedelta(seconds=20)
    clock.shift(timedelta(seconds=19))
    assert campus.run("start_sessions") == 0
    clock.shift(timedelta(seconds=2))
    assert campus.run("start_sessions") == 1


@pytest.mark.parametrize("fault", ["faulty", "slow"])
def test_a_hub_that_fails_inside_is_tried_again(campus, clock, fault):
    setattr(campus.hub, fault, True)
    session = campus.launch()
    campus.run("start_sessions")
    assert campus.again(session.id).state is SessionState.RESERVED

    setattr(campus.hub, fault, False)
    clock.shift(timedelta(seconds=5))
    campus.run("start_sessions")
    campus.run("follow_sessions")

    assert campus.again(session.id).state is SessionState.RUNNING


def test_a_start_that_the_hub_refuses_is_given_up_after_three_attempts(campus, clock):
    session = campus.launch()
    for _ in range(4):
        campus.hub.fail_next("start", HubRefused("start", "no such user", 404))
        campus.run("start_sessions")
        clock.shift(timedelta(seconds=10))

    session = campus.again(session.id)
    assert (session.state, session.attempts) == (SessionState.VOIDED, 3)
    assert session.failure == "no such user"
    assert campus.purse() == (100 * C, 0, 0)


def test_a_worker_killed_between_claim_and_start_is_repaired(campus, clock):
    session = campus.launch()
    with transaction():
        sessions.claim_next()  # … and here the worker dies
    clock.shift(timedelta(seconds=10))

    campus.run("follow_sessions")
    clock.shift(timedelta(seconds=3))
    campus.run("start_sessions")
    campus.run("follow_sessions")

    assert campus.again(session.id).state is SessionState.RUNNING


def test_a_start_that_never_ends_is_given_up_and_removed(campus, clock):
    campus.hub.autostart = False
    session = campus.launch()
    campus.run("start_sessions")
    clock.shift(timedelta(minutes=4))

    campus.run("follow_sessions")
    assert campus.again(session.id).state is SessionState.STOPPING  # its end is not confirmed yet
    campus.run("follow_sessions")
    campus.run("follow_sessions")

    assert campus.again(session.id).state is SessionState.VOIDED
    assert notices(session) == ["lab-start-failed"]
    assert campus.hub.servers == {}
    assert campus.purse() == (100 * C, 0, 0)


def test_a_hub_that_is_away_keeps_running_labs_as_they_are(campus, clock):
    session = campus.running(60)
    campus.hub.down = True
    clock.shift(timedelta(minutes=5))
    for _ in range(3):
        campus.run("reconcile_centers")
        campus.run("follow_sessions")

    assert campus.again(session.id).state is SessionState.RUNNING
    assert campus.again(session.id).center.unreachable_since == time.now()
    with pytest.raises(errors.CenterUnreachable):
        campus.launch(template_id=campus.make.template([campus.flavor]).id)

    campus.hub.down = False
    campus.run("reconcile_centers")
    assert campus.again(session.id).center.unreachable_since is None


def test_a_lease_that_ends_while_the_hub_is_away_is_stopped_and_paid_when_it_returns(campus, clock):
    session = campus.running(60)
    campus.hub.down = True
    clock.shift(timedelta(minutes=62))
    campus.run("end_leases")
    campus.run("follow_sessions")
    assert campus.again(session.id).state is SessionState.STOPPING

    campus.hub.down = False
    for _ in range(3):
        campus.run("follow_sessions")

    session = campus.again(session.id)
    assert session.state is SessionState.SETTLED
    assert session.seconds_used == 62 * 60


def test_a_lab_that_runs_on_after_its_stop_was_ordered_is_charged_for_the_grace_and_no_longer(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(minutes=10))
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)
    campus.hub.down = True
    clock.shift(timedelta(hours=5))  # the hub cannot be told
    campus.run("follow_sessions")
    assert campus.again(session.id).cost_so_far(time.now()) == C // 4

    campus.hub.down = False
    for _ in range(3):
        campus.run("follow_sessions")

    session = campus.again(session.id)
    assert (session.state, session.seconds_used, session.charged_micro) == (SessionState.SETTLED, 15 * 60, C // 4)
    assert session.ended_at == time.now()
    assert campus.purse() == (100 * C - C // 4, 0, C // 4)


def test_a_lease_that_ended_while_the_worker_was_away_costs_its_hold_at_the_most(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(hours=6))  # nobody ended the lease, and the lab ran on
    campus.run("reconcile_centers")

    campus.run("post_usage")

    assert campus.again(session.id).charged_micro == 65 * 60 * C // 3600
    campus.run("end_leases")
    for _ in range(3):
        campus.run("follow_sessions")
    session = campus.again(session.id)
    assert (session.state, session.seconds_used) == (SessionState.SETTLED, 65 * 60)
    assert db.session.get(Purse, campus.budget_id).overrun == 0


def test_a_lab_lost_after_its_lease_is_charged_to_the_end_of_the_grace(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(hours=2))
    campus.run("reconcile_centers")  # seen, an hour too late
    campus.hub.kill(campus.student.hub_name, session.server_name)
    campus.run("reconcile_centers")
    campus.run("follow_sessions")

    session = campus.again(session.id)
    assert (session.state, session.seconds_used) == (SessionState.SETTLED, 65 * 60)


def test_the_rest_of_the_hold_returns_to_the_share_and_the_budget(campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(minutes=1))
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)
    campus.run("follow_sessions")
    campus.run("follow_sessions")

    cap = db.session.get(MemberCap, (campus.budget_id, campus.student.id), populate_existing=True)
    assert (cap.held, cap.used) == (0, C // 60)
    assert campus.purse() == (100 * C - C // 60, 0, C // 60)


def test_the_hub_keeps_nothing_of_an_ended_lab(campus):
    session = campus.running()
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)
    for _ in range(3):
        campus.run("follow_sessions")

    assert campus.hub.servers == {}
    assert campus.again(session.id).forgotten_at is not None


# --- orders -------------------------------------------------------------------------------------------------------


def test_one_order_is_one_start(campus):
    session = campus.launch()
    assert isinstance(campus.redeem(session), orders.NoOrder)  # not claimed yet
    campus.run("start_sessions")

    order = campus.redeem(session)
    again = campus.redeem(session)

    assert (order.cores, order.memory_mb) == (campus.flavor.cores, campus.flavor.memory_mb)
    assert order.default_path == "first-lesson/lesson.ipynb"
    assert order.files == [("first-lesson/lesson.ipynb", b"{}")]
    assert again.code == "order-used"


def test_an_order_is_for_its_person_and_center_only(campus):
    session = campus.launch()
    campus.run("start_sessions")

    for center, user, server in (
        ("elsewhere", campus.student.hub_name, session.server_name),
        ("embedded", "mallory", session.server_name),
        ("embedded", campus.student.hub_name, "lab-" + "f" * 32),
        ("embedded", campus.student.hub_name, "anything"),
    ):
        assert orders.redeem(center, user, server).code == "not-ordered"


# --- refusals -----------------------------------------------------------------------------------------------------


def test_a_lease_is_at_least_a_minute(campus):
    with pytest.raises(errors.InvalidRequest):
        campus.launch(0)


def test_a_lease_is_no_longer_than_the_lab_allows(campus):
    with pytest.raises(errors.ExceedsMaxRequest) as refusal:
        campus.launch(241)

    assert refusal.value.members["layer"] == {"name": "lease", "limit": 240, "asked": 241, "unit": "minutes"}
    assert refusal.value.members["never"] is True


def test_only_flavors_of_the_lab_are_granted(campus):
    other = campus.make.flavor(campus.center)

    with pytest.raises(errors.FlavorNotGranted):
        campus.launch(flavor_id=other.id)


def test_strangers_to_a_budget_start_nothing(campus):
    with pytest.raises(errors.NotEnrolled):
        campus.launch(who=campus.make.person())


def test_those_who_were_dismissed_start_nothing_more(campus):
    with transaction():
        budgets.dismiss(as_actor(campus.student), campus.budget.id, campus.student.id)

    with pytest.raises(errors.NotEnrolled):
        campus.launch()


def test_a_budget_pays_within_its_days_only(campus, clock):
    clock.shift(timedelta(days=-2))

    with pytest.raises(errors.BudgetNotActive):
        campus.launch()


def test_nobody_runs_more_than_three_labs(campus):
    for _ in range(3):
        campus.launch(10, template_id=campus.make.template([campus.flavor]).id)

    with pytest.raises(errors.UserConcurrency):
        campus.launch(10)


def test_a_center_in_maintenance_takes_no_new_labs_and_holds_nothing(campus):
    campus.center.state = CenterState.MAINTENANCE
    db.session.commit()

    with pytest.raises(errors.CenterMaintenance):
        campus.launch()

    assert campus.purse() == (100 * C, 0, 0)


def test_a_full_center_says_so_with_its_numbers_to_who_does_not_wait(campus):
    campus.center.session_limit = 1
    other = campus.make.person()
    campus.make.cap(campus.budget, other)
    campus.running(60)

    with pytest.raises(errors.CapacityFull) as refusal:
        campus.launch(who=other, wait=False)

    members = refusal.value.members
    assert (members["never"], members["line"]) == (False, 0)
    assert members["layer"] == {
        "name": "center",
        "limit": 1,
        "held": 1,
        "asked": 1,
        "left": 0,
        "unit": "sessions",
    }
    assert members["retry_after"] == 3600


def test_a_launch_that_does_not_fit_leaves_no_trace(campus):
    large = campus.make.flavor(campus.center, price_micro=200 * C)
    template = campus.make.template([large])

    with pytest.raises(errors.BudgetExhausted):
        campus.launch(60, flavor_id=large.id, template_id=template.id)

    assert campus.purse() == (100 * C, 0, 0)
    assert campus.run("start_sessions") == 0


# --- who ----------------------------------------------------------------------------------------------------------


def test_a_lab_is_seen_by_its_person_the_budgets_manager_and_operators_only(campus):
    session = campus.running()
    teacher, stranger = campus.make.person(), campus.make.member(role=MemberRole.ADMINISTRATOR)
    operator = campus.make.platform(PlatformRole.OPERATOR)
    db.session.add(BudgetManager(budget_id=campus.budget.id, person_id=teacher.id))
    db.session.commit()

    with pytest.raises(NotFound):
        sessions.stop(as_actor(stranger), session.id)
    for who, reason in ((teacher, "teacher"), (operator, "operator")):
        with transaction():
            stopped = sessions.stop(as_actor(who), session.id)
        assert stopped.stop_reason == "teacher", reason
    assert "lab-stopped" in notices(session)
