"""The audit of the ledger: every cached balance is recomputed from the entries, and must be what it says."""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import func, select

from app.db import db
from labs.models import Account, Hold, HoldPart, HoldState, LedgerEntry, LedgerTransaction, MemberCap, Purse, Tranche


@dataclass(frozen=True)
class Difference:
    """Where a cached balance is not what the entries add up to."""

    what: str
    id: str
    cached: int
    computed: int


def audit() -> list[Difference]:
    """Recompute every balance from the entries and the holds; an honest ledger gives an empty list."""
    return [*_unbalanced(), *_purses(), *_tranches(), *_holds(), *_caps()]


def _differences(what: str, statement: sa.Executable) -> Iterator[Difference]:
    for row_id, cached, computed in db.session.execute(statement):
        yield Difference(what, str(row_id), int(cached), int(computed))


def _unbalanced() -> Iterator[Difference]:
    total = func.sum(LedgerEntry.amount)
    by_transaction = select(LedgerEntry.transaction_id, sa.literal(0), total).group_by(LedgerEntry.transaction_id)
    return _differences("transaction", by_transaction.having(total != 0))


def _purses() -> Iterator[Difference]:
    signs = {Account.OVERRUN: -1}  # a debt is negative in the entries, positive in the purse
    for account in (Account.AVAILABLE, Account.HELD, Account.USED, Account.EXPIRED, Account.OVERRUN):
        folded = (
            select(LedgerEntry.budget_id, (func.sum(LedgerEntry.amount) * signs.get(account, 1)).label("total"))
            .where(LedgerEntry.account == account)
            .group_by(LedgerEntry.budget_id)
            .subquery()
        )
        cached, computed = getattr(Purse, account.value), func.coalesce(folded.c.total, 0)
        statement = select(Purse.budget_id, cached, computed).outerjoin(folded, folded.c.budget_id == Purse.budget_id)
        yield from _differences(f"purse.{account}", statement.where(cached != computed))


def _tranches() -> Iterator[Difference]:
    folded = (
        select(LedgerEntry.tranche_id, func.sum(LedgerEntry.amount).label("total"))
        .where(LedgerEntry.account == Account.AVAILABLE)
        .group_by(LedgerEntry.tranche_id)
        .subquery()
    )
    computed = func.coalesce(folded.c.total, 0)
    statement = select(Tranche.id, Tranche.remaining, computed).outerjoin(folded, folded.c.tranche_id == Tranche.id)
    return _differences("tranche.remaining", statement.where(Tranche.remaining != computed))


def _holds() -> Iterator[Difference]:
    parts = (
        select(HoldPart.hold_id, func.sum(HoldPart.amount).label("amount"), func.sum(HoldPart.used).label("used"))
        .group_by(HoldPart.hold_id)
        .subquery()
    )
    amount = func.coalesce(parts.c.amount, 0)
    statement = select(Hold.id, Hold.amount, amount).outerjoin(parts, parts.c.hold_id == Hold.id)
    yield from _differences("hold.amount", statement.where(Hold.amount != amount))
    booked = (
        select(LedgerTransaction.hold_id, func.sum(LedgerEntry.amount).label("used"))
        .join(LedgerEntry, LedgerEntry.transaction_id == LedgerTransaction.id)
        .where(LedgerEntry.account == Account.USED)
        .group_by(LedgerTransaction.hold_id)
        .subquery()
    )
    used = func.coalesce(booked.c.used, 0)
    statement = select(Hold.id, Hold.posted_micro, used).outerjoin(booked, booked.c.hold_id == Hold.id)
    yield from _differences("hold.posted", statement.where(Hold.posted_micro != used))


def _caps() -> Iterator[Difference]:
    still_held = sa.case((Hold.state == HoldState.OPEN, sa.func.greatest(Hold.amount - Hold.posted_micro, 0)), else_=0)
    folded = (
        select(
            Hold.budget_id,
            Hold.person_id,
            func.sum(still_held).label("held"),
            func.sum(Hold.posted_micro).label("used"),
        )
        .group_by(Hold.budget_id, Hold.person_id)
        .subquery()
    )
    on = sa.and_(folded.c.budget_id == MemberCap.budget_id, folded.c.person_id == MemberCap.person_id)
    for name in ("held", "used"):
        cached, computed = getattr(MemberCap, name), func.coalesce(folded.c[name], 0)
        statement = select(MemberCap.person_id, cached, computed).outerjoin(folded, on)
        yield from _differences(f"cap.{name}", statement.where(cached != computed))
