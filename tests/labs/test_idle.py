"""Labs in which nothing runs: who is warned, who is stopped, and who is left alone for want of evidence."""

from datetime import timedelta

import pytest

from accounts.models import Notice
from app import clock as time
from app.access import MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import db, transaction
from app.errors import Forbidden, NotFound
from labs import ledger
from labs.errors import InvalidRequest, KeepAliveSpent, LabIsEnding
from labs.models import BudgetManager, SessionActivity, SessionState
from labs.services import idle, news, sessions
from tests.make import as_actor, sign_in

C = 1_000_000


@pytest.fixture(autouse=True)
def _honest(database):
    yield
    assert ledger.audit() == []


@pytest.fixture
def lab(campus):
    return campus.running(120)


def report(lab, **values):
    """The lab says of itself that nothing runs, unless told otherwise."""
    row = db.session.get(SessionActivity, lab.id) or SessionActivity(session_id=lab.id)
    row.reported_at, row.kernels, row.busy_kernels = time.now(), 1, 0
    for name, value in values.items():
        setattr(row, name, value)
    db.session.add(row)
    db.session.commit()


def kinds(lab):
    return [n.kind for n in db.session.query(Notice).filter_by(person_id=lab.person_id).order_by(Notice.id)]


def pass_quietly(campus, clock, lab, minutes, **values):
    """So much time with a report every minute, and the job running along."""
    for _ in range(minutes):
        clock.shift(timedelta(minutes=1))
        report(lab, **values)
        campus.run("stop_idle")


