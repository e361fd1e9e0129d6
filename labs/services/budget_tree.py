"""The shape of a partner's budgets: open one below another, change it, close it, set the shares of its members.

Credits move in the ledger only; what a closed budget still held when its last lab ended comes back up by a job.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

import sqlalchemy as sa
from flask_babel import lazy_gettext as _

from app import audit
from app.access import Actor, require, require_person
from app.db import db
from app.errors import Conflict, Invalid
from app.ids import uuid7
from labs import ledger, policy, queries
from labs.errors import (
    BudgetClosed,
    BudgetsBelowOpen,
    CapsChanged,
    IdempotencyConflict,
    NotBelow,
    OverrunOpen,
    RequestNotPossible,
    RootBudget,
)
from labs.models import MAY_STAND_BELOW, Budget, BudgetKind, MemberCap, Purse
from labs.services import budgets

LONGEST_TITLE = 120
KEYS = UUID("0d5f4b52-5a6f-4c52-8f0a-1f7a3a7f2b0c")  # the name space of ids that are made from a client's key
MOST_MICRO = 10**15


def open_root(
    actor: Actor, partner_id: UUID, *, title_zh: str, title_en: str, starts_at: datetime, ends_at: datetime
) -> Budget:
    """Open a partner's own budget. A partner has one that is open."""
    require(policy.may_grant(actor))
    before = queries.budget_of_partner(partner_id)
    if before is not None and not before.is_closed:
        raise Conflict(_("This partner has a budget already."), budget=str(before.id))
    titles = {"title_zh": _title(title_zh), "title_en": _title(title_en)}
    _check_dates(starts_at, ends_at)
    return budgets.open_partner_budget(actor, partner_id=partner_id, starts_at=starts_at, ends_at=ends_at, **titles)


def open_below(
    actor: Actor,
    parent_id: UUID,
    kind: BudgetKind,
    *,
    title_zh: str,
    title_en: str,
    starts_at: datetime,
    ends_at: datetime,
    member_cap_micro: int | None = None,
    fund_micro: int = 0,
    key: str | None = None,
) -> Budget:
    """Open a program, a contest or a project below another budget, and pass credits on to it.

    A run's budget opens with the run. With a key, opening twice is opening once.
    """
    parent = queries.budget(parent_id)
    person_id = require_person(actor)
    require(policy.may_shape(actor, parent))
    if parent.is_closed:
        raise BudgetClosed(budget=str(parent_id))
    allowed = [each for each in MAY_STAND_BELOW[parent.kind] if each is not BudgetKind.RUN]
    if kind not in allowed:
        raise NotBelow(kind=kind, allowed=allowed)
    titles = {"title_zh": _title(title_zh), "title_en": _title(title_en)}
    _check_dates(starts_at, ends_at)
    _check_cap(member_cap_micro)
    if not 0 <= fund_micro <= MOST_MICRO:
        raise Invalid(_("The amount must be more than nothing, and no more than a billion credits."))
    budget_id = uuid5(KEYS, f"{person_id}:{key}") if key else uuid7()
    before = db.session.get(Budget, budget_id)
    if before is not None:
        if (before.parent_id, before.kind) != (parent_id, kind):
            raise IdempotencyConflict(key=key)
        return before
    return budgets.open_budget(
        actor,
        parent_id=parent_id,
        kind=kind,
        member_cap_micro=member_cap_micro,
        starts_at=starts_at,
        ends_at=ends_at,
        fund_micro=fund_micro,
        key=f"open:{budget_id.hex}",
        budget_id=budget_id,
        **titles,
    )


def change(actor: Actor, budget_id: UUID, **values: object) -> Budget:
    """Change title, dates or the usual share. A partner's own budget is changed by those who granted it."""
    budget = _locked(budget_id)
    require(policy.may_change_budget(actor, budget))
    if budget.is_closed:
        raise BudgetClosed(budget=str(budget_id))
    unknown = values.keys() - {"title_zh", "title_en", "starts_at", "ends_at", "member_cap_micro"}
    assert not unknown, unknown
    for name in ("title_zh", "title_en"):
        if name in values:
            values[name] = _title(str(values[name]))
    before = {name: getattr(budget, name) for name in values}
    for name, value in values.items():
        setattr(budget, name, value)
    _check_dates(budget.starts_at, budget.ends_at)
    _check_cap(budget.member_cap_micro)
    changed = {name: (old, getattr(budget, name)) for name, old in before.items() if old != getattr(budget, name)}
    if changed:
        audit.record(actor, "budget.change", budget, partner_id=budget.partner_id, **changed)
    db.session.flush()
    return budget


