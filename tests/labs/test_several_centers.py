"""Several centers behind one button: which one is chosen, what is kept of it, and what happens when one is lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock as time
from app.access import PlatformRole
from app.db import db, transaction
from labs import ledger, queries
from labs.deciding import deciding
from labs.errors import (
    BudgetExhausted,
    CapacityFull,
    CenterMaintenance,
    CenterUnreachable,
    DataResidency,
    FlavorNotGranted,
    InvalidRequest,
    TermsNotAccepted,
    UserConcurrency,
)
from labs.models import Center, CenterState, CenterTerms, Decision, Hold, HoldState, LabSession, SessionState
from labs.services import centers, line, orders, places, rescue, sessions
from tests.fakes import FakeHub
from tests.labs.conftest import build
from tests.labs.test_races import at_once
from tests.make import as_actor

C = 1_000_000


class Two:
    """Two centers that offer the same size at the same price, each with a hub of its own."""

    def __init__(self, app, make, hub, credits=100):
        self.campus = campus = build(app, make, hub, credits)
        self.app, self.make = app, make
        self.east, self.east_hub = campus.center, hub
        self.west, self.west_hub = make.center("west", title_zh="西部中心", title_en="West"), FakeHub()
        app.extensions["hubs"]["west"] = self.west_hub
        self.size = campus.flavor.size
        self.west_flavor = make.flavor(self.west, slug="w-small")
        self.template = make.template([campus.flavor, self.west_flavor])
        self.student = campus.student
        db.session.commit()
        self.asked = {"template_id": self.template.id, "size": self.size, "budget_id": campus.budget.id, "minutes": 60}

    def person(self):
        person = self.make.person()
        self.make.cap(self.campus.budget, person)
        return person

    def launch(self, who=None, **changes):
        with transaction():
            return sessions.request(as_actor(who or self.student), **self.asked | changes)

    def running(self, who=None, **changes):
        session = self.launch(who, **changes)
        self.campus.run("start_sessions")
        with transaction():
            orders.redeem(session.center.slug, session.person.hub_name, session.server_name)
        self.campus.run("follow_sessions")
        return self.again(session)

    def again(self, session):
        return self.campus.again(session.id)

    def prefer_east(self):
        """By the name, when all else is equal ("embedded" comes before "west")."""
        assert self.east.slug < self.west.slug

    def holds(self):
        return db.session.scalars(sa.select(Hold).where(Hold.state == HoldState.OPEN)).all()


@pytest.fixture
def two(app, make, hub):
    yield Two(app, make, hub)
    app.extensions["hubs"].pop("west")
    assert ledger.audit() == []


@pytest.fixture
def raced(app, committed, hub):
    yield Two(app, committed, hub)
    app.extensions["hubs"].pop("west")


def occupy(two, center, times=1):
    for _ in range(times):
        two.launch(two.person(), center=center.slug)


# --- which one -----------------------------------------------------------------------------------------------------


def test_equal_centers_are_taken_by_name_and_a_full_one_is_passed_over(two):
    two.east.session_limit = 1
    db.session.commit()

    assert [two.launch(who).center.slug for who in (two.person(), two.person())] == ["embedded", "west"]


def test_the_cheaper_one_is_taken_even_if_another_starts_a_moment_sooner(two):
    dear = two.make.flavor(two.west, price_micro=3 * C, cores=2.0)
    cheap = two.make.flavor(two.east, price_micro=2 * C, cores=2.0)
    template = two.make.template([dear, cheap])
    two.east.start_limit = 1
    db.session.commit()
    two.launch(two.person(), center="embedded")

    session = two.launch(template_id=template.id, size=cheap.size)

    assert session.flavor_id == cheap.id


def test_where_everything_is_full_one_waits_where_it_is_one_s_turn_first(two):
    two.east.session_limit = two.west.session_limit = 1
    db.session.commit()
    two.launch(two.person(), center="embedded", minutes=60)
    two.launch(two.person(), center="west", minutes=20)

    session = two.launch()

    assert (session.state, session.center.slug, session.hold_id) == (SessionState.WAITING, "west", None)
    assert queries.place_in_line(session) == 1


def test_who_does_not_want_to_wait_is_told_that_all_are_full(two):
    two.east.session_limit = two.west.session_limit = 1
    db.session.commit()
    occupy(two, two.east)
    occupy(two, two.west)

    with pytest.raises(CapacityFull) as refusal:
        two.launch(wait=False)

    assert {one["reason"] for one in refusal.value.members["candidates"]} == {"CAPACITY_FULL"}
    assert db.session.query(LabSession).filter_by(person_id=two.student.id).count() == 0


def test_a_center_can_be_insisted_on_and_then_there_is_nothing_else(two):
    two.prefer_east()
    assert two.launch(center="west").center.slug == "west"
    two.west.state = CenterState.MAINTENANCE
    db.session.commit()

    with pytest.raises(CenterMaintenance):
        two.launch(two.person(), center="west")
    assert two.launch(two.person()).center.slug == "embedded"


def test_a_size_that_nobody_offers_or_not_there_is_refused_with_where_it_is(two):
    two.make.center("north")
    with pytest.raises(FlavorNotGranted):
        two.launch(size="64c-1m")
    with pytest.raises(FlavorNotGranted) as refusal:
        two.launch(center="north")
    with pytest.raises(InvalidRequest):
        two.launch(size="")

    assert "西部中心" in str(refusal.value.remedies[0].text)


@pytest.mark.parametrize("spoil", ["maintenance", "draining", "lost"])
def test_a_center_that_takes_no_labs_is_passed_over(two, spoil):
    if spoil == "lost":
        two.east.unreachable_since = time.now()
    else:
        two.east.state = CenterState(spoil)
    db.session.commit()

    assert two.launch().center.slug == "west"


def test_data_that_must_stay_in_a_region_goes_nowhere_else(two):
    two.west.region, two.template.region = "CN-SC", "CN"
    db.session.commit()
    assert two.launch().center.slug == "west"

    two.template.region = "CN-SD"
    db.session.commit()
    with pytest.raises(DataResidency) as refusal:
        two.launch(two.person())
    assert refusal.value.members["region"] == "CN-SD"
    assert len(refusal.value.members["candidates"]) == 2


def test_a_region_is_no_prefix_of_letters(two):
    two.west.region = two.east.region = "CN-SCX"
    two.template.region = "CN-SC"
    db.session.commit()

    with pytest.raises(DataResidency):
        two.launch()


def test_one_s_files_are_worth_a_few_minutes_but_not_an_hour(two, clock):
    session = two.running(center="west")
    clock.shift(timedelta(minutes=59))
    two.campus.run("reconcile_centers")
    with transaction():
        sessions.stop(as_actor(two.student), session.id)
    for _ in range(3):
        two.campus.run("follow_sessions")
    assert two.again(session).state is SessionState.SETTLED
    assert two.launch().center.slug == "west"  # the name alone would say: embedded
    with transaction():
        sessions.stop(as_actor(two.student), queries.live_session(two.student.id, two.template.id).id)
    two.west.session_limit = 1
    db.session.commit()
    occupy(two, two.west)

    assert two.launch().center.slug == "embedded"


def test_files_are_rescued_where_they_are(two):
    operator = as_actor(two.make.platform(PlatformRole.OPERATOR))
    with transaction():
        for center in (two.east, two.west):
            rescue.offer(operator, center, cores=0.5, memory_mb=512)
    session = two.running(center="west")

    with transaction():
        opened = rescue.open_files(as_actor(two.student), "west")

    assert (opened.center_id, opened.hold.amount) == (session.center_id, 0)
    assert [home.center.slug for home in queries.storage_of(two.student.id)] == ["west"]


# --- when all refuse -----------------------------------------------------------------------------------------------


def test_of_different_refusals_one_hears_that_which_one_can_mend(two):
    two.east.state = CenterState.MAINTENANCE
    db.session.add(CenterTerms(center_id=two.west.id, number=1, text_zh="条款", text_en="Terms"))
    db.session.commit()

    with pytest.raises(TermsNotAccepted) as refusal:
        two.launch()

    assert [(one["center"], one["reason"]) for one in refusal.value.members["candidates"]] == [
        ("west", "TERMS_NOT_ACCEPTED"),
        ("embedded", "CENTER_MAINTENANCE"),
    ]
    assert "accept-terms" in {remedy.code for remedy in refusal.value.remedies}
    assert "other-center" not in {remedy.code for remedy in refusal.value.remedies}  # that was asked, too


def test_an_unreachable_center_is_sooner_mended_than_one_in_maintenance(two):
    two.east.state, two.west.unreachable_since = CenterState.MAINTENANCE, time.now()
    db.session.commit()

    with pytest.raises(CenterUnreachable):
        two.launch()


def test_what_is_wrong_with_the_person_is_said_once(two):
    for _ in range(3):
        two.launch(template_id=two.make.template([two.campus.flavor, two.west_flavor]).id)

    with pytest.raises(UserConcurrency):
        two.launch()


def test_credits_that_do_not_suffice_here_may_suffice_there(two):
    dear = two.make.flavor(two.east, price_micro=200 * C, cores=4.0)
    cheap = two.make.flavor(two.west, price_micro=2 * C, cores=4.0)
    template = two.make.template([dear, cheap])
    db.session.commit()

    assert two.launch(template_id=template.id, size=dear.size).flavor_id == cheap.id
    two.west.state = CenterState.MAINTENANCE
    db.session.commit()
    with pytest.raises(BudgetExhausted):
        two.launch(two.person(), template_id=template.id, size=dear.size)


# --- what is kept --------------------------------------------------------------------------------------------------


def decide(two, **changes):
    asked = two.asked | changes
    about = {name: asked.pop(name) for name in ("template_id", "budget_id")}
    with deciding(as_actor(two.student), "launch", **about, **asked) as question:
        question.answer(sessions.request(as_actor(two.student), **about, **asked, note=question.weighed))
    return db.session.query(Decision).order_by(Decision.id.desc()).first()


def test_the_decision_keeps_every_center_and_why_it_was_not_chosen(two):
    two.east.state = CenterState.MAINTENANCE
    db.session.commit()

    row = decide(two)

    kept = [(one["center"], one["reason"], one["price_micro"]) for one in row.inputs["placement"]]
    price = C + C // 12 + 1
    assert kept == [("west", None, price), ("embedded", "CENTER_MAINTENANCE", price)]
    assert (row.flavor_id, row.center_id) == (two.west_flavor.id, two.west.id)
    assert row.inputs["numbers"]["center"]["slug"] == "west"


def test_a_refusal_keeps_them_too(two):
    two.east.state = two.west.state = CenterState.MAINTENANCE
    db.session.commit()

    with pytest.raises(CenterMaintenance):
        decide(two)

    row = db.session.query(Decision).one()
    assert [one["reason"] for one in row.inputs["placement"]] == ["CENTER_MAINTENANCE"] * 2
    assert (row.reason, row.center_id) == ("CENTER_MAINTENANCE", two.east.id)


def test_the_same_key_finds_the_same_lab_and_another_center_is_another_question(two):
    first = two.launch(key="once")
    assert two.launch(key="once").id == first.id
    with pytest.raises(Exception, match="idempotency-conflict"):
        two.launch(key="once", center="west")


# --- many at once --------------------------------------------------------------------------------------------------


def test_two_hundred_clicks_are_one_lab_at_one_center(app, raced):
    actor = as_actor(raced.student)

    answers = at_once(app, lambda n: sessions.request(actor, **raced.asked).id, 200)

    assert len(set(answers)) == 1, answers
    assert len(raced.holds()) == 1
    assert queries.miscounted_loads() == {}
    assert ledger.audit() == []


def test_nobody_waits_while_a_place_is_free_anywhere(app, raced):
    raced.east.session_limit = raced.west.session_limit = 5
    db.session.commit()
    actors = [as_actor(raced.person()) for _ in range(24)]
    db.session.commit()

    answers = at_once(app, lambda n: sessions.request(actors[n], **raced.asked).id, 24)

    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    db.session.expire_all()
    rows = db.session.scalars(sa.select(LabSession)).all()
    for center_id in (raced.east.id, raced.west.id):
        assert sum(row.center_id == center_id and row.state is SessionState.RESERVED for row in rows) == 5
    assert sum(row.state is SessionState.WAITING for row in rows) == 14
    assert len(raced.holds()) == 10
    assert queries.miscounted_loads() == {}
    assert ledger.audit() == []


def test_who_loses_the_last_place_goes_to_the_next_center(app, raced):
    """Another one holds the last place of the better center, not yet committed, while this launch wants it."""
    raced.east.session_limit = 1
    db.session.commit()
    places_taken, go_on = threading.Event(), threading.Event()
    actor, other = as_actor(raced.student), as_actor(raced.person())
    db.session.commit()
    asked, flavor_id = raced.asked, raced.campus.flavor.id

    def slow():
        with app.app_context(), transaction():
            values = asked | {"size": None, "flavor_id": flavor_id}
            sessions.request(other, **values)
            places_taken.set()
            assert go_on.wait(20)

    def late():
        with app.app_context(), transaction():
            session = sessions.request(actor, **asked)
            return session.state, session.center.slug, session.hold is not None

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(slow)
        assert places_taken.wait(20)
        second = pool.submit(late)
        assert _waits_for_a_lock()
        go_on.set()
        first.result(20)
        outcome = second.result(20)

    assert outcome == (SessionState.RESERVED, "west", True)
    assert len(raced.holds()) == 2
    assert queries.miscounted_loads() == {}
    assert ledger.audit() == []


def _waits_for_a_lock():
    blocked = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return any(connection.scalar(blocked) for _ in range(5000))


# --- a center that is lost -----------------------------------------------------------------------------------------


def lose(two, hub):
    hub.down = True
    two.campus.run("reconcile_centers")


def test_while_a_center_is_lost_labs_start_elsewhere_and_return_with_it(two):
    lose(two, two.east_hub)
    assert db.session.get_one(Center, two.east.id).unreachable_since is not None

    assert two.launch(two.person()).center.slug == "west"
    two.east_hub.down = False
    two.campus.run("reconcile_centers")

    assert two.launch(two.person()).center.slug == "embedded"


def test_a_lab_at_a_lost_center_is_the_person_s_lab_and_none_starts_elsewhere(two, clock):
    session = two.running()
    assert session.center.slug == "embedded"
    lose(two, two.east_hub)

    assert two.launch().id == session.id
    clock.shift(timedelta(minutes=30))
    for job in ("start_sessions", "follow_sessions", "reconcile_centers", "offer_places", "post_usage"):
        two.campus.run(job)

    assert two.west_hub.started == []
    assert two.again(session).state is SessionState.RUNNING
    assert two.again(session).charged_micro == 0  # nobody saw it since


def test_its_leases_run_out_and_it_is_billed_when_it_returns(two, clock):
    session = two.running(minutes=60)
    lose(two, two.east_hub)
    clock.shift(timedelta(minutes=90))
    two.campus.run("end_leases")
    two.campus.run("follow_sessions")
    assert two.again(session).state is SessionState.STOPPING
    assert two.again(session).seen == "unreachable"

    two.east_hub.down = False
    for _ in range(3):
        two.campus.run("reconcile_centers")
        two.campus.run("follow_sessions")

    session = two.again(session)
    assert session.state is SessionState.SETTLED
    assert session.charged_micro == C + C // 12  # the lease and the grace; what ran on is the center's loss
    assert len(two.holds()) == 0
    assert two.east_hub.servers == {} or all(server.stopped for server in two.east_hub.servers.values())


def test_a_start_that_a_center_lost_is_not_made_elsewhere_behind_one_s_back(two, clock):
    """The order reached the hub, its answer did not reach us: the lab may come up there."""
    two.east_hub.autostart = False
    session = two.launch()
    two.campus.run("start_sessions")
    assert two.again(session).state is SessionState.STARTING
    lose(two, two.east_hub)
    clock.shift(timedelta(minutes=10))
    for _ in range(5):
        two.campus.run("start_sessions")
        two.campus.run("follow_sessions")

    assert two.launch().id == session.id
    assert two.west_hub.started == []
    assert len(two.holds()) == 1

    two.east_hub.down = False
    ((user, server),) = two.east_hub.servers
    two.east_hub.make_ready(user, server)
    two.campus.run("follow_sessions")
    assert two.again(session).state is SessionState.RUNNING
    assert two.again(session).charged_micro == 0


def test_a_start_that_never_got_through_is_given_up_and_may_be_launched_elsewhere(two, clock):
    session = two.launch()
    two.east_hub.down = True
    for _ in range(6):
        two.campus.run("start_sessions")
        clock.shift(timedelta(seconds=40))

    assert two.again(session).state is SessionState.VOIDED
    again = two.launch()
    assert (again.center.slug, len(two.holds())) == ("west", 1)
    two.east_hub.down = False
    two.campus.run("reconcile_centers")
    assert two.east_hub.servers == {}


def test_the_line_of_a_lost_center_stays_and_that_of_the_other_goes_on(two):
    two.east.session_limit = two.west.session_limit = 1
    db.session.commit()
    occupy(two, two.east)
    west = two.running(two.person(), center="west")
    waits_east = two.launch(two.person(), center="embedded")
    waits_west = two.launch(two.person(), center="west")
    lose(two, two.east_hub)
    with transaction():
        sessions.stop(as_actor(west.person), west.id)
    for _ in range(3):
        two.campus.run("follow_sessions")

    two.campus.run("offer_places")

    assert two.again(waits_west).state is SessionState.OFFERED
    assert two.again(waits_east).state is SessionState.WAITING
    assert line.place(two.again(waits_east)) == 1


def test_each_hub_hears_of_its_own_labs_only(two):
    east, west = two.running(two.person(), center="embedded"), two.running(two.person(), center="west")

    assert two.east_hub.started == [(east.person.hub_name, east.server_name)]
    assert two.west_hub.started == [(west.person.hub_name, west.server_name)]
    with transaction():
        assert orders.redeem("west", east.person.hub_name, east.server_name).code == "not-ordered"
    two.campus.run("reconcile_centers")
    assert not two.east_hub.called("remove")
    assert not two.west_hub.called("remove")


def test_a_lab_of_one_center_that_shows_at_another_is_ended_there(two):
    """Whoever moves a hub's database, or points two centers at one hub, pays for one lab and not for two."""
    east = two.running(center="embedded")
    two.west_hub.add_stray(east.person.hub_name, east.server_name)

    two.campus.run("reconcile_centers")

    assert two.west_hub.called("remove")
    assert not two.east_hub.called("remove")
    assert two.again(east).state is SessionState.RUNNING


