"""The API of the log of decisions."""

from typing import Any
from uuid import UUID

from flask_smorest import Blueprint
from sqlalchemy import Select

from app.access import current_actor, scope, signed_in
from app.paging import Rows
from labs import queries
from labs.models import Decision
from labs.queries import DecisionFilter
from labs.schemas.decisions import DecisionQuerySchema, DecisionSchema

blp = Blueprint(
    "decisions_api", __name__, url_prefix="/api/v1/decisions", description="What was asked of the compute, and answered"
)


@blp.get("/")
@signed_in
@scope("labs:read")
@blp.arguments(DecisionQuerySchema, location="query")
@blp.response(200, DecisionSchema(many=True))
@blp.paginate(Rows)
def list_decisions(query: dict[str, Any]) -> Select[Decision]:
    """List the decisions on my requests, and on the budgets I look after; operators list all. Newest first."""
    wanted = DecisionFilter(
        person_id=query["person_id"],
        outcome=query["outcome"],
        reason=query["reason"],
        center_slug=query["center"],
        budget_id=query["budget_id"],
        session_id=query["session_id"],
        day=query["from_at"],
    )
    return queries.decisions_seen_by(current_actor(), wanted)


@blp.get("/<uuid:decision_id>")
@signed_in
@scope("labs:read")
@blp.response(200, DecisionSchema)
def get_decision(decision_id: UUID) -> Decision:
    """Show one decision: what was asked, the numbers at that moment, and the answer."""
    return queries.decision(current_actor(), decision_id)
