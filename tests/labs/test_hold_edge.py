"""The short way for holds: what it takes is answered as the long way does, and what is not plain is left to that."""

import json
from io import BytesIO

import marshmallow as ma
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from accounts import seen_tokens
from accounts.models import ServiceToken
from app import clock
from app.db import db
from labs import ledger
from labs.api import hold_edge
from labs.schemas.holds import LONGEST, HoldUsageSchema, ReserveSchema
from tests.labs.test_holds_api import HOLDS, Program, service_token

C = 1_000_000


@pytest.fixture
def edge(app):
    """Counts what it is left to do."""
    edge = app.extensions["hold_edge"]
    left, taken = [], []
    long_way, done = edge._long_way, edge._done

    def _left(environ, start_response):
        left.append(environ["PATH_INFO"])
        return long_way(environ, start_response)

    def _taken(environ):
        answer = done(environ)
        taken.append(environ["PATH_INFO"])
        return answer

    edge._long_way, edge._done, edge.left, edge.taken = _left, _taken, left, taken
    yield edge
    del edge._done
    edge._long_way = long_way


@pytest.fixture
def program(client, campus, make, edge):
    """A program whose token was seen a moment ago."""
    program = Program(client, campus, service_token(make, campus.budget.partner_id, "at-the-edge"))
    assert client.get(HOLDS + str(campus.budget.id), headers=program.token).status_code == 404
    edge.left.clear()
    return program


def _long(app, program, send):
    """The same request, as if nothing were known of the token."""
    seen_tokens.forget(program.token["Authorization"].removeprefix("Bearer "))
    return send()


def test_both_ways_answer_alike(app, program, edge):
    short = program.reserve("short-way-1")
    settled = program.send("settle", short.json, {"seconds": 60})
    assert edge.taken == [HOLDS, f"{HOLDS}{short.json['id']}/settle"]
    assert edge.left == []

    long = _long(app, program, lambda: program.reserve("long-way-01"))
    closed = _long(app, program, lambda: program.send("settle", long.json, {"seconds": 60}))
    assert edge.left == [HOLDS, f"{HOLDS}{long.json['id']}/settle"]

    for one, other in ((short, long), (settled, closed)):
        assert (one.status, list(one.json)) == (other.status, list(other.json))
        assert {**one.json, "id": 0} == {**other.json, "id": 0}
        assert _without_number(one) == _without_number(other)
    assert ledger.audit() == []


def _without_number(answer):
    return {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}


def test_the_number_of_the_request_is_kept_or_made(client, program, edge):
    headers = program.token | {"Idempotency-Key": "numbered-1", "X-Request-Id": "mine-12345"}

    answer = client.post(HOLDS, json=program.wish, headers=headers)

    assert edge.taken == [HOLDS]
    assert answer.headers["X-Request-Id"] == "mine-12345"
    assert len(program.reserve("numbered-2").headers["X-Request-Id"]) == 32


def test_both_ways_are_counted_under_one_name(app, program, edge):
    requests, _reads = app.extensions["metrics"]
    name = {"method": "POST", "route": "holds_api.reserve", "status": "201"}

    def counted():
        return requests._own.get_sample_value("chancai_http_requests_total", name) or 0

    before = counted()
    program.reserve("counted-01")
    _long(app, program, lambda: program.reserve("counted-02"))

    assert len(edge.taken) == 1
    assert counted() == before + 2


def test_a_replay_says_so(program, edge):
    first, again = program.reserve("replayed-1"), program.reserve("replayed-1")

    assert len(edge.taken) == 2
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_refusal_is_explained_as_ever(app, program, edge, campus):
    short = program.reserve("too-much-1", seconds=8 * 3600 * 13)
    long = _long(app, program, lambda: program.reserve("too-much-2", seconds=8 * 3600 * 13))

    assert short.status_code == long.status_code
    assert short.mimetype == "application/problem+json"
    ignored = {"instance"}
    assert {k: v for k, v in short.json.items() if k not in ignored} == {
        k: v for k, v in long.json.items() if k not in ignored
    }
    assert _without_number(short) == _without_number(long)


