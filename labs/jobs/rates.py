"""The job that lets prices follow the rates that have begun."""

from app.db import transaction
from labs.services import rates


def apply_rates() -> int:
    """Show for every flavor the price in force."""
    with transaction():
        return rates.apply()
