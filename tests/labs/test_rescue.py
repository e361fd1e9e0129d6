"""One's files, whatever budgets, enrollment and caps say; and only where there can be files."""

import pytest

from app.access import PlatformRole
from app.db import db, transaction
from app.errors import Forbidden
from labs import ledger
from labs.errors import CenterMaintenance, CenterUnreachable, NoRescue, NothingToRescue
from labs.models import CenterState, HomeUsage, LabSession, MemberCap, Purse, SessionState
from labs.services import budgets, rescue, sessions
from tests.make import as_actor, sign_in

C = 1_000_000


@pytest.fixture(autouse=True)
def _honest(database):
    yield
    assert ledger.audit() == []


@pytest.fixture
def flavor(campus):
    operator = as_actor(campus.make.platform(PlatformRole.OPERATOR))
    with transaction():
        return rescue.offer(operator, campus.center, cores=0.5, memory_mb=768)


@pytest.fixture
def had_a_lab(campus, flavor):
    session = campus.running(10)
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)
    for _ in range(3):
        campus.run("follow_sessions")
    return session


def open_files(who):
    with transaction():
        return rescue.open_files(as_actor(who), "embedded")


def test_who_had_a_lab_gets_at_the_files_for_nothing(campus, clock, had_a_lab):
    before = campus.purse()
    session = open_files(campus.student)
    campus.run("start_sessions")
    order = campus.redeem(session)
    campus.run("follow_sessions")
    assert campus.again(session.id).state is SessionState.RUNNING
    assert (order.cores, order.memory_mb, order.files) == (0.5, 768, [])
    clock.shift(campus.again(session.id).lease_ends_at - campus.again(session.id).ready_at)
    campus.run("end_leases")
    for _ in range(3):
        campus.run("follow_sessions")

    session = campus.again(session.id)
    assert (session.state, session.lease_minutes, session.charged_micro) == (SessionState.SETTLED, 60, 0)
    assert campus.purse() == before


@pytest.mark.parametrize("obstacle", ["an empty budget", "a used cap", "left the course", "an overrun budget"])
def test_nothing_about_credits_stands_in_the_way(campus, had_a_lab, obstacle):
    purse = db.session.get(Purse, campus.budget_id)
    cap = db.session.get(MemberCap, (campus.budget_id, campus.student.id))
    kept = (purse.available, purse.overrun)
    if obstacle == "an empty budget":
        purse.available = 0
    if obstacle == "an overrun budget":
        purse.overrun = C
    if obstacle == "a used cap":
        cap.cap_micro = 0
    if obstacle == "left the course":
        budgets.dismiss(as_actor(campus.student), campus.budget.id, campus.student.id)
    db.session.commit()

    session = open_files(campus.student)
    campus.run("start_sessions")

    assert campus.again(session.id).state is SessionState.STARTING
    purse = db.session.get(Purse, campus.budget_id, populate_existing=True)
    purse.available, purse.overrun = kept  # for the audit
    db.session.commit()


def test_other_labs_that_run_do_not_count(campus, had_a_lab):
    for _ in range(3):
        campus.launch(10, template_id=campus.make.template([campus.flavor]).id)

    assert open_files(campus.student).state is SessionState.RESERVED


def test_there_is_at_most_one(campus, had_a_lab):
    assert open_files(campus.student).id == open_files(campus.student).id


def test_a_full_home_does_not_keep_anybody_out(campus, had_a_lab):
    campus.center.home_quota_mb = 1
    db.session.commit()
    db.session.merge(
        HomeUsage(
            person_id=campus.student.id,
            center_id=campus.center.id,
            size_bytes=2**30,
            files=1,
            measured_at=had_a_lab.created_at,
        )
    )
    db.session.commit()
    session = open_files(campus.student)
    campus.run("start_sessions")

    assert campus.redeem(session).files == []


def test_who_never_had_a_lab_there_has_no_files(campus, flavor):
    with pytest.raises(NothingToRescue):
        open_files(campus.student)


def test_a_center_without_a_rescue_flavor_says_so(campus):
    campus.launch(10)

    with pytest.raises(NoRescue):
        open_files(campus.student)


def test_a_center_that_can_start_nothing_says_so(campus, had_a_lab):
    campus.center.state = CenterState.MAINTENANCE
    db.session.commit()
    with pytest.raises(CenterMaintenance):
        open_files(campus.student)

    campus.center.state, campus.center.unreachable_since = CenterState.UP, had_a_lab.created_at
    db.session.commit()
    with pytest.raises(CenterUnreachable):
        open_files(campus.student)


def test_only_operators_add_the_flavor(campus):
    with pytest.raises(Forbidden):
        rescue.offer(as_actor(campus.student), campus.center, cores=1, memory_mb=512)


def test_my_labs_offers_the_files_and_says_how_much_they_take(app, campus, had_a_lab):
    db.session.merge(
        HomeUsage(
            person_id=campus.student.id,
            center_id=campus.center.id,
            size_bytes=3 * 2**20,
            files=12,
            measured_at=had_a_lab.created_at,
        )
    )
    campus.center.home_quota_mb = 1024
    db.session.commit()
    browser = sign_in(app, campus.student)

    page = browser.get("/labs").text
    assert "Open my files" in page
    assert "3.0 MiB" in page
    assert "12 files" in page
    assert browser.get("/api/v1/me/storage").json == [
        {
            "center": "embedded",
            "size_bytes": 3 * 2**20,
            "files": 12,
            "measured_at": had_a_lab.created_at.isoformat(),
            "quota_bytes": 2**30,
            "has_rescue": True,
        }
    ]

    opened = browser.post("/labs/files", data={"center": "embedded"})
    session = db.session.query(LabSession).filter(LabSession.id != had_a_lab.id).one()
    assert opened.headers["Location"] == f"/labs/{session.id}?enter=1"
    assert browser.post("/api/v1/centers/embedded/files").json["id"] == str(session.id)
