"""Audits of the ledger: that there was one, and what it found."""

from datetime import timedelta

from sqlalchemy import delete

from app import clock
from app.db import db
from labs.models import LedgerAudit

KEPT = timedelta(days=366)


def keep(differences: int, seconds: float) -> None:
    """Remember an audit, and forget those of long ago."""
    db.session.add(LedgerAudit(differences=differences, seconds=seconds))
    db.session.execute(delete(LedgerAudit).where(LedgerAudit.created_at < clock.now() - KEPT))
