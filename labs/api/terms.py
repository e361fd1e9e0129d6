"""The API of terms of use, below the centers."""

from typing import Any

from sqlalchemy import Select

from app.access import current_actor, scope, signed_in
from app.db import transaction
from app.paging import Rows
from labs import queries
from labs.api.centers import blp
from labs.models import CenterTerms
from labs.schemas.decisions import PublishTermsSchema, TermsSchema
from labs.services import terms


@blp.get("/<slug>/terms")
@signed_in
@scope("labs:read")
@blp.response(200, TermsSchema(many=True))
@blp.paginate(Rows)
def list_terms(slug: str) -> Select[CenterTerms]:
    """List the terms of use of a center; the first are in force."""
    return queries.versions_of_terms(queries.center(slug).id)


@blp.post("/<slug>/terms")
@signed_in
@scope("operations:write")
@blp.arguments(PublishTermsSchema)
@blp.response(201, TermsSchema)
def publish_terms(body: dict[str, Any], slug: str) -> CenterTerms:
    """Publish new terms of use. From then on nobody launches there who has not accepted them."""
    with transaction():
        return terms.publish(current_actor(), slug, **body)


@blp.post("/<slug>/terms/<int:number>/acceptance")
@signed_in
@scope("labs:launch")
@blp.response(200, TermsSchema)
def accept_terms(slug: str, number: int) -> CenterTerms:
    """Accept the terms in force, by their number. Twice is once."""
    with transaction():
        return terms.accept(current_actor(), slug, number)
