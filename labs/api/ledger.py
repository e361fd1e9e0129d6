"""The API of the ledger: the account of a session, and the rates of flavors."""

from typing import Any
from uuid import UUID

from flask_smorest import Blueprint
from sqlalchemy import Select

from app.access import current_actor, scope, signed_in
from app.db import transaction
from app.paging import Rows
from labs import queries
from labs.ledger.explaining import Explanation, explain
from labs.models import Rate
from labs.schemas.ledger import ExplanationSchema, RateSchema, plain
from labs.services import rates

sessions_blp = Blueprint(
    "lab_accounts_api", __name__, url_prefix="/api/v1/lab-sessions", description="Running labs, and those that ended"
)
flavors_blp = Blueprint("flavors_api", __name__, url_prefix="/api/v1/flavors", description="What flavors cost")


@sessions_blp.get("/<uuid:session_id>/ledger")
@signed_in
@scope("labs:read")
@sessions_blp.response(200, ExplanationSchema)
def explain_session(session_id: UUID) -> Explanation:
    """Show the account of a session: rate, hold, tranches, each posting, what returned."""
    return explain(queries.session(current_actor(), session_id))


@flavors_blp.get("/<uuid:flavor_id>/rates")
@signed_in
@scope("labs:read")
@flavors_blp.response(200, RateSchema(many=True))
@flavors_blp.paginate(Rows)
def list_rates(flavor_id: UUID) -> Select[Rate]:
    """List what a flavor costs, cost and will cost; the last to begin first."""
    return queries.rates_of(queries.flavor(flavor_id).id)


@flavors_blp.post("/<uuid:flavor_id>/rates")
@signed_in
@scope("operations:write")
@flavors_blp.arguments(RateSchema)
@flavors_blp.response(201, RateSchema)
def set_rate(body: dict[str, Any], flavor_id: UUID) -> Rate:
    """Let a flavor cost this much, now or from a later moment on. What is held keeps its rate."""
    with transaction():
        return rates.set_rate(current_actor(), flavor_id, body["valid_from"], body["price_micro"], plain(body["bands"]))
