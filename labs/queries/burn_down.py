"""How a budget's credits went over time, and how long they will last.

A budget with others below it is read as a branch: its own credits and all that it passed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import func, select

from app import clock
from app.db import db
from app.locale import DEFAULT_ZONE
from labs import forecast
from labs.forecast import WINDOW_DAYS, Forecast, Lot
from labs.models import Account, Budget, Command, LedgerEntry, LedgerTransaction, Purse, Tranche, UsageDay

ZONE = ZoneInfo(DEFAULT_ZONE)
MOST_DAYS = 400  # of the past that are shown
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Day:
    """A day: what was used, what came in (less what went back), what expired, what was left at its end."""

    day: date
    used: int
    came: int
    expired: int
    left: int  # available or promised


@dataclass(frozen=True)
class BurnDown:
    """The past by day, the last of them today, and what follows from it."""

    days: list[Day]
    starts_on: date
    ends_on: date  # the day after the last
    available: int
    held: int
    forecast: Forecast
    has_below: bool

    @property
    def today(self) -> date:
        return self.days[-1].day

    @property
    def left(self) -> int:
        return self.available + self.held

    @property
    def is_over(self) -> bool:
        return self.ends_on <= self.today

    @property
    def even_from(self) -> Day:
        """Where the straight line to the end begins: when credits came in last."""
        return next((day for day in reversed(self.days) if day.came > 0), self.days[0])


def day_of(moment: datetime) -> date:
    """The day as the ledger counts them."""
    return moment.astimezone(ZONE).date()


def branch_ids(budget_id: UUID) -> list[UUID]:
    """The budget and all below it."""
    tree = select(Budget.id).where(Budget.id == budget_id).cte("branch", recursive=True)
    below = tree.union_all(select(Budget.id).join(tree, Budget.parent_id == tree.c.id))
    return list(db.session.scalars(select(below.c.id)))


def burn_down(budget: Budget) -> BurnDown:
    """What was left of the branch on each day, counted back from what is left now."""
    ids, now = branch_ids(budget.id), clock.now()
    today, starts_on = day_of(now), day_of(budget.starts_at)
    ends_on = day_of(budget.ends_at - timedelta(microseconds=1)) + ONE_DAY
    first = max(min(starts_on, today), today - timedelta(days=MOST_DAYS))
    used, came, expired = _used(ids, first), _came(ids, first), _expired(ids, first)
    available, held = _left(ids)
    days, left, day = [], available + held, today
    while day >= first:
        days.append(Day(day, used.get(day, 0), came.get(day, 0), expired.get(day, 0), left))
        left = max(0, left - came.get(day, 0) + used.get(day, 0) + expired.get(day, 0))
        day -= ONE_DAY
    days.reverse()
    return BurnDown(
        days=days,
        starts_on=first,
        ends_on=max(ends_on, first + ONE_DAY),
        available=available,
        held=held,
        forecast=forecast.forecast(_lots(ids, now, held, ends_on), _whole_days(days, came, today), today, ends_on),
        has_below=len(ids) > 1,
    )


def spendable(budget_id: UUID) -> int:
    """What can be spent or given back now: neither expired nor of a later time."""
    now = clock.now()
    statement = select(func.coalesce(func.sum(Tranche.remaining), 0)).where(
        Tranche.budget_id == budget_id, Tranche.valid_from <= now, Tranche.valid_until > now
    )
    return int(db.session.scalar(statement) or 0)


def tranches_of(budget_id: UUID) -> list[Tranche]:
    """What is still to be spent, the first to expire first."""
    statement = (
        select(Tranche)
        .where(Tranche.budget_id == budget_id, Tranche.remaining > 0)
        .order_by(Tranche.valid_until, Tranche.id)
    )
    return list(db.session.scalars(statement))


def _whole_days(days: Sequence[Day], came: dict[date, int], today: date) -> list[int]:
    """What was used on the days before today since there were credits; on the very first day, today's."""
    since = min((day for day, amount in came.items() if amount > 0), default=days[0].day)
    whole = [day.used for day in days if max(since, today - timedelta(days=WINDOW_DAYS)) <= day.day < today]
    return whole or [days[-1].used]


def _left(ids: Sequence[UUID]) -> tuple[int, int]:
    row = db.session.execute(
        select(func.coalesce(func.sum(Purse.available), 0), func.coalesce(func.sum(Purse.held), 0)).where(
            Purse.budget_id.in_(ids)
        )
    ).one()
    return int(row[0]), int(row[1])


def _lots(ids: Sequence[UUID], now: datetime, held: int, ends_on: date) -> list[Lot]:
    """What can be spent, by validity. What is promised to labs will be used, or comes back."""
    rows = db.session.execute(
        select(Tranche.valid_from, Tranche.valid_until, func.sum(Tranche.remaining))
        .where(Tranche.budget_id.in_(ids), Tranche.remaining > 0, Tranche.valid_until > now)
        .group_by(Tranche.valid_from, Tranche.valid_until)
    )
    promised = [Lot(held, day_of(now), max(ends_on, day_of(now) + ONE_DAY))] if held else []
    return promised + [Lot(int(amount), day_of(since), _day_after(until)) for since, until, amount in rows]


def _day_after(until: datetime) -> date:
    return day_of(until - timedelta(microseconds=1)) + ONE_DAY


def _used(ids: Sequence[UUID], first: date) -> dict[date, int]:
    return _by_day(
        select(UsageDay.day, func.sum(UsageDay.micro))
        .where(UsageDay.budget_id.in_(ids), UsageDay.day >= first)
        .group_by(UsageDay.day)
    )


def _came(ids: Sequence[UUID], first: date) -> dict[date, int]:
    """Granted and passed on to the branch, less what went back up. What moves inside it adds up to nothing."""
    day = _booked_on()
    return _by_day(
        select(day, func.sum(LedgerEntry.amount))
        .join(LedgerTransaction, LedgerTransaction.id == LedgerEntry.transaction_id)
        .where(
            LedgerTransaction.command.in_((Command.GRANT, Command.TRANSFER, Command.PULL_BACK)),
            LedgerEntry.account == Account.AVAILABLE,
            LedgerEntry.budget_id.in_(ids),
            day >= first,
        )
        .group_by(day)
    )


def _expired(ids: Sequence[UUID], first: date) -> dict[date, int]:
    day = _booked_on()
    return _by_day(
        select(day, func.sum(LedgerEntry.amount))
        .join(LedgerTransaction, LedgerTransaction.id == LedgerEntry.transaction_id)
        .where(LedgerEntry.account == Account.EXPIRED, LedgerEntry.budget_id.in_(ids), day >= first)
        .group_by(day)
    )


def _booked_on() -> sa.ColumnElement[date]:
    return sa.cast(func.timezone(DEFAULT_ZONE, LedgerTransaction.created_at), sa.Date)


def _by_day(statement: sa.Select[date, int]) -> dict[date, int]:
    return {day: int(amount) for day, amount in db.session.execute(statement)}
