"""Compute: centers, flavors, budgets, the ledger, and lab sessions."""
