"""The launch panel: all that a person must see before pressing Launch. It asks the checks that a launch has to pass."""

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from uuid import UUID

from app import clock, ids
from app.access import Actor, require_person
from app.db import db
from labs import placement, queries
from labs.errors import BudgetExhausted, LaunchRefused
from labs.models import GRACE_SECONDS, Center, CenterTerms, Flavor, LabSession, LabTemplate
from labs.placement import Candidate
from labs.queries import Load, Outlook, Prospect
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
    """A size in the launch panel, as the best center offers it: its price, how long it can run, and why not where it
    cannot. `elsewhere`: the same at the other centers, the next best first."""

    flavor: Flavor
    tariff: Tariff
    longest_minutes: int
    affordable_minutes: int
    refusal: LaunchRefused | None
    prospect: Prospect
    is_home: bool = False  # one's files of this lab lie there
    elsewhere: tuple["Offer", ...] = ()

    @property
    def center(self) -> Center:
        return self.flavor.center

    @property
    def load(self) -> Load:
        return self.prospect.load

    @property
    def can_be_had(self) -> bool:
        """The terms can be accepted with the launch itself."""
        return self.is_available or self.obstacle == "TERMS_NOT_ACCEPTED"

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
    home: Center | None  # where the person's files of this lab lie
    centers: list[Center]  # that offer anything for it
    key: str  # makes many clicks on this panel one launch

    @property
    def can_launch(self) -> bool:
        return self.live is None and self.is_member and any(offer.can_be_had for offer in self.offers)

    @property
    def needs_all_terms(self) -> bool:
        """With one center there is nothing to choose."""
        return len(self.centers) == 1


def launch_panel(actor: Actor, template_id: UUID, budget_id: UUID) -> LaunchPanel:
    person_id = require_person(actor)
    lab, budget = queries.template(template_id), queries.budget(budget_id)
    flavors = queries.flavors_of(template_id)
    known = queries.means(budget_id, person_id)
    centers = {flavor.center_id: flavor.center for flavor in flavors}
    prospects, home = queries.prospects(centers), queries.home_center(person_id, template_id)
    found = [
        _offer(Case(person_id, lab, flavor, 1, budget), known, prospects[flavor.center_id], flavor.center_id == home)
        for flavor in flavors
    ]
    affordable = max((o.affordable_minutes for o in found if o.is_available), default=lab.default_minutes)
    minutes = max(1, min(lab.default_minutes, affordable))
    open_terms = [queries.open_terms(center_id, person_id) for center_id in centers]
    return LaunchPanel(
        template=lab,
        offers=_by_size(found, minutes),
        levels=_levels(known, minutes),
        live=queries.live_session(person_id, template_id),
        default_minutes=minutes,
        is_member=known.cap is not None and known.cap.is_open,
        terms=[terms for terms in open_terms if terms is not None],
        home=None if home is None else db.session.get_one(Center, home),
        centers=sorted(centers.values(), key=lambda center: center.slug),
        key=ids.uuid7().hex,
    )


def _by_size(found: list[Offer], minutes: int) -> list[Offer]:
    """One offer for each size: where a launch for so many minutes would run. The sizes stay as they came."""
    sizes: dict[str, list[Offer]] = {}
    for offer in found:
        sizes.setdefault(offer.flavor.size, []).append(offer)
    return [_best(offers, minutes) for offers in sizes.values()]


def _best(offers: list[Offer], minutes: int) -> Offer:
    of = {_candidate(offer, minutes): offer for offer in offers}
    first, *others = [of[candidate] for candidate in placement.in_order(list(of))]
    return replace(first, elsewhere=tuple(others))


def _candidate(offer: Offer, minutes: int) -> Candidate:
    """Where the lease cannot be paid, another center comes before it."""
    is_too_dear = offer.refusal is None and offer.affordable_minutes < minutes
    return Candidate(
        center=offer.center.slug,
        flavor=offer.flavor.slug,
        price_micro=offer.price(minutes),
        wait_seconds=offer.prospect.wait_seconds,
        is_home=offer.is_home,
        reason=BudgetExhausted.reason if is_too_dear else offer.obstacle,
    )


def _offer(case: Case, known: queries.Means, prospect: Prospect, is_home: bool) -> Offer:
    """Asked for a minute: what is too dear for that, or refused for another reason, cannot be had at all."""
    longest = admission.longest_lease(case.template, case.flavor)
    return Offer(
        flavor=case.flavor,
        tariff=queries.tariff_now(case.flavor),
        longest_minutes=longest,
        affordable_minutes=queries.affordable_minutes(known, case.flavor, longest),
        refusal=admission.obstacle(case, known),
        prospect=prospect,
        is_home=is_home,
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
