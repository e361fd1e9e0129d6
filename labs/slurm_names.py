"""What a Slurm cluster calls our partners and budgets. Fixed: whoever speaks to a cluster takes the names from here."""

from uuid import UUID

TRUNK = "chancai"  # the account below which all of ours hang
LAB, BATCH = "lab", "batch"  # the qualities of service


def of_partner(partner_id: UUID) -> str:
    """The partner's account, a child of the trunk."""
    return f"p_{partner_id.hex}"


def of_budget(budget_id: UUID) -> str:
    """The budget's account, a child of its parent budget's, or else of its partner's."""
    return f"b_{budget_id.hex}"