@pytest.mark.parametrize("change", [{"revoked_at": True}, {"expires_at": True}])
def test_a_token_that_ended_a_moment_ago_does_nothing(program, edge, campus, change):
    held = program.reserve("before-the-end").json
    token = sa.update(ServiceToken).where(ServiceToken.name == "at-the-edge")
    db.session.execute(token.values({name: clock.now() for name in change}))
    db.session.commit()
    before = campus.purse()

    assert program.reserve("after-the-end").status_code == 401
    assert program.send("settle", held, {"seconds": 60}).status_code == 401
    assert campus.purse() == before


def test_a_token_of_others_learns_nothing_here(client, campus, make, edge):
    stranger = Program(client, campus, service_token(make, make.partner().id, "of-strangers"))
    assert stranger.reserve("stranger-1").status_code == 404
    edge.left.clear()

    assert stranger.reserve("stranger-2").status_code == 404
    assert edge.left == [HOLDS]


def test_a_token_without_the_scope_goes_the_long_way(client, campus, make, edge):
    reader = Program(client, campus, service_token(make, campus.budget.partner_id, "reads-only", ("holds:read",)))
    reader.reserve("reader-001")
    edge.left.clear()

    assert reader.reserve("reader-002").status_code == 403
    assert edge.left == [HOLDS]


ODD = [
    {"seconds": 0},
    {"seconds": True},
    {"seconds": 1.0},
    {"seconds": "60"},
    {"purpose": ""},
    {"purpose": "a\nb"},
    {"purpose": "x" * 201},
    {"expires_in": 59},
    {"person_id": "nobody"},
    {"more": 1},
]


@pytest.mark.parametrize("change", ODD, ids=str)
def test_what_is_odd_is_left_to_the_long_way(program, edge, change):
    assert program.reserve("odd-00001", **change).status_code == 422
    assert edge.left == [HOLDS]


def test_no_key_is_left_to_the_long_way(program, edge):
    assert program.reserve(None).status_code == 422
    assert edge.left == [HOLDS]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}" + b" " * hold_edge.LARGEST])
def test_what_is_no_body_is_left_to_the_long_way(client, program, edge, raw):
    headers = program.token | {"Idempotency-Key": "raw-00001"}

    answer = client.post(HOLDS, data=raw, headers=headers, content_type="application/json")

    assert answer.status_code in (400, 422)
    assert edge.left == [HOLDS]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 3 * LONGEST), st.floats(allow_nan=False), st.text(max_size=5),
    st.uuids().map(str), st.uuids().map(lambda one: one.hex.upper()), st.just("day " * 60), st.lists(st.integers()),
)  # fmt: skip
NAMES = st.sampled_from(
    ["budget_id", "person_id", "flavor_id", "center", "flavor", "seconds", "purpose", "expires_in", "started_at", "x"]
)
GOOD = st.fixed_dictionaries(
    {
        **dict.fromkeys(("budget_id", "person_id", "flavor_id"), st.uuids().map(str)),
        "seconds": st.integers(-1, LONGEST + 1),
        "purpose": st.text(max_size=201),
    },
    optional={"expires_in": st.integers(50, 2 * LONGEST + 1)},
)
BODIES = st.one_of(
    st.dictionaries(NAMES, VALUES),
    st.tuples(GOOD, st.dictionaries(NAMES, VALUES, max_size=2)).map(lambda two: two[0] | two[1]),
)  # fmt: skip


@given(BODIES)
def test_whatever_it_takes_the_schemas_take_for_the_same(body):
    for plain, schema in ((hold_edge._wish, ReserveSchema()), (hold_edge._settled, HoldUsageSchema())):
        sent = json.dumps(body).encode()
        environ = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(sent)), "wsgi.input": BytesIO(sent)}
        try:
            taken = plain(hold_edge._body(environ))
        except hold_edge.NotPlain:
            continue
        loaded = schema.load(body)
        known = {"seconds": taken} if isinstance(taken, int) else taken
        assert {name: loaded[name] for name in known} == known
        assert all(value is None for name, value in loaded.items() if name not in known)


def test_what_is_plain_is_taken():
    """So that the property above is not true of nothing."""
    body = {
        "budget_id": "01a215cb-60af-79be-ad11-ba1590ea6f12",
        "seconds": 60,
        "purpose": "夜间批处理",
        "expires_in": 60,
    }
    body |= dict.fromkeys(("person_id", "flavor_id"), body["budget_id"])

    assert hold_edge._wish(body)["seconds"] == 60
    assert hold_edge._settled({"seconds": 0}) == 0
    with pytest.raises(ma.ValidationError):
        HoldUsageSchema().load({"seconds": -1})
