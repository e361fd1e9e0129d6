"""Promises that every route keeps."""

import re
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask import url_for

import labs.api.statements
import labs.pages.statements
from accounts.pages import oidc
from app.access import MemberRole, PlatformRole
from app.db import db
from app.problems import ProblemSchema
from tests.labs.conftest import build
from tests.make import sign_in


def test_every_route_says_who_may_call_it(app):
    undeclared = [
        name
        for name, view in app.view_functions.items()
        if getattr(view, "access", None) not in ("public", "signed_in", "internal")
    ]

    assert undeclared == []


def test_only_these_routes_are_open_to_everyone(app):
    public = {name for name, view in app.view_functions.items() if getattr(view, "access", None) == "public"}

    assert public == {
        "api-docs.openapi_json",
        "apidocs.show",
        "assets",
        "claim.accept_as_new",
        "claim.look_up",
        "claim.show",
        "courses-api.list_courses",
        "courses-api.show_course",
        "courses.index",
        "courses.show",
        "home_sign_in.arrive",
        "home_sign_in.depart",
        "oidc.authorize",
        "oidc.configuration",
        "oidc.keys",
        "password_reset.ask",
        "password_reset.reset",
        "password_reset.show",
        "password_reset.show_reset",
        "problems.index",
        "problems.show",
        "resets-api.ask_reset",
        "resets-api.use_reset",
        "runs-api.show_run",
        "runs.show",
        "sign_in.enter",
        "sign_in.enter_code",
        "sign_in.leave",
        "sign_in.show",
        "sign_in.show_code",
        "site.choose_language",
        "site.healthz",
        "site.home",
        "site.readyz",
        "site.worker_health",
    }


def test_every_api_route_says_which_scope_a_token_needs(app):
    missing = [
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/")
        and getattr(app.view_functions[rule.endpoint], "access", None) == "signed_in"
        and not hasattr(app.view_functions[rule.endpoint], "scope")
    ]

    assert missing == []


def test_every_api_operation_documents_its_problems(app, database):
    spec = app.test_client().get("/api/v1/openapi.json").json

    assert spec["openapi"] == "3.1.0"
    for name, response in spec["components"]["responses"].items():
        assert list(response["content"]) == ["application/problem+json"], name
    for path, operations in spec["paths"].items():
        for operation in (operations[method] for method in operations if method != "parameters"):
            assert operation["responses"]["default"] == {"$ref": "#/components/responses/DEFAULT_ERROR"}, path
            assert operation["summary"], path
    assert set(spec["components"]["schemas"]["Problem"]["properties"]) == set(ProblemSchema().fields)


@pytest.fixture
def everyone(app, make, hub):
    """A browser of somebody with each kind of power, and of nobody; rows to look at."""
    campus = build(app, make, hub)
    campus.running()
    people = [
        campus.student,
        make.member(role=MemberRole.TEACHER),
        make.member(role=MemberRole.ADMINISTRATOR),
        make.platform(PlatformRole.OPERATOR),
        make.platform(PlatformRole.ADMINISTRATOR),
    ]
    return [app.test_client(), *(sign_in(app, person) for person in people)]


def test_a_get_writes_nothing(app, everyone):
    """Every GET, as everyone: no INSERT, UPDATE, DELETE or lock reaches the database."""
    written: list[str] = []

    def watch(_conn, _cursor, statement, *_):
        if re.match(r"\s*(INSERT|UPDATE|DELETE|MERGE|TRUNCATE)\b|.*\bFOR UPDATE\b", statement, re.S):
            written.append(statement)

    writes = {*oidc.WRITES_ON_GET, *labs.pages.statements.WRITES_ON_GET, *labs.api.statements.WRITES_ON_GET}
    rules = [r for r in app.url_map.iter_rules() if "GET" in r.methods and r.endpoint not in writes]
    with app.test_request_context():
        addresses = {url_for(rule.endpoint, **{name: _some(rule, name) for name in rule.arguments}) for rule in rules}
    sa.event.listen(sa.Engine, "before_cursor_execute", watch)
    try:
        answers = [browser.get(address).status_code for browser in everyone for address in sorted(addresses)]
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", watch)

    assert written == []
    assert 200 in answers
    assert 500 not in answers
    assert len(addresses) > 20


def _some(rule, name):
    """A value for a part of the address: a row that exists where there is one."""
    from accounts.models import Partner
    from labs.models import Budget, LabSession

    rows = {"session_id": LabSession, "budget_id": Budget}
    if name in rows:
        found = db.session.scalar(sa.select(rows[name].id))
        return found or uuid4()
    if name == "slug" and "partners" in rule.rule:
        return db.session.scalar(sa.select(Partner.slug)) or "none"
    known = {"month": "2026-03", "form": "csv"}
    return known.get(name) or (uuid4() if "uuid" in rule.rule else "some-name")