def pull_back(actor: Actor, budget_id: UUID, amount_micro: int, *, key: str) -> Budget:
    """Take unused credits back into the budget above, at once: the partner's administrator's own business."""
    budget = queries.budget(budget_id)
    require(policy.may_shape(actor, budget))
    if budget.parent_id is None:
        raise RootBudget
    if not 0 < amount_micro <= MOST_MICRO:
        raise Invalid(_("The amount must be more than nothing, and no more than a billion credits."))
    ledger.pull_back(budget_id, budget.parent_id, amount_micro, key=key, actor_id=actor.person_id)
    audit.record(actor, "budget.pull-back", budget, partner_id=budget.partner_id, amount_micro=amount_micro)
    db.session.refresh(budget.purse)
    return budget


def close(actor: Actor, budget_id: UUID) -> Budget:
    """Let nothing more start on this budget; what is left goes back to the budget above, and what running labs do
    not use follows. A partner's own budget is closed by those who granted it; its credits expire in their time."""
    budget = _locked(budget_id)
    require(policy.may_change_budget(actor, budget))
    if budget.is_closed:
        return budget
    if db.session.scalar(sa.select(Budget.id).where(Budget.parent_id == budget_id, ~Budget.is_closed).limit(1)):
        raise BudgetsBelowOpen
    db.session.refresh(budget.purse)
    if budget.purse.overrun:
        raise OverrunOpen(overrun_micro=budget.purse.overrun)
    budget.is_closed = True
    left = _give_back(budget, actor.person_id)
    audit.record(actor, "budget.close", budget, partner_id=budget.partner_id, given_back_micro=left)
    db.session.flush()
    db.session.refresh(budget.purse)
    return budget


def give_back_after(budget_id: UUID) -> int:
    """What came back to a closed budget goes to the nearest open one above; return how much."""
    budget = _locked(budget_id)
    return _give_back(budget, None) if budget.is_closed else 0


def closed_with_credits() -> list[UUID]:
    """Closed budgets to which labs have given something back since."""
    statement = (
        sa.select(Budget.id)
        .join(Purse, Purse.budget_id == Budget.id)
        .where(Budget.is_closed, Budget.parent_id.is_not(None), Purse.available > 0)
        .order_by(Budget.id)
        .limit(100)
    )
    return list(db.session.scalars(statement))


def _give_back(budget: Budget, actor_id: UUID | None) -> int:
    above = [row for row in queries.above(budget) if not row.is_closed]
    left = queries.spendable(budget.id)
    if not above or not left:
        return 0
    key = f"close:{budget.id.hex}:{uuid7().hex}"
    ledger.pull_back(budget.id, above[-1].id, left, key=key, actor_id=actor_id, reason="closed")
    return left


def move(actor: Actor, from_id: UUID, to_id: UUID, amount_micro: int, *, key: str) -> Budget:
    """Move credits between two budgets of a partner at once: its administrator's own business."""
    target = queries.visible_budget(actor, to_id)
    require(policy.may_shape(actor, target))
    source = queries.visible_budget(actor, from_id)
    require(policy.may_shape(actor, source))
    if source.partner_id != target.partner_id or source.id == target.id:
        raise RequestNotPossible(_("Credits go from one budget of a partner to another of the same."))
    for budget in (source, target):
        if budget.is_closed:
            raise BudgetClosed(budget=str(budget.id))
    if not 0 < amount_micro <= MOST_MICRO:
        raise Invalid(_("The amount must be more than nothing, and no more than a billion credits."))
    ledger.transfer(from_id, to_id, amount_micro, key=key, actor_id=actor.person_id)
    audit.record(actor, "budget.move", target, partner_id=target.partner_id, source=from_id, amount_micro=amount_micro)
    db.session.refresh(target.purse)
    return target


@dataclass(frozen=True)
class SharesAfter:
    """What setting everybody's share comes to, before it is done. `version` names the state that was looked at."""

    members: int
    changed: int
    exhausted: int  # who would have nothing left
    promised_micro: int | None  # all shares together; None: some have no limit
    version: str


