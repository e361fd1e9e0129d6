"""The audit of the ledger under its first name; `labs.ledger.audit` is the same."""

from labs.ledger.auditing import Difference, audit

__all__ = ["Difference", "audit"]
