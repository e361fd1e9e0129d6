"""Reads on the log of decisions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import joinedload

from accounts.models import Person
from app.access import Actor
from app.db import db
from app.errors import NotFound
from labs.errors import LaunchRefused
from labs.models import Budget, Center, Decision, Flavor, LabTemplate, Outcome
from labs.queries.budgets import looked_after_by, manages


@dataclass(frozen=True)
class DecisionFilter:
    """Which decisions are wanted; None: all. `day` is a moment: the 24 hours from it."""

    person_id: UUID | None = None
    words: str | None = None  # in the person's name or address
    outcome: Outcome | None = None
    reason: str | None = None
    center_slug: str | None = None
    budget_id: UUID | None = None
    session_id: UUID | None = None
    day: datetime | None = None


def request_of(session_id: UUID) -> str:
    """The id of the request that last asked for this session; empty where nobody knows."""
    statement = select(Decision.request_id).where(Decision.session_id == session_id).order_by(Decision.id.desc())
    return db.session.scalar(statement.limit(1)) or ""


def decisions_seen_by(actor: Actor, wanted: DecisionFilter = DecisionFilter()) -> Select[Decision]:
    """Everybody's for operators; otherwise one's own and those on the budgets one looks after. Newest first."""
    statement = select(Decision).options(joinedload(Decision.person)).order_by(Decision.id.desc())
    if not actor.may_operate:
        managed = select(Budget.id).where(looked_after_by(actor))
        statement = statement.where(or_(Decision.person_id == actor.person_id, Decision.budget_id.in_(managed)))
    for column, value in (
        (Decision.person_id, wanted.person_id),
        (Decision.outcome, wanted.outcome),
        (Decision.reason, wanted.reason),
        (Decision.budget_id, wanted.budget_id),
        (Decision.session_id, wanted.session_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.center_slug:
        statement = statement.where(Decision.center_id.in_(select(Center.id).where(Center.slug == wanted.center_slug)))
    if wanted.words:
        statement = statement.join(Person, Person.id == Decision.person_id).where(
            or_(
                Person.name.icontains(wanted.words, autoescape=True),
                Person.email.icontains(wanted.words, autoescape=True),
            )
        )
    if wanted.day is not None:
        statement = statement.where(
            Decision.created_at >= wanted.day, Decision.created_at < wanted.day + timedelta(days=1)
        )
    return statement


def decision(actor: Actor, decision_id: UUID) -> Decision:
    """The decision, for those who may see it; for others there is no such thing."""
    found = db.session.get(Decision, decision_id)
    if found is None:
        raise NotFound
    mine = found.person_id == actor.person_id or actor.may_operate
    if not mine and (found.budget_id is None or not manages(actor, found.budget_id)):
        raise NotFound
    return found


@dataclass(frozen=True)
class Names:
    """What a decision was about, as far as it still exists."""

    lab: LabTemplate | None
    flavor: Flavor | None
    center: Center | None


def names_in_decision(row: Decision) -> Names:
    return Names(
        lab=db.session.get(LabTemplate, row.template_id) if row.template_id else None,
        flavor=db.session.get(Flavor, row.flavor_id) if row.flavor_id else None,
        center=db.session.get(Center, row.center_id) if row.center_id else None,
    )


def refusal_reasons() -> list[tuple[str, str]]:
    """Every reason a launch can be refused for, and its words, in the order of the words."""
    kinds = _below(LaunchRefused)
    return sorted(((kind.reason, str(kind.title)) for kind in kinds), key=lambda pair: pair[1])


def _below(kind: type[LaunchRefused]) -> list[type[LaunchRefused]]:
    return [one for child in kind.__subclasses__() for one in (child, *_below(child))]


def looks_after_any(actor: Actor) -> bool:
    """Whether there is a budget whose decisions the actor sees."""
    return db.session.scalar(select(Budget.id).where(looked_after_by(actor)).limit(1)) is not None