def shares_after(
    actor: Actor, budget_id: UUID, *, set_micro: int | None = None, raise_micro: int | None = None
) -> SharesAfter:
    """Look at what would happen; nothing is written. Without either number, the limits would be taken away."""
    budget = queries.budget(budget_id)
    require(policy.may_manage_members(actor, budget, manages=queries.manages(actor, budget_id)))
    return _shares_after(_open_caps(budget_id), set_micro, raise_micro)


def set_shares(
    actor: Actor,
    budget_id: UUID,
    *,
    set_micro: int | None = None,
    raise_micro: int | None = None,
    version: str | None = None,
) -> SharesAfter:
    """Set the share of all open members, or raise it by so much. With a version, only if nothing changed since."""
    budget = queries.budget(budget_id)
    require(policy.may_manage_members(actor, budget, manages=queries.manages(actor, budget_id)))
    if budget.is_closed:
        raise BudgetClosed(budget=str(budget_id))
    caps = _open_caps(budget_id, lock=True)
    found = _shares_after(caps, set_micro, raise_micro)
    if version is not None and version != found.version:
        raise CapsChanged
    for cap in caps:
        cap.cap_micro = _share(cap, set_micro, raise_micro)
    audit.record(
        actor,
        "budget.caps",
        budget,
        partner_id=budget.partner_id,
        set_micro=set_micro,
        raise_micro=raise_micro,
        members=found.members,
    )
    db.session.flush()
    return found


def _shares_after(caps: list[MemberCap], set_micro: int | None, raise_micro: int | None) -> SharesAfter:
    if raise_micro is not None and set_micro is not None:
        raise Invalid(_("Either set the share or raise it, not both."))
    if raise_micro is not None and not 0 < raise_micro <= MOST_MICRO:
        raise Invalid(_("The amount must be more than nothing, and no more than a billion credits."))
    _check_cap(set_micro)
    after = [_share(cap, set_micro, raise_micro) for cap in caps]
    known = [share for share in after if share is not None]
    if known and max(known) > MOST_MICRO:
        raise Invalid(_("A share cannot be more than a billion credits."))
    pairs = list(zip(caps, after, strict=True))
    return SharesAfter(
        members=len(caps),
        changed=sum(cap.cap_micro != share for cap, share in pairs),
        exhausted=sum(share is not None and cap.held + cap.used >= share for cap, share in pairs),
        promised_micro=sum(known) if len(known) == len(after) else None,
        version=_version(caps),
    )


def _share(cap: MemberCap, set_micro: int | None, raise_micro: int | None) -> int | None:
    if raise_micro is None:
        return set_micro
    return None if cap.cap_micro is None else cap.cap_micro + raise_micro


def _version(caps: list[MemberCap]) -> str:
    return uuid5(KEYS, ";".join(f"{cap.person_id.hex}={cap.cap_micro}" for cap in caps)).hex


def _open_caps(budget_id: UUID, *, lock: bool = False) -> list[MemberCap]:
    statement = (
        sa.select(MemberCap)
        .where(MemberCap.budget_id == budget_id, MemberCap.is_open)
        .order_by(MemberCap.person_id)
        .execution_options(populate_existing=True)
    )
    return list(db.session.scalars(statement.with_for_update() if lock else statement))


def _locked(budget_id: UUID) -> Budget:
    found = queries.budget(budget_id)
    db.session.execute(sa.select(Budget.id).where(Budget.id == budget_id).with_for_update(key_share=True))
    db.session.refresh(found)
    return found


def _title(title: str) -> str:
    title = " ".join(title.split())
    if not title:
        raise Invalid(_("A budget needs a title in both languages."))
    if len(title) > LONGEST_TITLE:
        raise Invalid(_("A title has at the most %(longest)s characters.", longest=LONGEST_TITLE))
    return title


def _check_dates(starts_at: datetime, ends_at: datetime) -> None:
    if ends_at <= starts_at:
        raise Invalid(_("A budget must end after it starts."))


def _check_cap(cap_micro: int | None) -> None:
    if cap_micro is not None and not 0 <= cap_micro <= MOST_MICRO:
        raise Invalid(_("A share cannot be more than a billion credits."))
