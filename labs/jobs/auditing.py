"""The job that recomputes the ledger and keeps how many balances differed, for those who watch the platform."""

import logging
import time

from app.db import transaction
from labs import ledger
from labs.services import audits

log = logging.getLogger(__name__)
TOLD = 20  # differences, one by one


def audit_ledger() -> int:
    """Return how many balances differ; an honest ledger has none."""
    with transaction():
        began = time.perf_counter()
        differences = ledger.audit()
        audits.keep(len(differences), time.perf_counter() - began)
    for found in differences[:TOLD]:
        log.error("a balance differs from its entries", extra={"what": found.what, "id": found.id})
    return len(differences)
