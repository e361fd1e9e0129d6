"""The labs API."""

from labs.api import budget_tree, budgets, centers, requests, sessions

BLUEPRINTS = (sessions.blp, centers.blp, budgets.blp, budget_tree.blp, requests.blp)
