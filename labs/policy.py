"""Who may do what with labs and budgets: pure functions that services and templates ask."""

from uuid import UUID

from app.access import Actor
from labs.models import Budget, LabSession


def may_operate(actor: Actor) -> bool:
    """Centers, flavors, every session: for operators."""
    return actor.may_operate


def may_see_budget(actor: Actor, budget: Budget, *, manages: bool) -> bool:
    return actor.may_operate or actor.administers(budget.partner_id) or manages


def may_fund(actor: Actor, budget: Budget) -> bool:
    """Passing on what a partner has is the partner's own business."""
    return actor.administers(budget.partner_id)


def may_grant(actor: Actor) -> bool:
    """New credits come from those who run the centers."""
    return actor.may_operate


def may_close_periods(actor: Actor) -> bool:
    """The books are those of the centers, so their operators close them."""
    return actor.may_operate


def may_see_statements(actor: Actor, partner_id: UUID) -> bool:
    return actor.may_operate or actor.administers(partner_id)


def may_open_budget(actor: Actor, parent: Budget, *, teaches: bool) -> bool:
    return actor.administers(parent.partner_id) or teaches


def may_manage_members(actor: Actor, budget: Budget, *, manages: bool) -> bool:
    return actor.administers(budget.partner_id) or manages


def may_see_session(actor: Actor, session: LabSession, *, manages: bool) -> bool:
    return actor.person_id == session.person_id or actor.may_operate or manages


def may_stop_session(actor: Actor, session: LabSession, *, manages: bool) -> bool:
    return may_see_session(actor, session, manages=manages)


def may_open_session(actor: Actor, session: LabSession) -> bool:
    """Only the one whose lab it is goes inside."""
    return actor.person_id == session.person_id


def stop_reason(actor: Actor, session: LabSession) -> str:
    """In what quality somebody stops a session."""
    if actor.person_id == session.person_id:
        return "student"
    return "operator" if actor.may_operate else "teacher"
