"""The API of centers. A view reads the request, opens the transaction, calls one service."""

from typing import Any

from flask_smorest import Blueprint

from app.access import current_actor, require, scope, signed_in
from app.db import transaction
from labs import policy, queries
from labs.models import Center
from labs.queries.drift import DriftReport, drift
from labs.schemas import (
    CenterBriefSchema,
    CenterSchema,
    CenterStateSchema,
    DriftSchema,
)
from labs.services import centers

blp = Blueprint("centers_api", __name__, url_prefix="/api/v1/centers", description="Computing centers")


@blp.get("/")
@signed_in
@scope("labs:read")
@blp.response(200, CenterSchema(many=True))
def list_centers() -> list[Center]:
    """List the centers with their flavors and prices."""
    return queries.centers()


@blp.get("/drift")
@signed_in
@scope("operations:read")
@blp.response(200, DriftSchema)
def show_drift() -> DriftReport:
    """Say where what is believed and what is there part, for operators."""
    require(policy.may_operate(current_actor()))
    return drift()


@blp.patch("/<slug>")
@signed_in
@scope("operations:write")
@blp.arguments(CenterStateSchema)
@blp.response(200, CenterBriefSchema)
def set_center_state(body: dict[str, Any], slug: str) -> Center:
    """Open a center, let it drain, or close it for maintenance."""
    with transaction():
        return centers.set_state(current_actor(), slug, body["state"])
