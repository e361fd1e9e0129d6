"""Reads on holds: credits that were put aside."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, or_, select, true

from accounts.queries import takes_part_now
from app.access import Actor
from app.db import db
from app.errors import NotFound
from app.statements import Question, Read
from labs import policy
from labs.models import Budget, Center, CenterState, Flavor, Hold, HoldState, LedgerTransaction
from labs.queries.budgets import looked_after_by


@dataclass(frozen=True, slots=True)
class HoldFacts:
    """A hold as it was at a moment, to be shown when its transaction is over."""

    id: UUID
    budget_id: UUID
    person_id: UUID
    center_id: UUID
    flavor_id: UUID | None
    purpose: str | None
    state: HoldState
    seconds: int | None
    amount: int
    price_micro: int
    posted_seconds: int
    posted_micro: int
    created_at: datetime
    started_at: datetime | None
    expires_at: datetime | None
    closed_at: datetime | None

    @classmethod
    def of(cls, hold: Any) -> "HoldFacts":
        """Of the model, or of a row with its columns."""
        return cls(*_FACTS_OF(hold))


_COLUMNS = tuple(HoldFacts.__dataclass_fields__)
_FACTS_OF = attrgetter(*_COLUMNS)


@dataclass(frozen=True)
class HoldPlace:
    """What never changes about a hold: where it belongs, since when, and whether a program made it."""

    budget_id: UUID
    partner_id: UUID
    created_at: datetime
    is_of_program: bool


@dataclass(frozen=True)
class HoldTerms:
    """What a hold on this budget with this flavor hangs on, besides credits."""

    is_closed: bool
    starts_at: datetime
    ends_at: datetime
    partner_id: UUID
    flavor_is_active: bool
    longest_minutes: int
    center: str
    center_state: CenterState
    center_partner_id: UUID
    partner_agreed: bool
    center_agreed: bool


PLACES = 100_000  # kept in this process at the most
_PLACES: dict[UUID, HoldPlace] = {}


def hold(actor: Actor, hold_id: UUID) -> HoldFacts:
    """The hold, for those who may see it; for others there is no such thing."""
    visible_place(actor, hold_id)
    return HoldFacts(*_hold()(hold_id=hold_id)[0])


def terms_question(budget_ids: set[UUID], flavor_ids: set[UUID], now: datetime) -> tuple[Question, dict[str, Any]]:
    """What to ask for `terms_in`."""
    return _terms().question(budget_ids=list(budget_ids), flavor_ids=list(flavor_ids), now=now)


def terms_in(found: list[tuple[Any, ...]]) -> dict[tuple[UUID, UUID], HoldTerms]:
    """By budget and flavor; what does not exist is not among them."""
    return {(budget_id, flavor_id): HoldTerms(*rest) for budget_id, flavor_id, *rest in _terms().made(found)}


def visible_place(actor: Actor, hold_id: UUID) -> HoldPlace:
    """Where the hold belongs, for those who may see it: its budget is theirs to look after, or it is for them."""
    place = place_of_hold(hold_id)
    if policy.may_hold(actor, place.partner_id):
        return place
    mine = or_(Hold.person_id == actor.person_id, looked_after_by(actor))
    statement = select(Hold.id).join(Budget, Budget.id == Hold.budget_id).where(Hold.id == hold_id, mine)
    if actor.person_id is None or db.session.scalar(statement) is None:
        raise NotFound
    return place


def place_of_hold(hold_id: UUID) -> HoldPlace:
    """Kept in this process, because each of many requests about a hold asks, and the answer stays."""
    place = _PLACES.get(hold_id)
    if place is None:
        found = _place()(hold_id=hold_id)
        if not found:
            raise NotFound
        remember_place(hold_id, place := HoldPlace(*found[0]))
    return place


def remember_place(hold_id: UUID, place: HoldPlace) -> None:
    """Of a hold whose transaction has committed."""
    if len(_PLACES) >= PLACES:
        _PLACES.clear()
    _PLACES[hold_id] = place


@lru_cache(maxsize=10_000)
def partner_of_budget(budget_id: UUID) -> UUID:
    """Whose budget it is. It stays so, and is kept in this process."""
    found = _partner()(budget_id=budget_id)
    if not found:
        raise NotFound
    partner_id: UUID = found[0][0]
    return partner_id


def known_keys(keys: list[str]) -> set[str]:
    """Those of the keys under which something was done before."""
    return set(db.session.scalars(select(LedgerTransaction.key).where(LedgerTransaction.key.in_(keys))))


def flavor_id(center_slug: str, slug: str) -> UUID | None:
    """The flavor that people call so at that center."""
    statement = select(Flavor.id).join(Center, Center.id == Flavor.center_id)
    return db.session.scalar(statement.where(Center.slug == center_slug, Flavor.slug == slug))


@cache
def _place() -> Read:
    of_program = Hold.purpose.is_not(None).label("is_of_program")
    statement = select(Hold.budget_id, Budget.partner_id, Hold.created_at, of_program)
    return Read(statement.join(Budget, Budget.id == Hold.budget_id).where(Hold.id == bindparam("hold_id")))


@cache
def _hold() -> Read:
    return Read(select(*(getattr(Hold, name) for name in _COLUMNS)).where(Hold.id == bindparam("hold_id")))


@cache
def _partner() -> Read:
    return Read(select(Budget.partner_id).where(Budget.id == bindparam("budget_id")))


@cache
def _terms() -> Read:
    return Read(
        select(
            *(Budget.id, Flavor.id, Budget.is_closed, Budget.starts_at, Budget.ends_at, Budget.partner_id),
            *(Flavor.is_active, Flavor.longest_minutes, Center.slug, Center.state, Center.partner_id),
            *(takes_part_now(Budget.partner_id), takes_part_now(Center.partner_id)),
        )
        .join_from(Flavor, Center, Center.id == Flavor.center_id)
        .join(Budget, true())
        .where(Budget.id == any_(bindparam("budget_ids", type_=ARRAY(Uuid))))
        .where(Flavor.id == any_(bindparam("flavor_ids", type_=ARRAY(Uuid))))
    )
