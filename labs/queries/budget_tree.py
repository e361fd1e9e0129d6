"""Budgets as a tree: each after the one above it, with what it and all below it add up to."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select

from app import clock
from app.access import Actor
from app.db import db
from labs.models import Budget, BudgetKind
from labs.queries.budgets import budgets_seen_by


@dataclass(frozen=True)
class Sums:
    """Credits of a budget, or of a budget and all below it. What is passed on stays inside a branch."""

    granted: int = 0  # all that came in and was not given back
    passed_on: int = 0  # to the budgets directly below
    available: int = 0
    held: int = 0
    used: int = 0
    expired: int = 0
    overrun: int = 0


@dataclass(frozen=True)
class Branch:
    """A budget, how deep it hangs below its partner's, its own credits and those of the whole branch."""

    budget: Budget
    depth: int
    own: Sums
    whole: Sums
    children: list["Branch"] = field(default_factory=list)
    is_match: bool = True  # False: shown because something below it is what was looked for


class BudgetStatus(StrEnum):
    ACTIVE = "active"
    NOT_ACTIVE = "not-active"  # not yet, or no more
    CLOSED = "closed"
    OVERRUN = "overrun"


@dataclass(frozen=True)
class TreeFilter:
    """What a tree is narrowed to; the budgets above what is found stay, to show where it hangs."""

    kind: BudgetKind | None = None
    status: BudgetStatus | None = None
    search: str = ""

    @property
    def is_set(self) -> bool:
        return bool(self.kind or self.status or self.search.strip())

    def matches(self, budget: Budget, at: datetime) -> bool:
        words = self.search.strip().casefold()
        if words and words not in budget.title_zh.casefold() and words not in budget.title_en.casefold():
            return False
        if self.kind is not None and budget.kind is not self.kind:
            return False
        return self.status is None or self.status in statuses(budget, at)


def statuses(budget: Budget, at: datetime) -> set[BudgetStatus]:
    found = {BudgetStatus.OVERRUN} if budget.purse.overrun else set()
    if budget.is_closed:
        return found | {BudgetStatus.CLOSED}
    return found | {BudgetStatus.ACTIVE if budget.is_active(at) else BudgetStatus.NOT_ACTIVE}


def budget_tree(roots: Iterable[Budget]) -> list[Branch]:
    """These budgets and all below them, each after its parent."""
    tops = list(roots)
    rows = _below({root.partner_id for root in tops})
    return [branch for root in tops for branch in flat(_branch(root, 0, rows))]


def tree_seen_by(actor: Actor, partner_id: UUID | None = None) -> list[Branch]:
    """Everything that the actor may see, in branches: whose budget above is not to be seen stands on top."""
    statement = budgets_seen_by(actor)
    if partner_id is not None:
        statement = statement.where(Budget.partner_id == partner_id)
    seen = {row.id: row for row in db.session.scalars(statement)}
    tops = [row for row in seen.values() if row.parent_id not in seen]
    children: dict[UUID | None, list[Budget]] = {}
    for row in seen.values():
        children.setdefault(row.parent_id, []).append(row)
    return [branch for top in tops for branch in flat(_branch(top, 0, children))]


def narrowed(tree: list[Branch], wanted: TreeFilter) -> list[Branch]:
    """The branches that match, and those above them."""
    if not wanted.is_set:
        return tree
    at = clock.now()
    matching = {branch.budget.id for branch in tree if wanted.matches(branch.budget, at)}
    parents = {branch.budget.id: branch.budget.parent_id for branch in tree}
    kept: set[UUID] = set()
    for found in matching:
        walk: UUID | None = found
        while walk is not None and walk in parents and walk not in kept:
            kept.add(walk)
            walk = parents[walk]
    return [
        Branch(b.budget, b.depth, b.own, b.whole, b.children, b.budget.id in matching)
        for b in tree
        if b.budget.id in kept
    ]


def branch(budget: Budget) -> Branch:
    """One budget with all below it."""
    return _branch(budget, 0, _below({budget.partner_id}))


def above(budget: Budget) -> list[Budget]:
    """The budgets above this one, the partner's own first."""
    found: list[Budget] = []
    walk = budget.parent_id
    while walk is not None:
        parent = db.session.get_one(Budget, walk)
        found.insert(0, parent)
        walk = parent.parent_id
    return found


def _below(partner_ids: Collection[UUID]) -> dict[UUID | None, list[Budget]]:
    rows = db.session.scalars(select(Budget).where(Budget.partner_id.in_(partner_ids)).order_by(Budget.id)).all()
    children: dict[UUID | None, list[Budget]] = {}
    for row in rows:
        children.setdefault(row.parent_id, []).append(row)
    return children


def _branch(budget: Budget, depth: int, rows: dict[UUID | None, list[Budget]]) -> Branch:
    children = [_branch(child, depth + 1, rows) for child in rows.get(budget.id, [])]
    purse, passed_on = budget.purse, sum(child.whole.granted for child in children)
    own = Sums(
        granted=purse.total + passed_on,
        passed_on=passed_on,
        available=purse.available,
        held=purse.held,
        used=purse.used,
        expired=purse.expired,
        overrun=purse.overrun,
    )
    whole = Sums(
        granted=own.granted,
        passed_on=passed_on,
        available=own.available + sum(child.whole.available for child in children),
        held=own.held + sum(child.whole.held for child in children),
        used=own.used + sum(child.whole.used for child in children),
        expired=own.expired + sum(child.whole.expired for child in children),
        overrun=own.overrun + sum(child.whole.overrun for child in children),
    )
    return Branch(budget, depth, own, whole, children)


def flat(top: Branch) -> list[Branch]:
    """The branch and all below it, each after its parent."""
    return [top, *(found for child in top.children for found in flat(child))]
