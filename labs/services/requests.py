"""Asking for compute, and answering: what is approved moves in the same transaction, through the ledger.

The request's id is the key of the movement, so answering twice moves once; its row is locked while somebody
answers, so of two who do so at once one decides.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID, uuid5

from flask_babel import force_locale
from flask_babel import lazy_gettext as _
from sqlalchemy.dialects.postgresql import insert

from accounts.services import notices
from app import audit, clock, locale
from app.access import Actor, require, require_person
from app.db import db
from app.errors import Invalid, NotFound
from app.ids import uuid7
from labs import ledger, policy, queries
from labs.errors import (
    BudgetClosed,
    IdempotencyConflict,
    OwnRequest,
    RequestDecided,
    RequestNotPossible,
    RootBudget,
    TooManyOpenRequests,
)
from labs.models import Budget, BudgetKind, ComputeRequest, LabSession, RequestKind, RequestState

LONGEST_TEXT = 2000
OPEN_AT_ONCE = 20  # of one person
MOST_MICRO = 10**15
KEYS = UUID("6f1d0a0e-6c0e-4d7b-9a58-1d3c5b0f4f11")  # the name space of ids that are made from a client's key

KINDS = {
    RequestKind.GRANT: _("New credits"),
    RequestKind.SUPPLEMENT: _("More credits"),
    RequestKind.EXTENSION: _("More time"),
    RequestKind.TRANSFER: _("A transfer"),
    RequestKind.PULL_BACK: _("Giving back"),
    RequestKind.CORRECTION: _("A correction"),
}
FACTS = ("kind", "budget_id", "other_budget_id", "tranche_id", "session_id", "amount_micro", "valid_until", "reason")

notices.describe(
    "request-asked",
    _("%(name)s asks for compute"),
    _("%(what)s: %(wanted)s. “%(reason)s”"),
    label=_("Somebody asks for compute that you decide on"),
)
notices.describe(
    "request-approved",
    _("Approved: %(what)s"),
    _("%(wanted)s. %(note)s"),
    label=_("Compute that you asked for is approved"),
)
notices.describe(
    "request-declined",
    _("Declined: %(what)s"),
    _("%(wanted)s. “%(note)s”"),
    label=_("Compute that you asked for is declined"),
)


def ask(
    actor: Actor,
    kind: RequestKind,
    budget_id: UUID,
    *,
    reason: str,
    amount_micro: int | None = None,
    other_budget_id: UUID | None = None,
    tranche_id: UUID | None = None,
    valid_until: datetime | None = None,
    key: str | None = None,
) -> ComputeRequest:
    """Ask for a movement of credits. With a key, asking twice is asking once. Charges: `ask_correction`."""
    budget = queries.budget(budget_id)
    require(policy.may_ask(actor, kind, budget, manages=queries.manages(actor, budget_id)))
    if kind is RequestKind.CORRECTION:
        raise RequestNotPossible(_("A correction is asked for at the lab that was charged."))
    asked = ComputeRequest(
        kind=kind,
        partner_id=budget.partner_id,
        budget_id=budget_id,
        other_budget_id=other_budget_id if kind is RequestKind.TRANSFER else None,
        tranche_id=tranche_id if kind is RequestKind.EXTENSION else None,
        amount_micro=None if kind is RequestKind.EXTENSION else _amount(amount_micro),
        valid_until=valid_until if kind in (RequestKind.EXTENSION, RequestKind.GRANT) else None,
        reason=_text(reason),
    )
    _check(actor, asked, budget)
    return _put(actor, asked, key)


def ask_correction(
    actor: Actor, session_id: UUID, *, reason: str, amount_micro: int | None = None, key: str | None = None
) -> ComputeRequest:
    """Ask for a charge to be given back at the center's cost; without an amount, all of it."""
    session = queries.session(actor, session_id)
    require(policy.may_ask_correction(actor, session, manages=queries.manages(actor, session.budget_id)))
    if session.is_live or not session.charged_micro or session.hold is None:
        raise RequestNotPossible(_("Only what a lab that has ended was charged can be given back."))
    charged = session.charged_micro - session.hold.corrected_micro
    amount = _amount(charged if amount_micro is None else amount_micro)
    if amount > charged:
        raise RequestNotPossible(
            _("This lab was charged %(charged)s credits.", charged=locale.credits_text(charged, 4)),
            charged_micro=charged,
        )
    budget = queries.budget(session.budget_id)
    asked = ComputeRequest(
        kind=RequestKind.CORRECTION,
        partner_id=budget.partner_id,
        budget_id=budget.id,
        session_id=session_id,
        amount_micro=amount,
        reason=_text(reason),
    )
    return _put(actor, asked, key)


