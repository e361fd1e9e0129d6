"""The pages of courses, one module for each place: the catalog, a run and its units, teaching."""

from courses.pages import catalog, runs, teaching
from courses.pages.runs import home_part

BLUEPRINTS = (catalog.blp, runs.blp, teaching.blp)

__all__ = ["BLUEPRINTS", "home_part"]
