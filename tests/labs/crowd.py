"""Many people with usage, put into the tables at once: for what must work with ten thousand of them."""

import sqlalchemy as sa

from app.db import db

# One lab each of one second's price more than the one before, settled at once; the sums in caches are set after.
_CROWD = """
WITH people AS (
    INSERT INTO person (id, created_at, email, name, language, time_zone, is_active)
    SELECT gen_random_uuid(), CAST(:at AS timestamptz), 'crowd-' || n || '@example.org',
        'crowd-' || lpad(n::text, 5, '0'), 'en', 'Asia/Shanghai', true
    FROM generate_series(1, :people) n
    RETURNING id
), days AS (
    INSERT INTO usage_day (budget_id, day, person_id, flavor_id, micro, seconds, sessions)
    SELECT :budget, CAST(:day AS date), id, :flavor, 1000, 4, 1 FROM people
    RETURNING micro
), used AS (
    SELECT sum(micro) AS micro FROM days
), command AS (
    INSERT INTO ledger_transaction (id, created_at, key, command, body_sha256)
    SELECT gen_random_uuid(), CAST(:at AS timestamptz), 'crowd', 'settle', '0' FROM used
    RETURNING id
)
INSERT INTO ledger_entry (transaction_id, account, budget_id, amount)
SELECT id, account, :budget, sign * micro FROM command, used, (VALUES ('available', -1), ('used', 1)) v(account, sign)
"""


def crowd(books, people):
    """Let so many people have used a little of the run's budget in January."""
    values = {"budget": books.run.id, "flavor": books.flavors["small"].id, "people": people}
    db.session.execute(sa.text(_CROWD), values | {"at": books.now(), "day": "2026-01-10"})
    db.session.commit()