def test_operators_set_regions(two):
    operator = as_actor(two.make.platform(PlatformRole.OPERATOR))
    with transaction():
        assert centers.set_region(operator, "west", " cn-sc ").region == "CN-SC"
    with pytest.raises(Exception, match="bad-region"):
        centers.set_region(operator, "west", "Sichuan")
    with transaction():
        assert centers.set_region(operator, "west", "").region is None
    assert places.take(two.west.id)
    places.leave(two.west.id, SessionState.RESERVED)


def test_to_launch_a_size_costs_hardly_more_than_a_flavor(two):
    """With one center nothing is weighed; each further center is asked the questions of a launch, and no more."""
    one = two.make.template([two.campus.flavor])
    people = [two.person() for _ in range(4)]
    db.session.commit()

    def statements(who, **changes):
        actor, asked = as_actor(who), two.asked | changes
        seen = []

        def note(connection, cursor, statement, *rest):
            seen.append(statement)

        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        try:
            with transaction():
                sessions.request(actor, **asked)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", note)
        return len(seen)

    statements(people[0], template_id=one.id, size=None, flavor_id=two.campus.flavor.id)
    by_flavor = statements(people[1], template_id=one.id, size=None, flavor_id=two.campus.flavor.id)
    by_size = statements(people[2], template_id=one.id)
    of_two = statements(people[3])

    assert by_size <= by_flavor + 1, (by_flavor, by_size)
    assert of_two <= by_size + 15, (by_size, of_two)
