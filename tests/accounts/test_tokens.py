"""Personal tokens: what they reach, how they end, and that reading with one writes nothing."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from accounts.errors import UnknownScope
from accounts.models import PersonalToken, fingerprint
from accounts.services import tokens
from app.audit import AuditEntry
from app.db import db
from app.errors import Conflict, Forbidden, Invalid, NotFound
from tests.conftest import as_actor, sign_in


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def script(make):
    return make.person(token="secret", scopes=("accounts:read",))


def test_a_token_is_shown_once_and_kept_as_a_digest(app, student):
    browser = sign_in(app, student)

    response = browser.post("/api/v1/me/tokens", json={"name": "grades", "scopes": ["courses:read"], "days": 7})

    secret = response.json["token"]
    row = db.session.scalars(sa.select(PersonalToken)).one()
    assert response.status_code == 201
    assert secret.startswith("chancai_")
    assert row.sha256 == fingerprint(secret)
    assert "token" not in browser.get("/api/v1/me/tokens").json[0]
    assert secret not in str([e.changes for e in db.session.scalars(sa.select(AuditEntry))])


def test_a_token_works_for_its_scopes_and_says_which_it_has(client, script):
    response = client.get("/api/v1/me", headers=bearer("secret"))

    assert response.status_code == 200
    assert response.json["id"] == str(script.id)
    assert response.json["scopes"] == ["accounts:read"]


def test_a_token_does_not_reach_further_than_its_scopes(client, make):
    make.person(token="narrow", scopes=("labs:read",))

    response = client.get("/api/v1/me", headers=bearer("narrow"))

    assert response.status_code == 403
    assert response.json["scope"] == "accounts:read"


def test_a_token_is_closed_to_routes_without_a_scope(client, script):
    response = client.post("/api/v1/me/tokens", json={"name": "x", "scopes": ["labs:launch"]}, headers=bearer("secret"))

    assert (response.status_code, response.json["code"]) == (403, "scope-missing")
    assert db.session.scalar(sa.select(sa.func.count()).select_from(PersonalToken)) == 1


def test_even_the_service_makes_no_token_for_a_token(make):
    from dataclasses import replace

    holder = replace(as_actor(make.person()), scopes=frozenset({"accounts:read"}))

    with pytest.raises(Forbidden):
        tokens.make(holder, name="x", scopes=["labs:launch"], days=1)


def test_a_token_opens_no_page(client, script):
    page = client.get("/profile", headers=bearer("secret"))

    assert (page.status_code, page.location) == (302, "/sign-in?next=/profile")


def test_a_token_beats_the_cookie_it_comes_with(app, student, script):
    browser = sign_in(app, student)

    assert browser.get("/api/v1/me", headers=bearer("secret")).json["id"] == str(script.id)
    assert browser.get("/api/v1/me", headers=bearer("wrong")).status_code == 401


@pytest.mark.parametrize("secret", ["unknown", "", "x" * 5000, "秘密"])
def test_an_unknown_token_is_refused_not_ignored(client, database, secret):
    response = client.get("/api/v1/me", headers={"Authorization": f"Bearer {secret}".encode().decode("latin-1")})

    assert (response.status_code, response.json["code"]) == (401, "token-unknown")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_unknown_token_is_refused_on_public_routes_too(client, database):
    assert client.get("/api/v1/openapi.json", headers=bearer("unknown")).status_code == 401


def test_an_expired_token_says_since_when(client, script, clock):
    clock.shift(timedelta(days=1))

    response = client.get("/api/v1/me", headers=bearer("secret"))

    assert (response.status_code, response.json["code"]) == (401, "token-expired")
    assert response.json["expired_at"] == "2026-03-03T09:00:00+00:00"


def test_a_revoked_token_ends_at_once(app, client, script):
    row = db.session.scalars(sa.select(PersonalToken)).one()
    browser = sign_in(app, script)

    assert browser.delete(f"/api/v1/me/tokens/{row.id}").status_code == 204
    assert browser.delete(f"/api/v1/me/tokens/{row.id}").status_code == 204
    assert client.get("/api/v1/me", headers=bearer("secret")).json["code"] == "token-expired"
    assert browser.get("/api/v1/me/tokens").json == []


def test_the_token_of_a_closed_account_is_refused(client, script):
    script.is_active = False

    assert client.get("/api/v1/me", headers=bearer("secret")).json["code"] == "account-closed"


def test_somebody_elses_token_does_not_exist(app, student, script):
    row = db.session.scalars(sa.select(PersonalToken)).one()

    with pytest.raises(NotFound):
        tokens.revoke(as_actor(student), row.id)
    assert sign_in(app, student).delete(f"/api/v1/me/tokens/{row.id}").status_code == 404


def test_reading_writes_nothing_and_the_use_is_noted_with_the_next_change(app, client, script, clock):
    row = db.session.scalars(sa.select(PersonalToken)).one()
    writes: list[str] = []

    def note(_conn, _cursor, statement, *_args):
        if statement.split()[0] in ("INSERT", "UPDATE", "DELETE"):
            writes.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        client.get("/api/v1/me", headers=bearer("secret"))
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
    clock.shift(30)
    app.test_client().post("/sign-out")

    db.session.expire_all()
    assert writes == []
    assert row.last_used_at.isoformat() == "2026-03-02T09:00:00+00:00"


def test_a_busy_token_is_noted_once_a_minute(app, client, script, clock):
    row = db.session.scalars(sa.select(PersonalToken)).one()
    for seconds in (0, 30, 40):  # at 0:00, 0:30 and 1:10
        clock.shift(seconds)
        client.get("/api/v1/me", headers=bearer("secret"))
        app.test_client().post("/sign-out")
        db.session.expire_all()
        noted = row.last_used_at

    assert noted.isoformat() == "2026-03-02T09:01:10+00:00"


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"name": " "}, Invalid),
        ({"name": "x" * 61}, Invalid),
        ({"days": 0}, Invalid),
        ({"days": 366}, Invalid),
        ({"scopes": []}, Invalid),
        ({"scopes": ["labs:everything"]}, UnknownScope),
    ],
)
def test_a_token_needs_a_name_scopes_and_an_end(student, wrong, refusal):
    with pytest.raises(refusal):
        tokens.make(as_actor(student), **{"name": "x", "scopes": ["labs:read"], "days": 1} | wrong)


def test_the_api_points_at_the_scope_that_does_not_exist(app, student):
    response = sign_in(app, student).post("/api/v1/me/tokens", json={"name": "x", "scopes": ["labs:everything"]})

    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == "#/scopes/0"


def test_nobody_collects_tokens_without_end(student):
    actor = as_actor(student)
    for n in range(tokens.MOST):
        tokens.make(actor, name=f"t{n}", scopes=["labs:read"], days=1)

    with pytest.raises(Conflict):
        tokens.make(actor, name="one more", scopes=["labs:read"], days=1)


def test_checking_a_token_costs_one_query_that_an_index_serves(client, make):
    make.person(token="secret", scopes=("courses:read",))
    nobodys, with_token = statements(client, {}), statements(client, bearer("secret"))

    asking = [statement for statement in with_token if "personal_token" in statement[0]]

    assert len(with_token) == len(nobodys) + 1
    assert len(asking) == 1
    assert "uq_personal_token_sha256" in plan(*asking[0])


def statements(client, headers):
    """What a request with an empty answer asks the database, each with its parameters."""
    seen: list[tuple[str, object]] = []

    def watch(_connection, _cursor, statement, parameters, *_rest):
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            seen.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", watch)
    try:
        assert client.get("/api/v1/courses?partner=none", headers=headers).status_code == 200
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", watch)
    return seen


def plan(statement, parameters):
    """How PostgreSQL would do it if the table were large enough to bother."""
    db.session.execute(sa.text("SET LOCAL enable_seqscan = off"))
    lines = db.session.connection().exec_driver_sql(f"EXPLAIN {statement}", parameters)
    return "\n".join(line for (line,) in lines)
