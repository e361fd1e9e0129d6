"""The platform's administration: partners with their agreements, and who has power over the whole platform."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_timezone
from flask_babel import gettext as _

from accounts import policy, queries
from accounts.errors import SlugTaken
from accounts.models import Partner, PartnerKind
from accounts.pages.partner import time_zones
from accounts.services import agreements, partners, platform_roles
from app import clock
from app.access import PlatformRole, current_actor, signed_in
from app.db import transaction
from app.errors import DomainError, Invalid, NotFound
from app.paging import page_of
from app.problems import status_of

Choice = TypeVar("Choice", bound=StrEnum)

blp = Blueprint("administration", __name__, url_prefix="/administration", template_folder="../templates")


@blp.before_request
def only_administrators() -> None:
    """For everybody else there is no such place. Whoever has not signed in is asked to by the route."""
    actor = current_actor()
    if actor.is_signed_in and not policy.may_manage_partners(actor):
        raise NotFound


@blp.get("")
@signed_in
def index() -> ResponseReturnValue:
    """All partners, and a form for one more."""
    return _index()


@blp.post("/partners")
@signed_in
def open_partner() -> ResponseReturnValue:
    """Add a partner, with its first agreement."""
    form = request.form
    try:
        with transaction():
            zone = form.get("time_zone", "")
            partner = partners.open_partner(
                current_actor(),
                slug=form.get("slug", ""),
                kind=_chosen(PartnerKind, form.get("kind")),
                title_zh=form.get("title_zh", ""),
                title_en=form.get("title_en", ""),
                time_zone=zone,
                email_domains=form.get("email_domains", "").split(),
                from_at=_day(form.get("from"), zone),
                until_at=_day(form.get("until"), zone, is_last=True),
                reference=form.get("reference", ""),
            )
    except (Invalid, SlugTaken) as refusal:
        return _index(refusal)
    flash(_("The partner is added."), "success")
    return redirect(url_for(".show_partner", slug=partner.slug), 303)


@blp.get("/partners/<slug>")
@signed_in
def show_partner(slug: str) -> ResponseReturnValue:
    """What the platform decides for a partner: names, domains, agreements."""
    return _partner_page(queries.partner(slug))


@blp.post("/partners/<slug>/names")
@signed_in
def rename(slug: str) -> ResponseReturnValue:
    """Change the names of a partner."""
    titles = {name: request.form.get(name, "") for name in ("title_zh", "title_en")}
    return _change_partner(slug, lambda: partners.rename(current_actor(), slug, **titles), "names")


@blp.post("/partners/<slug>/domains")
@signed_in
def set_domains(slug: str) -> ResponseReturnValue:
    """Say which e-mail domains are a partner's."""
    domains = request.form.get("email_domains", "").split()
    return _change_partner(slug, lambda: partners.set_domains(current_actor(), slug, domains), "domains")


@blp.post("/partners/<slug>/agreements")
@signed_in
def make_agreement(slug: str) -> ResponseReturnValue:
    """Agree with a partner on a period."""
    form, zone = request.form, queries.partner(slug).time_zone
    return _change_partner(
        slug,
        lambda: agreements.make(
            current_actor(),
            slug,
            from_at=_day(form.get("from"), zone),
            until_at=_day(form.get("until"), zone, is_last=True),
            reference=form.get("reference", ""),
        ),
        "agreements",
    )


@blp.post("/partners/<slug>/agreements/<uuid:agreement_id>/end")
@signed_in
def set_end(slug: str, agreement_id: UUID) -> ResponseReturnValue:
    """Move the end of an agreement: to now, to a day, or away."""
    partner, form = queries.partner(slug), request.form
    if agreement_id not in {agreement.id for agreement in queries.agreements(partner.id)}:
        raise NotFound

    def act() -> object:
        end = clock.now() if "now" in form else _day(form.get("until"), partner.time_zone, is_last=True)
        return agreements.set_end(current_actor(), agreement_id, end, form.get("reason", ""))

    return _change_partner(slug, act, "agreements")


@blp.get("/roles")
@signed_in
def show_roles() -> ResponseReturnValue:
    """Who has a role on the platform, until when and why."""
    return _roles()


@blp.post("/roles")
@signed_in
def grant_role() -> ResponseReturnValue:
    """Give a person a role on the platform, for a period, with a reason."""
    form = request.form
    try:
        with transaction():
            person = queries.person_by_email(form.get("email", ""))
            if person is None:
                raise Invalid(_("Nobody here has this e-mail address."))
            platform_roles.grant(
                current_actor(),
                person_id=person.id,
                role=_chosen(PlatformRole, form.get("role")),
                reason=form.get("reason", ""),
                from_at=_day(form.get("from"), _my_zone()),
                until_at=_day(form.get("until"), _my_zone(), is_last=True),
            )
    except Invalid as refusal:
        return _roles(refusal)
    flash(_("The role is given."), "success")
    return redirect(url_for(".show_roles"), 303)


@blp.post("/roles/<uuid:grant_id>/end")
@signed_in
def end_role(grant_id: UUID) -> ResponseReturnValue:
    """Take a role back, now."""
    with transaction():
        platform_roles.end(current_actor(), grant_id, request.form.get("reason", ""))
    flash(_("The role has ended."), "success")
    return redirect(url_for(".show_roles"), 303)


def _index(refusal: DomainError | None = None) -> ResponseReturnValue:
    pager = page_of(queries.partners(), size=50)
    page = render_template(
        "accounts/administration.html",
        pager=pager,
        agreed=queries.under_agreement([partner.id for partner in pager.items]),
        kinds=list(PartnerKind),
        time_zones=time_zones(),
        refusal=refusal,
        form=request.form,
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _change_partner(slug: str, act: Callable[[], object], place: str) -> ResponseReturnValue:
    partner = queries.partner(slug)
    try:
        with transaction():
            act()
    except Invalid as refusal:
        return _partner_page(partner, refusal, place)
    flash(_("Saved."), "success")
    return redirect(url_for(".show_partner", slug=slug, _anchor=place), 303)


def _partner_page(partner: Partner, refusal: DomainError | None = None, place: str = "") -> ResponseReturnValue:
    page = render_template(
        "accounts/administration_partner.html",
        partner=partner,
        agreements=queries.agreements(partner.id),
        refusal=refusal,
        place=place,
        form=request.form,
        now=clock.now(),
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _roles(refusal: DomainError | None = None) -> ResponseReturnValue:
    page = render_template(
        "accounts/administration_roles.html",
        grants=queries.platform_roles(),
        roles=list(PlatformRole),
        refusal=refusal,
        form=request.form,
        now=clock.now(),
    )
    return make_response(page, status_of(type(refusal)) if refusal else 200)


def _chosen(kind: type[Choice], value: str | None) -> Choice:
    try:
        return kind(value or "")
    except ValueError as error:
        raise Invalid(_("Choose one of those that are listed.")) from error


def _day(text: str | None, zone: str, *, is_last: bool = False) -> datetime | None:
    """The moment at which a day begins there, or, of a last day, at which it is over. No text: no moment."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=is_last)
        return datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError, KeyError) as error:
        raise Invalid(_("“%(text)s” is not a day.", text=text[:20])) from error


def _my_zone() -> str:
    return str(get_timezone() or UTC)
