"""Reads for the operator's console: numbers of centers, sessions by what one looks for, the line. Counted by index."""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import joinedload

from accounts.models import Partner, Person
from app.db import db
from labs.models import (
    IN_LINE,
    LIVE_STATES,
    Account,
    Budget,
    Center,
    CenterLoad,
    Decision,
    LabSession,
    LedgerEntry,
    SessionState,
)


@dataclass
class CenterNumbers:
    """How a center stands. `states` counts its live sessions."""

    taken: int = 0
    loss_micro: int = 0
    states: dict[SessionState, int] = field(default_factory=dict)

    @property
    def places(self) -> int:
        return sum(number for state, number in self.states.items() if state is not SessionState.WAITING)

    @property
    def waiting(self) -> int:
        return self.states.get(SessionState.WAITING, 0)

    @property
    def starting(self) -> int:
        return self.states.get(SessionState.STARTING, 0) + self.states.get(SessionState.RESERVED, 0)


@dataclass(frozen=True)
class Wanted:
    """Which sessions an operator looks for. `state` is a state, "live" or "all"."""

    state: str = "live"
    center: str = ""
    partner: str = ""
    person: str = ""


def center_numbers() -> dict[UUID, CenterNumbers]:
    found: dict[UUID, CenterNumbers] = {}
    for center_id, taken in db.session.execute(select(CenterLoad.center_id, CenterLoad.taken)):
        found.setdefault(center_id, CenterNumbers()).taken = taken
    live = select(LabSession.center_id, LabSession.state, func.count()).where(LabSession.state.in_(LIVE_STATES))
    for center_id, state, number in db.session.execute(live.group_by(LabSession.center_id, LabSession.state)):
        found.setdefault(center_id, CenterNumbers()).states[state] = number
    lost = select(LedgerEntry.center_id, func.sum(LedgerEntry.amount)).where(
        LedgerEntry.budget_id.is_(None), LedgerEntry.account == Account.LOSS
    )
    for loser_id, amount in db.session.execute(lost.group_by(LedgerEntry.center_id)):
        if loser_id is not None:
            found.setdefault(loser_id, CenterNumbers()).loss_micro = int(amount)
    return found


def sessions_wanted(wanted: Wanted) -> Select[LabSession]:
    """Sessions of the whole platform, the latest first. For operators."""
    statement = select(LabSession).order_by(LabSession.id.desc())
    if wanted.state == "live":
        statement = statement.where(LabSession.state.in_(LIVE_STATES))
    elif wanted.state != "all":
        statement = statement.where(LabSession.state == SessionState(wanted.state))
    if wanted.center:
        centers = select(Center.id).where(Center.slug == wanted.center)
        statement = statement.where(LabSession.center_id.in_(centers))
    if wanted.partner:
        budgets = select(Budget.id).join(Partner, Partner.id == Budget.partner_id).where(Partner.slug == wanted.partner)
        statement = statement.where(LabSession.budget_id.in_(budgets))
    if wanted.person:
        people = select(Person.id).where(
            Person.name.icontains(wanted.person, autoescape=True)
            | Person.name_latin.icontains(wanted.person, autoescape=True)
        )
        statement = statement.where(LabSession.person_id.in_(people))
    return statement


def line(limit: int = 50) -> list[LabSession]:
    """Those who wait for a place, in order."""
    statement = (
        select(LabSession)
        .where(LabSession.state.in_(IN_LINE))
        .order_by(LabSession.center_id, LabSession.waiting_since, LabSession.id)
        .limit(limit)
    )
    return list(db.session.scalars(statement))


def latest_decisions(limit: int = 10) -> list[Decision]:
    statement = select(Decision).options(joinedload(Decision.person)).order_by(Decision.id.desc()).limit(limit)
    return list(db.session.scalars(statement))
