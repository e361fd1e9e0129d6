"""Rates: versions in time, hours at another price, and the account of a session that says what was pinned."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import clock as time
from app.access import SYSTEM, PlatformRole
from app.db import db
from app.errors import Forbidden
from labs import ledger
from labs.models import Flavor
from labs.services import rates, sessions
from labs.services.rates import BandsOverlap, RateInThePast, RateTaken
from labs.tariff import Tariff
from tests.make import as_actor, sign_in

C = 1_000_000
PEAK = {"days": [1, 2, 3, 4, 5], "from": "08:00", "until": "18:00", "price_micro": 3 * C, "name_en": "Peak"}
NIGHT = {"days": [1, 2, 3, 4, 5, 6, 7], "from": "22:00", "until": "24:00", "price_micro": 0}
MONDAY = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)  # eight in the morning in Shanghai


@pytest.fixture
def flavor(make):
    return make.flavor(make.center())


@pytest.mark.parametrize(
    ("hour", "hours", "credits"),
    [
        (0, 1, 3),  # 08:00, at the peak
        (-1, 2, 1 + 3),  # into it
        (9, 2, 3 + 1),  # out of it
        (13, 3, 1 + 0 + 0),  # 21:00: an hour at the base, two hours free
        (13, 4, 1 + 0 + 0 + 1),  # and after midnight at the base
        (5 * 24, 1, 1),  # on Saturday there is no peak
        (0, 24, 10 * 3 + 4 * 1 + 0 + 8 * 1),
    ],
)
def test_the_clock_of_the_center_decides_what_an_hour_costs(hour, hours, credits):
    tariff = Tariff.of(C, [PEAK, NIGHT], "Asia/Shanghai")

    assert tariff.cost(MONDAY + timedelta(hours=hour), hours * 3600) == credits * C


@given(
    start=st.integers(0, 14 * 86_400),
    seconds=st.integers(1, 8 * 3600),
    late=st.integers(0, 300),
    base=st.integers(0, C),
)
def test_whoever_starts_within_five_minutes_pays_no_more_than_was_put_aside(start, seconds, late, base):
    tariff = Tariff.of(base, [PEAK, NIGHT], "Asia/Shanghai")
    now = MONDAY + timedelta(seconds=start)

    most = tariff.most(now, seconds)

    assert tariff.cost(now + timedelta(seconds=late), seconds) <= most
    assert most <= -(-max(base, 3 * C) * seconds // 3600)


def test_a_summer_time_day_has_the_hours_that_it_has():
    tariff = Tariff.of(C, [PEAK | {"days": [7], "from": "01:00", "until": "05:00"}], "Europe/Berlin")
    night = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)  # midnight before the clocks go forward

    assert tariff.cost(night, 6 * 3600) == (1 + 3 * 3 + 2) * C


def test_a_rate_holds_from_its_moment_on_and_the_price_shown_follows(make, flavor, clock):
    rates.set_rate(SYSTEM, flavor.id, time.now() + timedelta(hours=1), 2 * C, [])

    before = flavor.price_micro
    clock.shift(timedelta(hours=1))
    changed = rates.apply()

    db.session.refresh(flavor)
    assert (before, changed, flavor.price_micro) == (C, 1, 2 * C)
    assert ledger.tariff(flavor.id, time.now()).price_micro == 2 * C
    assert ledger.audit() == []


def test_what_was_promised_keeps_its_rate(make, flavor, clock):
    budget, student = make.budget(10), make.person()
    make.cap(budget, student)
    hold = ledger.reserve(budget.id, student.id, flavor, 3600, key="old")
    clock.shift(timedelta(seconds=1))

    rates.set_rate(SYSTEM, flavor.id, None, 5 * C, [PEAK])

    assert ledger.settle(hold.id, 3600, time.now()).posted_micro == C
    assert ledger.reserve(budget.id, student.id, flavor, 3600, key="new").price_micro == 5 * C


def test_no_rate_begins_in_the_past_or_twice_or_with_two_prices_for_an_hour(flavor):
    soon = time.now() + timedelta(hours=1)
    rates.set_rate(SYSTEM, flavor.id, soon, C, [PEAK])

    with pytest.raises(RateInThePast):
        rates.set_rate(SYSTEM, flavor.id, time.now() - timedelta(seconds=1), C, [])
    with pytest.raises(RateTaken):
        rates.set_rate(SYSTEM, flavor.id, soon, 2 * C, [])
    with pytest.raises(BandsOverlap):
        rates.set_rate(SYSTEM, flavor.id, None, C, [PEAK, PEAK | {"days": [5], "from": "17:59", "until": "20:00"}])


def test_the_cost_so_far_of_a_running_lab_follows_the_clock(campus, clock):
    clock.move_to(MONDAY - timedelta(hours=1))  # seven in the morning in Shanghai
    rates.set_rate(SYSTEM, campus.flavor.id, None, C, [PEAK])
    session = campus.running(120)
    start = time.now()
    clock.shift(timedelta(minutes=90))

    cost = campus.again(session.id).cost_so_far(time.now())

    assert time.now() - start == timedelta(minutes=90)
    assert cost == C + 3 * C // 2


def test_operators_set_rates_by_page_and_by_api(app, make, flavor):
    operator = make.platform(PlatformRole.OPERATOR, second_factor=True)
    browser = sign_in(app, operator)
    band = {"name-1": "Peak", "days-1": ["1", "2"], "from-1": "08:00", "until-1": "00:00", "price-1": "3"}
    form = band | {"price": "1.5"}

    page = browser.post(f"/operations/flavors/{flavor.id}/rates", data=form)
    api = browser.post(f"/api/v1/flavors/{flavor.id}/rates", json={"price_micro": 7})
    known = browser.get(f"/api/v1/flavors/{flavor.id}/rates").json

    assert page.status_code == 303
    assert api.status_code == 409, "another rate begins at that very moment"
    assert known[0]["price_micro"] == 1_500_000
    assert known[0]["bands"][0] | {"name_zh": ""} == {
        **{"days": [1, 2], "from": "08:00", "until": "24:00"},
        **{"price_micro": 3 * C, "name_zh": "", "name_en": "Peak"},
    }
    assert "Peak" in browser.get("/operations/rates").text
    assert db.session.get(Flavor, flavor.id, populate_existing=True).price_micro == 1_500_000


def test_the_account_of_a_session_tells_everything(app, campus, clock):
    session = campus.running(60)
    clock.shift(timedelta(minutes=30))
    campus.run("reconcile_centers")
    campus.run("post_usage")
    sessions.end(session.id, time.now(), "student")
    db.session.commit()
    ledger.correct(campus.again(session.id).held_by, 100_000, "the disk was slow", key="c")
    db.session.commit()
    browser = sign_in(app, campus.student)

    told = browser.get(f"/api/v1/lab-sessions/{session.id}/ledger").json
    page = browser.get(f"/labs/{session.id}/ledger")
    shell = app.test_cli_runner().invoke(args=["ledger", "explain", str(session.id)])
    stranger = sign_in(app, campus.make.person()).get(f"/api/v1/lab-sessions/{session.id}/ledger")

    commands = [row["command"] for row in told["commands"]]
    assert (commands[0], commands[-1]) == ("reserve", "correct")
    assert told["hold"]["posted_micro"] == C // 2
    assert told["returned_micro"] == told["hold"]["amount_micro"] - C // 2
    assert told["lost_micro"] == 100_000
    assert told["parts"][0]["used_micro"] == C // 2
    assert page.status_code == 200
    assert "the disk was slow" in page.text
    assert "used 0.500000 in 1800 s" in shell.output
    assert stranger.status_code == 404


def test_only_operators_set_rates(make, flavor):
    with pytest.raises(Forbidden):
        rates.set_rate(as_actor(make.person()), flavor.id, None, 0, [])
