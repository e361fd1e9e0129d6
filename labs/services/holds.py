"""Credits for other programs than labs: put aside, prolonged, charged, and given back (docs/labs.md, "Holds").

Reserving and settling are done in groups, because a class that starts its jobs draws on one budget at once: they
commit by themselves (labs/grouping.py). The rest happens in the transaction of the caller, as everywhere.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _
from sqlalchemy import select

from accounts import seen_tokens
from app import audit, clock
from app.access import Actor
from app.db import db
from app.errors import DomainError, Forbidden, Invalid
from app.statements import Question, ask
from labs import ledger, policy, queries
from labs.errors import (
    AgreementEnded,
    BudgetNotActive,
    CenterMaintenance,
    ExceedsMaxRequest,
    FlavorNotGranted,
    HoldClosed,
    HoldOfASession,
    LaunchRefused,
)
from labs.grouping import Groups
from labs.ledger import Booking
from labs.models import CenterState, Command, Hold, HoldState
from labs.queries import HoldFacts, HoldPlace, HoldTerms
from labs.services import admission

SPARE = timedelta(days=1)  # how long after its time an open hold ends by itself, unless it was said


@dataclass(frozen=True)
class Source:
    """Who asks, and from where: for the trail, and for the key."""

    actor: Actor
    address: str | None
    token_id: UUID | None = None  # of a token that was only remembered: nothing is done unless it still holds

    def key(self, given: str) -> str:
        """Keys are of whoever acts: a person, a partner, or the platform. Tokens change, these do not."""
        whose = self.actor.person_id or next(iter(self.actor.memberships), None)
        return f"api:{whose.hex if whose else 'platform'}:{given}"


@dataclass(frozen=True)
class Reserved:
    """A hold, and whether its key had been used for the very same before."""

    hold: HoldFacts
    is_replay: bool


@dataclass(frozen=True)
class _Wish:
    source: Source
    partner_id: UUID
    ask: ledger.Ask

    @property
    def budget_id(self) -> UUID:
        return self.ask.budget_id


@dataclass(frozen=True)
class _End:
    source: Source
    partner_id: UUID
    budget_id: UUID
    hold_id: UUID
    seconds: int
    started_at: datetime


def reserve(
    actor: Actor,
    *,
    budget_id: UUID,
    person_id: UUID,
    flavor_id: UUID,
    seconds: int,
    purpose: str,
    expires_in: int | None,
    key: str,
    address: str | None,
    token_id: UUID | None = None,
) -> Reserved:
    """Put the price of so many seconds aside for a member of the budget, or refuse. Commits by itself.

    The same key with the same body gives the same hold again, and with another one a conflict.
    `token_id` names a token that was only remembered; raises `seen_tokens.Stale` where it holds no more.
    """
    partner_id = queries.partner_of_budget(budget_id)
    if not policy.may_hold(actor, partner_id):
        queries.visible_budget(actor, budget_id)
        raise Forbidden
    source = Source(actor, address, token_id)
    lasts = timedelta(seconds=expires_in) if expires_in is not None else timedelta(seconds=seconds) + SPARE
    ask = ledger.Ask(
        budget_id=budget_id,
        person_id=person_id,
        flavor_id=flavor_id,
        seconds=seconds,
        key=source.key(key),
        expires_at=clock.now() + lasts,
        purpose=purpose,
        terms=f"expires in {expires_in}",
    )
    answer = _GROUPS.submit(budget_id, _Wish(source, partner_id, ask))
    assert isinstance(answer, Reserved)
    hold = answer.hold
    queries.remember_place(hold.id, HoldPlace(budget_id, partner_id, hold.created_at, hold.purpose is not None))
    return answer


def settle(
    actor: Actor,
    hold_id: UUID,
    seconds: int,
    *,
    started_at: datetime | None,
    address: str | None,
    token_id: UUID | None = None,
) -> HoldFacts:
    """Charge what was used, give the rest back, close the hold. Commits by itself. Settling twice is settling once.

    `token_id` as in `reserve`.
    """
    place = _writable(actor, hold_id)
    source = Source(actor, address, token_id)
    end = _End(source, place.partner_id, place.budget_id, hold_id, seconds, _start(place, started_at))
    answer = _GROUPS.submit(place.budget_id, end)
    assert isinstance(answer, HoldFacts)
    return answer


def extend(actor: Actor, hold_id: UUID, seconds: int, *, key: str) -> Reserved:
    """Put so many seconds more aside, under the same rate, or refuse. The hold lives as much longer."""
    place = _writable(actor, hold_id)
    key = Source(actor, None).key(key)
    is_replay = bool(queries.known_keys([key]))
    hold = ledger.extend(hold_id, seconds, key=key)
    if not is_replay:
        audit.record(actor, "hold.extend", hold, partner_id=place.partner_id, seconds=seconds)
    return Reserved(HoldFacts.of(hold), is_replay)


def use(actor: Actor, hold_id: UUID, seconds: int, *, started_at: datetime | None) -> HoldFacts:
    """Charge what was used so far: seconds since it started, all together. Fewer than before change nothing."""
    place = _writable(actor, hold_id)
    hold = ledger.post(hold_id, seconds, _start(place, started_at))
    if hold.state is not HoldState.OPEN and seconds > hold.posted_seconds:
        raise _closed(HoldFacts.of(hold))
    return HoldFacts.of(hold)


def void(actor: Actor, hold_id: UUID) -> HoldFacts:
    """Give everything back: nothing ever ran under it."""
    place = _writable(actor, hold_id)
    was_open = _open_among([hold_id])
    hold = ledger.void(hold_id)
    if was_open:
        audit.record(actor, "hold.void", hold, partner_id=place.partner_id)
    return HoldFacts.of(hold)


# --- in groups ----------------------------------------------------------------------------------------------------


def _do_all(items: list[_Wish | _End]) -> list[Reserved | HoldFacts | Exception]:
    """Settle and reserve for all of them in one transaction, in their order; who is refused is refused alone."""
    sitting = _sitting(items)
    terms, valid = queries.terms_in(sitting.more[0]), {token_id for (token_id,) in sitting.more[1]}
    answers: dict[int, Reserved | HoldFacts | Exception] = {}
    ends: dict[int, _End] = {}
    wishes: dict[int, _Wish] = {}
    for number, item in enumerate(items):
        if item.source.token_id is not None and item.source.token_id not in valid:
            answers[number] = seen_tokens.Stale()
        elif isinstance(item, _End):
            ends[number] = item
        elif (obstacle := _obstacle(item.ask, terms, sitting)) is not None:
            answers[number] = obstacle
        else:
            wishes[number] = item
    done = ledger.settle_and_reserve(
        sitting,
        [ledger.Used(end.hold_id, end.seconds, end.started_at) for end in ends.values()],
        [wish.ask for wish in wishes.values()],
        partial(_trail, list(ends.values()), list(wishes.values())),
    )
    answers |= zip(ends, _settled(list(ends.values()), done), strict=True)
    answers |= zip(wishes, _reserved(done), strict=True)
    return [answers[number] for number in range(len(items))]


def _sitting(items: list[_Wish | _End]) -> ledger.Sitting:
    """Everything that decides about them, locked and read in one round trip."""
    asks = [item.ask for item in items if isinstance(item, _Wish)]
    now = clock.now()
    return ledger.open_sitting(
        [item.hold_id for item in items if isinstance(item, _End)],
        asks,
        {item.budget_id for item in items},
        queries.terms_question({ask.budget_id for ask in asks}, {ask.flavor_id for ask in asks}, now),
        seen_tokens.question({item.source.token_id for item in items if item.source.token_id is not None}, now),
    )


def _turn(budget_id: Hashable) -> None:
    """Wait until no other process is at work on this budget: those who come meanwhile are in our batch then."""
    assert isinstance(budget_id, UUID)
    ask((_TURN, {"number": int.from_bytes(budget_id.bytes[-8:], signed=True)}))


_TURN = Question("SELECT pg_advisory_xact_lock(:number)")
_GROUPS: Groups[_Wish | _End, Reserved | HoldFacts] = Groups(_do_all, turn=_turn)


def _reserved(done: ledger.Done) -> Iterator[Reserved | DomainError]:
    new = set(done.made)
    for answer in done.reserved:
        if isinstance(answer, DomainError):
            yield answer
            continue
        yield Reserved(HoldFacts.of(answer), answer.id not in new)
        new.discard(answer.id)  # the same key twice in a batch


def _settled(ends: list[_End], done: ledger.Done) -> Iterator[HoldFacts | DomainError]:
    """A closed hold stays as it is."""
    for end, hold in zip(ends, done.settled, strict=True):
        facts = HoldFacts.of(hold)
        yield facts if _is_settled(facts, end) else _closed(facts)


def _is_settled(hold: HoldFacts, end: _End) -> bool:
    return hold.state is HoldState.SETTLED and end.seconds <= hold.posted_seconds


def _obstacle(
    ask: ledger.Ask, known: dict[tuple[UUID, UUID], HoldTerms], sitting: ledger.Sitting
) -> LaunchRefused | None:
    """What stands in its way besides credits. A replay is asked nothing again."""
    if ask.key in sitting.earlier:
        return None
    terms = known.get((ask.budget_id, ask.flavor_id))
    if terms is None or not terms.flavor_is_active:
        return FlavorNotGranted(_("There is no such flavor, or it is offered no more."))
    if terms.is_closed or not terms.starts_at <= sitting.now < terms.ends_at:
        dates = {"starts_at": terms.starts_at.isoformat(), "ends_at": terms.ends_at.isoformat()}
        return BudgetNotActive(layer={"name": "budget", **dates})
    if not (terms.partner_agreed and terms.center_agreed):
        return _no_agreement(terms)
    if terms.center_state is not CenterState.UP:
        return CenterMaintenance(center=terms.center, state=terms.center_state)
    if ask.seconds > terms.longest_minutes * 60:
        facts = {"limit": terms.longest_minutes * 60, "asked": ask.seconds, "unit": "seconds"}
        return ExceedsMaxRequest(layer={"name": "flavor", **facts})
    return None


def _no_agreement(terms: HoldTerms) -> LaunchRefused:
    """In the words that a launch gets."""
    try:
        admission.check_agreements(terms.partner_id, terms.center_partner_id)
    except AgreementEnded as refusal:
        return refusal
    return AgreementEnded()


def _writable(actor: Actor, hold_id: UUID) -> HoldPlace:
    """Where the hold belongs, for those who may charge it; holds of labs are charged by their sessions alone."""
    place = queries.place_of_hold(hold_id)
    if not policy.may_hold(actor, place.partner_id):
        queries.visible_place(actor, hold_id)
        raise Forbidden
    if not place.is_of_program:
        raise HoldOfASession
    return place


def _open_among(hold_ids: list[UUID]) -> set[UUID]:
    """Those that are open, and stay so until this transaction ends."""
    statement = select(Hold.id, Hold.state).where(Hold.id.in_(hold_ids)).order_by(Hold.id).with_for_update()
    return {hold_id for hold_id, state in db.session.execute(statement) if state is HoldState.OPEN}


def _start(place: HoldPlace, given: datetime | None) -> datetime:
    if given is not None and not place.created_at <= given <= clock.now():
        raise Invalid(
            _("It starts after its credits were put aside, and not in the future."), created_at=place.created_at
        )
    return given.astimezone(UTC) if given is not None else place.created_at


def _closed(hold: HoldFacts) -> HoldClosed:
    return HoldClosed(state=hold.state, posted_seconds=hold.posted_seconds, closed_at=hold.closed_at)


def _trail(ends: list[_End], wishes: list[_Wish], bookings: Sequence[Booking]) -> tuple[Question, dict[str, Any]]:
    """What is written down of a batch. A hold that is not made after all leaves no trace."""
    end_of = {end.hold_id: end for end in reversed(ends)}
    wish_of = {wish.ask.key: wish for wish in reversed(wishes)}
    entries = []
    for booking in bookings:
        hold = booking.hold
        assert hold is not None
        if booking.command is Command.SETTLE:
            facts = {"seconds": hold.posted_seconds, "charged_micro": hold.posted_micro}
            entries.append(_trace(end_of[hold.id], "hold.settle", hold.id, facts))
        else:
            entries.append(_wished(wish_of[booking.key], hold))
    return audit.recording(entries, where="EXISTS (SELECT FROM hold WHERE hold.id = subject_id)")


def _wished(wish: _Wish, hold: Hold | ledger.HoldRow) -> dict[str, Any]:
    ask = wish.ask
    facts = {"budget": ask.budget_id, "person": ask.person_id, "seconds": ask.seconds, "amount_micro": hold.amount}
    return _trace(wish, "hold.reserve", hold.id, facts | {"purpose": ask.purpose})


def _trace(item: _Wish | _End, action: str, hold_id: UUID, facts: Mapping[str, object]) -> dict[str, Any]:
    source = item.source
    return audit.entry(
        *(source.actor, action, Hold.__tablename__, hold_id, facts),
        partner_id=item.partner_id,
        address=source.address,
    )