def test_after_twenty_quiet_minutes_the_person_is_warned_and_after_thirty_the_lab_stops(campus, clock, lab):
    pass_quietly(campus, clock, lab, 19)
    assert kinds(lab) == []

    pass_quietly(campus, clock, lab, 1)
    assert kinds(lab) == ["lab-idle"]
    assert campus.again(lab.id).idle_stops_at == time.now() + timedelta(minutes=10)
    assert "lab-idle" in [notice.kind for notice in news.current(campus.again(lab.id))]

    pass_quietly(campus, clock, lab, 9)
    assert campus.again(lab.id).state is SessionState.RUNNING
    pass_quietly(campus, clock, lab, 1)
    for _ in range(3):
        campus.run("follow_sessions")

    ended = campus.again(lab.id)
    assert (ended.state, ended.stop_reason, ended.seconds_used) == (SessionState.SETTLED, "idle", 30 * 60)
    assert campus.purse() == (100 * C - C // 2, 0, C // 2)
    assert kinds(lab) == ["lab-idle", "lab-idle-stopped"]


def test_without_reports_nobody_is_warned_or_stopped(campus, clock, lab):
    for _ in range(12):
        clock.shift(timedelta(minutes=9))
        campus.run("stop_idle")

    assert campus.again(lab.id).state is SessionState.RUNNING
    assert kinds(lab) == []


def test_reports_that_cease_take_the_warning_back(campus, clock, lab):
    pass_quietly(campus, clock, lab, 20)
    assert campus.again(lab.id).idle_warned_at is not None

    for _ in range(15):  # the hub says nothing more
        clock.shift(timedelta(minutes=1))
        campus.run("stop_idle")

    assert campus.again(lab.id).state is SessionState.RUNNING
    assert campus.again(lab.id).idle_warned_at is None


def test_reports_that_come_back_begin_with_a_warning(campus, clock, lab):
    clock.shift(timedelta(minutes=90))
    report(lab)

    campus.run("stop_idle")

    assert campus.again(lab.id).state is SessionState.RUNNING
    assert kinds(lab) == ["lab-idle"]


@pytest.mark.parametrize(
    "work",
    [
        {"busy_kernels": 1},
        {"accelerator_percent": 3},
    ],
    ids=["a busy kernel", "an accelerator in use"],
)
def test_a_lab_at_work_is_not_idle(campus, clock, lab, work):
    pass_quietly(campus, clock, lab, 45, **work)

    assert campus.again(lab.id).state is SessionState.RUNNING
    assert kinds(lab) == []


def test_an_accelerator_that_cannot_be_measured_is_no_evidence(campus, clock):
    flavor = campus.make.flavor(campus.center, accelerators=1)
    template = campus.make.template([flavor])
    lab = campus.running(120, template_id=template.id, flavor_id=flavor.id)

    pass_quietly(campus, clock, lab, 45)
    assert kinds(lab) == []

    pass_quietly(campus, clock, lab, 1, accelerator_percent=0)
    assert kinds(lab) == ["lab-idle"]


def test_the_window_slides_with_the_last_work(campus, clock, lab):
    pass_quietly(campus, clock, lab, 15)
    pass_quietly(campus, clock, lab, 1, last_busy_at=time.now() + timedelta(minutes=1))

    pass_quietly(campus, clock, lab, 19)
    assert kinds(lab) == []
    pass_quietly(campus, clock, lab, 1)
    assert kinds(lab) == ["lab-idle"]


def test_work_after_the_warning_takes_it_back(campus, clock, lab):
    pass_quietly(campus, clock, lab, 25)
    pass_quietly(campus, clock, lab, 1, last_busy_at=time.now() + timedelta(minutes=1))
    assert campus.again(lab.id).idle_warned_at is None

    pass_quietly(campus, clock, lab, 15)
    assert campus.again(lab.id).state is SessionState.RUNNING


def test_the_template_may_say_another_time_than_the_center(campus, clock, lab):
    campus.center.idle_minutes = 15
    db.session.commit()
    pass_quietly(campus, clock, lab, 8)
    assert kinds(lab) == ["lab-idle"]

    campus.template.idle_minutes = 90
    db.session.commit()
    pass_quietly(campus, clock, lab, 30)

    assert campus.again(lab.id).state is SessionState.RUNNING
    assert campus.again(lab.id).idle_warned_at is None


# --- keep running -------------------------------------------------------------------------------------------------


def keep(campus, lab, minutes=120, who=None):
    with transaction():
        return idle.keep_running(as_actor(who or campus.student), lab.id, minutes)


def test_a_lab_that_is_kept_running_is_not_idle_until_then(campus, clock, lab):
    with transaction():
        sessions.locked(lab.id).lease_minutes = 480
        sessions.locked(lab.id).lease_ends_at += timedelta(minutes=360)
    pass_quietly(campus, clock, lab, 25)

    keep(campus, lab, 60)

    assert campus.again(lab.id).idle_warned_at is None
    pass_quietly(campus, clock, lab, 60 + 19)
    assert kinds(lab) == ["lab-idle"]
    pass_quietly(campus, clock, lab, 1)
    assert kinds(lab) == ["lab-idle", "lab-idle"]


def test_a_lab_is_kept_running_three_times_and_a_second_click_is_not_counted(campus, clock, lab):
    for times in (1, 2, 3):
        keep(campus, lab, 30)
        keep(campus, lab, 30)
        assert campus.again(lab.id).keep_alives == times
        clock.shift(timedelta(minutes=5))

    with pytest.raises(KeepAliveSpent) as refusal:
        keep(campus, lab, 30)

    assert refusal.value.members["layer"] == {"name": "keep-alive", "limit": 3, "posted": 3, "asked": 1}
    assert [e.changes["minutes"] for e in db.session.query(AuditEntry).filter_by(action="session.keep-alive")] == [
        30
    ] * 3


@pytest.mark.parametrize("minutes", [0, 121])
def test_a_lab_is_kept_running_for_two_hours_at_the_most(campus, lab, minutes):
    with pytest.raises(InvalidRequest):
        keep(campus, lab, minutes)


def test_only_its_person_keeps_a_lab_running(campus, lab):
    teacher = campus.make.member(role=MemberRole.TEACHER)
    campus.make._save(BudgetManager(budget_id=campus.budget.id, person_id=teacher.id))

    for who in (teacher, campus.make.platform(PlatformRole.OPERATOR)):
        with pytest.raises(Forbidden):
            keep(campus, lab, who=who)
    with pytest.raises(NotFound):
        keep(campus, lab, who=campus.make.person())


def test_a_lab_that_stops_is_not_kept(campus, lab):
    with transaction():
        sessions.stop(as_actor(campus.student), lab.id)

    with pytest.raises(LabIsEnding):
        keep(campus, lab)


def test_what_is_asked_inside_the_lab_is_bounded_too_and_refused_without_a_word(campus, clock, lab):
    def ask():
        with transaction():
            return idle.asked_inside(lab.id, 600)

    answers = []
    for _ in range(4):
        answers += [ask(), ask()]
        clock.shift(timedelta(minutes=5))

    assert answers == [True] * 6 + [False] * 2
    assert campus.again(lab.id).keep_alives == 3
    assert campus.again(lab.id).keep_alive_until == time.now() + timedelta(minutes=120 - 10)


def test_an_operator_says_when_labs_of_a_center_are_idle(app, campus, lab):
    operator = sign_in(app, campus.make.platform(PlatformRole.OPERATOR))
    student = sign_in(app, campus.student)

    by_page = operator.post("/operations/centers/embedded/idle", data={"idle_minutes": "20"})
    assert (by_page.status_code, campus.again(lab.id).center.idle_minutes) == (303, 20)
    assert "nothing has run for 20 minutes" in student.get(f"/labs/{lab.id}").text
    by_api = operator.patch("/api/v1/centers/embedded", json={"idle_minutes": 40})
    assert (by_api.status_code, by_api.json["idle_minutes"], by_api.json["state"]) == (200, 40, "up")
    for wrong in ("4", "1441", "-1", "", "x"):
        assert operator.post("/operations/centers/embedded/idle", data={"idle_minutes": wrong}).status_code == 422
    assert student.post("/operations/centers/embedded/idle", data={"idle_minutes": "20"}).status_code == 403
    assert campus.again(lab.id).center.idle_minutes == 40
