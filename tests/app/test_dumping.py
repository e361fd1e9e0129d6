"""A compiled dump gives the JSON that its schema gives, for every schema it is used with; what computes is refused."""

from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from operator import attrgetter
from types import SimpleNamespace
from uuid import UUID

import marshmallow as ma
import pytest
from flask import json
from marshmallow import fields

from app.dumping import Dump, Part
from labs.models import HoldState
from labs.schemas import HoldSchema

AN_ID = UUID(int=7)
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Color(StrEnum):
    RED = "red"


class InnerSchema(ma.Schema):
    size = fields.Integer()
    label = fields.String(allow_none=True)


class EverySchema(ma.Schema):
    id = fields.UUID()
    name = fields.String(allow_none=True)
    number = fields.Integer(attribute="other_number")
    share = fields.Float()
    is_open = fields.Boolean()
    color = fields.Enum(Color, by_value=True)
    at = fields.AwareDateTime(allow_none=True)
    day = fields.Date()
    renamed = fields.String(data_key="shown-as")
    inner = fields.Nested(InnerSchema)
    made = fields.Function(lambda row: row.name.upper())


def every(**changes):
    values = {
        "id": AN_ID,
        "name": "王伟 \u2028 </script>",
        "other_number": 2**53,
        "share": 0.1,
        "is_open": True,
        "color": Color.RED,
        "at": NOW,
        "day": NOW.date(),
        "renamed": "x",
        "inner": SimpleNamespace(size=1, label=None),
    }
    return SimpleNamespace(**values | changes)


@pytest.fixture(autouse=True)
def context(app):
    with app.app_context():
        yield


def as_json(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"at": None, "inner": SimpleNamespace(size=0, label="ß")},
        {"at": NOW.replace(microsecond=120)},
        {"at": NOW.astimezone(timezone(timedelta(hours=8)))},
    ],
    ids=str,
)
def test_the_json_is_that_of_the_schema(changes):
    row, schema = every(**changes), EverySchema()
    dump = Dump(schema, made=Part(("name",), str.upper))

    made = dump([attrgetter(*dump.columns)(row)])

    assert as_json(made) == as_json([schema.dump(row)])
    assert list(made[0]) != []


def test_a_hold_is_dumped_as_its_schema_does():
    columns = {name: None for name in HoldSchema().dump_fields}
    hold = SimpleNamespace(**columns, amount=5)
    hold.id = hold.budget_id = hold.person_id = hold.center_id = AN_ID
    hold.state, hold.created_at, hold.posted_seconds = HoldState.OPEN, NOW, 0
    hold.price_micro = hold.posted_micro = 7
    dump = Dump(HoldSchema())

    assert as_json(dump.one(attrgetter(*dump.columns)(hold))) == as_json(HoldSchema().dump(hold))


class HookedSchema(ma.Schema):
    size = fields.Integer()

    @ma.post_dump
    def _twice(self, data, **_):
        return data | {"size": data["size"] * 2}


class NamedColorSchema(ma.Schema):
    color = fields.Enum(Color)


class StampSchema(ma.Schema):
    at = fields.DateTime(format="timestamp")


@pytest.mark.parametrize("schema", [EverySchema, HookedSchema, NamedColorSchema, StampSchema])
def test_what_computes_must_be_given_as_a_part(schema):
    with pytest.raises(TypeError, match="computes"):
        Dump(schema())
