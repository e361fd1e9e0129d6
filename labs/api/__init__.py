"""The labs API."""

from labs.api import budget_tree, budgets, centers, decisions, life, requests, sessions, terms

BLUEPRINTS = (
    sessions.blp,
    life.sessions_blp,
    life.looks_blp,
    life.files_blp,
    centers.blp,
    budgets.blp,
    budget_tree.blp,
    requests.blp,
    decisions.blp,
)

__all__ = ["BLUEPRINTS", "terms"]
