"""The labs API: statuses, shapes, scopes, tenants."""

import pytest

from app.access import MemberRole, PlatformRole
from app.db import db
from labs.models import BudgetManager, CenterState, SessionState

C = 1_000_000


def token(name="secret"):
    return {"Authorization": f"Bearer {name}"}


@pytest.fixture
def session(campus):
    return campus.running(60)


@pytest.fixture
def student_token(campus, make):
    from datetime import timedelta

    from accounts.models import PersonalToken, fingerprint
    from app import clock

    make._save(
        PersonalToken(
            person_id=campus.student.id,
            name="t",
            sha256=fingerprint("mine"),
            scopes=["labs:read", "labs:stop"],
            expires_at=clock.now() + timedelta(days=1),
        )
    )
    return token("mine")


def test_a_session_shows_what_it_does_and_costs(client, session, student_token):
    body = client.get(f"/api/v1/lab-sessions/{session.id}", headers=student_token).json

    assert body["state"] == "running"
    assert (body["price_micro"], body["held_micro"], body["charged_micro"]) == (C, 1_083_334, 0)
    assert body["lease_ends_at"] == "2026-03-02T10:00:00+00:00"
    assert body["open_url"] == f"/labs/{session.id}/open"


def test_stopping_answers_at_once_and_ends_soon(client, campus, session, student_token):
    response = client.post(f"/api/v1/lab-sessions/{session.id}/stop", headers=student_token)

    assert response.status_code == 202
    assert response.json["state"] == "stopping"
    campus.run("follow_sessions")
    campus.run("follow_sessions")
    assert campus.again(session.id).state is SessionState.SETTLED


def test_a_token_goes_no_further_than_its_scopes(client, campus, session, make):
    make.person(token="narrow", scopes=("courses:read",))

    response = client.get("/api/v1/lab-sessions/", headers=token("narrow"))

    assert response.status_code == 403
    assert response.json["scope"] == "labs:read"


def test_somebody_elses_session_does_not_exist(client, session, make):
    make.member(role=MemberRole.ADMINISTRATOR, token="other", scopes=("labs:read", "labs:stop"))
    unknown = f"/api/v1/lab-sessions/{'0' * 8}-0000-7000-8000-{'0' * 12}"

    theirs = client.get(f"/api/v1/lab-sessions/{session.id}", headers=token("other"))
    nobodys = client.get(unknown, headers=token("other"))

    assert theirs.status_code == nobodys.status_code == 404
    assert {k: v for k, v in theirs.json.items() if k != "instance"} == {
        k: v for k, v in nobodys.json.items() if k != "instance"
    }
    assert client.post(f"/api/v1/lab-sessions/{session.id}/stop", headers=token("other")).status_code == 404
    assert client.get("/api/v1/lab-sessions/", headers=token("other")).json == []


def test_lists_come_in_pages_and_filter(client, campus, session, make):
    make.platform(PlatformRole.OPERATOR, second_factor=True, token="op", scopes=("labs:read",))
    for _ in range(2):
        campus.launch(10, template_id=make.template([campus.flavor]).id)

    response = client.get("/api/v1/lab-sessions/?live=true&center=embedded&page_size=2", headers=token("op"))

    assert len(response.json) == 2
    assert '"total": 3' in response.headers["X-Pagination"]
    assert client.get("/api/v1/lab-sessions/?center=elsewhere", headers=token("op")).json == []


