"""The pages of labs: the same services as the API, in HTML."""

from labs.pages import (
    accounting,
    budget_tree,
    budgets,
    decisions,
    labs,
    life,
    operations,
    rates,
    requests,
    statements,
    terms,
)
from labs.pages.blueprint import blp
from labs.pages.labs import home_part

__all__ = [
    "accounting",
    "blp",
    "budget_tree",
    "budgets",
    "decisions",
    "home_part",
    "labs",
    "life",
    "operations",
    "rates",
    "requests",
    "statements",
    "terms",
]
