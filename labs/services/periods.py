"""Periods: months that close in their order, and never change after. Closing one writes every partner's statement."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from accounts.models import Partner
from app import audit, clock
from app.access import Actor, require
from app.db import db
from labs import ledger, policy, queries, statements
from labs.errors import (
    ClosingUnderWay,
    NothingToClose,
    PeriodClosed,
    PeriodNotOver,
    PeriodOutOfOrder,
    StatementFaulty,
)
from labs.models import LedgerPeriod, Statement
from labs.months import Month

ONE_CLOSES = 0x436C6F73  # the lock that whoever closes a month holds, until it is closed
DAY = timedelta(days=1)


def close(actor: Actor, month: Month) -> LedgerPeriod:
    """Close the month for good, and write the statement of each partner that had a budget in it.

    Statements are folded while the books are open, since that takes a while; then the books are locked for the moment
    in which the period appears. If something was booked in the month between the two, they are folded again.
    """
    require(policy.may_close_periods(actor))
    if not db.session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(ONE_CLOSES))):
        raise ClosingUnderWay
    _check(month)

    seen = queries.transactions_in(month)
    drafts = _drafts(month)
    ledger.lock_books()
    if queries.transactions_in(month) != seen:
        drafts = _drafts(month)

    period = LedgerPeriod(starts_at=month.starts_at, ends_at=month.ends_at, closed_by=actor.person_id)
    db.session.add(period)
    db.session.flush()
    for draft in drafts:
        db.session.add(draft.signed(period.id))
    db.session.flush()
    audit.record(actor, "period.close", period, month=str(month), statements=len(drafts))
    return period


def due() -> Month | None:
    """The next month to close, when it ended at least a day ago: late news of its last hours has come in by then."""
    month = queries.next_to_close()
    if month is None or clock.now() < month.ends_at + DAY:
        return None
    return month


def _check(month: Month) -> None:
    closed, following = queries.last_closed(), queries.next_to_close()
    if closed is not None and month <= closed:
        raise PeriodClosed(month=str(month))
    if month.ends_at > clock.now():
        raise PeriodNotOver(month=str(month), ends_at=month.ends_at)
    if following is None:
        raise NothingToClose
    if month != following:
        raise PeriodOutOfOrder(month=str(month), next=str(following))


@dataclass(frozen=True)
class Draft:
    """A statement that adds up and waits for its period."""

    partner_id: UUID
    number: int
    previous: str
    body: statements.Body

    def signed(self, period_id: UUID) -> Statement:
        return Statement(
            partner_id=self.partner_id,
            period_id=period_id,
            number=self.number,
            body=self.body,
            previous=self.previous,
            sha256=statements.digest(self.previous, self.body),
        )


def _drafts(month: Month) -> list[Draft]:
    closings = queries.closings(month.ends_at)
    return [_draft(partner, month, closings) for partner in queries.with_a_budget(month.ends_at)]


def _draft(partner: Partner, month: Month, closings: dict[str, dict[str, int]]) -> Draft:
    """Fold one statement, and refuse it unless it adds up in itself and with every entry there ever was."""
    last = queries.last_statement(partner.id)
    body = queries.compose(partner, month, number=last.number + 1 if last else 1)
    faults = statements.faults(body)
    faults += [
        f"budget {row['id']}: it does not close at what its entries add up to"
        for row in body["budgets"]
        if closings[row["id"]] != row["closing"]
    ]
    if faults:
        raise StatementFaulty(f"{partner.slug} {month}: {faults[0]}", faults=faults[:20])
    return Draft(partner.id, body["number"], last.sha256 if last else statements.NOTHING_BEFORE, body)
