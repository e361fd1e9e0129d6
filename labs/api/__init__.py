"""The labs API."""

from labs.api import budgets, centers, sessions

BLUEPRINTS = (sessions.blp, centers.blp, budgets.blp)
