"""Finds a center for a lab: asks each that offers what is wanted the questions of a launch, and ranks the answers.

`labs.placement` judges; here is what it judges by. What was weighed is kept with the decision, so that "why did my lab
run there?" and "why nowhere?" can be answered later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol
from uuid import UUID

from flask_babel import lazy_gettext as _

from app import locale
from app.errors import Remedy
from labs import placement, queries
from labs.errors import FlavorNotGranted, InvalidRequest, LaunchRefused
from labs.models import Flavor
from labs.placement import Candidate
from labs.queries import Prospect
from labs.services import admission
from labs.services.admission import Case

MOST_REMEDIES = 4


@dataclass(frozen=True)
class Wanted:
    """What a lab is to run with: one flavor; or any of a size, wherever that is best, or at one center."""

    flavor_id: UUID | None = None
    size: str | None = None
    center: str | None = None

    @property
    def digest(self) -> object:
        """What tells this wish from another one."""
        return self.flavor_id or [self.size, self.center]


@dataclass(frozen=True)
class Option:
    """One candidate: the case it would be, its place in the ranking, and what it would be refused with."""

    case: Case
    candidate: Candidate
    prospect: Prospect
    refusal: LaunchRefused | None = None

    @property
    def is_full(self) -> bool:
        return self.prospect.load.is_full


@dataclass(frozen=True)
class Choice:
    """All candidates, the best first, those that refuse last. There is at least one."""

    options: Sequence[Option]

    @classmethod
    def of(cls, options: Sequence[Option]) -> "Choice":
        places = {option.candidate: option for option in options}
        return cls([places[candidate] for candidate in placement.in_order(list(places))])

    @property
    def best(self) -> Option:
        """Where it runs, or waits. Raises the refusal that helps most where every center refuses."""
        first = self.options[0]
        if first.refusal is not None:
            raise _together(self.options)
        return first

    def without(self, lost: Option, refusal: LaunchRefused) -> "Choice":
        """The same after one candidate has refused."""
        return self._changed(lost, _refused(lost, refusal))

    def full(self, lost: Option) -> "Choice":
        """The same after the last place of a center was taken meanwhile: now one would wait there."""
        return self._changed(lost, _filled(lost))

    def _changed(self, before: Option, after: Option) -> "Choice":
        return Choice.of([after if option is before else option for option in self.options])

    @cached_property
    def facts(self) -> list[dict[str, Any]]:
        """As plain data, for the log of decisions."""
        return [_facts(option) for option in self.options]


class Note(Protocol):
    """Takes down which flavor comes first, and what was weighed where there were several, whatever becomes of it."""

    def __call__(self, flavor: Flavor, candidates: list[dict[str, Any]]) -> None: ...


def keep_nothing(flavor: Flavor, candidates: list[dict[str, Any]]) -> None:
    """For whoever keeps no log."""


def cases(person_id: UUID, template_id: UUID, minutes: int, budget_id: UUID, wanted: Wanted) -> list[Case]:
    """What a launch could be: one case for each flavor that is what is wanted."""
    if wanted.flavor_id is not None:
        one = Case.of(
            person_id=person_id,
            template_id=template_id,
            flavor_id=wanted.flavor_id,
            minutes=minutes,
            budget_id=budget_id,
        )
        return [one]
    if not wanted.size:
        raise InvalidRequest(_("Say with which flavor, or of which size."))
    granted = queries.flavors_of(template_id)
    fitting = [flavor for flavor in granted if flavor.size == wanted.size]
    there = [flavor for flavor in fitting if wanted.center in (None, "", flavor.center.slug)]
    if not there:
        raise _nothing_fits(wanted, granted, fitting)
    lab, budget = queries.template(template_id), queries.budget(budget_id)
    return [Case(person_id, lab, flavor, minutes, budget, is_placed=len(there) > 1) for flavor in there]


def choose(found: Sequence[Case], *, wait: bool = True) -> Choice:
    """Weigh the cases, which are one person's wish at several centers. Changes nothing."""
    first = found[0]
    known = queries.means(first.budget.id, first.person_id)
    prospects = queries.prospects({case.center.id for case in found})
    home = queries.home_center(first.person_id, first.template.id)
    return Choice.of([_option(case, known, prospects, home, wait=wait) for case in found])


