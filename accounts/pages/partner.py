"""A partner as its people see it: the card, the logo, and the settings that are the partner's own."""

from collections.abc import Callable
from uuid import UUID
from zoneinfo import available_timezones

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from accounts import policy, queries
from accounts.models import Partner
from accounts.services import contacts, logo, partners
from app import clock
from app.access import current_actor, signed_in
from app.db import transaction
from app.errors import DomainError, Invalid, NotFound
from app.problems import status_of

blp = Blueprint("partner", __name__, url_prefix="/partners/<slug>", template_folder="../templates")
DAY = 86400


@blp.get("")
@signed_in
def show(slug: str) -> str:
    """What a partner is, and for its people whom to ask there."""
    partner = queries.partner(slug)
    sees_contacts = policy.may_see_contacts(current_actor(), partner.id)
    return render_template(
        "accounts/partner.html",
        partner=partner,
        digest=queries.logo_digest(partner.id),
        is_agreed=bool(queries.under_agreement([partner.id])),
        contacts=queries.contacts(partner.id) if sees_contacts else None,
        may_change=policy.may_change_partner(current_actor(), partner.id),
    )


@blp.get("/logo/<digest>")
@signed_in
def show_logo(slug: str, digest: str) -> ResponseReturnValue:
    """The picture itself; nothing in it can act, whatever it holds."""
    row = queries.logo(queries.partner(slug).id, digest)
    headers = {
        "Content-Type": row.media_type,
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "Content-Disposition": "inline",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": f"private, max-age={365 * DAY}, immutable",
    }
    return make_response(row.content, 200, headers)


@blp.get("/settings")
@signed_in
def show_settings(slug: str) -> ResponseReturnValue:
    """What the partner's administrators keep themselves."""
    return _settings(_own(slug))


@blp.post("/settings")
@signed_in
def change_time_zone(slug: str) -> ResponseReturnValue:
    """Change the partner's time zone."""
    return _change(slug, lambda: partners.set_time_zone(current_actor(), slug, request.form.get("time_zone", "")))


@blp.post("/settings/contacts")
@signed_in
def add_contact(slug: str) -> ResponseReturnValue:
    """Name somebody who can be asked."""
    wanted = {name: request.form.get(name, "") for name in ("name", "role", "email", "phone")}
    return _change(slug, lambda: contacts.add(current_actor(), slug, **wanted), "contacts")


@blp.post("/settings/contacts/<uuid:contact_id>/remove")
@signed_in
def remove_contact(slug: str, contact_id: UUID) -> ResponseReturnValue:
    """Take a contact from the list."""
    return _change(slug, lambda: contacts.remove(current_actor(), slug, contact_id), "contacts")


@blp.post("/settings/logo")
@signed_in
def put_logo(slug: str) -> ResponseReturnValue:
    """Show a picture with the partner's name."""
    sent = request.files.get("logo")
    content = sent.read(1 + 256 * 1024) if sent else b""
    return _change(slug, lambda: logo.put(current_actor(), slug, content), "logo")


@blp.post("/settings/logo/remove")
@signed_in
def remove_logo(slug: str) -> ResponseReturnValue:
    """Show no picture any more."""
    return _change(slug, lambda: logo.remove(current_actor(), slug), "logo")


def _change(slug: str, act: Callable[[], object], place: str = "") -> ResponseReturnValue:
    partner = _own(slug)
    try:
        with transaction():
            act()
    except Invalid as refusal:
        return _settings(partner, refusal, place)
    flash(_("Saved."), "success")
    return redirect(url_for(".show_settings", slug=slug, _anchor=place or None), 303)


def _settings(partner: Partner, refusal: DomainError | None = None, place: str = "") -> ResponseReturnValue:
    page = render_template(
        "accounts/partner_settings.html",
        partner=partner,
        digest=queries.logo_digest(partner.id),
        contacts=queries.contacts(partner.id),
        agreements=queries.agreements(partner.id),
        time_zones=time_zones(),
        refusal=refusal,
        place=place,
        form=request.form,
        now=clock.now(),
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _own(slug: str) -> Partner:
    partner = queries.partner(slug)
    if not policy.may_change_partner(current_actor(), partner.id):
        raise NotFound
    return partner


def time_zones() -> list[tuple[str, str]]:
    names = sorted(name for name in available_timezones() if "/" in name or name == "UTC")
    return [(name, name.replace("_", " ")) for name in names]
