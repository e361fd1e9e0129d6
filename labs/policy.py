"""Who may do what with labs and budgets: pure functions that services and templates ask."""

from uuid import UUID

from app.access import Actor
from labs.models import Budget, BudgetKind, ComputeRequest, LabSession, RequestKind, SessionView

PUT_IN_CHARGE = frozenset({BudgetKind.PROGRAM, BudgetKind.CONTEST, BudgetKind.PROJECT})
DECIDED_BY_OPERATORS = frozenset({RequestKind.GRANT, RequestKind.EXTENSION, RequestKind.CORRECTION})


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


def may_hold(actor: Actor, partner_id: UUID) -> bool:
    """Programs put credits aside for those who run the platform, and for a partner on budgets of its own."""
    return actor.may_operate or actor.administers(partner_id)


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


def may_extend_session(actor: Actor, session: LabSession, *, manages: bool) -> bool:
    """Its person, who looks after the budget that pays, and operators."""
    return may_see_session(actor, session, manages=manages)


def may_keep_running(actor: Actor, session: LabSession) -> bool:
    """Only its person says that a lab in which nothing runs is needed all the same."""
    return actor.person_id == session.person_id


def may_ask_to_look(actor: Actor, session: LabSession, *, appointed: bool) -> bool:
    """Who teaches with the budget may ask; nobody who only pays or operates."""
    return appointed and actor.person_id != session.person_id


def may_answer_look(actor: Actor, session: LabSession) -> bool:
    """Whose lab it is, and nobody else."""
    return actor.person_id == session.person_id


def may_end_look(actor: Actor, view: SessionView, session: LabSession) -> bool:
    return actor.person_id in (view.viewer_id, session.person_id)


def may_open_session(actor: Actor, session: LabSession) -> bool:
    """Only the one whose lab it is goes inside."""
    return actor.person_id == session.person_id


def stop_reason(actor: Actor, session: LabSession) -> str:
    """In what quality somebody stops a session."""
    if actor.person_id == session.person_id:
        return "student"
    return "operator" if actor.may_operate else "teacher"


def may_see_partners_budgets(actor: Actor, partner_id: UUID) -> bool:
    """The whole tree of a partner: for its administrators, and for operators."""
    return actor.may_operate or actor.administers(partner_id)


def may_shape(actor: Actor, budget: Budget) -> bool:
    """Opening a budget below, changing its dates, closing it, moving credits: the partner's own business."""
    return actor.administers(budget.partner_id)


def may_put_in_charge(actor: Actor, budget: Budget) -> bool:
    """Who looks after a program, a contest or a project; a run's teachers are those of the run."""
    return may_shape(actor, budget) and budget.kind in PUT_IN_CHARGE


def may_change_budget(actor: Actor, budget: Budget) -> bool:
    """A partner's own budget is changed by those who grant it; those below by the partner's administrator."""
    return may_grant(actor) if budget.parent_id is None else may_shape(actor, budget)


def may_ask(actor: Actor, kind: RequestKind, budget: Budget, *, manages: bool) -> bool:
    """New credits are asked for by the partner's administrator; all else by whoever looks after the budget.

    Who asks for a correction sees the session: `may_ask_correction`.
    """
    administers = actor.administers(budget.partner_id)
    return administers if kind is RequestKind.GRANT else administers or manages


def may_ask_correction(actor: Actor, session: LabSession, *, manages: bool) -> bool:
    """A charge given back may be asked for by whoever sees it."""
    return may_see_session(actor, session, manages=manages)


def decides(actor: Actor, request: ComputeRequest) -> bool:
    """New credits, time and losses are the operators' to give; what a partner has, its administrator moves."""
    if request.kind in DECIDED_BY_OPERATORS:
        return actor.may_operate
    return actor.administers(request.partner_id)


def asked(actor: Actor, request: ComputeRequest) -> bool:
    return actor.person_id is not None and actor.person_id == request.requested_by


def may_decide(actor: Actor, request: ComputeRequest) -> bool:
    """Four eyes: nobody decides on what they asked for themselves."""
    return decides(actor, request) and not asked(actor, request)


def may_see_request(actor: Actor, request: ComputeRequest, *, manages: bool) -> bool:
    return asked(actor, request) or manages or actor.may_operate or actor.administers(request.partner_id)
