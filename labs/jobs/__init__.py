"""Scheduled work on labs: start, follow, reconcile, charge, end. The hub is called between two transactions."""

from datetime import timedelta

from app.jobs import Job
from labs.jobs.accounting import import_accounting
from labs.jobs.auditing import audit_ledger
from labs.jobs.budgets import give_back_credits, warn_of_budgets
from labs.jobs.closing import close_months
from labs.jobs.following import follow_sessions
from labs.jobs.idle import stop_idle
from labs.jobs.leases import end_leases, expire_credits, expire_holds, post_usage
from labs.jobs.quotas import watch_quotas
from labs.jobs.rates import apply_rates
from labs.jobs.reconciling import reconcile_centers
from labs.jobs.repairing import repair_drift
from labs.jobs.sharing import share_labs
from labs.jobs.starting import start_sessions
from labs.jobs.waiting import offer_places

JOBS = [
    Job(start_sessions, every=timedelta(seconds=2)),
    Job(follow_sessions, every=timedelta(milliseconds=400)),
    Job(reconcile_centers, every=timedelta(seconds=10)),
    Job(repair_drift, every=timedelta(seconds=15)),
    Job(offer_places, every=timedelta(seconds=5)),
    Job(end_leases, every=timedelta(seconds=5)),
    Job(share_labs, every=timedelta(seconds=5)),
    Job(stop_idle, every=timedelta(seconds=30)),
    Job(import_accounting, every=timedelta(seconds=60)),
    Job(post_usage, every=timedelta(seconds=60)),
    Job(expire_credits, every=timedelta(minutes=10)),
    Job(expire_holds, every=timedelta(minutes=5)),
    Job(apply_rates, every=timedelta(seconds=30)),
    Job(watch_quotas, every=timedelta(seconds=30)),
    Job(give_back_credits, every=timedelta(minutes=10)),
    Job(warn_of_budgets, every=timedelta(days=1)),
    Job(audit_ledger, every=timedelta(hours=6)),
    Job(close_months, every=timedelta(hours=1)),
]
