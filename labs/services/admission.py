"""May this lab start? Ordered checks, from what will never be possible to what waiting mends.

The credits themselves are checked by the ledger when it reserves them, between the two functions here.
"""

from uuid import UUID

import sqlalchemy as sa
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select

from accounts import queries as accounts_queries
from accounts.models import Partner
from app import clock, locale
from app.db import db
from app.errors import Remedy
from labs import queries
from labs.errors import (
    AgreementEnded,
    BudgetNotActive,
    CapacityFull,
    CenterMaintenance,
    CenterUnreachable,
    ExceedsMaxRequest,
    FlavorNotGranted,
    InvalidRequest,
    NotEnrolled,
    UserConcurrency,
)
from labs.models import LIVE_STATES, Budget, Center, CenterState, Flavor, LabSession, MemberCap

LABS_AT_ONCE = 3  # live sessions of one person


def check_request(*, person_id: UUID, template_id: UUID, flavor_id: UUID, minutes: int, budget_id: UUID) -> Flavor:
    """Return the flavor when everything that concerns this person and this lab is in order, or refuse."""
    if minutes < 1:
        raise InvalidRequest(_("A lab runs for at least a minute."), minutes=minutes)
    budget = _check_budget(budget_id, person_id)
    flavor = _granted_flavor(template_id, flavor_id)
    check_agreements(budget.partner_id, flavor.center.partner_id)
    longest = min(queries.template(template_id).longest_minutes, flavor.longest_minutes)
    if minutes > longest:
        raise ExceedsMaxRequest(
            _(
                "%(asked)s minutes were asked for; the longest lease is %(longest)s minutes.",
                asked=minutes,
                longest=longest,
            ),
            layer={"name": "lease", "limit": longest, "asked": minutes, "unit": "minutes"},
        )
    live = len(queries.live_sessions_of(person_id))
    if live >= LABS_AT_ONCE:
        raise UserConcurrency(
            _("%(live)s of %(limit)s labs are running.", live=live, limit=LABS_AT_ONCE),
            layer={"name": "person", "limit": LABS_AT_ONCE, "held": live, "asked": 1, "unit": "sessions"},
        )
    return flavor


def check_agreements(*partner_ids: UUID) -> None:
    """Refuse where the agreement with one of these partners is over. What they have stays; nothing new starts."""
    lacking = [i for i in partner_ids if i not in accounts_queries.under_agreement(partner_ids)]
    if not lacking:
        return
    partner = db.session.get_one(Partner, lacking[0])
    name = locale.pick(partner)
    ended_at = max((a.until_at for a in accounts_queries.agreements(partner.id) if a.until_at), default=None)
    raise AgreementEnded(
        _("%(partner)s takes part no more, or not yet.", partner=name),
        partner=partner.slug,
        ended_at=ended_at,
        remedies=(
            Remedy("look-at-partner", _("See whom to ask at %(partner)s", partner=name), f"/partners/{partner.slug}"),
            Remedy("renew-agreement", _("The platform's administrators can renew the agreement")),
        ),
    )


def check_center(center: Center) -> None:
    """Refuse where the center cannot take one more session now. Launches at one center pass here one by one."""
    if center.state is not CenterState.UP:
        raise CenterMaintenance(center=center.slug, state=center.state)
    if center.unreachable_since is not None:
        raise CenterUnreachable(center=center.slug, since=center.unreachable_since, retry_after=30)
    lock_until_commit("center", center.id)
    live = (
        db.session.scalar(
            select(func.count())
            .select_from(LabSession)
            .where(LabSession.center_id == center.id, LabSession.state.in_(LIVE_STATES))
        )
        or 0
    )
    if live >= center.session_limit:
        raise CapacityFull(
            _("%(live)s of %(limit)s places are taken.", live=live, limit=center.session_limit),
            layer={"name": "center", "limit": center.session_limit, "held": live, "asked": 1, "unit": "sessions"},
            retry_after=60,
        )


def lock_until_commit(what: str, row_id: UUID) -> None:
    """Let others who name the same thing wait until this transaction ends."""
    db.session.execute(sa.select(func.pg_advisory_xact_lock(func.hashtextextended(f"{what}:{row_id}", 0))))


def _check_budget(budget_id: UUID, person_id: UUID) -> Budget:
    budget = queries.budget(budget_id)
    cap = db.session.get(MemberCap, (budget_id, person_id))
    if cap is None or not cap.is_open:
        raise NotEnrolled(layer={"name": "membership", "budget_id": str(budget_id)})
    if not budget.is_active(clock.now()):
        raise BudgetNotActive(
            layer={
                "name": "budget",
                "starts_at": budget.starts_at.isoformat(),
                "ends_at": budget.ends_at.isoformat(),
            }
        )
    return budget


def _granted_flavor(template_id: UUID, flavor_id: UUID) -> Flavor:
    granted = {flavor.id: flavor for flavor in queries.flavors_of(template_id)}
    if flavor_id not in granted:
        raise FlavorNotGranted(granted=[flavor.slug for flavor in granted.values()])
    return granted[flavor_id]
