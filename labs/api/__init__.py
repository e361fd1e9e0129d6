"""The labs API."""

from labs.api import budget_tree, budgets, centers, life, requests, sessions, statements

BLUEPRINTS = (
    sessions.blp,
    life.sessions_blp,
    life.looks_blp,
    life.files_blp,
    centers.blp,
    budgets.blp,
    budget_tree.blp,
    requests.blp,
    statements.blp,
)
