"""What labs say of themselves by way of their hub, and what they are told in return."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import func, select

from accounts.models import Notice
from app import clock
from app.db import db
from labs.models import HomeUsage, SessionActivity
from labs.services import activity

SECRET = {"Authorization": "Bearer admission-secret"}
GIB = 1 << 30


def tell(client, *rows, headers=SECRET, center="embedded"):
    response = client.post("/internal/labs", json={"center": center, "labs": list(rows)}, headers=headers)
    assert response.status_code == 200, response.text
    db.session.expire_all()
    return response.json


def row(session, **changes):
    return {"server": session.server_name, "kernels": 2, "busy_kernels": 1} | changes


def home(size_bytes, ago_minutes=0, files=3):
    measured_at = clock.now() - timedelta(minutes=ago_minutes)
    return {"home_bytes": size_bytes, "home_files": files, "home_measured_at": measured_at.isoformat()}


def test_what_a_lab_does_is_kept_and_its_lease_is_told(client, campus):
    session = campus.running(30)
    at = clock.now() - timedelta(seconds=20)

    answer = tell(client, row(session, last_busy_at=at.isoformat(), accelerator_percent=40), row(session) | {"x": 1})

    kept = db.session.get_one(SessionActivity, session.id)
    assert (kept.kernels, kept.busy_kernels, kept.accelerator_percent) == (2, 1, None)  # the later row of the two
    assert kept.reported_at == clock.now()
    lab = answer["labs"][session.server_name]
    assert lab["lease_ends_at"] == campus.again(session.id).lease_ends_at.isoformat()
    assert (lab["owner"], lab["keep_alive_until"], lab["notices"]) == ("王伟", None, [])
    assert answer["skipped"] == 0


def test_what_was_once_seen_stays_seen(client, campus):
    session = campus.running(30)
    at = clock.now() - timedelta(minutes=5)
    tell(client, row(session, last_busy_at=at.isoformat(), last_seen_person_at=at.isoformat()))

    tell(client, row(session, last_busy_at=None, last_seen_person_at=(at - timedelta(minutes=1)).isoformat()))

    kept = db.session.get_one(SessionActivity, session.id)
    assert (kept.last_busy_at, kept.last_seen_person_at) == (at, at)


def test_a_clock_that_runs_ahead_tells_nothing_of_the_future(client, campus):
    session = campus.running(30)
    ahead = (clock.now() + timedelta(hours=3)).isoformat()

    tell(client, row(session, last_busy_at=ahead, home_bytes=1, home_measured_at=ahead))

    assert db.session.get_one(SessionActivity, session.id).last_busy_at == clock.now()
    assert db.session.scalars(select(HomeUsage)).one().measured_at == clock.now()


def test_only_labs_of_this_center_that_are_meant_to_run_are_heard(client, campus):
    ended, other, waiting = (
        campus.running(30),
        campus.running(30, who=_another(campus)),
        campus.launch(30, who=_another(campus)),
    )
    ended.state = "settled"
    other.center_id = campus.make.center("elsewhere").id
    db.session.commit()

    answer = tell(client, row(ended), row(other), row(waiting), {"server": "lab-" + "0" * 32})

    assert answer == {"labs": {}, "skipped": 0}
    assert db.session.scalar(select(func.count()).select_from(SessionActivity)) == 0


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        "lab",
        {},
        {"server": 5},
        {"server": "lab-1"},
        {"kernels": -1},
        {"kernels": True},
        {"kernels": "2"},
        {"busy_kernels": 10**12},
        {"last_busy_at": "yesterday"},
        {"last_busy_at": "2026-03-02T09:00:00"},
        {"last_busy_at": 5},
        {"last_seen_person_at": "9999-12-31T23:59:59-23:00"},
        {"accelerator_percent": 101},
        {"keep_alive_minutes": 10**9},
        {"home_bytes": 2**70, "home_measured_at": "2026-03-02T09:00:00Z"},
        {"home_files": 2**40, "home_bytes": 1, "home_measured_at": "2026-03-02T09:00:00Z"},
    ],
)
def test_a_row_that_makes_no_sense_is_skipped_and_counted_and_silences_no_other(client, campus, bad):
    session, other = campus.running(30), campus.running(30, who=_another(campus))

    answer = tell(client, row(other, **bad) if isinstance(bad, dict) and bad else bad, row(session))

    assert set(answer["labs"]) == {session.server_name}
    assert answer["skipped"] == 1


@pytest.mark.parametrize("labs", [None, {}, "x", [{}] * 501])
def test_a_report_that_is_no_page_is_refused(client, database, labs):
    response = client.post("/internal/labs", json={"center": "embedded", "labs": labs}, headers=SECRET)

    assert response.status_code == 400


def test_without_the_centers_secret_nothing_is_heard(client, campus):
    session = campus.running(30)

    for center, secret in (("embedded", "wrong"), ("elsewhere", "admission-secret"), ("elsewhere", "")):
        headers = {"Authorization": f"Bearer {secret}"}
        body = {"center": center, "labs": [row(session)]}
        assert client.post("/internal/labs", json=body, headers=headers).status_code == 401

    assert db.session.get(SessionActivity, session.id) is None


def test_a_click_on_keep_running_reaches_who_decides(client, campus, monkeypatch):
    session, heard = campus.running(30), []
    monkeypatch.setattr(activity, "keep_running", [lambda lab, minutes: heard.append((lab.id, minutes))])

    tell(client, row(session, keep_alive_minutes=60))
    tell(client, row(session))

    assert heard == [(session.id, 60)]


def test_the_size_of_a_home_is_the_one_measured_last(client, campus):
    session = campus.running(30)

    tell(client, row(session, **home(5 * GIB, ago_minutes=2)))
    tell(client, row(session, **home(4 * GIB, ago_minutes=10)))

    kept = db.session.scalars(select(HomeUsage)).one()
    assert (kept.person_id, kept.center_id) == (campus.student.id, campus.center.id)
    assert (kept.size_bytes, kept.files) == (5 * GIB, 3)


def test_the_size_of_a_home_is_taken_until_shortly_after_the_labs_end_and_nothing_else(client, campus, request):
    session = campus.running(30)
    session.state, session.ended_at = "settled", clock.now()
    db.session.commit()

    assert tell(client, row(session, **home(5 * GIB)))["labs"] == {}

    assert db.session.scalars(select(HomeUsage)).one().size_bytes == 5 * GIB
    assert db.session.get(SessionActivity, session.id) is None
    request.getfixturevalue("clock").shift(timedelta(minutes=16))
    tell(client, row(session, **home(6 * GIB)))
    assert db.session.scalars(select(HomeUsage)).one().size_bytes == 5 * GIB


def test_a_home_that_becomes_nearly_full_is_told_once_and_again_after_it_was_below(client, campus, request):
    campus.center.home_quota_mb = 10 * 1024
    session = campus.running(30)

    def notices():
        kinds = select(Notice).where(Notice.kind == "home-nearly-full", Notice.person_id == campus.student.id)
        return len(db.session.scalars(kinds).all())

    def at(size_bytes):
        request.getfixturevalue("clock").shift(timedelta(minutes=1))
        lab = tell(client, row(session, **home(size_bytes)))["labs"][session.server_name]
        return [(notice["kind"], notice["tone"]) for notice in lab["notices"]], notices()

    assert at(8 * GIB) == ([], 0)
    assert at(9 * GIB) == ([("home-nearly-full", "warning")], 1)
    assert at(9 * GIB + 1) == ([("home-nearly-full", "warning")], 1)
    assert at(10 * GIB) == ([("home-full", "error")], 1)
    assert at(85 * GIB // 10) == ([("home-nearly-full", "warning")], 1)
    assert at(7 * GIB) == ([], 1)
    assert at(9 * GIB) == ([("home-nearly-full", "warning")], 2)


def test_inside_the_lab_the_notice_is_in_the_persons_language_and_leads_to_the_platform(client, campus):
    campus.center.home_quota_mb = 1024
    campus.student.language = "zh_CN"
    session = campus.running(30)

    (notice,) = tell(client, row(session, **home(GIB)))["labs"][session.server_name]["notices"]

    assert "1 GiB" in notice["text"]
    assert "已满" in notice["text"]
    assert notice["url"].endswith(f"/labs/{session.id}")
    assert notice["url"].startswith("http")


def test_without_a_quota_nobody_is_warned(client, campus):
    session = campus.running(30)

    lab = tell(client, row(session, **home(2**50)))["labs"][session.server_name]

    assert lab["notices"] == []
    assert db.session.scalars(select(HomeUsage)).one().warned_at is None


def test_the_hub_learns_how_much_room_a_home_has_left(client, campus):
    campus.center.home_quota_mb = 10 * 1024
    session = campus.running(30)
    tell(client, row(session, **home(4 * GIB)))
    second = campus.launch(30, template_id=campus.make.template([campus.flavor]).id)
    campus.run("start_sessions")

    assert campus.redeem(second).home_left_bytes == 6 * GIB


def test_a_page_of_labs_is_kept_in_as_many_statements_as_one(client, campus):
    labs = [campus.running(30)] + [campus.running(30, who=_another(campus)) for _ in range(4)]

    rows = [row(lab, **home(1)) for lab in labs]

    few = statements_of(lambda: tell(client, rows[0]))
    many = statements_of(lambda: tell(client, *rows))

    assert len(many) <= len(few)


def statements_of(act):
    said = []

    def note(_connection, _cursor, statement, *_more):
        if not statement.startswith(("SAVEPOINT", "RELEASE")):
            said.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    return said


def _another(campus):
    person = campus.make.person()
    campus.make.cap(campus.budget, person)
    return person
