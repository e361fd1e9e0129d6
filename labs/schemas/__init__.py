"""The shapes that the labs API reads and writes."""

from labs.schemas.budgets import BudgetSchema, CapSchema, GrantSchema, MemberCapSchema, PurseSchema, TransferSchema
from labs.schemas.centers import CenterBriefSchema, CenterSchema, CenterStateSchema, FlavorSchema
from labs.schemas.panel import LaunchPanelSchema, LevelSchema, OfferSchema
from labs.schemas.sessions import SessionQuerySchema, SessionSchema

__all__ = [
    "BudgetSchema",
    "CapSchema",
    "CenterBriefSchema",
    "CenterSchema",
    "CenterStateSchema",
    "FlavorSchema",
    "GrantSchema",
    "LaunchPanelSchema",
    "LevelSchema",
    "MemberCapSchema",
    "OfferSchema",
    "PurseSchema",
    "SessionQuerySchema",
    "SessionSchema",
    "TransferSchema",
]
