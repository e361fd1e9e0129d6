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

# Every command sums to zero.
_BALANCED = """
SELECT 'transaction', transaction_id::text, 0, sum(amount) FROM ledger_entry
GROUP BY transaction_id HAVING sum(amount) <> 0 ORDER BY transaction_id
"""

# What commands did is what stands in the holds, and in the usage of each day. Both sides of each comparison go into one
# sum by hold (and one by day), those of the commands with a minus: a join of a million rows takes three times as long.
# Ends are counted in one number: a settling is 1, a voiding 1,000, an expiring 1,000,000.
_COMMANDS = """
WITH used AS MATERIALIZED (
    SELECT t.hold_id, e.budget_id, (t.created_at AT TIME ZONE :zone)::date AS day, e.amount,
        t.command = 'correct' AS is_correction, e.tranche_id IS NOT NULL AS on_tranche
    FROM ledger_entry e JOIN ledger_transaction t ON t.id = e.transaction_id
    WHERE e.account = 'used'
), compared AS (
    SELECT id AS hold_id, amount, posted_micro AS posted, corrected_micro AS corrected, 0 AS spent,
        CASE state WHEN 'settled' THEN 1 WHEN 'voided' THEN 1000 WHEN 'expired' THEN 1000000 ELSE 0 END AS ends
    FROM hold
    UNION ALL
    SELECT hold_id, -amount, 0, 0, used, 0 FROM hold_part
    UNION ALL
    SELECT hold_id, 0, CASE WHEN is_correction THEN 0 ELSE -amount END, CASE WHEN is_correction THEN amount ELSE 0 END,
        CASE WHEN on_tranche AND NOT is_correction THEN -amount ELSE 0 END, 0
    FROM used
    UNION ALL
    SELECT hold_id, 0, 0, 0, 0, CASE command WHEN 'settle' THEN -1 WHEN 'void' THEN -1000 ELSE -1000000 END
    FROM ledger_transaction WHERE command IN ('settle', 'void', 'expire') AND hold_id IS NOT NULL
), holds AS (
    SELECT hold_id, sum(amount) AS amount, sum(posted) AS posted, sum(corrected) AS corrected, sum(spent) AS spent,
        sum(ends) AS ends
    FROM compared GROUP BY hold_id
    HAVING sum(amount) <> 0 OR sum(posted) <> 0 OR sum(corrected) <> 0 OR sum(spent) <> 0 OR sum(ends) <> 0
), days AS (
    SELECT budget_id, day, sum(micro) AS micro FROM (
        SELECT budget_id, day, micro FROM usage_day
        UNION ALL
        SELECT u.budget_id, u.day, -u.amount FROM used u
        WHERE NOT EXISTS (SELECT FROM hold h WHERE h.id = u.hold_id AND h.flavor_id IS NULL)
    ) known
    GROUP BY budget_id, day HAVING sum(micro) <> 0
), found AS (
    SELECT v.what, coalesce(h.hold_id::text, 'no hold') AS id, coalesce(v.cached, 0) AS cached, v.difference
    FROM holds h LEFT JOIN hold ON hold.id = h.hold_id
    CROSS JOIN LATERAL (VALUES
        ('hold.amount', hold.amount, h.amount), ('hold.posted', hold.posted_micro, h.posted),
        ('hold.corrected', hold.corrected_micro, h.corrected),
        ('hold.spent', (SELECT sum(p.used) FROM hold_part p WHERE p.hold_id = h.hold_id), h.spent),
        ('hold.ends', CASE hold.state
            WHEN 'settled' THEN 1 WHEN 'voided' THEN 1000 WHEN 'expired' THEN 1000000 ELSE 0 END, h.ends)
    ) AS v(what, cached, difference)
    UNION ALL
    SELECT 'usage_day', d.budget_id || ' ' || d.day, coalesce(k.micro, 0), d.micro
    FROM days d LEFT JOIN (SELECT budget_id, day, sum(micro) AS micro FROM usage_day GROUP BY 1, 2) k
        ON k.budget_id = d.budget_id AND k.day = d.day
)
SELECT what, id, cached, cached - difference FROM found WHERE difference <> 0 ORDER BY what, id
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


# Sums by command fit into memory; compiling the statements would take longer than running them.
_SETTINGS = ("SET LOCAL work_mem = '128MB'", "SET LOCAL jit = off")


def audit() -> list[Difference]:
    """Recompute every balance from the entries and the holds; an honest ledger gives an empty list."""
    values = {"zone": DEFAULT_ZONE, "now": clock.now()}
    db.session.flush()
    for setting in _SETTINGS:
        db.session.execute(sa.text(setting))
    return [
        Difference(what, row_id, int(cached), int(computed))
        for statement in (_PLACES, _BALANCED, _COMMANDS, _SHARES)
        for what, row_id, cached, computed in db.session.execute(sa.text(statement), values)
    ]
