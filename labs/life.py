"""What labs keep about a person: sessions, shares of budgets with what was used of them, files at the centers."""

from collections import Counter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select

from accounts import erasing, exporting, merging
from accounts.merging import Obstacle, Outlook
from app.access import SYSTEM
from app.db import db
from labs import queries
from labs.models import (
    Budget,
    BudgetManager,
    ComputeRequest,
    Decision,
    Flavor,
    Hold,
    HoldState,
    HomeRemoval,
    LabSession,
    LabTemplate,
    LedgerEntry,
    LedgerTransaction,
    MemberCap,
    SessionView,
    TermsAcceptance,
)
from labs.services import admission, sessions

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
merging.register(Decision, "person_id", _("Decisions on its requests for compute"))
merging.register(ComputeRequest, "requested_by", _("Requests for compute"))
merging.register(SessionView, "viewer_id", _("Looks into other people's labs"), one_of=[("session_id",)])
merging.register(TermsAcceptance, "person_id", _("Terms of use accepted"), one_of=[("terms_id",)])
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
        .returning(Hold.id, Hold.budget_id, Hold.posted_micro - Hold.corrected_micro)
        .execution_options(synchronize_session=False)
    ).all()
    used: Counter[UUID] = Counter()
    for _hold_id, budget_id, charged in moved:
        used[budget_id] += charged
    return [str(hold_id) for hold_id, _budget, _charged in moved], used


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


exporting.register(
    "labs",
    lambda person_id: (
        select(
            *(LabSession.id, LabSession.created_at, LabTemplate.title_zh, LabTemplate.title_en),
            *(Flavor.slug.label("flavor"), LabSession.state, LabSession.ready_at, LabSession.ended_at),
            *(LabSession.seconds_used, LabSession.charged_micro, LabSession.stop_reason),
        )
        .join(LabTemplate, LabTemplate.id == LabSession.template_id)
        .join(Flavor, Flavor.id == LabSession.flavor_id)
        .where(LabSession.person_id == person_id)
        .order_by(LabSession.id)
    ),
)
exporting.register(
    "ledger",
    lambda person_id: (
        select(
            *(LedgerTransaction.created_at, LedgerTransaction.command, LedgerEntry.account, LedgerEntry.amount),
            *(Budget.title_zh.label("budget_zh"), Budget.title_en.label("budget_en")),
        )
        .join(LedgerEntry, LedgerEntry.transaction_id == LedgerTransaction.id)
        .join(Hold, Hold.id == LedgerTransaction.hold_id)
        .join(Budget, Budget.id == LedgerEntry.budget_id)
        .where(Hold.person_id == person_id)
        .order_by(LedgerEntry.id)
    ),
)
exporting.register(
    "shares",
    lambda person_id: (
        select(
            *(Budget.title_zh.label("budget_zh"), Budget.title_en.label("budget_en")),
            *(MemberCap.cap_micro, MemberCap.held, MemberCap.used, MemberCap.is_open),
        )
        .join(Budget, Budget.id == MemberCap.budget_id)
        .where(MemberCap.person_id == person_id)
        .order_by(Budget.id)
    ),
)
exporting.register(
    "compute_requests",
    lambda person_id: (
        select(
            *(ComputeRequest.created_at, ComputeRequest.kind, ComputeRequest.state, ComputeRequest.amount_micro),
            *(ComputeRequest.granted_micro, ComputeRequest.reason, ComputeRequest.decided_at, ComputeRequest.note),
            *(Budget.title_zh.label("budget_zh"), Budget.title_en.label("budget_en")),
        )
        .join(Budget, Budget.id == ComputeRequest.budget_id)
        .where(ComputeRequest.requested_by == person_id)
        .order_by(ComputeRequest.id)
    ),
)
exporting.register(
    "looks_into_labs",
    lambda person_id: (
        select(
            *(SessionView.session_id, SessionView.created_at, SessionView.reason, SessionView.state),
            *(SessionView.answered_at, SessionView.opened_at, SessionView.ended_at),
            (SessionView.viewer_id == person_id).label("by_me"),
        )
        .join(LabSession, LabSession.id == SessionView.session_id)
        .where(sa.or_(LabSession.person_id == person_id, SessionView.viewer_id == person_id))
        .order_by(SessionView.id)
    ),
)


@erasing.ready_when
def _labs_have_stopped(person_id: UUID) -> bool:
    for session in queries.live_sessions_of(person_id):
        sessions.stop(SYSTEM, session.id)
    db.session.flush()
    return not _has_labs(person_id)


@erasing.step
def _forget(person_id: UUID, _pseudonym: str) -> None:
    """Nothing more is drawn; what was used stays in the ledger; the files at the centers are to be deleted."""
    db.session.execute(sa.update(MemberCap).where(MemberCap.person_id == person_id).values(is_open=False))
    used = select(LabSession.id).where(LabSession.person_id == person_id).limit(1)
    known = select(HomeRemoval.id).where(HomeRemoval.hub_name == person_id.hex)
    if db.session.scalar(used) is not None and db.session.scalar(known) is None:
        db.session.add(HomeRemoval(hub_name=person_id.hex))
