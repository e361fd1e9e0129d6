"""The audit of the ledger: every cached balance is recomputed from the entries, and must be what it says.

The entries are read twice: once by where credits lie, once by the commands that moved them.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from app import clock
from app.db import db
from app.locale import DEFAULT_ZONE


@dataclass(frozen=True)
class Difference:
    """Where a cached balance is not what the entries add up to."""

    what: str
    id: str
    cached: int
    computed: int


# Balances of purses, tranches and centers.
_PLACES = """
WITH sums AS MATERIALIZED (
    SELECT account, budget_id, tranche_id, center_id, sum(amount)::bigint AS amount
    FROM ledger_entry GROUP BY account, budget_id, tranche_id, center_id
), folded AS (
    SELECT budget_id, sum(amount) FILTER (WHERE account = 'available') AS available,
        sum(amount) FILTER (WHERE account = 'held') AS held, sum(amount) FILTER (WHERE account = 'used') AS used,
        sum(amount) FILTER (WHERE account = 'expired') AS expired,
        -sum(amount) FILTER (WHERE account = 'overrun') AS overrun
    FROM sums GROUP BY budget_id
), on_tranches AS (
    SELECT tranche_id, sum(amount) FILTER (WHERE account = 'available') AS available,
        sum(amount) FILTER (WHERE account = 'held') AS held
    FROM sums GROUP BY tranche_id
), promised AS (
    SELECT p.tranche_id, sum(p.amount - p.used) AS held FROM hold_part p JOIN hold h ON h.id = p.hold_id
    WHERE h.state = 'open' GROUP BY p.tranche_id
), charged AS (
    SELECT center_id, sum(posted_micro - corrected_micro) AS used FROM hold GROUP BY center_id
), at_centers AS (
    SELECT center_id, sum(amount) AS used FROM sums WHERE account = 'used' GROUP BY center_id
), found AS (
    SELECT v.what, p.budget_id::text AS id, v.cached, v.computed
    FROM purse p LEFT JOIN folded f USING (budget_id) CROSS JOIN LATERAL (VALUES
        ('purse.available', p.available, f.available), ('purse.held', p.held, f.held), ('purse.used', p.used, f.used),
        ('purse.expired', p.expired, f.expired), ('purse.overrun', p.overrun, f.overrun)
    ) AS v(what, cached, computed)
    UNION ALL
    SELECT v.what, t.id::text, v.cached, v.computed
    FROM tranche t LEFT JOIN on_tranches o ON o.tranche_id = t.id LEFT JOIN promised h ON h.tranche_id = t.id
    CROSS JOIN LATERAL (VALUES
        ('tranche.remaining', t.remaining, o.available), ('tranche.held', coalesce(h.held, 0), o.held)
    ) AS v(what, cached, computed)
    UNION ALL
    SELECT 'center.used', c.id::text, coalesce(h.used, 0), a.used
    FROM center c LEFT JOIN charged h ON h.center_id = c.id LEFT JOIN at_centers a ON a.center_id = c.id
)
SELECT what, id, cached, coalesce(computed, 0) FROM found WHERE cached <> coalesce(computed, 0) ORDER BY what, id
"""

# What commands did: each sums to zero; together they are what stands in the holds and in the usage of each day.
_COMMANDS = """
WITH sums AS MATERIALIZED (
    SELECT transaction_id, sum(amount)::bigint AS total,
        (sum(amount) FILTER (WHERE account = 'used'))::bigint AS used,
        (sum(amount) FILTER (WHERE account = 'used' AND tranche_id IS NOT NULL))::bigint AS spent
    FROM ledger_entry GROUP BY transaction_id
), by_hold AS MATERIALIZED (
    SELECT t.hold_id, (t.created_at AT TIME ZONE :zone)::date AS day,
        sum(s.used) AS used, sum(s.used) FILTER (WHERE t.command <> 'correct') AS posted,
        sum(s.used) FILTER (WHERE t.command = 'correct') AS corrected,
        sum(s.spent) FILTER (WHERE t.command <> 'correct') AS spent,
        count(*) FILTER (WHERE t.command IN ('settle', 'void', 'expire')) AS ends,
        max(t.command) FILTER (WHERE t.command IN ('settle', 'void', 'expire')) AS ending
    FROM ledger_transaction t LEFT JOIN sums s ON s.transaction_id = t.id
    WHERE t.hold_id IS NOT NULL GROUP BY 1, 2
), holds AS (
    SELECT hold_id, sum(posted) AS posted, -sum(corrected) AS corrected, sum(spent) AS spent, sum(ends) AS ends,
        max(ending) AS ending
    FROM by_hold GROUP BY hold_id
), parts AS (
    SELECT hold_id, sum(amount) AS amount, sum(used) AS used FROM hold_part GROUP BY hold_id
), days AS (
    SELECT h.budget_id, b.day, sum(b.used) AS used FROM by_hold b JOIN hold h ON h.id = b.hold_id
    WHERE h.flavor_id IS NOT NULL GROUP BY 1, 2
), known_days AS (
    SELECT budget_id, day, sum(micro) AS micro FROM usage_day GROUP BY 1, 2
), found AS (
    SELECT 'transaction' AS what, transaction_id::text AS id, 0 AS cached, total AS computed FROM sums
    UNION ALL
    SELECT v.what, h.id::text, v.cached, v.computed
    FROM hold h LEFT JOIN holds b ON b.hold_id = h.id LEFT JOIN parts p ON p.hold_id = h.id
    CROSS JOIN LATERAL (VALUES
        ('hold.amount', h.amount, p.amount), ('hold.posted', h.posted_micro, b.posted),
        ('hold.corrected', h.corrected_micro, b.corrected), ('hold.spent', coalesce(p.used, 0), b.spent),
        ('hold.ends', (h.state <> 'open')::int, b.ends),
        ('hold.ending', 1, (coalesce(b.ending, 'none') = CASE h.state
            WHEN 'open' THEN 'none' WHEN 'settled' THEN 'settle' WHEN 'voided' THEN 'void' ELSE 'expire' END)::int)
    ) AS v(what, cached, computed)
    UNION ALL
    SELECT 'usage_day', coalesce(d.budget_id, k.budget_id) || ' ' || coalesce(d.day, k.day),
        coalesce(k.micro, 0), d.used
    FROM days d FULL JOIN known_days k ON k.budget_id = d.budget_id AND k.day = d.day
)
SELECT what, id, cached, coalesce(computed, 0) FROM found WHERE cached <> coalesce(computed, 0) ORDER BY what, id
"""

# Shares add up their members' holds. A price follows its rate within two minutes.
_SHARES = """
WITH parts AS (
    SELECT p.hold_id, sum(p.amount - p.used) AS held FROM hold_part p JOIN hold h ON h.id = p.hold_id
    WHERE h.state = 'open' GROUP BY p.hold_id
), folded AS (
    SELECT h.budget_id, h.person_id, sum(p.held) AS held, sum(h.posted_micro - h.corrected_micro) AS used
    FROM hold h LEFT JOIN parts p ON p.hold_id = h.id GROUP BY 1, 2
), rates AS (
    SELECT flavor_id,
        (array_agg(price_micro ORDER BY valid_from DESC))[1] AS price,
        (array_agg(price_micro ORDER BY valid_from DESC)
            FILTER (WHERE valid_from <= CAST(:now AS timestamptz) - interval '2 minutes'))[1] AS before
    FROM rate WHERE valid_from <= CAST(:now AS timestamptz) GROUP BY flavor_id
), found AS (
    SELECT v.what, c.budget_id || ' ' || c.person_id AS id, v.cached, v.computed
    FROM member_cap c LEFT JOIN folded f ON f.budget_id = c.budget_id AND f.person_id = c.person_id
    CROSS JOIN LATERAL (VALUES ('cap.held', c.held, f.held), ('cap.used', c.used, f.used)) AS v(what, cached, computed)
    UNION ALL
    SELECT 'flavor.price', f.id::text, f.price_micro, r.price FROM flavor f JOIN rates r ON r.flavor_id = f.id
    WHERE f.price_micro IS DISTINCT FROM r.before
)
SELECT what, id, cached, coalesce(computed, 0) FROM found WHERE cached <> coalesce(computed, 0) ORDER BY what, id
"""


def audit() -> list[Difference]:
    """Recompute every balance from the entries and the holds; an honest ledger gives an empty list."""
    values = {"zone": DEFAULT_ZONE, "now": clock.now()}
    db.session.flush()
    return [
        Difference(what, row_id, int(cached), int(computed))
        for statement in (_PLACES, _COMMANDS, _SHARES)
        for what, row_id, cached, computed in db.session.execute(sa.text(statement), values)
    ]
