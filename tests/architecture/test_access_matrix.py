"""Every route, walked by everybody, gives what the declared matrix says (app/access_matrix.py explains the words)."""

import re
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import pytest
from argon2 import PasswordHasher

from accounts import passwords
from accounts.services.tokens import SCOPES
from app import access_page
from app.access_matrix import SIGNED_IN, Outcome, Walker
from tests.architecture.walking import Answer, Route, Walk, actions, routes
from tests.architecture.world import World

OF_OTHERS = (Walker.OUTSIDER, Walker.OTHER_ADMIN)
NAMES_NOTHING = {"code", "digest", "form", "month", "number", "path"}  # parameters that are no id of anything


@pytest.fixture
def world(app, make, hub, monkeypatch) -> Iterator[World]:
    monkeypatch.setattr(passwords, "hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    passwords._decoy.cache_clear()
    yield World(app, make, hub)
    passwords._decoy.cache_clear()
    app.extensions.pop("openid", None)


@pytest.fixture
def walk(world) -> Walk:
    return Walk(world)


def test_every_route_has_one_row_and_every_row_a_route(app, database):
    rows = Counter(route for section in access_page.matrix() for action in section.actions for route in action.routes)
    walked = {route.name for route in routes(app)}

    assert sorted(walked - rows.keys()) == [], "declare them in the domain's access_matrix.py"
    assert sorted(rows.keys() - walked) == [], "there are no such routes"
    assert [route for route, number in rows.items() if number > 1] == []


@pytest.mark.parametrize("walker", list(Walker))
def test_everybody_gets_what_is_declared(app, walk, walker):
    matrix, wrong = actions(app), []

    for route in _declared(app):
        expected = matrix[route.name].outcome(walker, route.name)
        answer = walk.as_walker(route, walker)
        if answer.outcome is not expected or answer.is_fault:
            wrong.append(f"{route.name}: {answer.status}, declared {expected.value}")

    assert not wrong, "\n".join(wrong)


def test_every_route_does_its_work_for_somebody_who_may(app, walk):
    """So an example that no service would take cannot pass for an open door."""
    matrix, useless = actions(app), []

    for route in _declared(app):
        statuses = _until_done(walk, route, matrix[route.name].allowed)
        if not matrix[route.name].is_machine and min(statuses) >= 400:
            useless.append(f"{route.name}: {statuses}; mend its example in tests/architecture/examples.py")

    assert not useless, "\n".join(useless)


def _until_done(walk: Walk, route: Route, walkers: frozenset[Walker]) -> list[int]:
    """What those who may get, up to the first who has it done."""
    statuses: list[int] = []
    for walker in sorted(walkers):
        statuses.append(walk.as_walker(route, walker).status)
        if statuses[-1] < 400:
            break
    return statuses


@pytest.mark.parametrize("walker", sorted(SIGNED_IN))
def test_a_token_with_all_scopes_reaches_what_its_person_reaches_on_the_api(app, walk, walker):
    matrix, token, wrong = actions(app), walk.world.token(walker), []

    for route in _declared(app):
        if not route.is_api:
            continue
        expected = matrix[route.name].outcome(walker, route.name)
        if _scope(app, route) is None and not _is_public(app, route):  # people only
            expected = Outcome.FORBIDDEN
        answer = walk.with_token(route, token, walker)
        if answer.outcome is not expected or answer.is_fault:
            wrong.append(f"{route.name}: {answer.status}, expected {expected.value}")

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("walker", [Walker.OTHER_ADMIN, Walker.OPERATOR])
def test_a_token_of_a_service_reaches_nothing_that_its_people_do_not_reach(app, walk, walker):
    """What a partner's token may, its administrators may; what the platform's token may, an operator may."""
    token = walk.world.service_token(of_platform=walker is Walker.OPERATOR)
    matrix, wrong, reached = actions(app), [], 0

    for route in _declared(app):
        if not route.is_api:
            continue
        answer = walk.with_token(route, token, walker)
        reached += answer.status == 200
        if answer.is_fault or (answer.outcome is Outcome.ALLOWED and walker not in matrix[route.name].allowed):
            wrong.append(f"{route.name}: {answer.status}")

    assert not wrong, "\n".join(wrong)
    assert reached > 3


def test_a_token_is_worth_nothing_on_pages(app, walk):
    matrix, token, wrong = actions(app), walk.world.token(Walker.ADMINISTRATOR), []

    for route in _declared(app):
        if route.is_api:
            continue
        expected = matrix[route.name].outcome(Walker.NOBODY, route.name)
        answer = walk.with_token(route, token, Walker.NOBODY)
        if answer.outcome is not expected or answer.is_fault:
            wrong.append(f"{route.name}: {answer.status}, expected {expected.value}")

    assert not wrong, "\n".join(wrong)


def test_a_token_without_the_scope_of_a_route_is_refused_by_name(app, walk):
    """Whoever may: the scope is asked for before anything else is."""
    matrix, wrong, tokens = actions(app), [], {}

    for route in _declared(app):
        scope = _scope(app, route)
        if not route.is_api or scope is None:
            continue
        walker = min(matrix[route.name].allowed & SIGNED_IN)
        if (walker, scope) not in tokens:
            tokens[walker, scope] = walk.world.token(walker, tuple(set(SCOPES) - {scope}))
        response = walk.with_token(route, tokens[walker, scope], walker).response
        if (response.status_code, (response.json or {}).get("scope")) != (403, scope):
            wrong.append(f"{route.name}: {response.status_code} without {scope}")

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("walker", [*OF_OTHERS, Walker.NOBODY])
def test_what_belongs_to_another_tenant_answers_as_what_does_not_exist(app, walk, walker):
    """The same status, the same words, and the same number of statements give or take one."""
    matrix, told_apart = actions(app), []

    for route in _with_ids(app):
        if matrix[route.name].outcome(walker, route.name) is Outcome.ALLOWED:
            continue
        theirs = walk.as_walker(route, walker)
        for name in _ids(route):
            absent = {name: str(uuid4())}
            told_apart += _differences(route, name, theirs, walk.as_walker(route, walker, ids=absent), walk.world)

    assert not told_apart, "\n".join(told_apart)


@pytest.mark.parametrize("walker", [Walker.TEACHER, Walker.ADMIN, Walker.STUDENT])
def test_below_what_is_ones_own_the_rows_of_others_answer_as_absent_ones(app, walk, walker):
    """One's own run with a unit, a lab or a person from elsewhere: nothing of them shows."""
    matrix, told_apart = actions(app), []

    for route in _with_ids(app):
        if matrix[route.name].outcome(walker, route.name) is not Outcome.ALLOWED:
            continue
        for name in _ids(route)[1:]:
            theirs = walk.as_walker(route, walker, ids={name: walk.world.foreign[name]})
            absent = walk.as_walker(route, walker, ids={name: str(uuid4())})
            told_apart += _differences(route, name, theirs, absent, walk.world)

    assert not told_apart, "\n".join(told_apart)


def test_the_page_in_docs_is_what_the_matrix_says(app, database):
    assert access_page.PAGE.read_text() == access_page.markdown(), "run `make access`"


def _declared(app) -> list[Route]:
    """Those with a row; that there are no others is a test of its own."""
    matrix = actions(app)
    return [route for route in routes(app) if route.name in matrix]


def _with_ids(app) -> list[Route]:
    return [route for route in _declared(app) if _ids(route)]


def _ids(route: Route) -> list[str]:
    return [name for name in route.parameters if name not in NAMES_NOTHING]


def _differences(route: Route, name: str, theirs: Answer, absent: Answer, world: World) -> list[str]:
    found = []
    if theirs.outcome is Outcome.ALLOWED and theirs.status < 400:
        found.append(f"{route.name}: {theirs.status} for the {name} of others")
    if theirs.status != absent.status or _said(theirs) != _said(absent):
        found.append(f"{route.name}: {theirs.status} for the {name} of others, {absent.status} for none")
    kinds = theirs.statements.keys() | absent.statements.keys()
    if sum(abs(theirs.statements[kind] - absent.statements[kind]) for kind in kinds) > 1:
        found.append(f"{route.name}: {dict(theirs.statements)} for the {name} of others, {dict(absent.statements)}")
    return found


def _said(answer: Answer) -> str:
    """What the reader is told, without the request's number and without the address that was asked for."""
    text = answer.response.get_data(as_text=True) + answer.response.headers.get("Location", "")
    return re.sub(r"[0-9a-f]{32}|[0-9a-f-]{36}|partner-\d+|embedded|course-\d+", "…", text)


def _scope(app, route: Route) -> str | None:
    return getattr(app.view_functions[route.endpoint], "scope", None)


def _is_public(app, route: Route) -> bool:
    return bool(app.view_functions[route.endpoint].access == "public")
