"""The pages of labs: the same services as the API, in HTML."""

from labs.pages import budgets, decisions, labs, life, operations, terms
from labs.pages.blueprint import blp
from labs.pages.labs import home_part

__all__ = ["blp", "budgets", "decisions", "home_part", "labs", "life", "operations", "terms"]
