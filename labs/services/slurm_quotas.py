"""Quotas of a Slurm cluster as they should be, from budgets and rates; and how far the cluster is from that.

The cluster's keeper (deploy/hub/slurm_keeper.py) fetches them, writes what differs, and tells what is left. What it
tells is for people and never read back as intent. The fence is wider than the platform's own: what the credits could
buy at the lowest price there is, and a tenth more, since Slurm also counts what nobody is charged for (starts, ends).
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import select

from accounts.services import notices
from app import clock
from app.db import db
from labs import slurm_names
from labs.models import (
    GRACE_SECONDS,
    LIVE_STATES,
    Budget,
    Center,
    CenterKind,
    Flavor,
    LabSession,
    MemberCap,
    Purse,
    Rate,
    SlurmQuotas,
    SlurmUser,
)
from labs.services import operators
from labs.services.admission import LABS_AT_ONCE
from labs.slurm_quotas import Account, Quality, Quotas

FENCE = Fraction(11, 10)
MICRO = 1_000_000
LISTED = 50  # differences kept, of however many
TELL_AFTER = timedelta(seconds=60)
SILENT_AFTER = timedelta(minutes=2)

notices.describe(
    "quotas-wrong",
    _("The quotas of %(center)s are not what they should be"),
    _("%(number)s of them could not be set in its Slurm: %(failure)s"),
    label=_("Quotas of a Slurm cluster cannot be set"),
)


@dataclass(frozen=True)
class Told:
    """What a keeper tells: what is still wrong, how much it has written since last time, what Slurm said."""

    differences: Sequence[str]
    number: int
    written: int
    failure: str | None


def wanted(center_slug: str) -> Quotas | None:
    """None: there is no such Slurm center."""
    center = db.session.scalar(select(Center).where(Center.slug == center_slug, Center.kind == CenterKind.SLURM))
    if center is None:
        return None
    budgets = _budgets()
    prices = _lowest_prices(center.id)
    return Quotas(
        accounts=(*_of_partners(budgets), *_of_budgets(budgets, prices)),
        members=frozenset(_members(center.id)),
        qualities=_qualities(center.id),
    )


def as_json(quotas: Quotas) -> dict[str, Any]:
    return {
        "accounts": [asdict(account) for account in quotas.accounts],
        "members": sorted([user, account] for user, account in quotas.members),
        "qualities": [asdict(quality) for quality in quotas.qualities],
    }


def version(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def hear(center_slug: str, told: Told) -> None:
    """Write down how far the cluster is. What is wrong for a minute operators hear of, once until it is right."""
    center, now = db.session.scalars(select(Center).where(Center.slug == center_slug)).one(), clock.now()
    row = db.session.get(SlurmQuotas, center.id, with_for_update=True)
    if row is None:
        row = SlurmQuotas(center_id=center.id, differences=[], number=0, written=0)
        db.session.add(row)
    row.heard_at, row.number, row.failure = now, told.number, told.failure
    row.differences = list(told.differences)[:LISTED]
    row.written = (row.written or 0) + told.written
    if told.number == 0 and told.failure is None:
        row.right_at, row.wrong_since, row.told_at = now, None, None
        return
    row.wrong_since = row.wrong_since or now
    if row.told_at is None and now - row.wrong_since >= TELL_AFTER:
        row.told_at = now
        _tell(center, row)


def watch() -> int:
    """Clusters whose keeper is silent: say so, once."""
    now, told = clock.now(), 0
    rows = select(SlurmQuotas, Center).join(Center, Center.id == SlurmQuotas.center_id)
    silent = rows.where(SlurmQuotas.heard_at < now - SILENT_AFTER, SlurmQuotas.told_at.is_(None))
    for row, center in db.session.execute(silent.with_for_update(of=SlurmQuotas)):
        row.told_at, row.failure = now, "its keeper does not answer"
        row.wrong_since = row.wrong_since or row.heard_at
        _tell(center, row)
        told += 1
    return told


def _tell(center: Center, row: SlurmQuotas) -> None:
    operators.tell(
        "quotas-wrong",
        f"{center.id}:quotas:{_iso(row.wrong_since)}",
        url="/operations",
        center=center.title_en,
        number=row.number,
        failure=row.failure or ", ".join(row.differences[:3]),
    )


def _iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


# Accounts


@dataclass(frozen=True)
class _Node:
    id: UUID
    parent_id: UUID | None
    partner_id: UUID
    usable: int  # micro-credits that it and those below it have, hold, or have used
    granted: int  # the same with what expired: what it got


def _budgets() -> list[_Node]:
    """All budgets, parents before their children, each with the sums of its branch."""
    rows = db.session.execute(
        select(
            Budget.id,
            Budget.parent_id,
            Budget.partner_id,
            Purse.available + Purse.held + Purse.used,
            Purse.available + Purse.held + Purse.used + Purse.expired,
        ).join(Purse, Purse.budget_id == Budget.id)
    ).all()
    below: dict[UUID | None, list[Any]] = defaultdict(list)
    for row in rows:
        below[row.parent_id].append(row)
    found: list[_Node] = []

    def visit(row: Any) -> _Node:
        place = len(found)
        children = [visit(child) for child in sorted(below[row.id], key=lambda one: one.id)]
        usable, granted = (row[n] + sum(getattr(child, of) for child in children) for n, of in _SUMS)
        found.insert(place, node := _Node(row.id, row.parent_id, row.partner_id, usable, granted))
        return node

    for root in sorted(below[None], key=lambda one: one.id):
        visit(root)
    return found


_SUMS = ((3, "usable"), (4, "granted"))


def _of_partners(budgets: Iterable[_Node]) -> Iterable[Account]:
    granted: dict[UUID, int] = defaultdict(int)
    for budget in budgets:
        if budget.parent_id is None:
            granted[budget.partner_id] += budget.granted
    for partner_id, micro in granted.items():
        yield Account(slurm_names.of_partner(partner_id), slurm_names.TRUNK, _shares(micro))


def _of_budgets(budgets: Iterable[_Node], prices: Mapping[str, Fraction]) -> Iterable[Account]:
    for budget in budgets:
        parent = budget.parent_id
        yield Account(
            name=slurm_names.of_budget(budget.id),
            parent=slurm_names.of_partner(budget.partner_id) if parent is None else slurm_names.of_budget(parent),
            shares=_shares(budget.granted),
            minutes={tres: _fence(budget.usable, price) for tres, price in prices.items() if price},
        )


def _shares(granted_micro: int) -> int:
    """Whole credits, one at least: Slurm weighs them against those of the accounts beside it."""
    return max(1, round(granted_micro / MICRO))


def _fence(micro: int, price: Fraction) -> int:
    return math.ceil(micro / price * FENCE)


def _lowest_prices(center_id: UUID) -> dict[str, Fraction]:
    """For each TRES, the fewest micro-credits that a minute of one can cost; 0 where it can be had for nothing."""
    rows = db.session.execute(
        select(Flavor, Rate)
        .join(Rate, Rate.flavor_id == Flavor.id)
        .where(Flavor.center_id == center_id, Flavor.is_rescue.is_(False))
    )
    lowest: dict[str, Fraction] = {}
    for flavor, rate in rows:
        price = min([rate.price_micro, *(band["price_micro"] for band in rate.bands)])
        for tres, number in _tres_of(flavor).items():
            each = Fraction(price, 60 * number)
            lowest[tres] = min(lowest.get(tres, each), each)
    return lowest


def _tres_of(flavor: Flavor) -> dict[str, int]:
    """What a lab of this size takes: whole cores, and accelerators where the scheduler's name for them is known."""
    found = {"cpu": math.ceil(flavor.cores)}
    if flavor.accelerators and flavor.gres:
        found[f"gres/{flavor.gres.split(':')[0]}"] = flavor.accelerators
    return found