def _option(
    case: Case, known: queries.Means, prospects: Mapping[UUID, Prospect], home: UUID | None, *, wait: bool
) -> Option:
    prospect = prospects[case.center.id]
    candidate = Candidate(
        center=case.center.slug,
        flavor=case.flavor.slug,
        price_micro=queries.cost(case.flavor, case.minutes),
        wait_seconds=prospect.wait_seconds,
        is_home=case.center.id == home,
    )
    option = Option(case, candidate, prospect)
    refusal = admission.obstacle(case, known)
    if refusal is None and prospect.load.is_full and not wait:
        refusal = admission.full(case)
    return option if refusal is None else _refused(option, refusal)


def _refused(option: Option, refusal: LaunchRefused) -> Option:
    return replace(option, candidate=replace(option.candidate, reason=refusal.reason), refusal=refusal)


def _filled(option: Option) -> Option:
    prospect = queries.prospects({option.case.center.id})[option.case.center.id]
    if not prospect.load.is_full:  # full a moment ago is as good as full: nobody looks twice at the same door
        load = replace(prospect.load, taken=prospect.load.limit)
        prospect = replace(prospect, load=load, wait_seconds=queries.LEAST_WAIT_SECONDS)
    return replace(option, prospect=prospect, candidate=replace(option.candidate, wait_seconds=prospect.wait_seconds))


def _together(options: Sequence[Option]) -> LaunchRefused:
    """The refusal of the first, which knows of the others."""
    refusals = [option.refusal for option in options if option.refusal is not None]
    first = refusals[0]
    remedies = {remedy.code: remedy for refusal in reversed(refusals) for remedy in reversed(refusal.remedies)}
    own = {remedy.code for remedy in first.remedies}
    others = [remedy for code, remedy in remedies.items() if code not in own]
    first.remedies = (*first.remedies, *reversed(others))[:MOST_REMEDIES]
    first.members["candidates"] = [
        {"center": option.candidate.center, "flavor": option.candidate.flavor, "reason": option.candidate.reason}
        for option in options
    ]
    return first


def _nothing_fits(wanted: Wanted, granted: Sequence[Flavor], fitting: Sequence[Flavor]) -> LaunchRefused:
    names = ", ".join(sorted({locale.pick(flavor) for flavor in granted}))
    remedies = [Remedy("other-flavor", _("This lab runs with: %(names)s", names=names))] if names else []
    if fitting:
        centers = ", ".join(sorted({locale.pick(flavor.center) for flavor in fitting}))
        remedies = [Remedy("other-center", _("That size is offered at: %(centers)s", centers=centers))]
    return FlavorNotGranted(
        granted=[flavor.slug for flavor in granted],
        layer={"name": "flavor", "asked": wanted.size, "center": wanted.center},
        remedies=tuple(remedies),
    )


def _facts(option: Option) -> dict[str, Any]:
    center, flavor = option.case.center, option.case.flavor
    return {
        "center": center.slug,
        "center_title_zh": center.title_zh,
        "center_title_en": center.title_en,
        "flavor": flavor.slug,
        "flavor_title_zh": flavor.title_zh,
        "flavor_title_en": flavor.title_en,
        "price_micro": option.candidate.price_micro,
        "wait_seconds": option.candidate.wait_seconds,
        "places_taken": option.prospect.load.taken,
        "places": option.prospect.load.limit,
        "line": option.prospect.load.waiting,
        "is_home": option.candidate.is_home,
        "reason": option.candidate.reason,
    }
