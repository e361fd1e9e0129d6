"""Service tokens: they act for a partner and nobody, within scopes, and reach nothing of others."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import url_for

from accounts.errors import UnknownScope
from accounts.models import ServiceToken, fingerprint
from accounts.services import service_tokens
from app.access import MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import db
from app.errors import Conflict, Forbidden, Invalid, NotFound
from tests.conftest import as_actor, sign_in

ALL = service_tokens.OF_PARTNERS


@pytest.fixture
def qdu(make):
    return make.partner(slug="qdu", title_en="Qingdao University")


@pytest.fixture
def admin(make, qdu):
    return make.member(qdu, MemberRole.ADMINISTRATOR)


def token_of(admin, qdu, scopes=ALL, days=30) -> str:
    _row, secret = service_tokens.make(
        as_actor(admin), partner_id=qdu.id if qdu else None, name="registry", scopes=scopes, days=days
    )
    db.session.commit()
    return secret


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_token_is_made_on_the_partners_page_and_shown_once(app, admin, qdu):
    browser = sign_in(app, admin)

    made = browser.post("/partners/qdu/tokens", data={"purpose": "registry", "scopes": ["accounts:read"], "days": "30"})
    row = db.session.scalars(sa.select(ServiceToken)).one()
    secret = made.text.split('data-copy="')[1].split('"')[0]

    assert made.status_code == 201
    assert row.sha256 == fingerprint(secret)
    assert secret.startswith("chancai_service_")
    assert secret not in browser.get("/partners/qdu/tokens").text
    assert "registry" in browser.get("/partners/qdu/tokens").text
    assert secret not in str([e.changes for e in db.session.scalars(sa.select(AuditEntry))])


def test_it_sees_its_partner_and_nothing_of_others(client, make, admin, qdu):
    other = make.partner(slug="other")
    make.member(other)
    headers = bearer(token_of(admin, qdu))

    own = client.get("/api/v1/partners/qdu/members", headers=headers)
    foreign = client.get("/api/v1/partners/other/members", headers=headers)
    missing = client.get("/api/v1/partners/none/members", headers=headers)

    assert [row["person_id"] for row in own.json] == [str(admin.id)]
    assert (
        (foreign.status_code, foreign.json["code"]) == (missing.status_code, missing.json["code"]) == (404, "not-found")
    )


def test_it_does_not_reach_further_than_its_scopes(client, admin, qdu):
    headers = bearer(token_of(admin, qdu, scopes=["courses:read"]))

    refused = client.get("/api/v1/partners/qdu/members", headers=headers)

    assert (refused.status_code, refused.json["scope"]) == (403, "accounts:read")


def test_what_needs_a_person_is_refused_to_nobody_in_particular(client, admin, qdu):
    headers = bearer(token_of(admin, qdu)) | {"Accept-Language": "en"}

    for path in ("/api/v1/me", "/api/v1/me/notices", "/api/v1/me/trail"):
        refused = client.get(path, headers=headers)
        assert (refused.status_code, refused.json["code"]) == (403, "forbidden"), path
        assert "needs a person" in refused.json["detail"]


def test_no_route_of_the_api_breaks_for_nobody_in_particular(app, client, make, admin, qdu):
    headers = (
        bearer(token_of(admin, qdu)),
        bearer(
            token_of(
                make.platform(PlatformRole.ADMINISTRATOR),
                None,
                ["labs:read", "operations:read", "budgets:read", "courses:read"],
            )
        ),
    )
    missing = "00000000-0000-7000-8000-000000000000"
    examples = {"slug": "qdu", "form": "csv", "month": "2026-02", "number": 1}
    with app.test_request_context():
        paths = {
            url_for(rule.endpoint, **{name: examples.get(name, missing) for name in rule.arguments})
            for rule in app.url_map.iter_rules()
            if "GET" in rule.methods and rule.rule.startswith("/api/v1/")
        }

    answers = {path: client.get(path, headers=each).status_code for each in headers for path in sorted(paths)}

    assert {status for status in answers.values()} <= {200, 403, 404, 422}, answers
    assert 200 in answers.values()


def test_it_moves_the_partners_credits_and_not_those_of_others(client, make, admin, qdu):
    mine, foreign = make.budget(partner_id=qdu.id), make.budget()
    runs = [make.budget(0, parent=budget) for budget in (mine, foreign)]
    headers = bearer(token_of(admin, qdu))
    body = {"amount_micro": 1_000_000, "key": "walk-walk"}

    done, refused = (
        client.post(f"/api/v1/budgets/{run.id}/transfers", json=body, headers=headers).status_code for run in runs
    )

    assert done in (200, 201, 204)
    assert refused == 404
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "budget.fund")).one()
    assert (entry.actor_id, entry.actor_name) == (None, "registry")


def test_the_platforms_token_operates_and_administers_nothing(client, make):
    administrator = make.platform(PlatformRole.ADMINISTRATOR)
    make.partner(slug="qdu")
    headers = bearer(token_of(administrator, None, scopes=service_tokens.OF_PLATFORM))

    assert client.get("/api/v1/centers/", headers=headers).status_code == 200
    assert client.get("/api/v1/trail", headers=headers).status_code == 404
    assert client.get("/api/v1/partners/qdu/members", headers=headers).status_code == 404


def test_it_ends_by_its_day_and_by_being_revoked(app, client, admin, qdu, clock):
    first, second = token_of(admin, qdu, days=1), token_of(admin, qdu)
    browser = sign_in(app, admin)
    row = db.session.scalars(sa.select(ServiceToken).where(ServiceToken.sha256 == fingerprint(second))).one()

    revoked = browser.post(f"/partners/qdu/tokens/{row.id}/revoke")
    after = client.get("/api/v1/partners", headers=bearer(second))
    clock.shift(timedelta(days=1))
    expired = client.get("/api/v1/partners", headers=bearer(first))
    unknown = client.get("/api/v1/partners", headers=bearer("chancai_service_wrong"))

    assert revoked.status_code == 303
    assert (after.status_code, after.json["code"]) == (401, "token-expired")
    assert (expired.status_code, expired.json["code"]) == (401, "token-expired")
    assert (unknown.status_code, unknown.json["code"]) == (401, "token-unknown")


def test_the_same_by_api(app, admin, qdu):
    browser = sign_in(app, admin)

    made = browser.post("/api/v1/partners/qdu/tokens", json={"name": "registry", "scopes": ["accounts:read"]})
    listed = browser.get("/api/v1/partners/qdu/tokens")
    revoked = browser.delete(f"/api/v1/partners/qdu/tokens/{made.json['id']}")

    assert (made.status_code, revoked.status_code) == (201, 204)
    assert made.json["token"].startswith("chancai_service_")
    assert [row["name"] for row in listed.json] == ["registry"]
    assert "token" not in listed.json[0]
    assert browser.get("/api/v1/partners/qdu/tokens").json == []


def test_others_see_and_make_none(app, make, admin, qdu):
    other = make.member(make.partner(slug="other"), MemberRole.ADMINISTRATOR)
    token_of(admin, qdu)
    row = db.session.scalars(sa.select(ServiceToken)).one()
    browser = sign_in(app, other)

    assert browser.get("/partners/qdu/tokens").status_code == 404
    assert browser.get("/administration/tokens").status_code == 404
    assert browser.get("/api/v1/service-tokens").status_code == 404
    assert browser.post(f"/partners/other/tokens/{row.id}/revoke").status_code == 404
    with pytest.raises(NotFound):
        service_tokens.make(as_actor(other), partner_id=qdu.id, name="x", scopes=["courses:read"], days=1)
    with pytest.raises(NotFound):
        service_tokens.make(as_actor(admin), partner_id=None, name="x", scopes=["courses:read"], days=1)


def test_a_token_makes_no_tokens(client, admin, qdu):
    with_scopes = replace(as_actor(admin), scopes=frozenset(ALL))

    refused = client.get("/api/v1/partners/qdu/tokens", headers=bearer(token_of(admin, qdu)))

    assert refused.status_code == 403
    with pytest.raises(Forbidden):
        service_tokens.make(with_scopes, partner_id=qdu.id, name="x", scopes=["courses:read"], days=1)


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"name": " "}, Invalid),
        ({"days": 366}, Invalid),
        ({"scopes": []}, Invalid),
        ({"scopes": ["labs:launch"]}, UnknownScope),
        ({"scopes": ["operations:read"]}, UnknownScope),
    ],
)
def test_a_token_needs_a_name_an_end_and_scopes_that_need_no_person(admin, qdu, wrong, refusal):
    with pytest.raises(refusal):
        service_tokens.make(
            as_actor(admin), **{"partner_id": qdu.id, "name": "x", "scopes": ["courses:read"], "days": 1} | wrong
        )


def test_a_partner_has_so_many_at_most(admin, qdu):
    for _n in range(service_tokens.MOST):
        token_of(admin, qdu)

    with pytest.raises(Conflict):
        token_of(admin, qdu)


def test_its_use_is_noted_with_the_next_change(app, client, admin, qdu):
    client.get("/api/v1/partners", headers=bearer(token_of(admin, qdu)))
    app.test_client().post("/sign-out")

    db.session.expire_all()
    assert db.session.scalars(sa.select(ServiceToken)).one().last_used_at is not None


def test_checking_it_is_one_query(client, admin, qdu):
    headers, statements = bearer(token_of(admin, qdu)), []

    def note(_conn, _cursor, statement, *_args):
        if "service_token" in statement or "personal_token" in statement:
            statements.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        client.get("/api/v1/partners", headers=headers)
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)

    assert len(statements) == 1
