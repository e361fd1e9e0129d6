"""The shapes that the labs API reads and writes."""

from labs.schemas.budgets import (
    BudgetSchema,
    BudgetUsageSchema,
    CapSchema,
    GrantSchema,
    MemberCapSchema,
    PurseSchema,
    TransferSchema,
)
from labs.schemas.centers import CenterBriefSchema, CenterChangeSchema, CenterSchema, DriftSchema, FlavorSchema
from labs.schemas.holds import ExtendHoldSchema, HoldSchema, HoldUsageSchema, ReserveSchema
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
    "BudgetUsageSchema",
    "CapSchema",
    "CenterBriefSchema",
    "CenterChangeSchema",
    "CenterSchema",
    "DriftSchema",
    "ExtendHoldSchema",
    "ExtendSchema",
    "FlavorSchema",
    "GrantSchema",
    "HoldSchema",
    "HoldUsageSchema",
    "KeepAliveSchema",
    "LaunchPanelSchema",
    "LevelSchema",
    "LookSchema",
    "MemberCapSchema",
    "OfferSchema",
    "OutlookSchema",
    "PurseSchema",
    "RepeatSchema",
    "ReserveSchema",
    "SessionQuerySchema",
    "SessionSchema",
    "StorageSchema",
    "TransferSchema",
]