def approve(
    actor: Actor, request_id: UUID, *, amount_micro: int | None = None, note: str | None = None
) -> ComputeRequest:
    """Say yes, perhaps to less, and move the credits. What the ledger refuses stays open."""
    found = _to_decide(actor, request_id)
    granted = found.amount_micro if amount_micro is None else _amount(amount_micro)
    if found.amount_micro is None and amount_micro is not None:
        raise Invalid(_("This request is not about an amount."))
    if granted is not None and found.amount_micro is not None and granted > found.amount_micro:
        raise Invalid(_("No more than was asked for can be approved."), asked_micro=found.amount_micro)
    if found.state is RequestState.APPROVED and (found.decided_by, found.granted_micro) == (actor.person_id, granted):
        return found  # a second click
    _require_open(found)
    if found.kind is not RequestKind.CORRECTION:
        _require_not_closed(found.budget)

    MOVES[found.kind](actor, found, granted or 0)
    found.granted_micro = granted
    return _decided(actor, found, RequestState.APPROVED, note)


def decline(actor: Actor, request_id: UUID, note: str) -> ComputeRequest:
    """Say no, and why."""
    found = _to_decide(actor, request_id)
    note = _text(note)
    if found.state is RequestState.DECLINED and found.decided_by == actor.person_id and found.note == note:
        return found
    _require_open(found)
    return _decided(actor, found, RequestState.DECLINED, note)


def withdraw(actor: Actor, request_id: UUID) -> ComputeRequest:
    """Take back what one asked for, as long as nobody has answered."""
    found = queries.visible_request(actor, request_id, lock=True)
    require(policy.asked(actor, found))
    if found.state is RequestState.WITHDRAWN:
        return found
    _require_open(found)
    found.state = RequestState.WITHDRAWN
    audit.record(actor, "request.withdraw", found, partner_id=found.partner_id, kind=found.kind)
    db.session.flush()
    return found


def summary(asked: ComputeRequest, amount_micro: int | None = None) -> str:
    """What is wanted, in the reader's language: “20 credits for Deep Learning”."""
    title = locale.pick(asked.budget)
    amount = locale.credits_text(amount_micro if amount_micro is not None else asked.amount_micro)
    match asked.kind:
        case RequestKind.EXTENSION:
            until = locale.moment(asked.valid_until)
            return str(_("credits of %(budget)s valid until %(until)s", budget=title, until=until))
        case RequestKind.PULL_BACK:
            return str(_("%(amount)s credits back from %(budget)s", amount=amount, budget=title))
        case RequestKind.CORRECTION:
            return str(_("%(amount)s credits of a lab given back to %(budget)s", amount=amount, budget=title))
        case _:
            return str(_("%(amount)s credits for %(budget)s", amount=amount, budget=title))


# --- moving -------------------------------------------------------------------------------------------------------


def _grant(actor: Actor, found: ComputeRequest, amount: int) -> None:
    until = found.valid_until or found.budget.ends_at
    if until <= clock.now():
        raise RequestNotPossible(_("The time for which the credits were to be valid is over."))
    ledger.grant(
        found.budget_id,
        amount,
        clock.now(),
        until,
        key=_key(found),
        actor_id=actor.person_id,
        reason=found.reason,
    )


