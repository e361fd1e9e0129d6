"""May this lab start, and if not, why? Ordered checks, from what will never be possible to what waiting mends.

`check` looks at the person, the lab and the budget; `reserve` puts the credits aside; `check_center` looks at the
center. Each check is a function that raises the refusal; the launch panel asks the same ones (`obstacle`), so that what
it says of a flavor is what a launch would be told. Whether a place is free is decided by `labs.services.places`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask_babel import lazy_gettext as _
from sqlalchemy import func

from accounts import queries as accounts_queries
from accounts.models import Partner
from app import clock, locale
from app.db import db
from app.errors import Remedy
from labs import ledger, queries
from labs.errors import (
    AgreementEnded,
    BudgetExhausted,
    BudgetNotActive,
    BudgetOverrun,
    CapacityFull,
    CenterMaintenance,
    CenterUnreachable,
    DataResidency,
    ExceedsCenterCapacity,
    ExceedsMaxRequest,
    FlavorNotGranted,
    HomeFull,
    InvalidRequest,
    LaunchRefused,
    MemberCapExhausted,
    NotEnrolled,
    SpawnThrottled,
    TermsNotAccepted,
    TrancheEndsBeforeLease,
    UserConcurrency,
)
from labs.models import Budget, Center, CenterState, Flavor, Hold, HomeUsage, LabSession, LabTemplate, MemberCap
from labs.queries import GRACE_SECONDS, Means
from labs.queries.facts import MINUTE

LABS_AT_ONCE = 3  # live sessions of one person
STARTS_A_MINUTE = 6  # of one person
MEGABYTE = 1024 * 1024
CENT = locale.MICRO // 100  # what is missing is asked for in hundredths of a credit


@dataclass(frozen=True)
class Case:
    """Who asks for what, paid by whom. `is_in_line`: for the place that was kept for a session in line."""

    person_id: UUID
    template: LabTemplate
    flavor: Flavor
    minutes: int
    budget: Budget
    is_in_line: bool = False
    is_placed: bool = False  # the other centers with such a flavor are asked, too

    @classmethod
    def of(cls, *, person_id: UUID, template_id: UUID, flavor_id: UUID, minutes: int, budget_id: UUID) -> "Case":
        flavor = db.session.get(Flavor, flavor_id)
        if flavor is None:
            raise InvalidRequest(_("There is no such flavor."), flavor_id=str(flavor_id))
        return cls(person_id, queries.template(template_id), flavor, minutes, queries.budget(budget_id))

    @classmethod
    def of_session(cls, session: LabSession) -> "Case":
        budget = queries.budget(session.budget_id)
        return cls(session.person_id, session.template, session.flavor, session.lease_minutes, budget, is_in_line=True)

    @property
    def center(self) -> Center:
        return self.flavor.center

    @property
    def is_rescue(self) -> bool:
        """Free, to get at one's files: neither budget nor seat nor a full home stand in its way."""
        return self.flavor.is_rescue

    @property
    def seconds(self) -> int:
        """What must be paid for: the lease, and the time a stop may take."""
        return self.minutes * 60 + GRACE_SECONDS

    @cached_property
    def granted(self) -> list[Flavor]:
        """What the lab may run with."""
        return queries.flavors_of(self.template.id)


def check(case: Case) -> None:
    """Refuse where something about the person, the lab or the budget is not in order."""
    for look in CHECKS:
        look(case)


def check_center(case: Case) -> None:
    """Refuse where the center takes no labs now, or takes them too fast from this person."""
    for look in CENTER_CHECKS:
        look(case)


def obstacle(case: Case, known: Means | None = None) -> LaunchRefused | None:
    """What a launch would be told now; None where nothing but a place may be missing. Changes nothing."""
    try:
        check(case)
        check_credits(case, known)
        check_center(case)
    except LaunchRefused as refusal:
        return refusal
    return None


def reserve(case: Case, *, key: str) -> Hold:
    """Put the credits for the lease aside, or refuse and say what would fit."""
    try:
        return ledger.reserve(case.budget.id, case.person_id, case.flavor, case.seconds, key=key)
    except LaunchRefused as refusal:
        raise _with_remedies(case, refusal) from None


