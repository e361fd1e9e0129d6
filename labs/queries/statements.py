"""Statements: what a partner's budgets held, got and used in a month, folded from the ledger or as it was closed."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Select, func, select
from sqlalchemy.orm import joinedload

from accounts.models import Partner
from app import clock
from app.db import db
from app.errors import NotFound
from app.locale import DEFAULT_ZONE
from labs.models import (
    Account,
    Budget,
    Command,
    Flavor,
    Hold,
    LedgerEntry,
    LedgerPeriod,
    LedgerTransaction,
    Statement,
    UsageDay,
)
from labs.months import Month
from labs.statements import BALANCES, LINES, VERSION, Body, flows, passed_on, sums, totals

TOLD_ONE_BY_ONE = (Command.GRANT, Command.TRANSFER, Command.PULL_BACK, Command.CORRECT, Command.EXPIRE)


def compose(partner: Partner, month: Month, *, number: int | None = None) -> Body:
    """Fold the month's statement from the ledger. Everything is read by one query, so at one moment.

    It opens where the last statement before it closed; without a number it is preliminary.
    """
    before = _last_before(partner.id, month)
    budgets = _budgets(partner.id, month)
    folded = db.session.execute(
        select(
            _collected(_entries([row.id for row in budgets], month, since=before)).label("entries"),
            _collected(_events([row.id for row in budgets], month)).label("events"),
            _collected(_usage([row.id for row in budgets], month)).label("usage"),
        )
    ).one()
    place = {str(row.id): index for index, row in enumerate(budgets)}
    flavors = _flavors({line[2] for line in folded.usage})
    persons = sorted({line[1] for line in folded.usage})
    events = [_event(row, place) for row in sorted(folded.events)]
    usage = _placed(folded.usage, place, persons, [row["id"] for row in flavors])
    body: Body = {
        "version": VERSION,
        "number": number,
        "partner": _named(partner) | {"slug": partner.slug},
        "month": str(month),
        "starts_at": _written(month.starts_at),
        "ends_at": _written(month.ends_at),
        "time_zone": DEFAULT_ZONE,
        "budgets": _accounts(budgets, folded.entries, before, passed_on(events)),
        "events": events,
        "flavors": flavors,
        "persons": persons,
        "usage": usage,
    }
    body |= {name: sums(usage, index) for index, name in enumerate(LINES)}
    body["totals"] = totals(body)
    return body


def closings(before: datetime, partner_id: UUID | None = None) -> dict[str, dict[str, int]]:
    """What every entry dated before that moment adds up to, by budget, in the signs of a purse."""
    statement = (
        select(LedgerEntry.budget_id, LedgerEntry.account, func.sum(LedgerEntry.amount))
        .join(LedgerTransaction, LedgerTransaction.id == LedgerEntry.transaction_id)
        .join(Budget, Budget.id == LedgerEntry.budget_id)
        .where(LedgerTransaction.created_at < before)
        .group_by(LedgerEntry.budget_id, LedgerEntry.account)
    )
    if partner_id is not None:
        statement = statement.where(Budget.partner_id == partner_id)
    found: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(BALANCES, 0))
    for budget_id, account, amount in db.session.execute(statement):
        found[str(budget_id)][account] = _sign(account) * int(amount)
    return found


def with_a_budget(before: datetime) -> list[Partner]:
    """The partners that had a budget by then: each gets a statement."""
    had = select(Budget.partner_id).where(_was_there(before))
    return list(db.session.scalars(select(Partner).where(Partner.id.in_(had)).order_by(Partner.slug)))


def last_statement(partner_id: UUID) -> Statement | None:
    return db.session.scalar(
        select(Statement).where(Statement.partner_id == partner_id).order_by(Statement.number.desc()).limit(1)
    )


def statement_of(partner_id: UUID, month: Month) -> Statement | None:
    """The statement of a closed month; None while it is open, or where there was no budget yet."""
    return db.session.scalar(
        select(Statement)
        .join(LedgerPeriod, LedgerPeriod.id == Statement.period_id)
        .where(Statement.partner_id == partner_id, LedgerPeriod.starts_at == month.starts_at)
    )


def statements_by_partner(partner_id: UUID | None = None) -> Iterator[Statement]:
    """Every statement with its period, each partner's in their order, without keeping them all in memory."""
    statement = select(Statement).order_by(Statement.partner_id, Statement.number)
    if partner_id is not None:
        statement = statement.where(Statement.partner_id == partner_id)
    for found in db.session.scalars(statement.execution_options(yield_per=20)):
        yield found
        db.session.expunge(found)


# --- periods ------------------------------------------------------------------------------------------------------


def periods() -> Select[LedgerPeriod]:
    """The closed months, the latest first."""
    return select(LedgerPeriod).order_by(LedgerPeriod.starts_at.desc())


def last_closed() -> Month | None:
    ends_at = db.session.scalar(select(func.max(LedgerPeriod.ends_at)))
    return Month.of(ends_at).previous if ends_at else None


