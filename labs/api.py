"""The labs API. A view reads the request, opens the transaction, calls one service."""

from typing import Any
from uuid import UUID

from flask_smorest import Blueprint
from sqlalchemy import Select

from app.access import current_actor, require_person, scope, signed_in
from app.db import transaction
from app.paging import Rows
from labs import queries
from labs.models import Budget, Center, LabSession, MemberCap
from labs.schemas import (
    BudgetSchema,
    CapSchema,
    CenterBriefSchema,
    CenterSchema,
    CenterStateSchema,
    GrantSchema,
    MemberCapSchema,
    SessionQuerySchema,
    SessionSchema,
    TransferSchema,
)
from labs.services import budgets, centers, sessions

sessions_blp = Blueprint(
    "lab_sessions_api", __name__, url_prefix="/api/v1/lab-sessions", description="Running labs, and those that ended"
)
centers_blp = Blueprint("centers_api", __name__, url_prefix="/api/v1/centers", description="Computing centers")
budgets_blp = Blueprint("budgets_api", __name__, url_prefix="/api/v1/budgets", description="Compute budgets")
BLUEPRINTS = (sessions_blp, centers_blp, budgets_blp)


@sessions_blp.get("/")
@signed_in
@scope("labs:read")
@sessions_blp.arguments(SessionQuerySchema, location="query")
@sessions_blp.response(200, SessionSchema(many=True))
@sessions_blp.paginate(Rows)
def list_sessions(query: dict[str, Any]) -> Select[LabSession]:
    """List my sessions, and those of the budgets I look after; operators list all."""
    return queries.sessions_seen_by(current_actor(), live_only=query["live"], center_slug=query["center"])


@sessions_blp.get("/<uuid:session_id>")
@signed_in
@scope("labs:read")
@sessions_blp.response(200, SessionSchema)
def get_session(session_id: UUID) -> LabSession:
    """Show a session: what it does, until when, what it costs."""
    return queries.session(current_actor(), session_id)


@sessions_blp.post("/<uuid:session_id>/stop")
@signed_in
@scope("labs:stop")
@sessions_blp.response(202, SessionSchema)
def stop_session(session_id: UUID) -> LabSession:
    """Stop a session. It ends soon after; the rest of its hold returns."""
    with transaction():
        return sessions.stop(current_actor(), session_id)


@centers_blp.get("/")
@signed_in
@scope("labs:read")
@centers_blp.response(200, CenterSchema(many=True))
def list_centers() -> list[Center]:
    """List the centers with their flavors and prices."""
    return queries.centers()


@centers_blp.patch("/<slug>")
@signed_in
@scope("operations:write")
@centers_blp.arguments(CenterStateSchema)
@centers_blp.response(200, CenterBriefSchema)
def set_center_state(body: dict[str, Any], slug: str) -> Center:
    """Open a center, let it drain, or close it for maintenance."""
    with transaction():
        return centers.set_state(current_actor(), slug, body["state"])


@budgets_blp.get("/")
@signed_in
@scope("budgets:read")
@budgets_blp.response(200, BudgetSchema(many=True))
@budgets_blp.paginate(Rows)
def list_budgets() -> Select[Budget]:
    """List the budgets I look after: my partner's, those of my runs; operators list all."""
    return queries.budgets_seen_by(current_actor())


@budgets_blp.get("/<uuid:budget_id>")
@signed_in
@scope("budgets:read")
@budgets_blp.response(200, BudgetSchema)
def get_budget(budget_id: UUID) -> Budget:
    """Show a budget and what is in it."""
    return queries.visible_budget(current_actor(), budget_id)


@budgets_blp.get("/<uuid:budget_id>/members")
@signed_in
@scope("budgets:read")
@budgets_blp.response(200, MemberCapSchema(many=True))
@budgets_blp.paginate(Rows)
def list_members(budget_id: UUID) -> Select[MemberCap]:
    """List who may draw on a budget, and what each has used."""
    return queries.caps_of(queries.visible_budget(current_actor(), budget_id).id)


@budgets_blp.put("/<uuid:budget_id>/members/<uuid:person_id>")
@signed_in
@scope("budgets:write")
@budgets_blp.arguments(CapSchema)
@budgets_blp.response(200, MemberCapSchema)
def set_cap(body: dict[str, Any], budget_id: UUID, person_id: UUID) -> MemberCap:
    """Change the most that one member may draw."""
    with transaction():
        queries.visible_budget(current_actor(), budget_id)
        return budgets.set_cap(current_actor(), budget_id, person_id, body["cap_micro"])


@budgets_blp.get("/<uuid:budget_id>/sessions")
@signed_in
@scope("budgets:read")
@budgets_blp.response(200, SessionSchema(many=True))
@budgets_blp.paginate(Rows)
def list_budget_sessions(budget_id: UUID) -> Select[LabSession]:
    """List what a budget has paid for."""
    return queries.sessions_of_budget(queries.visible_budget(current_actor(), budget_id).id)


@budgets_blp.post("/<uuid:budget_id>/transfers")
@signed_in
@scope("budgets:write")
@budgets_blp.arguments(TransferSchema)
@budgets_blp.response(201, BudgetSchema)
def fund(body: dict[str, Any], budget_id: UUID) -> Budget:
    """Pass credits on from the budget above."""
    with transaction():
        queries.visible_budget(current_actor(), budget_id)
        return budgets.fund(current_actor(), budget_id, body["amount_micro"], key=f"api:{body['key']}")


@budgets_blp.post("/<uuid:budget_id>/grants")
@signed_in
@scope("operations:write")
@budgets_blp.arguments(GrantSchema)
@budgets_blp.response(201, BudgetSchema)
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
