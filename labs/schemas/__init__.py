"""The shapes that the labs API reads and writes."""

from labs.schemas.budgets import BudgetSchema, CapSchema, GrantSchema, MemberCapSchema, PurseSchema, TransferSchema
from labs.schemas.centers import CenterBriefSchema, CenterSchema, CenterStateSchema, DriftSchema, FlavorSchema
from labs.schemas.life import (
    AnswerLookSchema,
    AskLookSchema,
    ExtendSchema,
    KeepAliveSchema,
    LookSchema,
    OutlookSchema,
    RepeatSchema,
    StorageSchema,
)
from labs.schemas.panel import LaunchPanelSchema, LevelSchema, OfferSchema
from labs.schemas.sessions import SessionQuerySchema, SessionSchema

__all__ = [
    "AnswerLookSchema",
    "AskLookSchema",
    "BudgetSchema",
    "CapSchema",
    "CenterBriefSchema",
    "CenterSchema",
    "CenterStateSchema",
    "DriftSchema",
    "ExtendSchema",
    "FlavorSchema",
    "GrantSchema",
    "KeepAliveSchema",
    "LaunchPanelSchema",
    "LevelSchema",
    "LookSchema",
    "MemberCapSchema",
    "OfferSchema",
    "OutlookSchema",
    "PurseSchema",
    "RepeatSchema",
    "SessionQuerySchema",
    "SessionSchema",
    "StorageSchema",
    "TransferSchema",
]
