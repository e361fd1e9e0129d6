"""Look after budgets: warn when one runs out, and give back what labs returned to a closed one."""

from app.db import transaction
from labs.services import budget_news, budget_tree


def warn_of_budgets() -> int:
    """Tell those who look after a budget that most of it is used, or that it will not last."""
    with transaction():
        watched = budget_news.watched_ids()
    told = 0
    for budget_id in watched:
        with transaction():
            told += budget_news.warn(budget_id)
    return told


def give_back_credits() -> int:
    """What came back to closed budgets goes to those above."""
    with transaction():
        found = budget_tree.closed_with_credits()
    done = 0
    for budget_id in found:
        with transaction():
            done += budget_tree.give_back_after(budget_id) > 0
    return done
