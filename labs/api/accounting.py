"""The API of what schedulers' accounting says: where the ledger parts from it, and rows that made no sense."""

from typing import Any
from uuid import UUID

from flask_smorest import Blueprint
from sqlalchemy import Select

from app.access import current_actor, require, scope, signed_in
from app.db import transaction
from app.paging import Rows
from labs import policy
from labs.models import AccountingReject, RejectState
from labs.queries import evidence as queries
from labs.schemas.evidence import AccountingSchema, RejectDecisionSchema, RejectQuerySchema, RejectSchema
from labs.services import accounting

blp = Blueprint(
    "accounting_api", __name__, url_prefix="/api/v1/accounting", description="What the centers' schedulers say was run"
)


@blp.get("/")
@signed_in
@scope("operations:read")
@blp.response(200, AccountingSchema)
def show_accounting() -> dict[str, Any]:
    """Say where the ledger and the schedulers' accounting part, and how far each was read; for operators."""
    require(policy.may_operate(current_actor()))
    return {
        "differences": queries.differences(),
        "cursors": queries.cursors(),
        "unread": [center.slug for center in queries.unread_centers()],
    }


@blp.get("/rejects/")
@signed_in
@scope("operations:read")
@blp.arguments(RejectQuerySchema, location="query")
@blp.response(200, RejectSchema(many=True))
@blp.paginate(Rows)
def list_rejects(query: dict[str, Any]) -> Select[AccountingReject]:
    """List the rows of the accounting that made no sense, as they came, and why. The newest first."""
    require(policy.may_operate(current_actor()))
    return queries.rejects(query["state"])


@blp.patch("/rejects/<uuid:reject_id>")
@signed_in
@scope("operations:write")
@blp.arguments(RejectDecisionSchema)
@blp.response(200, RejectSchema)
def decide_reject(body: dict[str, Any], reject_id: UUID) -> AccountingReject:
    """Dismiss a row that made no sense, or let the next import read it once more."""
    decide = accounting.dismiss if body["state"] is RejectState.DISMISSED else accounting.try_again
    with transaction():
        return decide(current_actor(), reject_id)
