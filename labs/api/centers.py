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
    CenterChangeSchema,
    CenterSchema,
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
@blp.arguments(CenterChangeSchema)
@blp.response(200, CenterBriefSchema)
def change_center(body: dict[str, Any], slug: str) -> Center:
    """Open a center, let it drain, close it for maintenance; say when labs count as idle, and where disks are."""
    actor = current_actor()
    with transaction():
        require(policy.may_operate(actor))
        if "state" in body:
            centers.set_state(actor, slug, body["state"])
        if "idle_minutes" in body:
            centers.set_idle_minutes(actor, slug, body["idle_minutes"])
        if "region" in body:
            centers.set_region(actor, slug, body["region"])
        return queries.center(slug)
