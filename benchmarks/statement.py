"""A statement of a partner with 100,000 labs in a month: closing it, its page, its table, its PDF.

The labs are put into the tables at once: each with its hold, the commands that reserved and settled it, and their
entries, on top of a month before with as many. Beside each runs the bare aggregate: one query that adds up the month's
usage by budget, person and flavor, and one that folds its entries. Medians over several runs, in this process, through
the whole application, so that what is counted is ours and not the network's.
"""

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import time_machine
from flask import Flask
from flask_migrate import upgrade

from app.access import SYSTEM, MemberRole
from app.config import Settings
from app.db import db, transaction
from app.factory import create_app
from app.locale import MICRO
from benchmarks.table import Measurement
from labs import queries
from labs.months import Month
from labs.services import periods
from tests import postgres
from tests.make import Make, sign_in

LABS, PEOPLE, RUNS = 100_000, 2_000, 40  # everybody is in two runs
RUNS_OF_EACH = 5
BEFORE, MONTH = Month(2026, 1), Month(2026, 2)

_LABS = """
WITH labs AS MATERIALIZED (
    SELECT n, gen_random_uuid() AS hold, gen_random_uuid() AS reserved, gen_random_uuid() AS settled,
        (CAST(:people AS uuid[]))[1 + n % :number] AS person,
        (CAST(:budgets AS uuid[]))[1 + (2 * (n % :number) + n / :number % 2) % :runs] AS budget,
        (CAST(:flavors AS uuid[]))[1 + n % 3] AS flavor, 600 + n % 6600 AS seconds,
        1000000::bigint * (1 + n % 3) AS price,
        CAST(:start AS timestamptz) + n * (CAST(:length AS interval) / :labs) AS at
    FROM generate_series(0, :labs - 1) n
), priced AS MATERIALIZED (
    SELECT *, price * seconds / 3600 AS used, price * 2 AS amount FROM labs
), holds AS (
    INSERT INTO hold (id, created_at, budget_id, person_id, center_id, flavor_id, seconds, amount, price_micro, bands,
        posted_seconds, posted_micro, state, closed_at)
    SELECT hold, at, budget, person, :center, flavor, 7200, amount, price, '[]', seconds, used, 'settled', at
    FROM priced
), commands AS (
    INSERT INTO ledger_transaction (id, created_at, key, command, body_sha256, hold_id)
    SELECT reserved, at, 'reserve:' || hold, 'reserve', '0', hold FROM priced
    UNION ALL SELECT settled, at, 'settle:' || hold, 'settle', '0', hold FROM priced
), days AS (
    INSERT INTO usage_day (budget_id, day, person_id, flavor_id, micro, seconds, sessions)
    SELECT budget, (at AT TIME ZONE 'Asia/Shanghai')::date, person, flavor, sum(used), sum(seconds), count(*)
    FROM priced GROUP BY 1, 2, 3, 4
)
INSERT INTO ledger_entry (transaction_id, account, budget_id, center_id, amount)
SELECT v.id, v.account, budget, v.center, v.amount FROM priced CROSS JOIN LATERAL (VALUES
    (reserved, 'available', NULL::uuid, -amount), (reserved, 'held', NULL, amount), (settled, 'held', NULL, -used),
    (settled, 'used', CAST(:center AS uuid), used), (settled, 'held', NULL, used - amount),
    (settled, 'available', NULL, amount - used)) v(id, account, center, amount)
WHERE v.amount <> 0
"""
_BARE = """
SELECT budget_id, person_id, flavor_id, sum(micro), sum(seconds), sum(sessions) FROM usage_day
WHERE budget_id = ANY(:budgets) AND day >= '2026-02-01' AND day < '2026-03-01' GROUP BY 1, 2, 3
"""
_BARE_FOLD = """
SELECT e.budget_id, t.command, e.account, sum(e.amount)
FROM ledger_entry e JOIN ledger_transaction t ON t.id = e.transaction_id
WHERE e.budget_id = ANY(:budgets) AND t.created_at >= :start AND t.created_at < :end GROUP BY 1, 2, 3
"""


