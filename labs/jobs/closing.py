"""Close the books of months that are over."""

from app.access import SYSTEM
from app.db import transaction
from labs.services import periods


def close_months() -> int:
    """Close each month that ended a day ago or earlier, one after the other; return how many."""
    closed = 0
    while True:
        with transaction():
            month = periods.due()
            if month is None:
                return closed
            periods.close(SYSTEM, month)
        closed += 1
