"""Service tokens of a partner and of the platform, for their administrators."""

from typing import Any
from uuid import UUID

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.exceptions import BadRequest

from accounts import queries
from accounts.models import Partner
from accounts.services import service_tokens, tokens
from app import clock
from app.access import current_actor, signed_in
from app.db import transaction
from app.errors import DomainError
from app.problems import status_of

DAYS = (30, 90, 180, 365)
blp = Blueprint("service_tokens", __name__, template_folder="../templates")


@blp.get("/administration/tokens", defaults={"slug": None})
@blp.get("/partners/<slug>/tokens")
@signed_in
def show(slug: str | None) -> ResponseReturnValue:
    """The tokens, and a form for one more."""
    return _page(_partner(slug))


@blp.post("/administration/tokens", defaults={"slug": None})
@blp.post("/partners/<slug>/tokens")
@signed_in
def make(slug: str | None) -> ResponseReturnValue:
    """Make a token and show it this once. Not a redirect: the secret is kept nowhere."""
    partner = _partner(slug)
    try:
        days = int(request.form.get("days", ""))
    except ValueError as error:
        raise BadRequest from error
    try:
        with transaction():
            row, secret = service_tokens.make(
                current_actor(),
                partner_id=partner.id if partner else None,
                name=request.form.get("purpose", ""),
                scopes=request.form.getlist("scopes"),
                days=days,
            )
    except DomainError as refusal:
        return _page(partner, refusal=refusal)
    return _page(partner, made={"name": row.name, "secret": secret, "expires_at": row.expires_at})


@blp.post("/administration/tokens/<uuid:token_id>/revoke", defaults={"slug": None})
@blp.post("/partners/<slug>/tokens/<uuid:token_id>/revoke")
@signed_in
def revoke(slug: str | None, token_id: UUID) -> ResponseReturnValue:
    """Revoke a token."""
    partner = _partner(slug)
    with transaction():
        service_tokens.revoke(current_actor(), partner.id if partner else None, token_id)
    flash(_("The token is revoked."), "success")
    return redirect(url_for(".show", slug=slug), 303)


def _partner(slug: str | None) -> Partner | None:
    return queries.partner(slug) if slug is not None else None


def _page(
    partner: Partner | None, refusal: DomainError | None = None, made: dict[str, Any] | None = None
) -> ResponseReturnValue:
    partner_id = partner.id if partner else None
    rows = service_tokens.list_all(current_actor(), partner_id)
    page = render_template(
        "accounts/service_tokens.html",
        partner=partner,
        slug=partner.slug if partner else None,
        tokens=rows,
        scopes={name: tokens.SCOPES[name] for name in service_tokens.scopes_for(partner_id)},
        day_options=[(days, ngettext("%(num)s day", "%(num)s days", days)) for days in DAYS],
        refusal=refusal,
        made=made,
        form=request.form,
        now=clock.now(),
    )
    return make_response(page, status_of(type(refusal)) if refusal else 201 if made else 200)