def next_to_close() -> Month | None:
    """The month after the last closed one, or that of the first transaction; None while there is nothing to close."""
    closed = last_closed()
    if closed is not None:
        return closed.next
    first = db.session.scalar(select(func.min(LedgerTransaction.created_at)))
    return Month.of(first) if first else None


def transactions_in(month: Month) -> int:
    """How many transactions are dated in the month. They are only ever added, so the same number is the same month."""
    return db.session.scalar(select(func.count()).select_from(LedgerTransaction).where(_dated(month))) or 0


@dataclass(frozen=True)
class Outline:
    """A statement in a list: its month, and its totals. `statement_id` is None while it is preliminary."""

    month: Month
    number: int | None = None
    sha256: str | None = None
    closed_at: datetime | None = None
    totals: dict[str, int] | None = None

    @property
    def is_preliminary(self) -> bool:
        return self.number is None


def outlines(partner_id: UUID) -> list[Outline]:
    """A partner's months since its first budget, the current one first; those that are closed with their totals."""
    first = db.session.scalar(select(func.min(Budget.created_at)).where(Budget.partner_id == partner_id))
    if first is None:
        return []
    rows = db.session.execute(
        select(
            LedgerPeriod.starts_at,
            Statement.number,
            Statement.sha256,
            Statement.created_at,
            Statement.body["totals"].label("totals"),
        )
        .join(Statement, Statement.period_id == LedgerPeriod.id)
        .where(Statement.partner_id == partner_id)
    )
    closed = {
        Month.of(row.starts_at): Outline(
            Month.of(row.starts_at), row.number, row.sha256, row.created_at, dict(row.totals)
        )
        for row in rows
    }
    found, month, earliest = [], Month.of(clock.now()), min([Month.of(first), *closed])
    while month >= earliest:
        found.append(closed.get(month) or Outline(month))
        month = month.previous
    return found


def first_month(partner_id: UUID) -> Month:
    """The month of a partner's first budget; before it there are no statements."""
    first = db.session.scalar(select(func.min(Budget.created_at)).where(Budget.partner_id == partner_id))
    if first is None:
        raise NotFound
    return Month.of(first)


# --- the parts of a body ------------------------------------------------------------------------------------------


def _dated(month: Month) -> sa.ColumnElement[bool]:
    return sa.and_(
        LedgerTransaction.created_at >= month.starts_at,
        LedgerTransaction.created_at < month.ends_at,
    )


def _was_there(before: datetime) -> sa.ColumnElement[bool]:
    """Whether a budget was opened by then, or has entries of then, as it can where the clock was set back."""
    dated = (
        select(LedgerEntry.id)
        .join(LedgerTransaction, LedgerTransaction.id == LedgerEntry.transaction_id)
        .where(LedgerEntry.budget_id == Budget.id, LedgerTransaction.created_at < before)
    )
    return sa.or_(Budget.created_at < before, dated.exists())


def _last_before(partner_id: UUID, month: Month) -> Statement | None:
    return db.session.scalar(
        select(Statement)
        .join(LedgerPeriod, LedgerPeriod.id == Statement.period_id)
        .where(Statement.partner_id == partner_id, LedgerPeriod.ends_at <= month.starts_at)
        .order_by(Statement.number.desc())
        .limit(1)
    )


def _budgets(partner_id: UUID, month: Month) -> list[Budget]:
    """The budgets that were there in the month, each after the one above it."""
    rows = db.session.scalars(
        select(Budget).where(Budget.partner_id == partner_id, _was_there(month.ends_at)).order_by(Budget.id)
    ).all()
    known, children = {row.id for row in rows}, defaultdict(list)
    for row in rows:
        children[row.parent_id if row.parent_id in known else None].append(row)
    ordered: list[Budget] = []

    def walk(parent_id: UUID | None) -> None:
        for row in children[parent_id]:
            ordered.append(row)
            walk(row.id)

    walk(None)
    return ordered


def _entries(budget_ids: list[UUID], month: Month, *, since: Statement | None) -> sa.Subquery:
    """(budget, command, account, before the month, amount): the movements since the last statement, grouped."""
    is_before = (LedgerTransaction.created_at < month.starts_at).label("is_before")
    statement = (
        select(
            LedgerEntry.budget_id,
            LedgerTransaction.command,
            LedgerEntry.account,
            is_before,
            func.sum(LedgerEntry.amount).label("amount"),
        )
        .join(LedgerTransaction, LedgerTransaction.id == LedgerEntry.transaction_id)
        .where(LedgerEntry.budget_id.in_(budget_ids), LedgerTransaction.created_at < month.ends_at)
        .group_by(LedgerEntry.budget_id, LedgerTransaction.command, LedgerEntry.account, is_before)
    )
    if since is not None:
        statement = statement.where(LedgerTransaction.created_at >= since.period.ends_at)
    return statement.subquery()


