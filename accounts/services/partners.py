"""Open partners and keep what is said of them."""

import re

from flask_babel import gettext as _
from sqlalchemy.exc import IntegrityError

from accounts import policy, queries
from accounts.errors import SlugTaken
from accounts.models import Partner, PartnerKind
from app import audit
from app.access import Actor, require
from app.db import db
from app.errors import Invalid

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def open_partner(
    actor: Actor,
    *,
    slug: str,
    kind: PartnerKind,
    title_zh: str,
    title_en: str,
    time_zone: str = "Asia/Shanghai",
    email_domains: tuple[str, ...] = (),
) -> Partner:
    """Add a university, company, computing center or public body."""
    require(policy.may_manage_partners(actor))
    if not SLUG.fullmatch(slug):
        raise Invalid(_("A short name has small letters, digits and hyphens, 40 at most."))
    partner = Partner(
        slug=slug,
        kind=kind,
        title_zh=_title(title_zh),
        title_en=_title(title_en),
        time_zone=time_zone,
        email_domains=[domain.lower() for domain in email_domains],
    )
    try:
        with db.session.begin_nested():
            db.session.add(partner)
    except IntegrityError as error:
        raise SlugTaken(slug=slug) from error
    audit.record(actor, "partner.open", partner, partner_id=partner.id, slug=slug, kind=kind)
    return partner


def rename(actor: Actor, slug: str, *, title_zh: str, title_en: str) -> Partner:
    """Change the names a partner goes by."""
    require(policy.may_manage_partners(actor))
    partner = queries.partner(slug)
    before = (partner.title_zh, partner.title_en)
    partner.title_zh, partner.title_en = _title(title_zh), _title(title_en)
    after = (partner.title_zh, partner.title_en)
    audit.record(actor, "partner.rename", partner, partner_id=partner.id, titles=(before, after))
    return partner


def _title(text: str) -> str:
    title = " ".join(text.split())
    if not 1 <= len(title) <= 200:
        raise Invalid(_("A partner needs a Chinese and an English name of at most 200 characters."))
    return title
