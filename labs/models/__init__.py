"""The tables of labs, by what they are about; imported from here."""

from labs.models.budgets import (
    Budget,
    BudgetKind,
    BudgetManager,
    ComputeRequest,
    MemberCap,
    Purse,
    RequestKind,
    RequestState,
)
from labs.models.centers import Center, CenterLoad, CenterState, CenterTerms, Flavor, Rate, TermsAcceptance
from labs.models.decisions import Decision, Outcome
from labs.models.homes import HomeRemoval, HomeUsage
from labs.models.ledger import (
    Account,
    Command,
    Hold,
    HoldPart,
    HoldState,
    LedgerEntry,
    LedgerPeriod,
    LedgerTransaction,
    Statement,
    Tranche,
    UsageDay,
)
from labs.models.sessions import (
    IN_LINE,
    LIVE,
    LIVE_STATES,
    LabSession,
    SessionActivity,
    SessionState,
    SessionView,
    Sighting,
    ViewState,
)
from labs.models.strays import Stray
from labs.models.templates import LabFile, LabTemplate, template_flavor
from labs.tariff import HOUR

__all__ = [
    "HOUR",
    "IN_LINE",
    "LIVE",
    "LIVE_STATES",
    "Account",
    "Budget",
    "BudgetKind",
    "BudgetManager",
    "Center",
    "CenterLoad",
    "CenterState",
    "CenterTerms",
    "Command",
    "ComputeRequest",
    "Decision",
    "Flavor",
    "Hold",
    "HoldPart",
    "HoldState",
    "HomeRemoval",
    "HomeUsage",
    "LabFile",
    "LabSession",
    "LabTemplate",
    "LedgerEntry",
    "LedgerPeriod",
    "LedgerTransaction",
    "MemberCap",
    "Outcome",
    "Purse",
    "Rate",
    "RequestKind",
    "RequestState",
    "SessionActivity",
    "SessionState",
    "SessionView",
    "Sighting",
    "Statement",
    "Stray",
    "TermsAcceptance",
    "Tranche",
    "UsageDay",
    "ViewState",
    "template_flavor",
]
