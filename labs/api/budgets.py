"""The API of budgets. A view reads the request, opens the transaction, calls one service."""

from typing import Any
from uuid import UUID

import orjson
from flask import Response, jsonify
from flask_smorest import Blueprint
from flask_smorest.pagination import PaginationParameters
from sqlalchemy import Select

from app.access import current_actor, require_person, scope, signed_in
from app.db import transaction
from app.dumping import Dump, Part
from app.paging import Rows
from labs import queries
from labs.models import Budget, LabSession, MemberCap
from labs.schemas import (
    BudgetSchema,
    BudgetUsageSchema,
    CapSchema,
    GrantSchema,
    MemberCapSchema,
    SessionSchema,
    TransferSchema,
)
from labs.services import budgets

blp = Blueprint("budgets_api", __name__, url_prefix="/api/v1/budgets", description="Compute budgets")
_usage = Dump(BudgetUsageSchema(), members=Part(("members",), lambda text: orjson.Fragment(text or "[]")))


@blp.get("/")
@signed_in
@scope("budgets:read")
@blp.response(200, BudgetSchema(many=True))
@blp.paginate(Rows)
def list_budgets() -> Select[Budget]:
    """List the budgets I look after: my partner's, those of my runs; operators list all."""
    return queries.budgets_seen_by(current_actor())


@blp.get("/usage")
@signed_in
@scope("budgets:read")
@blp.response(200, BudgetUsageSchema(many=True))
@blp.paginate(max_page_size=1000)
def list_usage(pagination_parameters: PaginationParameters) -> Response:
    """List the budgets I look after with everybody who draws on them, and what each used; up to 1000 at once."""
    actor, page = current_actor(), pagination_parameters
    page.item_count = queries.count_budgets(actor)
    return jsonify(_usage(queries.budgets_with_members(actor, _usage.columns, page.first_item, page.page_size)))


@blp.get("/<uuid:budget_id>")
@signed_in
@scope("budgets:read")
@blp.response(200, BudgetSchema)
def get_budget(budget_id: UUID) -> Budget:
    """Show a budget and what is in it."""
    return queries.visible_budget(current_actor(), budget_id)


@blp.get("/<uuid:budget_id>/members")
@signed_in
@scope("budgets:read")
@blp.response(200, MemberCapSchema(many=True))
@blp.paginate(Rows)
def list_members(budget_id: UUID) -> Select[MemberCap]:
    """List who may draw on a budget, and what each has used."""
    return queries.caps_of(queries.visible_budget(current_actor(), budget_id).id)


@blp.put("/<uuid:budget_id>/members/<uuid:person_id>")
@signed_in
@scope("budgets:write")
@blp.arguments(CapSchema)
@blp.response(200, MemberCapSchema)
def set_cap(body: dict[str, Any], budget_id: UUID, person_id: UUID) -> MemberCap:
    """Change the most that one member may draw."""
    with transaction():
        queries.visible_budget(current_actor(), budget_id)
        return budgets.set_cap(current_actor(), budget_id, person_id, body["cap_micro"])


@blp.get("/<uuid:budget_id>/sessions")
@signed_in
@scope("budgets:read")
@blp.response(200, SessionSchema(many=True))
@blp.paginate(Rows)
def list_budget_sessions(budget_id: UUID) -> Select[LabSession]:
    """List what a budget has paid for."""
    return queries.sessions_of_budget(queries.visible_budget(current_actor(), budget_id).id)


@blp.post("/<uuid:budget_id>/transfers")
@signed_in
@scope("budgets:write")
@blp.arguments(TransferSchema)
@blp.response(201, BudgetSchema)
def fund(body: dict[str, Any], budget_id: UUID) -> Budget:
    """Pass credits on from the budget above."""
    with transaction():
        queries.visible_budget(current_actor(), budget_id)
        return budgets.fund(current_actor(), budget_id, body["amount_micro"], key=f"api:{body['key']}")


@blp.post("/<uuid:budget_id>/grants")
@signed_in
@scope("operations:write")
@blp.arguments(GrantSchema)
@blp.response(201, BudgetSchema)
def grant(body: dict[str, Any], budget_id: UUID) -> Budget:
    """Grant new credits to a partner's budget."""
    actor = current_actor()
    with transaction():
        return budgets.grant(
            actor,
            queries.visible_budget(actor, budget_id).id,
            body["amount_micro"],
            body["valid_from"],
            body["valid_until"],
            key=f"api:{require_person(actor).hex}:{body['key']}",
        )