def check_credits(case: Case, known: Means | None = None) -> None:
    """Refuse as `reserve` would, without putting anything aside. `known`: what is left, where it was just read."""
    known = known or queries.means(case.budget.id, case.person_id)
    refusal = queries.obstacle_to_pay(known, case.flavor, case.minutes)
    if refusal is not None:
        raise _with_remedies(case, refusal)


def full(case: Case) -> CapacityFull:
    """The refusal of a center without a free place, for whoever does not want to wait."""
    load, outlook = queries.load(case.center.id), queries.outlook_for_newcomers(case.center.id)
    wait = int((outlook.likely_at - clock.now()).total_seconds())
    return CapacityFull(
        _("%(taken)s of %(limit)s places are taken.", taken=load.taken, limit=load.limit),
        layer={"name": "center", "limit": load.limit, "held": load.taken, "asked": 1, "left": 0, "unit": "sessions"},
        line=load.waiting,
        retry_after=min(3600, max(30, wait)),
        remedies=(
            Remedy("join-line", _("Join the line: %(number)s people wait before you", number=load.waiting)),
            *_elsewhere(case),
        ),
    )


def check_agreements(*partner_ids: UUID) -> None:
    """Refuse where the agreement with one of these partners is over. What they have stays; nothing new starts."""
    agreed = accounts_queries.under_agreement(partner_ids)
    lacking = [partner_id for partner_id in partner_ids if partner_id not in agreed]
    if not lacking:
        return
    partner = db.session.get_one(Partner, lacking[0])
    name = locale.pick(partner)
    ended_at = max((a.until_at for a in accounts_queries.agreements(partner.id) if a.until_at), default=None)
    raise AgreementEnded(
        _("%(partner)s takes part no more, or not yet.", partner=name),
        partner=partner.slug,
        ended_at=ended_at,
        layer={"name": "agreement", "ended_at": ended_at and ended_at.isoformat()},
        remedies=(
            Remedy("look-at-partner", _("See whom to ask at %(partner)s", partner=name), f"/partners/{partner.slug}"),
            Remedy("renew-agreement", _("The platform's administrators can renew the agreement")),
        ),
    )


def lock_until_commit(what: str, row_id: UUID) -> None:
    """Let others who name the same thing wait until this transaction ends."""
    db.session.execute(sa.select(func.pg_advisory_xact_lock(func.hashtextextended(f"{what}:{row_id}", 0))))


# --- the checks, in their order ------------------------------------------------------------------------------------


def _asks_for_time(case: Case) -> None:
    if case.minutes < 1:
        raise InvalidRequest(_("A lab runs for at least a minute."), minutes=case.minutes)


def _is_member(case: Case) -> None:
    if case.is_rescue:
        return
    cap = db.session.get(MemberCap, (case.budget.id, case.person_id))
    if cap is None or not cap.is_open:
        raise NotEnrolled(
            layer={"name": "membership", "budget_id": str(case.budget.id)},
            remedies=(Remedy("find-course", _("Look for the course in the catalog and enroll"), "/courses"),),
        )


def _terms_are_accepted(case: Case) -> None:
    terms = queries.open_terms(case.center.id, case.person_id)
    if terms is not None:
        url = f"/centers/{case.center.slug}/terms"
        raise TermsNotAccepted(
            terms={"center": case.center.slug, "number": terms.number, "url": url},
            layer={"name": "terms", "number": terms.number},
            remedies=(Remedy("accept-terms", _("Read and accept the terms of use"), url),),
        )


def _budget_is_active(case: Case) -> None:
    budget = case.budget
    if case.is_rescue or budget.is_active(clock.now()):
        return
    raise BudgetNotActive(
        layer={
            "name": "budget-period",
            "starts_at": budget.starts_at.isoformat(),
            "ends_at": budget.ends_at.isoformat(),
            "is_closed": budget.is_closed,
        },
        remedies=(Remedy("ask-manager", _("Ask those who look after the budget")),),
    )


def _partners_agree(case: Case) -> None:
    check_agreements(*([] if case.is_rescue else [case.budget.partner_id]), case.center.partner_id)


def _data_may_lie_there(case: Case) -> None:
    """A rescue lab opens files where they are already."""
    wanted, region = case.template.region, case.center.region
    if case.is_rescue or queries.lies_in(region, wanted):
        return
    raise DataResidency(
        _(
            "Its data must stay in %(wanted)s; %(center)s is in %(region)s.",
            wanted=wanted,
            center=locale.pick(case.center),
            region=region or "?",
        ),
        region=wanted,
        layer={"name": "region", "asked": region, "limit": wanted},
        remedies=_elsewhere(case),
    )


