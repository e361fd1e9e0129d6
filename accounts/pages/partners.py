"""A partner's people, for its administrators."""

from flask import Blueprint, render_template

from accounts import policy, queries
from app.access import current_actor, signed_in
from app.errors import NotFound
from app.paging import page_of

blp = Blueprint("partners", __name__, template_folder="../templates")


@blp.get("/partners/<slug>/people")
@signed_in
def show_people(slug: str) -> str:
    """Who studies and works at the partner, one row for each role."""
    partner = queries.partner(slug)
    if not policy.may_see_people(current_actor(), partner.id):
        raise NotFound
    pager = page_of(queries.members(partner.id), size=50)
    return render_template("accounts/people.html", partner=partner, pager=pager)