def measure() -> list[Measurement]:
    settings = Settings(database_url=postgres.url("bench"), secret_key="bench", platform_url="http://localhost")
    app = create_app(settings, hubs={})
    with app.app_context(), time_machine.travel(BEFORE.starts_at, tick=True) as clock:
        upgrade()
        world = _World(clock)
        clock.move_to(MONTH.ends_at + timedelta(days=2))
        with transaction():
            periods.close(SYSTEM, BEFORE)
        return _measured(app, world)


class _World:
    """A partner with runs and people, and two months of labs."""

    def __init__(self, clock: Any) -> None:
        make = Make()
        self.partner = make.partner(slug="haibin", title_en="Haibin University", title_zh="海滨大学")
        self.admin = make.member(self.partner, MemberRole.ADMINISTRATOR)
        center = make.center()
        flavors = [make.flavor(center, price_micro=n * MICRO).id for n in (1, 2, 3)]
        root = make.budget(10_000_000, partner_id=self.partner.id)
        self.budgets = [make.budget(200_000, parent=root).id for _ in range(RUNS)]
        people = db.session.scalars(
            sa.text(
                "INSERT INTO person (id, created_at, email, name, language, time_zone, is_active)"
                " SELECT gen_random_uuid(), now(), 'p' || n || '@bench.example',"
                " '学生' || n, 'zh_CN', 'Asia/Shanghai', true"
                " FROM generate_series(1, :number) n RETURNING id"
            ),
            {"number": PEOPLE},
        ).all()
        for month in (BEFORE, MONTH):
            db.session.execute(sa.text("SET LOCAL statement_timeout = 0"))
            values = {"people": list(people), "budgets": self.budgets, "flavors": flavors, "center": center.id}
            numbers = {"labs": LABS, "runs": RUNS, "number": PEOPLE}
            hours = {"start": month.starts_at + timedelta(hours=1), "length": timedelta(days=27)}
            db.session.execute(sa.text(_LABS), values | numbers | hours)
            db.session.commit()
        db.session.execute(sa.text("ANALYZE"))
        db.session.commit()


def _measured(app: Flask, world: _World) -> list[Measurement]:
    budgets = {"budgets": world.budgets}
    fold = budgets | {"start": MONTH.starts_at, "end": MONTH.ends_at}
    bare = _median(lambda: db.session.execute(sa.text(_BARE), budgets).all())
    bare_fold = _median(lambda: db.session.execute(sa.text(_BARE_FOLD), fold).all())
    drafts = _median(lambda: periods._drafts(MONTH))
    browser = sign_in(app, world.admin)
    address = f"/partners/{world.partner.slug}/statements/{MONTH}"
    found = [
        Measurement("Bare aggregates of the month: usage, and entries", f"{bare:.0f} ms + {bare_fold:.0f} ms"),
        Measurement("Folding and checking the statement, before it is stored", f"{drafts:.0f} ms"),
    ]
    found += _forms(browser, address, "open")
    began = time.perf_counter()
    with transaction():
        periods.close(SYSTEM, MONTH)
    closing = (time.perf_counter() - began) * 1000
    found.append(
        Measurement("Closing the month, stored and signed", f"{closing:.0f} ms", "once; it cannot be repeated")
    )
    found += _forms(browser, address, "closed")
    row = queries.statement_of(world.partner.id, MONTH)
    assert row is not None
    size = db.session.scalar(sa.text("SELECT pg_column_size(body) FROM statement WHERE number = 2"))
    lines = len(row.body["usage"])
    found.append(
        Measurement("The stored statement", f"{size / 1e6:.1f} MB", f"{lines:,} lines of usage, {LABS:,} labs")
    )
    return found


def _forms(browser: Any, address: str, state: str) -> list[Measurement]:
    names = {"": "Page", ".csv": "Table (CSV)", ".pdf": "PDF"}
    remark = f"median of {RUNS_OF_EACH}; the limit is 1 s"
    found = []
    for end, name in names.items():
        took = _median(partial(_got, browser, address + end))
        found.append(Measurement(f"{name} of the {state} month", f"{took:.0f} ms", remark))
    return found


def _got(browser: Any, address: str) -> None:
    answer = browser.get(address)
    assert answer.status_code == 200, answer.text[:300]


def _median(work: Callable[[], object]) -> float:
    """Milliseconds; the first time loads what the rest have."""
    times = []
    for _ in range(RUNS_OF_EACH + 1):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
        db.session.rollback()
    return statistics.median(times[1:])