def _flavor_is_granted(case: Case) -> None:
    if case.flavor.is_active and (case.is_rescue or case.flavor.id in {flavor.id for flavor in case.granted}):
        return
    names = ", ".join(locale.pick(flavor) for flavor in case.granted)
    raise FlavorNotGranted(
        granted=[flavor.slug for flavor in case.granted],
        layer={"name": "flavor", "asked": case.flavor.slug},
        remedies=(Remedy("other-flavor", _("This lab runs with: %(names)s", names=names)),) if names else (),
    )


def _lease_is_allowed(case: Case) -> None:
    longest = longest_lease(case.template, case.flavor)
    if case.minutes > longest:
        raise ExceedsMaxRequest(
            _(
                "%(asked)s minutes were asked for; the longest lease is %(longest)s minutes.",
                asked=case.minutes,
                longest=longest,
            ),
            layer={"name": "lease", "limit": longest, "asked": case.minutes, "unit": "minutes"},
            remedies=(Remedy("shorter-lease", _("Launch it for at most %(minutes)s minutes", minutes=longest)),),
        )


def longest_lease(template: LabTemplate, flavor: Flavor) -> int:
    """In minutes. A rescue lab is not bound to what the lesson allows."""
    return flavor.longest_minutes if flavor.is_rescue else min(template.longest_minutes, flavor.longest_minutes)


def _center_is_large_enough(case: Case) -> None:
    center, flavor = case.center, case.flavor
    sizes = (
        ("center-cores", center.cores, flavor.cores, "cores"),
        ("center-memory", center.memory_mb, flavor.memory_mb, "megabytes"),
        ("center-accelerators", center.accelerators, flavor.accelerators, "accelerators"),
        ("center", center.session_limit, 1, "sessions"),
    )
    for name, limit, asked, unit in sizes:
        if limit is not None and asked > limit:
            raise ExceedsCenterCapacity(
                layer={"name": name, "limit": limit, "asked": asked, "unit": unit}, remedies=_elsewhere(case)
            )


