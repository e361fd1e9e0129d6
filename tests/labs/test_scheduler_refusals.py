"""A scheduler that says no to a lab that was admitted: a code, words, evidence, and no second attempt."""

from sqlalchemy import select

from app.audit import AuditEntry
from app.db import db
from labs import failures
from labs.adapters import Evidence, HubRefused
from labs.models import SessionState
from tests.make import sign_in

REASON = "The cluster's quota does not allow this lab (AssocGrpCPUMinutesLimit). [cluster-quota]"
SAID = f"Spawn failed: HTTP 403: error ({REASON})"


def refused(campus, *, code="cluster-quota", is_final=True):
    session = campus.launch()
    campus.run("start_sessions")
    campus.redeem(session)
    where = session.person.hub_name, session.server_name
    campus.hub.make_stopped(*where)
    campus.hub.proofs[where] = Evidence(runs=False, why=SAID, is_final=is_final, code=code)
    campus.run("follow_sessions")
    return campus.again(session.id)


def test_a_refusal_of_the_scheduler_ends_the_session_at_once_with_its_code(campus):
    before = campus.purse()

    session = refused(campus)

    assert (session.state, session.failure_code, session.attempts) == (SessionState.VOIDED, "cluster-quota", 1)
    assert session.stop_reason == "start-failed"
    assert campus.purse() == before
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "session.refused")).one()
    assert entry.changes == {"code": "cluster-quota", "said": SAID}


def test_a_hub_that_refuses_the_order_itself_with_a_code_is_not_asked_again(campus):
    campus.hub.fail_next("start", HubRefused("start", SAID, 403, "cluster-quota"))
    session = campus.launch()

    campus.run("start_sessions")

    session = campus.again(session.id)
    assert (session.state, session.failure_code, session.attempts) == (SessionState.VOIDED, "cluster-quota", 1)


def test_what_may_succeed_later_is_tried_again_and_keeps_its_code_in_the_end(campus, clock):
    session = refused(campus, code="cluster-account", is_final=False)
    assert session.state is SessionState.RESERVED

    for _attempt in range(2):
        clock.shift(60)
        campus.run("start_sessions")
        campus.redeem(session)
        campus.hub.make_stopped(session.person.hub_name, session.server_name)
        campus.run("follow_sessions")

    session = campus.again(session.id)
    assert (session.state, session.failure_code, session.attempts) == (SessionState.VOIDED, "cluster-account", 3)


def test_the_person_reads_why_in_their_language_and_programs_read_the_code(app, campus):
    session = refused(campus)
    client = sign_in(app, campus.student)

    english = client.get(f"/labs/{session.id}", headers={"Accept-Language": "en"}).text
    campus.student.language = "zh_CN"
    db.session.commit()
    chinese = client.get(f"/labs/{session.id}").text

    assert "quota for this budget, or for you, is used up" in english
    assert "设定的配额已经用完" in chinese
    body = client.get(f"/api/v1/lab-sessions/{session.id}").json
    assert body["failure_code"] == "cluster-quota"


def test_every_code_has_words():
    assert set(failures.WORDS) == {
        "cluster-quota",
        "cluster-account",
        "cluster-silent",
        "cluster-full",
        "cluster-refused",
    }
