"""Agree with a partner on a period, move its end. What a partner has stays when the last one is over."""

from datetime import datetime, timedelta
from uuid import UUID

from flask_babel import gettext as _

from accounts import policy, queries
from accounts.models_partners import Agreement
from app import audit, clock
from app.access import Actor, require
from app.db import db
from app.errors import Invalid, NotFound

LONGEST_REFERENCE = 200


def make(
    actor: Actor, slug: str, *, from_at: datetime | None = None, until_at: datetime | None = None, reference: str = ""
) -> Agreement:
    """Agree with a partner on [from_at, until_at); without an end, until somebody ends it."""
    require(policy.may_manage_partners(actor))
    return add(actor, queries.partner(slug).id, from_at=from_at, until_at=until_at, reference=reference)


def add(
    actor: Actor, partner_id: UUID, *, from_at: datetime | None, until_at: datetime | None, reference: str
) -> Agreement:
    """Write an agreement down, for a service that has asked already whether it may."""
    from_at = from_at or clock.now()
    _check_period(from_at, until_at)
    agreement = Agreement(
        partner_id=partner_id, from_at=from_at, until_at=until_at, reference=_checked_reference(reference)
    )
    db.session.add(agreement)
    db.session.flush()
    audit.record(
        actor,
        "agreement.make",
        agreement,
        partner_id=partner_id,
        from_at=from_at,
        until_at=until_at,
        reference=agreement.reference,
    )
    return agreement


def set_end(actor: Actor, agreement_id: UUID, until_at: datetime | None, reason: str) -> Agreement:
    """End an agreement at a moment, earlier or later than agreed before; None: until somebody ends it."""
    require(policy.may_manage_partners(actor))
    agreement = db.session.get(Agreement, agreement_id, with_for_update=True, populate_existing=True)
    if agreement is None:
        raise NotFound
    if not reason.strip():
        raise Invalid(_("Say why the end is moved."))
    now = clock.now()
    if until_at is not None and until_at <= now < agreement.from_at:
        agreement.from_at = min(agreement.from_at, until_at - timedelta(microseconds=1))  # it never began
    _check_period(agreement.from_at, until_at)
    before, agreement.until_at = agreement.until_at, until_at
    db.session.flush()
    audit.record(
        actor,
        "agreement.set-end",
        agreement,
        partner_id=agreement.partner_id,
        until_at=(before and before.isoformat(), until_at and until_at.isoformat()),
        reason=reason.strip(),
    )
    return agreement


def _check_period(from_at: datetime, until_at: datetime | None) -> None:
    if until_at is not None and until_at <= from_at:
        raise Invalid(_("The period must end after it begins."))


def _checked_reference(text: str) -> str:
    reference = " ".join(text.split())
    if len(reference) > LONGEST_REFERENCE:
        raise Invalid(_("A reference has at most %(n)s characters.", n=LONGEST_REFERENCE))
    return reference
