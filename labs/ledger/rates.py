"""Which tariff is in force for a flavor. Rates are only ever added; a hold pins the one it was made under."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.statements import Question, ask
from labs.tariff import HOUR, SLACK, Band, Tariff

__all__ = ["SLACK", "Band", "Offer", "Tariff", "offers", "price", "tariff"]

# The rate in force; the flavor's own price where it never had one (rows from before rates had versions).
_OFFERS = Question(
    """
    SELECT f.id, f.center_id, f.is_rescue, c.time_zone, coalesce(r.price_micro, f.price_micro), r.bands
    FROM flavor f
    JOIN center c ON c.id = f.center_id
    LEFT JOIN LATERAL (
        SELECT price_micro, bands FROM rate
        WHERE flavor_id = f.id AND valid_from <= CAST(:at AS timestamptz)
        ORDER BY valid_from DESC LIMIT 1
    ) r ON true
    WHERE f.id = ANY(CAST(:ids AS uuid[]))
    """
)


@dataclass(frozen=True)
class Offer:
    """A flavor as the ledger sees it: whose it is, what it costs now, and the bands as they are pinned."""

    center_id: UUID
    tariff: Tariff
    bands: list[dict[str, object]]
    is_rescue: bool


def offers(flavor_ids: Iterable[UUID], at: datetime) -> dict[UUID, Offer]:
    """What each of these flavors costs at that moment."""
    (found,) = ask(question(flavor_ids, at))
    return offers_in(found)


def question(flavor_ids: Iterable[UUID], at: datetime) -> tuple[Question, dict[str, Any]]:
    """What to ask for `offers_in`."""
    return _OFFERS, {"ids": sorted(set(flavor_ids)), "at": at}


def offers_in(found: Iterable[tuple[Any, ...]]) -> dict[UUID, Offer]:
    known = {}
    for flavor_id, center_id, is_rescue, zone, price, bands in found:
        price, bands = (0, []) if is_rescue else (price, bands or [])
        known[flavor_id] = Offer(center_id, Tariff.of(price, bands, zone), bands, is_rescue)
    return known


def price(price_micro: int, seconds: int) -> int:
    """What to put aside for so many seconds at one price: rounded up, so that usage, rounded down, always fits."""
    return -(-price_micro * seconds // HOUR)


def tariff(flavor_id: UUID, at: datetime) -> Tariff:
    """What the flavor costs at that moment, by the clock of its center."""
    return offers([flavor_id], at)[flavor_id].tariff
