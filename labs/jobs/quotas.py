"""Quotas of Slurm clusters: notice when nobody keeps them."""

from app.db import transaction
from labs.services import slurm_quotas


def watch_quotas() -> int:
    """Tell operators of clusters whose keeper is silent."""
    with transaction():
        return slurm_quotas.watch()
