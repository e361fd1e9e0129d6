"""What labs keep about a person: sessions, shares of budgets with what was used of them, files at the centers."""

from collections import Counter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select

from accounts import merging
from accounts.merging import Obstacle, Outlook
from app.db import db
from labs.models import BudgetManager, Hold, HoldState, LabSession, MemberCap
from labs.services import admission

LABS_RUN = Obstacle(
    "labs-run", _("Labs of the account that goes up in the other still run or are being put away: stop them.")
)


class Shares:
    """Caps, with the holds that add up to what they cache: both move together, so the ledger's audit stays empty.

    Only closed holds move (an open one belongs to a lab that runs), so what moves is only ever what was used.
    """

    name = "member_cap"
    title = _("Shares of budgets, with what was used")

    def look(self, merged_id: UUID, kept_id: UUID) -> Outlook:
        caps = db.session.scalar(select(func.count()).where(MemberCap.person_id == merged_id)) or 0
        return Outlook(caps, 0, (LABS_RUN,) if _has_labs(merged_id) else ())

    def move(self, merged_id: UUID, kept_id: UUID) -> dict[str, Any]:
        caps = _lock_caps(merged_id, kept_id)
        holds, used = _move_holds(sa.true(), merged_id, kept_id)
        records = []
        for (budget_id, person_id), own in caps.items():
            if person_id != merged_id:
                continue
            other = caps.get((budget_id, kept_id))
            record = {"budget": str(budget_id), "own": _terms(own), "other": _terms(other) if other else None}
            if other is None:
                other = MemberCap(budget_id=budget_id, person_id=kept_id, held=0, used=0)
                other.cap_micro, other.is_open = own.cap_micro, own.is_open
                db.session.add(other)
            else:
                other.cap_micro, other.is_open = _together(own, other)
            own.is_open = False
            own.used -= used[budget_id]
            other.used += used[budget_id]
            records.append(record | {"made": _terms(other)})
        db.session.flush()
        return {"holds": holds, "caps": records}

    def undo(self, merged_id: UUID, kept_id: UUID, moved: dict[str, Any]) -> None:
        caps = _lock_caps(merged_id, kept_id)
        _holds, used = _move_holds(Hold.id.in_([UUID(text) for text in moved["holds"]]), kept_id, merged_id)
        for record in moved["caps"]:
            budget_id = UUID(record["budget"])
            own, other = caps[budget_id, merged_id], caps[budget_id, kept_id]
            own.used += used[budget_id]
            other.used -= used[budget_id]
            own.cap_micro, own.is_open = record["own"]
            if record["other"] is None:
                other.is_open = False  # it came with the merge
            elif _terms(other) == record["made"]:
                other.cap_micro, other.is_open = record["other"]
        db.session.flush()


merging.register_part(Shares())
merging.register(LabSession, "person_id", _("Labs"))
merging.register(BudgetManager, "person_id", _("Budgets looked after"), one_of=[("budget_id",)])
merging.lock_with(lambda person_id: admission.lock_until_commit("person", person_id))


@merging.warn
def _files_stay(person_id: UUID) -> str | None:
    if db.session.scalar(select(LabSession.id).where(LabSession.person_id == person_id).limit(1)) is None:
        return None
    return str(
        gettext("Files from its labs stay in its own home folder, %(name)s, at the centers.", name=person_id.hex)
    )


def _has_labs(person_id: UUID) -> bool:
    """Whether a hub may still know of a lab, or credits are promised to one."""
    there = select(LabSession.id).where(LabSession.person_id == person_id, LabSession.forgotten_at.is_(None))
    promised = select(Hold.id).where(Hold.person_id == person_id, Hold.state == HoldState.OPEN)
    return any(db.session.scalar(statement.limit(1)) is not None for statement in (there, promised))


def _lock_caps(merged_id: UUID, kept_id: UUID) -> dict[tuple[UUID, UUID], MemberCap]:
    """Both persons' shares; nobody changes them until the transaction ends."""
    rows = db.session.scalars(
        select(MemberCap)
        .where(MemberCap.person_id.in_((merged_id, kept_id)))
        .order_by(MemberCap.budget_id, MemberCap.person_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {(row.budget_id, row.person_id): row for row in rows}


def _move_holds(which: sa.ColumnElement[bool], from_id: UUID, to_id: UUID) -> tuple[list[str], Counter[UUID]]:
    """Move closed holds; return which, and how much was used of each budget under them."""
    moved = db.session.execute(
        sa.update(Hold)
        .where(Hold.person_id == from_id, Hold.state != HoldState.OPEN, which)
        .values(person_id=to_id)
        .returning(Hold.id, Hold.budget_id, Hold.posted_micro)
        .execution_options(synchronize_session=False)
    ).all()
    used: Counter[UUID] = Counter()
    for _hold_id, budget_id, posted in moved:
        used[budget_id] += posted
    return [str(hold_id) for hold_id, _budget, _posted in moved], used


def _terms(cap: MemberCap) -> list[Any]:
    return [cap.cap_micro, cap.is_open]


def _together(own: MemberCap, other: MemberCap) -> tuple[int | None, bool]:
    """One share of two: what is left of it is what was left of those that were open."""
    if own.is_open == other.is_open:
        limits = [own.cap_micro, other.cap_micro]
    else:
        limits = [cap.cap_micro if cap.is_open else cap.held + cap.used for cap in (own, other)]
    known = [limit for limit in limits if limit is not None]
    return (sum(known) if len(known) == len(limits) else None), own.is_open or other.is_open
