"""The launch panel: all that a person must see before pressing Launch. It asks the checks that a launch has to pass."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from uuid import UUID

from app import clock, ids
from app.access import Actor, require_person
from labs import queries
from labs.errors import LaunchRefused
from labs.models import GRACE_SECONDS, CenterTerms, Flavor, LabSession, LabTemplate
from labs.queries import Load, Outlook
from labs.services import admission
from labs.services.admission import Case
from labs.tariff import Band, Tariff


@dataclass(frozen=True)
class Level:
    """How much is left at one level that a launch draws on."""

    name: str  # "cap", "budget", or "valid": the part of the budget that is valid until the lease would end
    left_micro: int
    limit_micro: int


@dataclass(frozen=True)
class Offer:
    """One flavor in the launch panel: its price, how long it can run, and why not where it cannot."""

    flavor: Flavor
    tariff: Tariff
    longest_minutes: int
    affordable_minutes: int
    refusal: LaunchRefused | None
    load: Load

    @property
    def is_available(self) -> bool:
        return self.refusal is None

    @property
    def obstacle(self) -> str | None:
        """The stable code of what a launch would be told."""
        return None if self.refusal is None else self.refusal.reason

    @property
    def price_now(self) -> int:
        return self.tariff.price_at(clock.now())

    @property
    def peak(self) -> Band | None:
        """The dearest of its hours, where they cost more than the others."""
        dearest = max(self.tariff.bands, key=lambda band: band.price_micro, default=None)
        return dearest if dearest is not None and dearest.price_micro > self.tariff.price_micro else None

    @property
    def is_full(self) -> bool:
        return self.load.is_full

    @cached_property
    def wait(self) -> Outlook | None:
        """Where one would stand in line, and until when."""
        return queries.outlook_for_newcomers(self.flavor.center_id) if self.is_full else None

    def price(self, minutes: int) -> int:
        """What a lease of so many minutes puts aside at the most."""
        return self.tariff.most(clock.now(), minutes * 60 + GRACE_SECONDS)


@dataclass(frozen=True)
class LaunchPanel:
    """All that a person must see before pressing Launch."""

    template: LabTemplate
    offers: list[Offer]
    levels: list[Level]
    live: LabSession | None
    default_minutes: int
    is_member: bool
    terms: list[CenterTerms]  # in force at these centers, and not accepted yet
    key: str  # makes many clicks on this panel one launch

    @property
    def can_launch(self) -> bool:
        return self.live is None and self.is_member and any(self._can_be_had(offer) for offer in self.offers)

    @property
    def needs_all_terms(self) -> bool:
        """With one center there is nothing to choose."""
        return len({offer.flavor.center_id for offer in self.offers}) == 1

    def _can_be_had(self, offer: Offer) -> bool:
        """The terms can be accepted with the launch itself."""
        return offer.is_available or offer.obstacle == "TERMS_NOT_ACCEPTED"


def launch_panel(actor: Actor, template_id: UUID, budget_id: UUID) -> LaunchPanel:
    person_id = require_person(actor)
    lab, budget = queries.template(template_id), queries.budget(budget_id)
    flavors = queries.flavors_of(template_id)
    known = queries.means(budget_id, person_id)
    offers = [_offer(Case(person_id, lab, flavor, 1, budget), known) for flavor in flavors]
    affordable = max((o.affordable_minutes for o in offers if o.is_available), default=lab.default_minutes)
    minutes = max(1, min(lab.default_minutes, affordable))
    centers = {flavor.center_id: flavor.center for flavor in flavors}
    open_terms = [queries.open_terms(center_id, person_id) for center_id in centers]
    return LaunchPanel(
        template=lab,
        offers=offers,
        levels=_levels(known, minutes),
        live=queries.live_session(person_id, template_id),
        default_minutes=minutes,
        is_member=known.cap is not None and known.cap.is_open,
        terms=[terms for terms in open_terms if terms is not None],
        key=ids.uuid7().hex,
    )


def _offer(case: Case, known: queries.Means) -> Offer:
    """Asked for a minute: what is too dear for that, or refused for another reason, cannot be had at all."""
    longest = admission.longest_lease(case.template, case.flavor)
    return Offer(
        flavor=case.flavor,
        tariff=queries.tariff_now(case.flavor),
        longest_minutes=longest,
        affordable_minutes=queries.affordable_minutes(known, case.flavor, longest),
        refusal=admission.obstacle(case),
        load=queries.load(case.center.id),
    )


def _levels(known: queries.Means, minutes: int) -> list[Level]:
    purse, ends_at = known.purse, known.at + timedelta(minutes=minutes, seconds=GRACE_SECONDS)
    levels = [Level("budget", purse.available, purse.total)]
    valid = known.valid_at(ends_at)
    if valid < purse.available:
        levels.append(Level("valid", valid, purse.total))
    if known.cap is not None and known.cap.limit is not None:
        levels.insert(0, Level("cap", known.cap.left or 0, known.cap.limit))
    return levels
