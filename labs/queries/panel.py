"""The launch panel: all that a person must see before pressing Launch."""

from dataclasses import dataclass
from uuid import UUID

from accounts import queries as accounts_queries
from app.access import Actor, require_person
from app.db import db
from labs import ledger
from labs.models import (
    GRACE_SECONDS,
    Flavor,
    LabSession,
    LabTemplate,
    MemberCap,
)
from labs.queries.budgets import budget
from labs.queries.centers import flavors_of, template
from labs.queries.sessions import live_session


@dataclass(frozen=True)
class Level:
    """How much is left at one level that a launch draws on."""

    name: str  # "cap" or "budget"
    left_micro: int
    limit_micro: int


@dataclass(frozen=True)
class Offer:
    """One flavor in the launch panel: how long it can run, and why not where it cannot."""

    flavor: Flavor
    longest_minutes: int
    affordable_minutes: int
    obstacle: str | None  # "agreement-ended", "maintenance", "unreachable", "unaffordable"

    @property
    def is_available(self) -> bool:
        return self.obstacle is None

    def price(self, minutes: int) -> int:
        """What a lease of so many minutes puts aside at the most."""
        return ledger.price(self.flavor.price_micro, minutes * 60 + GRACE_SECONDS)


@dataclass(frozen=True)
class LaunchPanel:
    """All that a person must see before pressing Launch."""

    template: LabTemplate
    offers: list[Offer]
    levels: list[Level]
    live: LabSession | None
    default_minutes: int
    is_member: bool

    @property
    def can_launch(self) -> bool:
        return self.live is None and self.is_member and any(offer.is_available for offer in self.offers)


def launch_panel(actor: Actor, template_id: UUID, budget_id: UUID) -> LaunchPanel:
    person_id = require_person(actor)
    lab, payer = template(template_id), budget(budget_id)
    purse, flavors = payer.purse, flavors_of(template_id)
    agreed = accounts_queries.under_agreement({payer.partner_id, *(flavor.center.partner_id for flavor in flavors)})
    cap = db.session.get(MemberCap, (budget_id, person_id))
    levels = [Level("budget", purse.available, purse.total)]
    if cap is not None and cap.cap_micro is not None:
        levels.insert(0, Level("cap", cap.left or 0, cap.cap_micro))
    left = min(level.left_micro for level in levels) if not purse.overrun else 0
    offers = [_offer(lab, flavor, left, {payer.partner_id, flavor.center.partner_id} <= agreed) for flavor in flavors]
    affordable = max((o.affordable_minutes for o in offers if o.is_available), default=lab.default_minutes)
    return LaunchPanel(
        template=lab,
        offers=offers,
        levels=levels,
        live=live_session(person_id, template_id),
        default_minutes=max(1, min(lab.default_minutes, affordable)),
        is_member=cap is not None and cap.is_open,
    )


def _offer(lab: LabTemplate, flavor: Flavor, left: int, is_agreed: bool) -> Offer:
    longest = min(lab.longest_minutes, flavor.longest_minutes)
    affordable = longest
    if flavor.price_micro:
        affordable = min(longest, (left * 3600 // flavor.price_micro - GRACE_SECONDS) // 60)
    obstacle = None
    if not is_agreed:
        obstacle = "agreement-ended"
    elif flavor.center.state != "up":
        obstacle = "maintenance"
    elif flavor.center.unreachable_since is not None:
        obstacle = "unreachable"
    elif affordable < 1:
        obstacle = "unaffordable"
    return Offer(flavor, longest, max(0, affordable), obstacle)
