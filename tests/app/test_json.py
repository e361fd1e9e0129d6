"""JSON of the application: what orjson writes is what Flask's own provider would have written."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from flask import json
from flask.json.provider import DefaultJSONProvider

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def context(app):
    with app.app_context():
        yield


@pytest.mark.parametrize(
    "value",
    [
        {"text": "王伟 \u2028 </script> \x00 \U0001f600", "n": [1, -1, 0, 2**63, 2**64 + 1, 1.5, True, None]},
        {"id": UUID(int=7), "price": Decimal("1.10"), 5: "whole", None: "nothing"},
        [],
        {"nested": {"deep": [{"x": {}}]}},
    ],
    ids=["texts and numbers", "ids and keys", "empty", "nested"],
)
def test_it_says_the_same_as_before(app, value):
    before = DefaultJSONProvider(app)
    before.sort_keys = False

    assert before.loads(json.dumps(value)) == before.loads(before.dumps(value))


def test_a_moment_is_iso_8601():
    assert json.dumps({"at": NOW}) == '{"at":"2026-03-02T09:00:00+00:00"}'


def test_half_a_surrogate_pair_is_no_fault():
    assert json.loads(json.dumps({"x": 2**70})) == {"x": pytest.approx(2**70)}
    assert json.dumps(["\ud800"])


def test_numbers_that_json_has_not_are_null():
    assert json.dumps([math.nan, math.inf]) == "[null,null]"


def test_options_are_heeded(app):
    assert json.dumps({"b": 1, "a": 2}, sort_keys=True, indent=1) == '{\n "a": 2,\n "b": 1\n}'


def test_what_cannot_be_said_is_an_error():
    with pytest.raises(TypeError):
        json.dumps(object())


def test_an_answer_is_compact_json_with_its_type(app):
    with app.test_request_context():
        response = app.json.response({"name": "王"})

    assert (response.mimetype, response.get_data()) == ("application/json", '{"name":"王"}\n'.encode())