def _supplement(actor: Actor, found: ComputeRequest, amount: int) -> None:
    parent_id = found.budget.parent_id
    assert parent_id is not None, "checked when it was asked for"
    _require_not_closed(queries.budget(parent_id))
    ledger.transfer(parent_id, found.budget_id, amount, key=_key(found), actor_id=actor.person_id, reason=found.reason)


def _transfer(actor: Actor, found: ComputeRequest, amount: int) -> None:
    assert found.other_budget_id is not None, "checked when it was asked for"
    ledger.transfer(
        found.other_budget_id, found.budget_id, amount, key=_key(found), actor_id=actor.person_id, reason=found.reason
    )


def _pull_back(actor: Actor, found: ComputeRequest, amount: int) -> None:
    parent_id = found.budget.parent_id
    assert parent_id is not None, "checked when it was asked for"
    _require_not_closed(queries.budget(parent_id))
    ledger.pull_back(found.budget_id, parent_id, amount, key=_key(found), actor_id=actor.person_id, reason=found.reason)


def _prolong(actor: Actor, found: ComputeRequest, _amount: int) -> None:
    assert found.tranche_id is not None, "checked when it was asked for"
    assert found.valid_until is not None, "checked when it was asked for"
    if found.valid_until <= max(clock.now(), queries.tranche(found.budget_id, found.tranche_id).valid_until):
        raise RequestNotPossible(_("The time for which the credits were to be valid is over."))
    ledger.prolong(found.tranche_id, found.valid_until, key=_key(found), actor_id=actor.person_id, reason=found.reason)


def _correct(actor: Actor, found: ComputeRequest, amount: int) -> None:
    session = db.session.get_one(LabSession, found.session_id)
    assert session.hold_id is not None, "checked when it was asked for"
    ledger.correct(session.hold_id, amount, found.reason, key=_key(found), actor_id=actor.person_id)


MOVES: dict[RequestKind, Callable[[Actor, ComputeRequest, int], None]] = {
    RequestKind.GRANT: _grant,
    RequestKind.SUPPLEMENT: _supplement,
    RequestKind.TRANSFER: _transfer,
    RequestKind.PULL_BACK: _pull_back,
    RequestKind.EXTENSION: _prolong,
    RequestKind.CORRECTION: _correct,
}


def _key(found: ComputeRequest) -> str:
    return f"request:{found.id.hex}"


# --- checks -------------------------------------------------------------------------------------------------------


def _check(actor: Actor, asked: ComputeRequest, budget: Budget) -> None:
    """What was asked for fits the budget."""
    _require_not_closed(budget)
    if asked.kind is RequestKind.GRANT and budget.kind is not BudgetKind.PARTNER:
        raise RequestNotPossible(_("New credits are granted to a partner's own budget."))
    if asked.kind in (RequestKind.SUPPLEMENT, RequestKind.PULL_BACK) and budget.parent_id is None:
        raise RootBudget
    if asked.kind is RequestKind.TRANSFER:
        _check_transfer(asked, budget)
    if asked.valid_until is not None and asked.valid_until <= clock.now():
        raise Invalid(_("That day is over already."))
    if asked.kind is RequestKind.EXTENSION:
        _check_extension(asked)


def _check_transfer(asked: ComputeRequest, budget: Budget) -> None:
    if asked.other_budget_id is None:
        raise Invalid(_("Say from which budget the credits are to come."))
    try:
        other = queries.budget(asked.other_budget_id)
    except NotFound:
        raise RequestNotPossible(_("Credits go from one budget of a partner to another of the same.")) from None
    if other.partner_id != budget.partner_id or other.id == budget.id:
        raise RequestNotPossible(_("Credits go from one budget of a partner to another of the same."))
    _require_not_closed(other)


def _check_extension(asked: ComputeRequest) -> None:
    if asked.tranche_id is None or asked.valid_until is None:
        raise Invalid(_("Say which credits are to be valid longer, and until when."))
    tranche = queries.tranche(asked.budget_id, asked.tranche_id)
    if asked.valid_until <= tranche.valid_until:
        raise Invalid(_("These credits are valid as long as that already."))
    if not tranche.remaining:
        raise RequestNotPossible(_("Nothing is left of these credits."))


