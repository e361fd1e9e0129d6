"""A partner's people, for its administrators: who is there, who is invited."""

from uuid import UUID

from flask import Blueprint, current_app, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.exceptions import BadRequest

from accounts import policy, queries
from accounts.errors import ProviderTaken
from accounts.models import Partner
from accounts.services import home_sign_in, invitations
from app.access import MemberRole, current_actor, signed_in
from app.db import db, transaction
from app.errors import DomainError, Invalid, NotFound
from app.paging import page_of
from app.problems import status_of

blp = Blueprint("partners", __name__, url_prefix="/partners/<slug>", template_folder="../templates")


@blp.get("/people")
@signed_in
def show_people(slug: str) -> ResponseReturnValue:
    """Who studies and works at the partner, one row for each role."""
    return _page(_partner(slug))


@blp.post("/invitations")
@signed_in
def invite(slug: str) -> ResponseReturnValue:
    """Invite somebody; the link is shown this once."""
    partner, form = _partner(slug), request.form
    if form.get("role") not in set(MemberRole):
        return _page(partner, refusal=Invalid(_("Choose a role.")))
    try:
        with transaction():
            invitation, code = invitations.invite(
                current_actor(),
                partner_id=partner.id,
                role=MemberRole(form["role"]),
                name=form.get("name", ""),
                email=form.get("email") or None,
                number=form.get("number") or None,
            )
    except Invalid as refusal:
        return _page(partner, refusal=refusal)
    link = current_app.extensions["settings"].platform_url + url_for("claim.show", code=code)
    return _page(
        partner,
        made={"name": invitation.name, "link": link, "email": invitation.email, "expires_at": invitation.expires_at},
    )


@blp.post("/invitations/<uuid:invitation_id>/take-back")
@signed_in
def take_back(slug: str, invitation_id: UUID) -> ResponseReturnValue:
    """End an invitation that nobody has used."""
    _partner(slug)
    with transaction():
        invitations.take_back(current_actor(), invitation_id)
    flash(_("The invitation is taken back."), "success")
    return redirect(url_for(".show_people", slug=slug), 303)


@blp.get("/sign-on")
@signed_in
def show_sign_on(slug: str) -> ResponseReturnValue:
    """Where the partner's people sign in at home; for the platform's administrators."""
    return _sign_on_page(slug)


@blp.post("/sign-on")
@signed_in
def connect_provider(slug: str) -> ResponseReturnValue:
    """Connect the partner's identity provider."""
    _connectable(slug)
    form = request.form
    if form.get("role") not in set(MemberRole):
        raise BadRequest
    try:
        with transaction():
            home_sign_in.connect(
                current_actor(),
                slug=slug,
                issuer=form.get("issuer", "").strip(),
                client_id=form.get("client_id", "").strip(),
                client_secret=form.get("client_secret", "").strip(),
                creates_accounts="creates_accounts" in form,
                role=MemberRole(form["role"]),
            )
    except (Invalid, ProviderTaken) as refusal:
        return _sign_on_page(slug, refusal)
    flash(_("The sign-on is connected."), "success")
    return redirect(url_for(".show_sign_on", slug=slug), 303)


@blp.post("/sign-on/disconnect")
@signed_in
def disconnect_provider(slug: str) -> ResponseReturnValue:
    """Close that way in."""
    _connectable(slug)
    with transaction():
        home_sign_in.disconnect(current_actor(), slug)
    flash(_("The sign-on is disconnected."), "success")
    return redirect(url_for(".show_sign_on", slug=slug), 303)


def _sign_on_page(slug: str, refusal: DomainError | None = None) -> ResponseReturnValue:
    partner = _connectable(slug)
    page = render_template(
        "accounts/sign_on.html",
        partner=partner,
        provider=next((p for p in queries.identity_providers() if p.partner_id == partner.id), None),
        roles=[role for role in MemberRole if role is not MemberRole.ADMINISTRATOR],
        back=current_app.extensions["settings"].platform_url + url_for("home_sign_in.arrive"),
        refusal=refusal,
        form=request.form,
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _connectable(slug: str) -> Partner:
    partner = queries.partner(slug)
    if not policy.may_connect_providers(current_actor()):
        raise NotFound
    return partner


def _partner(slug: str) -> Partner:
    partner = queries.partner(slug)
    if not policy.may_see_people(current_actor(), partner.id):
        raise NotFound
    return partner


def _page(
    partner: Partner, refusal: Invalid | None = None, made: dict[str, object] | None = None
) -> ResponseReturnValue:
    page = render_template(
        "accounts/people.html",
        partner=partner,
        pager=page_of(queries.members(partner.id), size=50),
        invitations=db.session.scalars(queries.invitations(partner.id).limit(100)).all(),
        roles=list(MemberRole),
        refusal=refusal,
        made=made,
        form=request.form,
    )
    return make_response(page, 422 if refusal else 201 if made else 200)