def test_an_operator_closes_a_center_and_nobody_else_does(client, campus, make):
    make.platform(PlatformRole.OPERATOR, second_factor=True, token="op", scopes=("operations:write",))
    make.member(role=MemberRole.ADMINISTRATOR, token="admin", scopes=("operations:write",))

    refused = client.patch("/api/v1/centers/embedded", json={"state": "maintenance"}, headers=token("admin"))
    response = client.patch("/api/v1/centers/embedded", json={"state": "maintenance"}, headers=token("op"))

    assert refused.status_code == 403
    assert (response.status_code, response.json["state"]) == (200, "maintenance")
    db.session.expire_all()
    assert campus.center.state is CenterState.MAINTENANCE


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"state": "closed"}', b'{"state": "up", "x": 1}', b"\xff"])
def test_a_malformed_body_is_an_invalid_input(client, campus, make, body):
    make.platform(PlatformRole.OPERATOR, second_factor=True, token="op", scopes=("operations:write",))

    response = client.patch("/api/v1/centers/embedded", data=body, content_type="application/json", headers=token("op"))

    assert response.status_code in (400, 422)
    assert response.mimetype == "application/problem+json"


def test_budgets_are_for_those_who_look_after_them(client, campus, make):
    make.person(token="nobody", scopes=("budgets:read",))
    teacher = make.person(token="teacher", scopes=("budgets:read",))
    make._save(BudgetManager(budget_id=campus.budget.id, person_id=teacher.id))
    url = f"/api/v1/budgets/{campus.budget.id}"

    assert client.get(url, headers=token("nobody")).status_code == 404
    assert client.get("/api/v1/budgets/", headers=token("nobody")).json == []
    body = client.get(url, headers=token("teacher")).json
    assert body["purse"] == {
        "available": 100 * C,
        "held": 0,
        "used": 0,
        "expired": 0,
        "overrun": 0,
        "total": 100 * C,
    }
    members = client.get(url + "/members", headers=token("teacher")).json
    assert [member["person"]["name"] for member in members] == [campus.student.name]


def test_credits_pass_down_once_for_each_key(client, campus, make):
    from accounts.models import Membership

    admin = make.person(token="admin", scopes=("budgets:write", "budgets:read"))
    make._save(Membership(person_id=admin.id, partner_id=campus.budget.partner_id, role=MemberRole.ADMINISTRATOR))
    url = f"/api/v1/budgets/{campus.budget.id}/transfers"
    body = {"amount_micro": 5 * C, "key": "transfer-1"}

    first = client.post(url, json=body, headers=token("admin"))
    again = client.post(url, json=body, headers=token("admin"))
    other = client.post(url, json=body | {"amount_micro": 6 * C}, headers=token("admin"))
    too_much = client.post(url, json={"amount_micro": 10**12, "key": "transfer-2"}, headers=token("admin"))

    assert first.status_code == again.status_code == 201
    assert again.json["purse"]["available"] == 105 * C
    assert (other.status_code, other.json["code"]) == (409, "idempotency-conflict")
    assert (too_much.status_code, too_much.json["code"]) == (409, "transfer-too-large")


def test_only_operators_grant_and_only_to_partners(client, campus, make):
    make.platform(PlatformRole.OPERATOR, second_factor=True, token="op", scopes=("operations:write",))
    make.person(token="nobody", scopes=("operations:write",))
    body = {
        "amount_micro": C,
        "key": "grant-2026",
        "valid_from": "2026-03-01T00:00:00+08:00",
        "valid_until": "2026-09-01T00:00:00+08:00",
    }
    root, run = (f"/api/v1/budgets/{b}/grants" for b in (campus.budget.parent_id, campus.budget.id))

    from accounts.models import Membership

    admin = make.person(token="admin", scopes=("operations:write",))
    make._save(Membership(person_id=admin.id, partner_id=campus.budget.partner_id, role=MemberRole.ADMINISTRATOR))

    assert client.post(root, json=body, headers=token("nobody")).status_code == 404
    assert client.post(root, json=body, headers=token("admin")).status_code == 403
    assert client.post(run, json=body, headers=token("op")).json["code"] == "not-a-partners-budget"
    granted = client.post(root, json=body, headers=token("op"))
    assert granted.json["purse"]["available"] == 901 * C
    backwards = body | {"valid_until": "2026-02-01T00:00:00+08:00", "key": "grant-2027"}
    assert client.post(root, json=backwards, headers=token("op")).status_code == 422
