"""Months close in their order, once, when they are over; and nothing in them changes after."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app import clock as time
from app.access import PlatformRole
from app.audit import AuditEntry
from app.db import db, transaction
from app.errors import Forbidden
from app.jobs import run_job
from labs import ledger, queries
from labs.errors import ClosingUnderWay, NothingToClose, PeriodClosed, PeriodNotOver, PeriodOutOfOrder
from labs.models import LedgerPeriod, Statement
from labs.months import Month
from labs.services import periods
from tests.labs.test_races import at_once
from tests.make import as_actor

JANUARY, FEBRUARY, MARCH, APRIL = (Month(2026, number) for number in (1, 2, 3, 4))


@pytest.fixture
def operator(make):
    return as_actor(make.platform(PlatformRole.OPERATOR))


@pytest.fixture
def books(make, clock):
    """A partner with credits since January."""
    clock.move_to("2026-01-10T08:00:00+00:00")
    budget = make.budget(100)
    clock.move_to("2026-03-02T09:00:00+00:00")
    return budget


def close(actor, month):
    with transaction():
        return periods.close(actor, month)


def test_a_month_begins_and_ends_at_midnight_in_china():
    assert FEBRUARY.starts_at == datetime(2026, 1, 31, 16, tzinfo=UTC)
    assert FEBRUARY.ends_at == MARCH.starts_at == datetime(2026, 2, 28, 16, tzinfo=UTC)
    assert Month.of(FEBRUARY.ends_at) == MARCH
    assert Month.of(FEBRUARY.ends_at - timedelta(microseconds=1)) == FEBRUARY


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-1", "26-01", "2026-01-01", "", "2026/01", "٢٠٢٦-٠١", "2026-01\n", "9999-12"]
)
def test_what_is_no_month_is_not_read_as_one(text):
    assert Month.parse(text) is None


def test_the_months_of_a_year_follow_each_other():
    month, seen = Month(2025, 12), []
    for _ in range(14):
        assert month.next.previous == month
        seen.append(str(month))
        month = month.next

    assert seen[:3] == ["2025-12", "2026-01", "2026-02"]
    assert seen[-1] == "2027-01"


def test_months_close_in_their_order_from_the_first_with_a_booking(books, operator):
    with pytest.raises(PeriodOutOfOrder) as refusal:
        close(operator, FEBRUARY)
    assert refusal.value.members["next"] == "2026-01"

    close(operator, JANUARY)
    close(operator, FEBRUARY)

    assert [Month.of(row.starts_at) for row in db.session.scalars(queries.periods())] == [FEBRUARY, JANUARY]
    numbers = db.session.scalars(sa.select(Statement.number).order_by(Statement.number)).all()
    assert numbers == [1, 2]


def test_a_month_that_is_not_over_stays_open(books, operator, clock):
    close(operator, JANUARY)
    close(operator, FEBRUARY)

    clock.move_to(MARCH.ends_at - timedelta(seconds=1))
    for month in (MARCH, APRIL):
        with pytest.raises(PeriodNotOver):
            close(operator, month)

    clock.move_to(MARCH.ends_at)
    close(operator, MARCH)


def test_a_month_closes_once(books, operator):
    close(operator, JANUARY)

    with pytest.raises(PeriodClosed):
        close(operator, JANUARY)
    with pytest.raises(PeriodClosed):
        close(operator, Month(2025, 12))


def test_there_is_nothing_to_close_before_the_first_booking(make, operator):
    with pytest.raises(NothingToClose):
        close(operator, JANUARY)


def test_only_operators_close_the_books(books, make):
    administrator = as_actor(make.person())

    with pytest.raises(Forbidden):
        close(administrator, JANUARY)


def test_closing_leaves_a_trace(books, operator):
    period = close(operator, JANUARY)

    assert period.closed_by == operator.person_id
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "period.close")).one()
    assert entry.subject_id == period.id
    assert entry.changes == {"month": "2026-01", "statements": 1}


def test_the_clock_closes_every_month_that_ended_a_day_ago(app, books, clock):
    job = app.extensions["jobs"]["close_months"]
    clock.move_to(FEBRUARY.ends_at + timedelta(hours=23, minutes=59))
    assert run_job(app, job) == 1  # January

    clock.move_to(FEBRUARY.ends_at + timedelta(days=1))
    assert run_job(app, job) == 1
    assert run_job(app, job) == 0
    assert queries.last_closed() == FEBRUARY


def test_a_clock_that_was_set_back_closes_nothing(books, operator, clock):
    close(operator, JANUARY)

    clock.move_to("2026-02-10T00:00:00+00:00")
    with pytest.raises(PeriodNotOver):
        close(operator, FEBRUARY)


@pytest.mark.parametrize("table", ["ledger_period", "statement"])
@pytest.mark.parametrize("act", ["UPDATE {} SET created_at = now()", "DELETE FROM {}"])
def test_what_is_closed_is_neither_changed_nor_deleted(books, operator, table, act):
    close(operator, JANUARY)

    with pytest.raises(sa.exc.DatabaseError, match="append-only"), db.session.begin_nested():
        db.session.execute(sa.text(act.format(table)))


def test_of_two_who_close_at_once_one_does(app, committed, clock):
    clock.move_to("2026-01-10T08:00:00+00:00")
    committed.budget(100)
    operator = as_actor(committed.platform(PlatformRole.OPERATOR))
    clock.move_to("2026-03-02T09:00:00+00:00")

    answers = at_once(app, lambda _: periods.close(operator, JANUARY), 6, threads=6)

    refused = [one for one in answers if isinstance(one, Exception)]
    assert len(refused) == 5, refused
    assert all(isinstance(one, PeriodClosed | ClosingUnderWay) for one in refused), refused
    assert db.session.scalar(sa.select(sa.func.count()).select_from(LedgerPeriod)) == 1
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Statement)) == 1


def test_what_is_booked_in_the_month_while_it_closes_is_in_its_statement(app, committed, clock, monkeypatch):
    """A grant dated in January commits after January was folded and before the books are locked."""
    clock.move_to("2026-01-10T08:00:00+00:00")
    budget = committed.budget(100)
    operator = as_actor(committed.platform(PlatformRole.OPERATOR))
    fold = periods._drafts
    folds = []

    def slowly(month):
        drafts = fold(month)
        folds.append(month)
        if len(folds) == 1:
            thread = threading.Thread(target=_grant_late, args=(app, budget.id, clock))
            thread.start()
            thread.join()
        return drafts

    monkeypatch.setattr(periods, "_drafts", slowly)
    clock.move_to("2026-03-02T09:00:00+00:00")

    close(operator, JANUARY)

    statement = db.session.scalars(sa.select(Statement)).one()
    assert len(folds) == 2
    assert statement.body["totals"]["granted"] == 105_000_000


def _grant_late(app, budget_id, clock):
    with app.app_context(), transaction():
        clock.move_to("2026-01-31T12:00:00+00:00")
        ledger.grant(budget_id, 5_000_000, time.now(), time.now() + timedelta(days=9), key="late")
        clock.move_to("2026-03-02T09:00:00+00:00")
