"""Are the stored statements what was once signed? Recomputes every chain, every sum, and the last closing balances."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from accounts.models import Partner
from app.access import Actor, require
from app.db import db
from labs import policy, queries, statements
from labs.models import LedgerPeriod, Statement
from labs.months import Month


@dataclass(frozen=True)
class Flaw:
    """What is wrong with a statement, or that it is missing."""

    partner: str
    month: str
    text: str


def verify(actor: Actor, partner_id: UUID | None = None) -> list[Flaw]:
    """Name every statement that is not as it was signed; of one partner, or of all."""
    require(policy.may_operate(actor))
    return [*_chains(partner_id), *_periods(), *_missing(partner_id), *_closings(partner_id)]


def _chains(partner_id: UUID | None) -> Iterator[Flaw]:
    slugs = {partner_id: slug for partner_id, slug in db.session.execute(sa.select(Partner.id, Partner.slug))}
    before: Statement | None = None
    for row in queries.statements_by_partner(partner_id):
        if before is not None and before.partner_id != row.partner_id:
            before = None
        for text in _flaws(row, before):
            yield Flaw(slugs[row.partner_id], str(Month.of(row.period.starts_at)), text)
        before = row


def _flaws(row: Statement, before: Statement | None) -> Iterator[str]:
    if statements.digest(row.previous, row.body) != row.sha256:
        yield f"no. {row.number}: its hash is not that of its body"
    if row.previous != (before.sha256 if before else statements.NOTHING_BEFORE):
        yield f"no. {row.number}: it does not follow the statement before it"
    if row.number != (before.number + 1 if before else 1):
        yield f"no. {row.number}: a number is missing before it"
    if _identity(row) != _stated(row.body):
        yield f"no. {row.number}: its body names another partner, month or number"
    if before is not None and not _continues(before.body, row.body):
        yield f"no. {row.number}: it does not open where the one before closed"
    for fault in statements.faults(row.body):
        yield f"no. {row.number}: {fault}"


def _identity(row: Statement) -> tuple[str, str, int]:
    return str(row.partner_id), str(Month.of(row.period.starts_at)), row.number


def _stated(body: statements.Body) -> tuple[str, str, int]:
    return body["partner"]["id"], body["month"], body["number"]


def _continues(before: statements.Body, body: statements.Body) -> bool:
    closed: dict[str, Any] = {row["id"]: row["closing"] for row in before["budgets"]}
    opened: dict[str, Any] = {row["id"]: row["opening"] for row in body["budgets"]}
    return all(opened.get(budget) == closing for budget, closing in closed.items())


def _periods() -> Iterator[Flaw]:
    """Closed months follow each other without a gap."""
    before: Month | None = None
    for period in db.session.scalars(sa.select(LedgerPeriod).order_by(LedgerPeriod.starts_at)):
        month = Month.of(period.starts_at)
        if (month.starts_at, month.ends_at) != (period.starts_at, period.ends_at):
            yield Flaw("", str(month), "the period is not a month")
        if before is not None and month != before.next:
            yield Flaw("", str(month), f"no period follows {before}")
        before = month


def _missing(partner_id: UUID | None) -> Iterator[Flaw]:
    """Each partner that had a budget has a statement of each closed month since."""
    rows = db.session.execute(sa.select(Statement.partner_id, Statement.period_id))
    there = {(of_partner, of_period) for of_partner, of_period in rows}
    for period in db.session.scalars(sa.select(LedgerPeriod).order_by(LedgerPeriod.starts_at)):
        for partner in queries.with_a_budget(period.ends_at):
            if partner_id in (None, partner.id) and (partner.id, period.id) not in there:
                yield Flaw(partner.slug, str(Month.of(period.starts_at)), "the statement is missing")


def _closings(partner_id: UUID | None) -> Iterator[Flaw]:
    """The books still say of the end of the last closed month what the statements say."""
    closed = queries.last_closed()
    if closed is None:
        return
    folded = queries.closings(closed.ends_at, partner_id)
    rows = sa.select(Statement).join(LedgerPeriod).where(LedgerPeriod.starts_at == closed.starts_at)
    for row in db.session.scalars(rows if partner_id is None else rows.where(Statement.partner_id == partner_id)):
        for budget in row.body["budgets"]:
            if folded[budget["id"]] != budget["closing"]:
                text = f"no. {row.number}: budget {budget['id']} does not close at what its entries add up to"
                yield Flaw(row.body["partner"]["slug"], str(closed), text)
