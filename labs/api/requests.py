"""The API of requests for compute."""

from typing import Any
from uuid import UUID

from flask_smorest import Blueprint
from sqlalchemy import Select

from app.access import current_actor, scope, signed_in
from app.db import transaction
from app.paging import Rows
from labs import queries
from labs.models import ComputeRequest, RequestKind
from labs.schemas.requests import ApproveSchema, AskSchema, DeclineSchema, RequestQuerySchema, RequestSchema
from labs.services import requests

blp = Blueprint(
    "requests_api", __name__, url_prefix="/api/v1/compute-requests", description="Asking for compute, and answering"
)
LISTS = {
    "all": queries.requests_seen_by,
    "to-decide": queries.requests_to_decide,
    "mine": queries.requests_by,
}


@blp.get("/")
@signed_in
@scope("budgets:read")
@blp.arguments(RequestQuerySchema, location="query")
@blp.response(200, RequestSchema(many=True))
@blp.paginate(Rows)
def list_requests(query: dict[str, Any]) -> Select[ComputeRequest]:
    """List requests for compute: all that I may see, what waits for my answer, or what I asked for."""
    rows = LISTS[query.pop("list")](current_actor())
    return queries.RequestFilter(**query).narrow(rows)


@blp.post("/")
@signed_in
@scope("budgets:write")
@blp.arguments(AskSchema)
@blp.response(201, RequestSchema)
def ask(body: dict[str, Any]) -> ComputeRequest:
    """Ask for new or more credits, more time, a transfer, to give back, or for a charge to be corrected."""
    actor, key = current_actor(), body["key"] and f"api:{body['key']}"
    with transaction():
        if body["kind"] is RequestKind.CORRECTION:
            return requests.ask_correction(
                actor, body["session_id"], reason=body["reason"], amount_micro=body["amount_micro"], key=key
            )
        return requests.ask(
            actor,
            body["kind"],
            queries.visible_budget(actor, body["budget_id"]).id,
            reason=body["reason"],
            amount_micro=body["amount_micro"],
            other_budget_id=body["other_budget_id"],
            tranche_id=body["tranche_id"],
            valid_until=body["valid_until"],
            key=key,
        )


@blp.get("/<uuid:request_id>")
@signed_in
@scope("budgets:read")
@blp.response(200, RequestSchema)
def get_request(request_id: UUID) -> ComputeRequest:
    """Show a request."""
    return queries.visible_request(current_actor(), request_id)


@blp.post("/<uuid:request_id>/approve")
@signed_in
@scope("budgets:write")
@blp.arguments(ApproveSchema)
@blp.response(200, RequestSchema)
def approve(body: dict[str, Any], request_id: UUID) -> ComputeRequest:
    """Say yes, perhaps to less, and move the credits."""
    with transaction():
        return requests.approve(current_actor(), request_id, **body)


@blp.post("/<uuid:request_id>/decline")
@signed_in
@scope("budgets:write")
@blp.arguments(DeclineSchema)
@blp.response(200, RequestSchema)
def decline(body: dict[str, Any], request_id: UUID) -> ComputeRequest:
    """Say no, and why."""
    with transaction():
        return requests.decline(current_actor(), request_id, body["note"])


@blp.post("/<uuid:request_id>/withdraw")
@signed_in
@scope("budgets:write")
@blp.response(200, RequestSchema)
def withdraw(request_id: UUID) -> ComputeRequest:
    """Take back what I asked for."""
    with transaction():
        return requests.withdraw(current_actor(), request_id)
