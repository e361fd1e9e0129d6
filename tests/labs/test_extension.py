"""More time for a lab that runs: put aside first, once for each click, and refused with what would fit."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from accounts.models import Notice
from app import clock as time
from app.access import MemberRole, PlatformRole
from app.db import db, transaction
from app.errors import NotFound
from labs import ledger
from labs.errors import (
    BudgetExhausted,
    CenterMaintenance,
    ExceedsMaxRequest,
    IdempotencyConflict,
    InvalidRequest,
    LabIsEnding,
    LabNotReady,
    MemberCapExhausted,
    NotEnrolled,
    TrancheEndsBeforeLease,
)
from labs.models import BudgetManager, CenterState, Decision, Hold, MemberCap, Rate, SessionState
from labs.services import budgets, extension, news, sessions
from tests.make import as_actor, sign_in

C = 1_000_000
GRACE = C * 300 // 3600 + 1


@pytest.fixture(autouse=True)
def _honest(database):
    yield
    assert ledger.audit() == []


@pytest.fixture
def lab(campus):
    return campus.running(60)


@pytest.fixture
def teacher(campus):
    person = campus.make.member(role=MemberRole.TEACHER, name="张敏")
    campus.make._save(BudgetManager(budget_id=campus.budget.id, person_id=person.id))
    return person


def extend(campus, lab, minutes=30, key="click", who=None):
    with transaction():
        return extension.extend(as_actor(who or campus.student), lab.id, minutes, key)


def fits(refusal):
    """The minutes that the refusal says would fit."""
    remedy = next(r for r in refusal.value.remedies if r.code == "shorter-extension")
    return int("".join(c for c in str(remedy.text) if c.isdigit()))


def cap(campus, credits):
    db.session.execute(
        sa.update(MemberCap)
        .where(MemberCap.budget_id == campus.budget.id, MemberCap.person_id == campus.student.id)
        .values(cap_micro=round(credits * C))
    )
    db.session.commit()


def kinds(person):
    return [n.kind for n in db.session.query(Notice).filter_by(person_id=person.id).order_by(Notice.id)]


def test_more_time_is_put_aside_and_the_lease_ends_later(campus, clock, lab):
    ends_at = lab.lease_ends_at
    clock.shift(timedelta(minutes=10))

    extended = extend(campus, lab, 30)

    assert (extended.lease_minutes, extended.extended_minutes) == (90, 30)
    assert extended.lease_ends_at == ends_at + timedelta(minutes=30)
    held = -(-C * (90 * 60 + 300) // 3600)
    assert campus.purse() == (100 * C - held, held, 0)
    assert extended.hold.amount == held
    assert "lab-extended" in [notice.kind for notice in news.current(extended)]


def test_a_double_click_is_one_extension_also_when_no_more_is_possible(campus, lab):
    cap(campus, (60 + 40 + 5) / 60 + 0.001)

    first, second = extend(campus, lab, 40), extend(campus, lab, 40)

    assert first.id == second.id
    assert campus.again(lab.id).extended_minutes == 40
    with pytest.raises(IdempotencyConflict):
        extend(campus, lab, 10)


def test_what_was_extended_is_charged_and_the_rest_returns(campus, clock, lab):
    extend(campus, lab, 60)
    clock.shift(timedelta(minutes=100))
    campus.run("end_leases")
    assert campus.again(lab.id).state is SessionState.RUNNING
    with transaction():
        sessions.stop(as_actor(campus.student), lab.id)
    for _ in range(3):
        campus.run("follow_sessions")

    assert campus.again(lab.id).charged_micro == C * 100 // 60
    assert campus.purse() == (100 * C - C * 100 // 60, 0, C * 100 // 60)


def test_people_are_warned_again_after_an_extension(campus, clock, lab):
    clock.shift(timedelta(minutes=51))
    campus.run("end_leases")
    extend(campus, lab, 30)
    campus.run("end_leases")
    assert kinds(campus.student) == ["lab-ends-soon"]

    clock.shift(timedelta(minutes=30))
    campus.run("end_leases")
    clock.shift(timedelta(minutes=8))
    campus.run("end_leases")

    assert kinds(campus.student) == ["lab-ends-soon"] * 3


def test_a_share_that_does_not_suffice_names_the_minutes_that_do(campus, lab):
    cap(campus, (60 + 40 + 5) / 60 + 0.001)
    assert extension.possible(lab) == 40
    assert extension.outlook(lab).limited_by == "credits"

    with pytest.raises(MemberCapExhausted) as refusal:
        extend(campus, lab, 60)

    assert fits(refusal) == 40
    assert campus.again(lab.id).lease_minutes == 60
    assert extend(campus, lab, 40, key="again").lease_minutes == 100
    assert extension.possible(lab) == 0


def test_a_budget_that_does_not_suffice_names_the_minutes_that_do(campus, lab):
    other = campus.make.budget(0, parent=campus.make.budget(10))
    ledger.transfer(campus.budget.id, other.id, 98 * C, key="away")
    db.session.commit()

    with pytest.raises(BudgetExhausted) as refusal:
        extend(campus, lab, 120)

    assert fits(refusal) == extension.possible(lab) == 55


def test_credits_that_are_valid_for_less_name_the_minutes_until_then(campus, lab):
    db.session.execute(sa.text("UPDATE tranche SET valid_until = :at"), {"at": time.now() + timedelta(minutes=105)})
    db.session.commit()

    with pytest.raises(TrancheEndsBeforeLease) as refusal:
        extend(campus, lab, 60)

    assert 30 <= fits(refusal) <= 40


def test_no_lab_runs_longer_than_its_flavor_allows(campus, lab):
    campus.flavor.longest_minutes = 100
    db.session.commit()
    assert extension.outlook(lab) == extension.Outlook(40, "lease", extension.price(lab, 40))

    with pytest.raises(ExceedsMaxRequest) as refusal:
        extend(campus, lab, 60)

    assert refusal.value.members["layer"] == {
        "name": "lease",
        "limit": 100,
        "held": 60,
        "left": 40,
        "asked": 60,
        "unit": "minutes",
    }
    assert fits(refusal) == 40


def test_a_center_that_is_to_become_empty_gives_no_more_time(campus, lab):
    for state in (CenterState.DRAINING, CenterState.MAINTENANCE):
        campus.center.state = state
        db.session.commit()
        assert extension.outlook(lab).limited_by == "maintenance"
        with pytest.raises(CenterMaintenance):
            extend(campus, lab)


def test_it_is_too_late_when_the_lab_is_ending(campus, clock, lab):
    with transaction():
        sessions.stop(as_actor(campus.student), lab.id)
    with pytest.raises(LabIsEnding):
        extend(campus, lab)

    for _ in range(3):
        campus.run("follow_sessions")
    with pytest.raises(LabIsEnding):
        extend(campus, lab)


def test_a_lease_that_is_over_is_not_extended_though_nobody_stopped_it_yet(campus, clock, lab):
    clock.shift(timedelta(minutes=60))

    with pytest.raises(LabIsEnding):
        extend(campus, lab)


def test_a_lab_that_does_not_run_yet_is_not_extended(campus):
    with pytest.raises(LabNotReady):
        extend(campus, campus.launch(60))


@pytest.mark.parametrize("minutes", [0, -5])
def test_an_extension_is_at_least_a_minute(campus, lab, minutes):
    with pytest.raises(InvalidRequest):
        extend(campus, lab, minutes)


def test_who_was_dismissed_gets_no_more_time(campus, lab):
    with transaction():
        budgets.dismiss(as_actor(campus.student), campus.budget.id, campus.student.id)

    with pytest.raises(NotEnrolled):
        extend(campus, lab)


def test_the_price_is_the_one_it_started_with(campus, clock, lab):
    db.session.add(Rate(flavor_id=campus.flavor.id, valid_from=time.now(), price_micro=9 * C, bands=[]))
    db.session.commit()

    extend(campus, lab, 60)

    assert campus.again(lab.id).hold.amount == -(-C * (120 * 60 + 300) // 3600)
    assert extension.price(lab, 60) == C


def test_teachers_and_operators_extend_and_the_student_is_told(campus, lab, teacher):
    extend(campus, lab, 15, who=teacher)
    extend(campus, lab, 15, who=campus.make.platform(PlatformRole.OPERATOR))

    assert campus.again(lab.id).extended_minutes == 30
    assert kinds(campus.student) == ["lab-extended", "lab-extended"]
    assert db.session.get(Hold, lab.hold_id).person_id == campus.student.id
    with pytest.raises(NotFound):
        extend(campus, lab, who=campus.make.person())


def test_the_page_offers_what_is_possible_and_says_what_it_costs(app, campus, lab):
    cap(campus, (60 + 40 + 5) / 60 + 0.001)
    browser = sign_in(app, campus.student)
    page = browser.get(f"/labs/{lab.id}").text
    assert "40 minutes more are possible now." in page
    assert "+15 min" in page
    assert "0.25 credits" in page

    done = browser.post(f"/labs/{lab.id}/extend", data={"minutes": "30", "key": "k"}, headers={"HX-Request": "true"})
    again = browser.post(f"/labs/{lab.id}/extend", data={"minutes": "30", "key": "k"})
    refused = browser.post(f"/labs/{lab.id}/extend", data={"minutes": "30", "key": "l"})

    assert "10 minutes more are possible now." in done.text
    assert again.status_code == 303
    assert refused.status_code == 409
    assert "Extend it by 10 minutes: that fits" in refused.text
    decisions = db.session.query(Decision).filter_by(asked="extend", session_id=lab.id)
    assert sorted(decision.reason for decision in decisions) == ["GRANTED", "MEMBER_CAP_EXHAUSTED"]


def test_the_api_tells_what_is_possible_and_needs_a_key(app, campus, lab):
    browser, url = sign_in(app, campus.student), f"/api/v1/lab-sessions/{lab.id}/extensions"
    assert browser.get(url).json == {"possible_minutes": 420, "limited_by": "lease", "price_micro": 7 * C}

    assert browser.post(url, json={"minutes": 30}).status_code == 422
    first = browser.post(url, json={"minutes": 30}, headers={"Idempotency-Key": "k"})
    second = browser.post(url, json={"minutes": 30}, headers={"Idempotency-Key": "k"})
    other = browser.post(url, json={"minutes": 31}, headers={"Idempotency-Key": "k"})

    assert (first.status_code, first.json["lease_minutes"]) == (200, 90)
    assert second.json["lease_minutes"] == 90
    assert (other.status_code, other.json["reason"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert _answers(lab, "extend") == ["GRANTED", "IDEMPOTENCY_CONFLICT"]

    browser.post(url, json={"minutes": 30}, headers={"Idempotency-Key": "another"})
    assert _answers(lab, "extend") == ["GRANTED", "GRANTED", "IDEMPOTENCY_CONFLICT"]


def test_to_keep_a_lab_running_twice_at_once_is_decided_once(app, campus, clock, lab):
    browser, url = sign_in(app, campus.student), f"/api/v1/lab-sessions/{lab.id}/keep-alive"

    assert [browser.post(url, json={"minutes": 60}).status_code for _ in range(2)] == [200, 200]
    assert _answers(lab, "keep-alive") == ["GRANTED"]

    clock.shift(timedelta(minutes=30))
    browser.post(url, json={"minutes": 60})
    assert _answers(lab, "keep-alive") == ["GRANTED", "GRANTED"]


def _answers(lab, asked):
    return sorted(d.reason for d in db.session.query(Decision).filter_by(asked=asked, session_id=lab.id))
