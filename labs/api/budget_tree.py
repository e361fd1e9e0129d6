"""The API of the budget tree: look at it, grow it, change it; burn-down and forecast; shares of all members."""

from typing import Any
from uuid import UUID

from flask_smorest import Blueprint

import accounts.queries
from app.access import current_actor, require_person, scope, signed_in
from app.db import transaction
from app.errors import NotFound
from labs import queries
from labs.models import Budget, Tranche
from labs.schemas.budget_tree import (
    BranchSchema,
    BurnDownSchema,
    ChangeBudgetSchema,
    MoveSchema,
    OpenBelowSchema,
    OpenRootSchema,
    SharesAfterSchema,
    SharesSchema,
    TrancheSchema,
    TreeQuerySchema,
)
from labs.schemas.budgets import BudgetSchema, TransferSchema
from labs.services import budget_tree, budgets

blp = Blueprint("budget_tree_api", __name__, url_prefix="/api/v1", description="The tree of compute budgets")


@blp.get("/partners/<slug>/budgets")
@signed_in
@scope("budgets:read")
@blp.arguments(TreeQuerySchema, location="query")
@blp.response(200, BranchSchema(many=True))
def get_tree(query: dict[str, Any], slug: str) -> list[queries.Branch]:
    """Show a partner's budgets, each after the one above it, with what each branch adds up to."""
    actor, partner = current_actor(), accounts.queries.partner(slug)
    if not (actor.administers(partner.id) or actor.may_operate):
        raise NotFound
    root = queries.budget_of_partner(partner.id)
    return queries.narrowed(queries.budget_tree([root] if root else []), queries.TreeFilter(**query))


@blp.post("/partners/<slug>/budgets")
@signed_in
@scope("operations:write")
@blp.arguments(OpenRootSchema)
@blp.response(201, BudgetSchema)
def open_root(body: dict[str, Any], slug: str) -> Budget:
    """Open a partner's own budget, from which all its others are funded."""
    actor, partner = current_actor(), accounts.queries.partner(slug)
    if not (actor.administers(partner.id) or actor.may_operate):
        raise NotFound
    with transaction():
        return budget_tree.open_root(actor, partner.id, **body)


@blp.post("/budgets/<uuid:budget_id>/below")
@signed_in
@scope("budgets:write")
@blp.arguments(OpenBelowSchema)
@blp.response(201, BudgetSchema)
def open_below(body: dict[str, Any], budget_id: UUID) -> Budget:
    """Open a program, a contest or a project below this budget, and pass credits on to it."""
    actor, key = current_actor(), body.pop("key")
    with transaction():
        parent = queries.visible_budget(actor, budget_id)
        return budget_tree.open_below(actor, parent.id, body.pop("kind"), **body, key=key and f"api:{key}")


@blp.patch("/budgets/<uuid:budget_id>")
@signed_in
@scope("budgets:write")
@blp.arguments(ChangeBudgetSchema)
@blp.response(200, BudgetSchema)
def change(body: dict[str, Any], budget_id: UUID) -> Budget:
    """Change title, dates or the usual share of a member."""
    with transaction():
        found = queries.visible_budget(current_actor(), budget_id)
        return budget_tree.change(current_actor(), found.id, **body)


@blp.post("/budgets/<uuid:budget_id>/moves")
@signed_in
@scope("budgets:write")
@blp.arguments(MoveSchema)
@blp.response(201, BudgetSchema)
def move(body: dict[str, Any], budget_id: UUID) -> Budget:
    """Move credits to this budget from another one of the same partner."""
    actor = current_actor()
    key = f"move:{require_person(actor).hex}:api:{body['key']}"
    with transaction():
        return budget_tree.move(actor, body["from_id"], budget_id, body["amount_micro"], key=key)


@blp.post("/budgets/<uuid:budget_id>/pull-backs")
@signed_in
@scope("budgets:write")
@blp.arguments(TransferSchema)
@blp.response(201, BudgetSchema)
def pull_back(body: dict[str, Any], budget_id: UUID) -> Budget:
    """Take unused credits back into the budget above."""
    actor = current_actor()
    key = f"pull-back:{require_person(actor).hex}:api:{body['key']}"
    with transaction():
        found = queries.visible_budget(actor, budget_id)
        return budget_tree.pull_back(actor, found.id, body["amount_micro"], key=key)


@blp.post("/budgets/<uuid:budget_id>/close")
@signed_in
@scope("budgets:write")
@blp.response(200, BudgetSchema)
def close(budget_id: UUID) -> Budget:
    """Let nothing more start on this budget; what is left goes back to the budget above."""
    actor = current_actor()
    with transaction():
        return budget_tree.close(actor, queries.visible_budget(actor, budget_id).id)


@blp.put("/budgets/<uuid:budget_id>/managers/<uuid:person_id>")
@signed_in
@scope("budgets:write")
@blp.response(204)
def put_in_charge(budget_id: UUID, person_id: UUID) -> None:
    """Let somebody of the partner look after a program, a contest or a project."""
    with transaction():
        budgets.put_in_charge(current_actor(), budget_id, person_id)


@blp.delete("/budgets/<uuid:budget_id>/managers/<uuid:person_id>")
@signed_in
@scope("budgets:write")
@blp.response(204)
def relieve(budget_id: UUID, person_id: UUID) -> None:
    """Let somebody look after it no longer."""
    with transaction():
        budgets.relieve(current_actor(), budget_id, person_id)


@blp.post("/budgets/<uuid:budget_id>/shares")
@signed_in
@scope("budgets:write")
@blp.arguments(SharesSchema)
@blp.response(200, SharesAfterSchema)
def set_shares(body: dict[str, Any], budget_id: UUID) -> budget_tree.SharesAfter:
    """Set the share of all members, or raise it by so much; or only say what that comes to."""
    actor = current_actor()
    wanted = {"set_micro": body["set_micro"], "raise_micro": body["raise_micro"]}
    with transaction():
        found = queries.visible_budget(actor, budget_id)
        if body["preview"]:
            return budget_tree.shares_after(actor, found.id, **wanted)
        return budget_tree.set_shares(actor, found.id, **wanted, version=body["version"])


@blp.get("/budgets/<uuid:budget_id>/tranches")
@signed_in
@scope("budgets:read")
@blp.response(200, TrancheSchema(many=True))
def list_tranches(budget_id: UUID) -> list[Tranche]:
    """List what is still to be spent, the first to expire first."""
    return queries.tranches_of(queries.visible_budget(current_actor(), budget_id).id)


@blp.get("/budgets/<uuid:budget_id>/burn-down")
@signed_in
@scope("budgets:read")
@blp.response(200, BurnDownSchema)
def get_burn_down(budget_id: UUID) -> queries.BurnDown:
    """Show what was left on each day, and how long the credits will last."""
    return queries.burn_down(queries.visible_budget(current_actor(), budget_id))
