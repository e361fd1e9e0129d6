"""More time for a lab that runs: the increment is put aside under the price it started with, or refused.

A refusal says how many minutes would fit. Everything happens in one transaction with the lease, so nothing runs
longer than it is paid for.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import select

from accounts.services import notices
from app import audit, clock
from app.access import Actor, require
from app.db import db
from app.errors import Remedy
from labs import ledger, policy, queries
from labs.errors import (
    BudgetNotActive,
    CenterMaintenance,
    ExceedsMaxRequest,
    InvalidRequest,
    LabIsEnding,
    LabNotReady,
    LaunchRefused,
)
from labs.models import CenterState, Hold, LabSession, LedgerTransaction, SessionState
from labs.services import admission, sessions

notices.describe(
    "lab-extended",
    _("Your lab “%(title)s” can run longer"),
    _("%(by)s extended it by %(minutes)s minutes. It now stops at %(ends_at)s."),
    label=_("Somebody gave my lab more time"),
)


def extend(actor: Actor, session_id: UUID, minutes: int, key: str) -> LabSession:
    """Let a running lab go on for so many minutes more. The same key again changes nothing."""
    session = queries.session(actor, session_id)
    require(policy.may_extend_session(actor, session, manages=queries.manages(actor, session.budget_id)))
    if minutes < 1:
        raise InvalidRequest(_("An extension is at least a minute long."), minutes=minutes)
    session = sessions.locked(session_id)
    key = f"extend:{session_id.hex}:{actor.person_id.hex if actor.person_id else 'system'}:{key}"
    if _is_done(key):
        ledger.extend(session.held_by, minutes * 60, key)  # refuses another question under the same key
        return session
    _check(session, minutes)
    fits = possible(session)
    try:
        ledger.extend(session.held_by, minutes * 60, key)
    except LaunchRefused as refusal:
        refusal.remedies = (*_shorter(fits), *refusal.remedies)
        raise
    assert session.lease_ends_at is not None
    session.lease_minutes += minutes
    session.extended_minutes += minutes
    session.lease_ends_at += timedelta(minutes=minutes)
    session.warned_minutes = None
    db.session.flush()
    db.session.refresh(session.hold)
    audit.record(
        actor,
        "session.extend",
        session,
        minutes=minutes,
        lease_ends_at=session.lease_ends_at,
        person_id=session.person_id,
    )
    if actor.person_id != session.person_id:
        _tell(actor, session, minutes)
    return session


@dataclass(frozen=True)
class Outlook:
    """How many minutes more a lab can have now, what sets that limit, and what so many cost at the most."""

    minutes: int
    limited_by: str  # "lease", "credits", "maintenance" or "ending"
    price_micro: int


def outlook(session: LabSession) -> Outlook:
    """What is possible now: by the flavor, the credits and their validity, and the center."""
    hold, ends_at = session.hold, session.lease_ends_at
    if session.state is not SessionState.RUNNING or hold is None or ends_at is None or ends_at <= clock.now():
        return Outlook(0, "ending", 0)
    if session.center.state is not CenterState.UP:
        return Outlook(0, "maintenance", 0)
    left, paid = room(session), _payable(hold)
    minutes = min(left, paid)
    return Outlook(minutes, "lease" if left <= paid else "credits", price(session, minutes))


def possible(session: LabSession) -> int:
    """So many minutes."""
    return outlook(session).minutes


def _payable(hold: Hold) -> int:
    """How many minutes more the credits pay for. The ledger locks balances to look at them; this only asks, so they
    are let go at once."""
    with db.session.begin_nested() as look:
        seconds = ledger.longest_extension(hold)
        look.rollback()
    return max(0, seconds // 60)


def room(session: LabSession) -> int:
    """Minutes until the longest lease of its flavor."""
    return max(0, session.flavor.longest_minutes - session.lease_minutes)


def price(session: LabSession, minutes: int) -> int:
    """What so many minutes more put aside, at the price that the session started with."""
    if session.hold is None or session.lease_ends_at is None:
        return 0
    return session.hold.tariff.most(session.lease_ends_at, minutes * 60, timedelta(0))


def _check(session: LabSession, minutes: int) -> None:
    """What has nothing to do with credits, from permanent to temporary."""
    if session.state is SessionState.STOPPING or not session.is_live:
        raise LabIsEnding(state=session.state)
    if session.state is not SessionState.RUNNING or session.lease_ends_at is None:
        raise LabNotReady(state=session.state)
    if session.lease_ends_at <= clock.now():
        raise LabIsEnding(state=session.state)
    budget = queries.budget(session.budget_id)
    if not session.flavor.is_rescue:
        if not budget.is_active(clock.now()):
            raise BudgetNotActive(
                layer={
                    "name": "budget",
                    "starts_at": budget.starts_at.isoformat(),
                    "ends_at": budget.ends_at.isoformat(),
                }
            )
        admission.check_agreements(budget.partner_id, session.center.partner_id)
    left = room(session)
    if minutes > left:
        raise ExceedsMaxRequest(
            _(
                "%(minutes)s minutes more were asked for; the longest lease leaves %(left)s.",
                minutes=minutes,
                left=left,
            ),
            layer={
                "name": "lease",
                "limit": session.flavor.longest_minutes,
                "held": session.lease_minutes,
                "left": left,
                "asked": minutes,
                "unit": "minutes",
            },
            remedies=_shorter(possible(session)),
        )
    if session.center.state is not CenterState.UP:
        raise CenterMaintenance(center=session.center.slug, state=session.center.state)


def _shorter(minutes: int) -> tuple[Remedy, ...]:
    if minutes < 1:
        return ()
    return (Remedy("shorter-extension", _("Extend it by %(minutes)s minutes: that fits", minutes=minutes)),)


def _is_done(key: str) -> bool:
    return db.session.scalar(select(LedgerTransaction.id).where(LedgerTransaction.key == key)) is not None


def _tell(actor: Actor, session: LabSession, minutes: int) -> None:
    notices.notify(
        session.person_id,
        "lab-extended",
        f"{session.id}:extended:{session.lease_minutes}",
        url=f"/labs/{session.id}",
        title_zh=session.template.title_zh,
        title_en=session.template.title_en,
        by=actor.name,
        minutes=minutes,
        ends_at=session.lease_ends_at,
    )
