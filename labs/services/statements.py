"""Statements handed out: whoever takes a file of what others used leaves a trace."""

from uuid import UUID

from app import audit
from app.access import Actor, require
from labs import policy, queries
from labs.queries.sheets import Sheet


def hand_out(actor: Actor, sheet: Sheet, form: str) -> Sheet:
    """Write down that this actor took the sheet away, in that form."""
    manages = sheet.budget_id is not None and queries.manages(actor, UUID(sheet.budget_id))
    require(policy.may_see_statements(actor, sheet.partner.id) or manages)
    audit.record(
        actor,
        "statement.download",
        sheet.partner,
        partner_id=sheet.partner.id,
        month=str(sheet.month),
        form=form,
        budget=sheet.budget_id,
    )
    return sheet
