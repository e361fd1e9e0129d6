"""The logo of a partner: put there, taken away."""

import hashlib

from accounts import logos, policy, queries
from accounts.models_partners import PartnerLogo
from app import audit, clock
from app.access import Actor, require
from app.db import db


def put(actor: Actor, slug: str, content: bytes) -> PartnerLogo:
    """Show this picture with the partner's name from now on."""
    partner = queries.partner(slug)
    require(policy.may_change_partner(actor, partner.id))
    media_type = logos.media_type(content)
    digest = hashlib.sha256(content).hexdigest()
    before = queries.logo_digest(partner.id)
    row = PartnerLogo(
        partner_id=partner.id, sha256=digest, media_type=media_type, content=content, changed_at=clock.now()
    )
    row = db.session.merge(row)
    db.session.flush()
    audit.record(actor, "partner.logo", partner, partner_id=partner.id, picture=(before, digest), kind=media_type)
    return row


def remove(actor: Actor, slug: str) -> None:
    partner = queries.partner(slug)
    require(policy.may_change_partner(actor, partner.id))
    row = db.session.get(PartnerLogo, partner.id)
    if row is not None:
        audit.record(actor, "partner.logo", partner, partner_id=partner.id, picture=(row.sha256, None))
        db.session.delete(row)
        db.session.flush()
