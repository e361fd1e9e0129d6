"""How long the audit of a large ledger takes: 1,000,000 entries, beside the bare sum over them in the same run."""

import statistics
import time
from collections.abc import Callable

import sqlalchemy as sa
from flask_migrate import upgrade

from app.config import Settings
from app.db import db
from app.factory import create_app
from benchmarks.table import Measurement
from labs import ledger
from tests import postgres

SESSIONS = 166_666  # six entries each, and a grant for each budget: a million
RUNS = 7

# A ledger as the commands would have left it: 100 budgets, 1,000 people, three months of settled sessions.
_BUILD = """
INSERT INTO partner (id, created_at, slug, kind, title_zh, title_en, time_zone, email_domains)
    VALUES (gen_random_uuid(), now(), 'bench', 'university', 'b', 'b', 'Asia/Shanghai', '{}');
INSERT INTO center (id, created_at, slug, partner_id, title_zh, title_en, state, session_limit)
    SELECT gen_random_uuid(), now(), 'bench', id, 'c', 'c', 'up', 1000 FROM partner;
INSERT INTO flavor (id, created_at, center_id, slug, title_zh, title_en, cores, memory_mb, accelerators, price_micro,
        longest_minutes, is_active)
    SELECT gen_random_uuid(), now(), id, 'small', 'f', 'f', 1, 1024, 0, 1000000, 480, true FROM center;
INSERT INTO rate (id, created_at, flavor_id, valid_from, price_micro, bands)
    SELECT gen_random_uuid(), now(), id, now() - interval '1 year', price_micro, '[]' FROM flavor;
INSERT INTO person (id, created_at, email, name, language, time_zone, is_active)
    SELECT gen_random_uuid(), now(), 'p' || n || '@example.org', 'p', 'en', 'UTC', true FROM generate_series(1, 1000) n;
INSERT INTO budget (id, created_at, partner_id, kind, title_zh, title_en, starts_at, ends_at, is_closed)
    SELECT gen_random_uuid(), now(), p.id, 'partner', 'b', 'b', now() - interval '1 year', now() + interval '1 year',
        false FROM partner p, generate_series(1, 100);
INSERT INTO purse (budget_id, available, held, used, expired, overrun) SELECT id, 0, 0, 0, 0, 0 FROM budget;
CREATE TEMP TABLE b AS
    SELECT row_number() OVER () - 1 AS n, id, gen_random_uuid() AS tranche, gen_random_uuid() AS "grant"
    FROM budget;
CREATE TEMP TABLE p AS SELECT row_number() OVER () - 1 AS n, id FROM person;
CREATE TEMP TABLE s AS
    SELECT g.n, gen_random_uuid() AS hold, gen_random_uuid() AS reserve, gen_random_uuid() AS settle, b.id AS budget,
        b.tranche, p.id AS person, now() - g.n * interval '45 seconds' AS at
    FROM generate_series(1, :sessions) AS g(n) JOIN b ON b.n = g.n % 100 JOIN p ON p.n = g.n % 1000;
INSERT INTO tranche (id, created_at, budget_id, amount, remaining, valid_from, valid_until)
    SELECT tranche, now(), id, 10000000000, 0, now() - interval '1 year', now() + interval '1 year' FROM b;
INSERT INTO hold (id, created_at, budget_id, person_id, center_id, flavor_id, seconds, amount, price_micro,
        posted_seconds, posted_micro, state, closed_at)
    SELECT hold, at, budget, person, c.id, f.id, 3900, 1083334, 1000000, 1800, 500000, 'settled', at
    FROM s, center c, flavor f;
INSERT INTO hold_part (hold_id, tranche_id, position, amount, used) SELECT hold, tranche, 0, 1083334, 500000 FROM s;
INSERT INTO ledger_transaction (id, created_at, key, command, body_sha256, hold_id)
    SELECT "grant", now() - interval '1 year', 'grant:' || n, 'grant', '', NULL FROM b
    UNION ALL SELECT reserve, at, 'session:' || hold, 'reserve', '', hold FROM s
    UNION ALL SELECT settle, at, 'settle:' || hold, 'settle', '', hold FROM s;
INSERT INTO ledger_entry (transaction_id, account, budget_id, tranche_id, center_id, amount)
    SELECT b."grant", e.account, e.budget, e.tranche, NULL, e.amount
    FROM b CROSS JOIN LATERAL (VALUES
        ('supply', NULL::uuid, NULL::uuid, -10000000000), ('available', b.id, b.tranche, 10000000000)
    ) AS e(account, budget, tranche, amount);
INSERT INTO ledger_entry (transaction_id, account, budget_id, tranche_id, center_id, amount)
    SELECT e.command, e.account, s.budget, s.tranche, e.center, e.amount
    FROM s CROSS JOIN center c CROSS JOIN LATERAL (VALUES
        (s.reserve, 'available', NULL::uuid, -1083334), (s.reserve, 'held', NULL, 1083334),
        (s.settle, 'held', NULL, -500000), (s.settle, 'used', c.id, 500000),
        (s.settle, 'held', NULL, -583334), (s.settle, 'available', NULL, 583334)
    ) AS e(command, account, center, amount)
    ORDER BY s.n DESC;
INSERT INTO member_cap (budget_id, person_id, held, used, is_open)
    SELECT budget, person, 0, count(*) * 500000, true FROM s GROUP BY 1, 2;
INSERT INTO usage_day (budget_id, day, person_id, flavor_id, micro, seconds, sessions)
    SELECT budget, (at AT TIME ZONE 'Asia/Shanghai')::date, person, f.id, count(*) * 500000, count(*) * 1800, count(*)
    FROM s, flavor f GROUP BY 1, 2, 3, 4;
UPDATE purse SET available = 10000000000 - n.used, used = n.used
    FROM (SELECT budget, count(*) * 500000 AS used FROM s GROUP BY 1) n WHERE budget_id = n.budget;
UPDATE tranche SET remaining = p.available FROM purse p WHERE p.budget_id = tranche.budget_id
"""


def measure() -> list[Measurement]:
    settings = Settings(database_url=postgres.url("bench_audit"), secret_key="bench", platform_url="http://localhost")
    app = create_app(settings, hubs={})
    with app.app_context():
        upgrade()
        db.session.execute(sa.text("SET LOCAL statement_timeout = 0"))
        for statement in _BUILD.replace(":sessions", str(SESSIONS)).split(";\n"):
            db.session.execute(sa.text(statement))
        db.session.commit()
        db.session.execute(sa.text("ANALYZE"))
        db.session.commit()
        entries = db.session.scalar(sa.text("SELECT count(*) FROM ledger_entry"))
        _timed(ledger.audit)
        audits, sums = [], []
        for _run in range(RUNS):
            audits.append(_timed(lambda: _found_nothing(ledger.audit())))
            sums.append(_timed(lambda: db.session.execute(sa.text("SELECT sum(amount) FROM ledger_entry")).all()))
        db.session.remove()
        db.engine.dispose()
    audit, bare = statistics.median(audits), statistics.median(sums)
    return [
        Measurement(f"Audit of {entries:,} entries", f"{audit:.2f} s", f"median of {RUNS}; limit 2 s"),
        Measurement("The bare sum over them", f"{bare:.2f} s", f"the audit takes {audit / bare:.0f} times as long"),
    ]


def _found_nothing(differences: list[ledger.Difference]) -> None:
    if differences:
        raise RuntimeError(f"the ledger that was built is not right: {differences[:3]}")


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