def _events(budget_ids: list[UUID], month: Month) -> sa.Subquery:
    """(at, transaction, command, actor, reason, person, lines): what people decided, and what expired by the clock."""
    line = func.json_build_array(LedgerEntry.budget_id, LedgerEntry.account, LedgerEntry.amount)
    return (
        select(
            LedgerTransaction.created_at,
            LedgerTransaction.id,
            LedgerTransaction.command,
            LedgerTransaction.actor_id,
            LedgerTransaction.reason,
            Hold.person_id,
            func.json_agg(line).label("lines"),
        )
        .join(LedgerEntry, LedgerEntry.transaction_id == LedgerTransaction.id)
        .outerjoin(Hold, Hold.id == LedgerTransaction.hold_id)
        .where(
            _dated(month),
            LedgerEntry.budget_id.in_(budget_ids),
            LedgerTransaction.command.in_(TOLD_ONE_BY_ONE),
            sa.or_(LedgerTransaction.hold_id.is_(None), LedgerTransaction.command == Command.CORRECT),
        )
        .group_by(LedgerTransaction.id, Hold.person_id)
        .subquery()
    )


def _usage(budget_ids: list[UUID], month: Month) -> sa.Subquery:
    """(budget, person, flavor, micro, seconds, sessions) of the month."""
    keys = (UsageDay.budget_id, UsageDay.person_id, UsageDay.flavor_id)
    amounts = (UsageDay.micro, UsageDay.seconds, UsageDay.sessions)
    return (
        select(*keys, *(func.sum(column).label(column.key) for column in amounts))
        .where(
            UsageDay.budget_id.in_(budget_ids),
            UsageDay.day >= month.first_day,
            UsageDay.day < month.next.first_day,
        )
        .group_by(*keys)
        .subquery()
    )


def _collected(rows: sa.Subquery) -> sa.ScalarSelect[Any]:
    """All rows as one JSON array of arrays."""
    line = func.json_build_array(*rows.c)
    return select(func.coalesce(func.json_agg(line), sa.text("'[]'::json"))).select_from(rows).scalar_subquery()


def _accounts(
    budgets: list[Budget],
    entries: list[list[Any]],
    before: Statement | None,
    passed: dict[int, list[tuple[str, int]]],
) -> list[dict[str, Any]]:
    """Each budget as it opens, moves and closes."""
    opening: dict[str, Counter[str]] = defaultdict(Counter)
    if before is not None:
        for row in before.body["budgets"]:
            opening[row["id"]].update(row["closing"])
    movements: dict[str, list[list[Any]]] = defaultdict(list)
    for budget_id, command, account, is_before, amount in entries:
        amount *= _sign(account)
        if is_before:
            opening[budget_id][account] += amount
        elif amount:
            movements[budget_id].append([command, account, amount])
    found = []
    for place, budget in enumerate(budgets):
        moved = sorted(movements[str(budget.id)])
        opens = {account.value: opening[str(budget.id)][account] for account in BALANCES}
        closes = Counter(opens)
        for _command, account, amount in moved:
            closes[account] += amount
        found.append(
            _named(budget)
            | {
                "parent_id": str(budget.parent_id) if budget.parent_id else None,
                "kind": budget.kind.value,
                "opening": opens,
                "movements": moved,
                "flows": flows(moved, passed[place]),
                "closing": {account.value: closes[account] for account in BALANCES},
            }
        )
    return found


def _event(row: list[Any], place: dict[str, int]) -> dict[str, Any]:
    at, _transaction, command, actor_id, reason, person_id, lines = row
    summed: Counter[tuple[int, str]] = Counter()
    for budget_id, account, amount in lines:
        summed[place[budget_id], account] += _sign(account) * amount
    return {
        "at": _written(datetime.fromisoformat(at)),
        "command": command,
        "actor": actor_id,
        "reason": reason,
        "person": person_id,
        "lines": [[budget, account, amount] for (budget, account), amount in sorted(summed.items())],
    }


def _placed(rows: list[list[Any]], place: dict[str, int], persons: list[str], flavors: list[str]) -> list[list[int]]:
    """Usage lines with the places of budget, person and flavor in their lists, which is shorter than their ids."""
    person_at = {person: index for index, person in enumerate(persons)}
    flavor_at = {flavor: index for index, flavor in enumerate(flavors)}
    return sorted(
        [place[budget], person_at[person], flavor_at[flavor], micro, seconds, sessions]
        for budget, person, flavor, micro, seconds, sessions in rows
    )


def _flavors(ids: set[str]) -> list[dict[str, Any]]:
    rows = db.session.scalars(
        select(Flavor).where(Flavor.id.in_([UUID(text) for text in ids])).options(joinedload(Flavor.center))
    )
    return [
        _named(row) | {"slug": row.slug, "center": _named(row.center) | {"slug": row.center.slug}}
        for row in sorted(rows, key=lambda row: (row.center.slug, row.slug))
    ]


def _named(row: Any) -> dict[str, Any]:
    return {"id": str(row.id), "title_zh": row.title_zh, "title_en": row.title_en}


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _sign(account: str) -> int:
    """A debt is negative in the entries, and positive in the purse."""
    return -1 if account == Account.OVERRUN else 1