def _home_has_room(case: Case) -> None:
    quota = case.center.home_quota_mb
    if case.is_rescue or quota is None:
        return
    home = db.session.get(HomeUsage, (case.person_id, case.center.id))
    if home is not None and home.size_bytes > quota * MEGABYTE:
        raise HomeFull(
            layer={
                "name": "home",
                "limit": quota,
                "posted": -(-home.size_bytes // MEGABYTE),
                "left": 0,
                "unit": "megabytes",
            },
            measured_at=home.measured_at,
            remedies=(Remedy("rescue", _("Open a free rescue lab and delete what you do not need"), "/labs"),),
        )


def _has_not_too_many_labs(case: Case) -> None:
    if case.is_in_line:
        return
    live = queries.count_live(case.person_id)
    if not case.is_rescue and live >= LABS_AT_ONCE:
        raise UserConcurrency(
            _("%(live)s of %(limit)s labs are running.", live=live, limit=LABS_AT_ONCE),
            layer=_layer("person", LABS_AT_ONCE, live),
            remedies=(Remedy("my-labs", _("Look at your labs and stop one"), "/labs"),),
        )


def _center_takes_labs(case: Case) -> None:
    if case.center.state is not CenterState.UP:
        raise CenterMaintenance(
            center=case.center.slug,
            state=case.center.state,
            layer={"name": "center-state", "asked": case.center.slug},
            remedies=_elsewhere(case),
        )


def _center_answers(case: Case) -> None:
    if case.center.unreachable_since is not None:
        raise CenterUnreachable(
            center=case.center.slug,
            since=case.center.unreachable_since,
            layer={"name": "center-state", "asked": case.center.slug},
            retry_after=30,
            remedies=_elsewhere(case),
        )


def _starts_slowly(case: Case) -> None:
    if case.is_in_line:
        return
    now = clock.now()
    starts = queries.starts_since(case.person_id, now - MINUTE)
    if len(starts) >= STARTS_A_MINUTE:
        wait = starts[-STARTS_A_MINUTE] + MINUTE - now
        raise SpawnThrottled(
            _("%(number)s labs were started within a minute.", number=len(starts)),
            layer=_layer("starts", STARTS_A_MINUTE, len(starts)),
            retry_after=max(1, -(-wait // timedelta(seconds=1))),
        )


CHECKS: tuple[Callable[[Case], None], ...] = (
    _asks_for_time,
    _is_member,
    _terms_are_accepted,
    _budget_is_active,
    _partners_agree,
    _flavor_is_granted,
    _data_may_lie_there,
    _lease_is_allowed,
    _center_is_large_enough,
    _home_has_room,
    _has_not_too_many_labs,
)
CENTER_CHECKS: tuple[Callable[[Case], None], ...] = (_center_takes_labs, _center_answers, _starts_slowly)


# --- what one can do -----------------------------------------------------------------------------------------------


def _layer(name: str, limit: int, held: int) -> dict[str, object]:
    return {"name": name, "limit": limit, "held": held, "asked": 1, "left": max(0, limit - held), "unit": "sessions"}


def _with_remedies(case: Case, refusal: LaunchRefused) -> LaunchRefused:
    if isinstance(refusal, (MemberCapExhausted, BudgetExhausted, TrancheEndsBeforeLease)):
        refusal.remedies = (*_what_would_fit(case), *_whom_to_ask(case, refusal))
    elif isinstance(refusal, BudgetOverrun):
        refusal.remedies = (Remedy("ask-administrator", _("Ask your university's administrator to balance it")),)
    return refusal


def _what_would_fit(case: Case) -> tuple[Remedy, ...]:
    """A shorter lease or a cheaper flavor, where one fits."""
    known = queries.means(case.budget.id, case.person_id)
    found: list[Remedy] = []
    cheaper = [flavor for flavor in case.granted if flavor.price_micro < case.flavor.price_micro]
    fits = [flavor for flavor in cheaper if _fitting(case, known, flavor) >= case.minutes]
    if fits:
        name = locale.pick(fits[-1])
        found.insert(0, Remedy("smaller-flavor", _("Launch it with “%(flavor)s”: that fits", flavor=name)))
    minutes = _fitting(case, known, case.flavor)
    if minutes >= 1:
        found.insert(0, Remedy("shorter-lease", _("Launch it for %(minutes)s minutes: that fits", minutes=minutes)))
    return tuple(found)


def _whom_to_ask(case: Case, refusal: LaunchRefused) -> tuple[Remedy, ...]:
    """Who looks after the budget asks for what is missing with one click; everybody else asks them."""
    layer = refusal.members.get("layer")
    is_short = isinstance(refusal, (BudgetExhausted, MemberCapExhausted))
    if (
        not is_short
        or not isinstance(layer, dict)
        or not queries.manages(accounts_queries.actor(case.person_id), case.budget.id)
    ):
        return (Remedy("ask-for-compute", _("Ask your teacher for more compute")),)
    return more_credits(case.budget, refusal.reason, layer)


def more_credits(budget: Budget, reason: str, layer: dict[str, Any]) -> tuple[Remedy, ...]:
    """For those who look after a budget that refused: the form that asks for what was missing, filled in."""
    missing = max(CENT, -(-(layer["asked"] - layer["left"]) // CENT) * CENT)
    kind = "supplement" if budget.parent_id else "grant"
    url = f"/budgets/{budget.id}/requests/new?kind={kind}&amount={missing / locale.MICRO:.2f}"
    ask = Remedy("ask-for-credits", _("Ask for %(credits)s credits more", credits=locale.credits_text(missing)), url)
    if reason == MemberCapExhausted.reason:
        return (Remedy("larger-share", _("Set a larger share"), f"/budgets/{budget.id}"), ask)
    return (ask,)


def _fitting(case: Case, known: Means, flavor: Flavor) -> int:
    return queries.affordable_minutes(known, flavor, longest_lease(case.template, flavor))


def _elsewhere(case: Case) -> tuple[Remedy, ...]:
    """Flavors of this lab at other centers that take labs now."""
    others = [
        flavor
        for flavor in case.granted
        if flavor.center_id != case.center.id
        and not (case.is_placed and flavor.size == case.flavor.size)
        and queries.lies_in(flavor.center.region, case.template.region)
        and flavor.center.state is CenterState.UP
        and flavor.center.unreachable_since is None
    ]
    return tuple(
        Remedy(
            "other-center",
            _("Launch it with “%(flavor)s” at %(center)s", flavor=locale.pick(f), center=locale.pick(f.center)),
        )
        for f in others[:3]
    )
