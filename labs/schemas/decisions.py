"""The shape of decisions in the API, and a kept refusal in the reader's language."""

from typing import Any

import marshmallow as ma
from marshmallow import fields

from app import locale
from labs.models import Decision, Outcome


def problem_for(row: Decision) -> dict[str, Any]:
    """The refusal as it was answered then, in the language of whoever reads now; empty where nothing was refused."""
    if row.problem is None:
        return {}
    language = locale.language()
    problem = {
        name: value.get(language) if name in ("title", "detail", "advice") and value else value
        for name, value in row.problem.items()
    }
    problem["remedies"] = [{**one, "text": one["text"].get(language)} for one in row.problem.get("remedies", ())]
    return {name: value for name, value in problem.items() if value is not None}


class DecisionSchema(ma.Schema):
    id = fields.UUID()
    decided_at = fields.AwareDateTime(attribute="created_at")
    person = fields.Function(lambda row: {"id": str(row.person_id), "name": row.person.name})
    asked = fields.String(metadata={"description": "launch, accept, extend, keep-alive, rescue"})
    outcome = fields.Enum(Outcome, by_value=True)
    reason = fields.String(metadata={"description": "GRANTED, WAITING, or the stable code of the refusal"})
    kind = fields.String(allow_none=True, data_key="class", metadata={"description": "the class of a refusal"})
    session_id = fields.UUID(allow_none=True)
    template_id = fields.UUID(allow_none=True)
    flavor_id = fields.UUID(allow_none=True)
    budget_id = fields.UUID(allow_none=True)
    center_id = fields.UUID(allow_none=True)
    inputs = fields.Dict(metadata={"description": "what was asked, and the numbers as they were then"})
    problem = fields.Function(
        lambda row: problem_for(row) or None, allow_none=True, metadata={"description": "the refusal as it was given"}
    )
    request_id = fields.String(allow_none=True)


class DecisionQuerySchema(ma.Schema):
    person_id = fields.UUID(load_default=None)
    outcome = fields.Enum(Outcome, by_value=True, load_default=None)
    reason = fields.String(load_default=None)
    center = fields.String(load_default=None, metadata={"description": "slug of a center"})
    budget_id = fields.UUID(load_default=None)
    session_id = fields.UUID(load_default=None)
    from_at = fields.AwareDateTime(load_default=None, metadata={"description": "the 24 hours from that moment"})


class TermsSchema(ma.Schema):
    number = fields.Integer()
    published_at = fields.AwareDateTime(attribute="created_at")
    text_zh = fields.String()
    text_en = fields.String()


class PublishTermsSchema(ma.Schema):
    text_zh = fields.String(required=True, validate=ma.validate.Length(min=1, max=100_000))
    text_en = fields.String(required=True, validate=ma.validate.Length(min=1, max=100_000))
