"""The labs API."""

from labs.api import (
    accounting,
    budget_tree,
    budgets,
    centers,
    decisions,
    holds,
    ledger,
    life,
    requests,
    sessions,
    statements,
    terms,
)

BLUEPRINTS = (
    sessions.blp,
    ledger.sessions_blp,
    ledger.flavors_blp,
    life.sessions_blp,
    life.looks_blp,
    life.files_blp,
    centers.blp,
    accounting.blp,
    budgets.blp,
    budget_tree.blp,
    requests.blp,
    holds.blp,
    statements.blp,
    decisions.blp,
)

__all__ = ["BLUEPRINTS", "terms"]
