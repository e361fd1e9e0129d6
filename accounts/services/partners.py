"""Open partners and keep what is said of them."""

import re
from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy.exc import IntegrityError

from accounts import policy, queries
from accounts.errors import SlugTaken
from accounts.models import Partner, PartnerKind
from accounts.services import agreements, people
from app import audit
from app.access import Actor, require
from app.db import db
from app.errors import Invalid

DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
MOST_DOMAINS = 50
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def open_partner(
    actor: Actor,
    *,
    slug: str,
    kind: PartnerKind,
    title_zh: str,
    title_en: str,
    time_zone: str = "Asia/Shanghai",
    email_domains: Sequence[str] = (),
    from_at: datetime | None = None,
    until_at: datetime | None = None,
    reference: str = "",
) -> Partner:
    """Add a university, company, computing center or public body, with its first agreement."""
    require(policy.may_manage_partners(actor))
    if not SLUG.fullmatch(slug):
        raise Invalid(_("A short name has small letters, digits and hyphens, 40 at most."))
    partner = Partner(
        slug=slug,
        kind=kind,
        title_zh=_title(title_zh),
        title_en=_title(title_en),
        time_zone=people.checked_time_zone(time_zone),
        email_domains=_domains(email_domains),
    )
    try:
        with db.session.begin_nested():
            db.session.add(partner)
    except IntegrityError as error:
        raise SlugTaken(slug=slug) from error
    audit.record(actor, "partner.open", partner, partner_id=partner.id, slug=slug, kind=kind)
    agreements.add(actor, partner.id, from_at=from_at, until_at=until_at, reference=reference)
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


def set_domains(actor: Actor, slug: str, email_domains: Sequence[str]) -> Partner:
    """Say which e-mail domains are the partner's. Not the partner's own to say: it could claim anybody's."""
    require(policy.may_manage_partners(actor))
    partner = queries.partner(slug)
    before, partner.email_domains = list(partner.email_domains), _domains(email_domains)
    facts = {"domains": (" ".join(before), " ".join(partner.email_domains))}
    audit.record(actor, "partner.domains", partner, partner_id=partner.id, **facts)
    return partner


def set_time_zone(actor: Actor, slug: str, time_zone: str) -> Partner:
    """Change the zone in which the partner's days begin, and which its new people start with."""
    partner = queries.partner(slug)
    require(policy.may_change_partner(actor, partner.id))
    before, partner.time_zone = partner.time_zone, people.checked_time_zone(time_zone)
    audit.record(actor, "partner.time-zone", partner, partner_id=partner.id, time_zone=(before, partner.time_zone))
    return partner


def _domains(texts: Sequence[str]) -> list[str]:
    """Domains as mail uses them: small letters, no @, each once."""
    domains = list(dict.fromkeys(text.strip().lower().removeprefix("@") for text in texts if text.strip()))
    wrong = [domain for domain in domains if not DOMAIN.fullmatch(domain) or len(domain) > 253]
    if wrong:
        raise Invalid(_("“%(text)s” is not a domain of e-mail addresses.", text=wrong[0][:80]))
    if len(domains) > MOST_DOMAINS:
        raise Invalid(_("A partner has at most %(n)s domains.", n=MOST_DOMAINS))
    return domains


def _title(text: str) -> str:
    title = " ".join(text.split())
    if not 1 <= len(title) <= 200:
        raise Invalid(_("A partner needs a Chinese and an English name of at most 200 characters."))
    return title
