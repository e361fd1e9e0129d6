"""A hold as a batch has it in hand: the columns of its row, without the session that watches objects."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from labs.models import Hold, HoldState
from labs.tariff import Tariff


@dataclass(slots=True)
class HoldRow:
    """Every column of `hold`; what they mean stands there."""

    id: UUID
    created_at: datetime
    budget_id: UUID
    person_id: UUID
    center_id: UUID
    flavor_id: UUID | None
    price_micro: int
    bands: list[dict[str, Any]]
    time_zone: str | None
    purpose: str | None
    seconds: int | None
    amount: int
    started_at: datetime | None
    expires_at: datetime | None
    posted_seconds: int
    posted_micro: int
    corrected_micro: int
    state: HoldState
    closed_at: datetime | None

    @property
    def tariff(self) -> Tariff:
        """The rate that was pinned."""
        return Tariff.of(self.price_micro, self.bands or (), self.time_zone)


COLUMNS = tuple(HoldRow.__dataclass_fields__)
AnyHold = Hold | HoldRow