def _require_not_closed(budget: Budget) -> None:
    if budget.is_closed:
        raise BudgetClosed(budget=str(budget.id))


def _to_decide(actor: Actor, request_id: UUID) -> ComputeRequest:
    found = queries.visible_request(actor, request_id, lock=True)
    require_person(actor)
    require(policy.decides(actor, found))
    if policy.asked(actor, found):
        raise OwnRequest
    return found


def _require_open(found: ComputeRequest) -> None:
    if found.state is not RequestState.ASKED:
        raise RequestDecided(state=found.state, decided_at=found.decided_at)


def _amount(amount_micro: int | None) -> int:
    if amount_micro is None:
        raise Invalid(_("Say how many credits."))
    if not 0 < amount_micro <= MOST_MICRO:
        raise Invalid(_("The amount must be more than nothing, and no more than a billion credits."))
    return amount_micro


def _text(text: str) -> str:
    text = text.strip()
    if not text:
        raise Invalid(_("Say why: whoever decides, or asked, is to understand it."))
    if len(text) > LONGEST_TEXT:
        raise Invalid(
            _(
                "The text has %(length)s characters; at the most %(longest)s are kept.",
                length=len(text),
                longest=LONGEST_TEXT,
            )
        )
    return text


# --- writing ------------------------------------------------------------------------------------------------------


def _put(actor: Actor, asked: ComputeRequest, key: str | None) -> ComputeRequest:
    asker = require_person(actor)
    asked.requested_by, asked.state = asker, RequestState.ASKED
    asked.id = uuid5(KEYS, f"{asker}:{key}") if key else uuid7()
    values = {name: getattr(asked, name) for name in (*FACTS, "id", "partner_id", "requested_by", "state")}
    statement = insert(ComputeRequest).values(**values, created_at=clock.now())
    once = statement.on_conflict_do_nothing(index_elements=["id"]).returning(ComputeRequest.id)
    is_new = db.session.scalar(once) is not None
    found = queries.request(asked.id)
    if not is_new:
        if any(getattr(found, name) != values[name] for name in FACTS):
            raise IdempotencyConflict(key=key)
        return found
    if queries.open_requests_of(asker) > OPEN_AT_ONCE:
        raise TooManyOpenRequests(limit=OPEN_AT_ONCE)
    facts = {name: values[name] for name in FACTS if values[name] is not None}
    audit.record(actor, "request.ask", found, partner_id=found.partner_id, **facts)
    for person_id in queries.deciders_of(found):
        _tell(person_id, "request-asked", found, name=actor.name, reason=found.reason)
    return found


def _decided(actor: Actor, found: ComputeRequest, state: RequestState, note: str | None) -> ComputeRequest:
    found.state, found.decided_by, found.decided_at = state, require_person(actor), clock.now()
    found.note = _text(note) if note and note.strip() else None
    verb = "approve" if state is RequestState.APPROVED else "decline"
    audit.record(
        actor,
        f"request.{verb}",
        found,
        partner_id=found.partner_id,
        kind=found.kind,
        budget_id=found.budget_id,
        asked_micro=found.amount_micro,
        granted_micro=found.granted_micro,
        note=found.note,
    )
    db.session.flush()
    _tell(found.requested_by, f"request-{state}", found, note=found.note or "", granted=found.granted_micro)
    return found


def _tell(person_id: UUID, kind: str, found: ComputeRequest, *, granted: int | None = None, **facts: object) -> None:
    for language, suffix in (("zh_CN", "zh"), ("en", "en")):
        with force_locale(language):
            facts |= {f"what_{suffix}": str(KINDS[found.kind]), f"wanted_{suffix}": summary(found, granted)}
    notices.notify(person_id, kind, f"{kind}:{found.id.hex}", f"/requests/{found.id}", **facts)