# People and qualities


def _members(center_id: UUID) -> Iterable[tuple[str, str]]:
    """Who may use which account: members of open budgets, and whoever has a lab there now."""
    caps = (
        select(SlurmUser.name, MemberCap.budget_id)
        .join(MemberCap, MemberCap.person_id == SlurmUser.person_id)
        .join(Budget, Budget.id == MemberCap.budget_id)
        .where(SlurmUser.center_id == center_id, MemberCap.is_open, Budget.is_closed.is_(False))
    )
    for name, budget_id in db.session.execute(caps):
        yield name, slurm_names.of_budget(budget_id)
    live = (
        select(SlurmUser.name, LabSession.budget_id, Budget.partner_id, Flavor.is_rescue)
        .join(LabSession, LabSession.person_id == SlurmUser.person_id)
        .join(Budget, Budget.id == LabSession.budget_id)
        .join(Flavor, Flavor.id == LabSession.flavor_id)
        .where(SlurmUser.center_id == center_id, LabSession.center_id == center_id, LabSession.state.in_(LIVE_STATES))
    )
    for name, budget_id, partner_id, is_rescue in db.session.execute(live):
        yield name, slurm_names.of_partner(partner_id) if is_rescue else slurm_names.of_budget(budget_id)


def _qualities(center_id: UUID) -> tuple[Quality, ...]:
    """Labs as long as the longest lease and its grace, and as many as one person may have, with a rescue lab."""
    longest = db.session.scalars(select(Flavor.longest_minutes).where(Flavor.center_id == center_id, Flavor.is_active))
    minutes = max(longest, default=8 * 60) + GRACE_SECONDS // 60
    return (Quality(slurm_names.LAB, minutes, LABS_AT_ONCE + 1),)
