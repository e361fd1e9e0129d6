"""Sweeps of accounts: what is over is removed."""

from datetime import timedelta

from accounts.services import attempts, hub_sign_on
from app.db import transaction
from app.jobs import Job


def forget_old_sign_on() -> int:
    """Remove counters of attempts, codes and tokens of hubs whose time is over."""
    with transaction():
        return attempts.forget_old() + hub_sign_on.forget_old()


JOBS = (Job(forget_old_sign_on, timedelta(hours=1)),)
