"""Holds: credits promised, used, given back. Each command is a batch of one of the set-based command beside it.

A batch locks what it needs (holds, caps, purses, each in the order of their ids), decides in the order of arrival, and
writes everything with one statement. One refusal in a batch says nothing about the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from app import clock
from app.db import db
from app.ids import uuid7
from app.statements import Question
from labs.errors import HoldClosed, IdempotencyConflict, LaunchRefused
from labs.ledger import journal, rates, refusals
from labs.ledger.journal import Booking, Earlier, digest
from labs.ledger.promise import Book, Denied, Granted, Want, decide, judge, longest
from labs.ledger.rows import COLUMNS, AnyHold, HoldRow
from labs.models import LIVE_STATES, Account, Command, Flavor, Hold, HoldState, LabSession

UNUSED = timedelta(hours=1)  # after the last second that it pays for, until a hold that nobody closed is given back
LONGEST = 7 * 24 * 3600


@dataclass(frozen=True)
class Ask:
    """So many seconds with a flavor for a person, from a budget. The same key again asks for the same answer."""

    budget_id: UUID
    person_id: UUID
    flavor_id: UUID
    seconds: int
    key: str
    expires_at: datetime | None = None
    purpose: str | None = None  # what a program wants it for; None: for a lab session
    terms: str = ""  # what else a replay must repeat

    @cached_property
    def body(self) -> str:
        return digest(
            Command.RESERVE,
            budget=self.budget_id,
            person=self.person_id,
            flavor=self.flavor_id,
            seconds=self.seconds,
            **({"purpose": self.purpose, "terms": self.terms} if self.purpose is not None else {}),
        )


class Used(NamedTuple):
    """Under this hold, so many seconds were used since `started_at`."""

    hold_id: UUID
    seconds: int
    started_at: datetime | None = None


@dataclass
class Part:
    """What lies on a tranche, and whether what returns to it can still be spent."""

    tranche_id: UUID
    amount: int
    used: int
    valid_until: datetime


# --- promise --------------------------------------------------------------------------------------------------------


def reserve(
    budget_id: UUID, person_id: UUID, flavor: Flavor, seconds: int, *, key: str, expires_at: datetime | None = None
) -> Hold:
    """Promise the most that so many seconds can cost, from this person's cap and the budget, or refuse.

    Rescue is free, and open to those whose cap or budget is used up. An open hold under which nothing runs gives
    everything back at `expires_at`.
    Raises NotEnrolled, MemberCapExhausted, BudgetOverrun, BudgetExhausted, TrancheEndsBeforeLease,
    IdempotencyConflict.
    """
    (answer,) = reserve_many([Ask(budget_id, person_id, flavor.id, seconds, key, expires_at)])
    if isinstance(answer, LaunchRefused):
        raise answer
    return answer


def reserve_many(asks: Sequence[Ask]) -> list[Hold | LaunchRefused]:
    """Answer each in the order of arrival: with a hold, or with why not."""
    now = clock.now()
    db.session.flush()
    members, keys = {(ask.budget_id, ask.person_id) for ask in asks}, [ask.key for ask in asks]
    prices = rates.question({ask.flavor_id for ask in asks}, now)
    book, earlier, (found,) = journal.open_book(members, {ask.budget_id for ask in asks}, keys, now, prices)
    refused, bookings = promises(book, asks, earlier, rates.offers_in(found), now)
    new = written(bookings, journal.book_new(bookings) if bookings else set(), earlier)
    for row in new:
        hold = Hold(**{name: getattr(row, name) for name in COLUMNS})
        make_transient_to_detached(hold)
        db.session.add(hold)
    return [_answered(ask, refused, earlier) for ask in asks]


def extend(hold_id: UUID, seconds: int, key: str) -> Hold:
    """Promise so many more seconds under the rate that was pinned, or refuse like `reserve`."""
    db.session.flush()
    hold = _locked(hold_id)
    book = _book_of(hold)
    body = digest(Command.EXTEND, hold=hold_id, seconds=seconds)
    earlier = journal.open_books([key]).get(key)
    if earlier is not None:
        if earlier.body != body:
            raise IdempotencyConflict(key=key)
        return hold
    _refuse_closed(hold)
    outcome = decide(book, _want(hold, seconds))
    if isinstance(outcome, Denied):
        raise refusals.refusal(hold.budget_id, outcome)
    booking = Booking(Command.EXTEND, key, body, hold, actor_id=hold.person_id)
    for tranche_id, amount in outcome.parts:
        booking.move(tranche_id, hold.budget_id, Account.AVAILABLE, Account.HELD, amount)
    longer = timedelta(seconds=seconds)
    _change(
        hold,
        amount=hold.amount + outcome.amount,
        seconds=(hold.seconds or 0) + seconds,
        expires_at=hold.expires_at and hold.expires_at + longer,
    )
    journal.book_changes([booking])
    return hold


def longest_extension(hold: Hold, at_most: int = LONGEST) -> int:
    """How many more seconds could be promised at this moment."""
    db.session.flush()
    book = _book_of(hold)
    return longest(lambda seconds: isinstance(judge(book, _want(hold, seconds)), Granted), at_most)


# --- use ------------------------------------------------------------------------------------------------------------


def post(hold_id: UUID, seconds: int, started_at: datetime | None = None) -> Hold:
    """Record that so many seconds were used so far. Less than was posted before changes nothing."""
    (hold,) = post_many([Used(hold_id, seconds, started_at)])
    return hold


def settle(hold_id: UUID, seconds: int, started_at: datetime | None = None) -> Hold:
    """Post the last of the usage, give the rest back, close the hold. A closed hold stays as it is."""
    (hold,) = settle_many([Used(hold_id, seconds, started_at)])
    return hold


def post_many(items: Iterable[tuple[UUID, int] | Used]) -> list[Hold]:
    """Record usage under many holds; each is answered with its hold as it is then."""
    return _use(items, Command.POST)


def settle_many(items: Iterable[tuple[UUID, int] | Used], closed: set[UUID] | None = None) -> list[Hold]:
    """Close many holds; each is answered with its hold as it is then. `closed` collects those that were open."""
    return _use(items, Command.SETTLE, closed)


def void(hold_id: UUID) -> Hold:
    """Give everything back: nothing ever ran. Raises HoldClosed when usage was posted before."""
    db.session.flush()
    hold = _locked(hold_id)
    if hold.state is HoldState.VOIDED:
        return hold
    if hold.posted_seconds:
        raise HoldClosed(hold=str(hold_id))
    _refuse_closed(hold)
    _give_back([hold], Command.VOID, HoldState.VOIDED)
    return hold


def expire_holds(limit: int = 200) -> int:
    """Give back what was promised and never used nor closed in its time; return how many holds.

    Nothing runs under them: a hold with a live session is never touched.
    """
    db.session.flush()
    live = sa.select(LabSession.id).where(LabSession.hold_id == Hold.id, LabSession.state.in_(LIVE_STATES))
    over = db.session.scalars(
        sa.select(Hold)
        .where(Hold.state == HoldState.OPEN, Hold.expires_at <= clock.now(), ~live.exists())
        .order_by(Hold.id)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True, of=Hold)
        .execution_options(populate_existing=True)
    ).all()
    if over:
        _give_back(over, Command.EXPIRE, HoldState.EXPIRED)
    return len(over)


# --- inside ---------------------------------------------------------------------------------------------------------


def promises(
    book: Book, asks: Sequence[Ask], earlier: dict[str, Earlier], offers: dict[UUID, rates.Offer], now: datetime
) -> tuple[dict[int, LaunchRefused], list[Booking]]:
    """Decide in the order of arrival: who is refused, by the `id()` of the ask, and what is to be booked."""
    refused: dict[int, LaunchRefused] = {}
    bookings: dict[str, Booking] = {}
    for ask in asks:
        if ask.key in earlier or ask.key in bookings:
            continue
        outcome = _promise(book, ask, offers[ask.flavor_id], now)
        if isinstance(outcome, LaunchRefused):
            refused[id(ask)] = outcome
        else:
            bookings[ask.key] = outcome
    return refused, list(bookings.values())


def written(bookings: Sequence[Booking], booked: set[UUID], earlier: dict[str, Earlier]) -> list[AnyHold]:
    """The holds that were made; `earlier` learns what stands under each key now."""
    lost = [booking.key for booking in bookings if booking.id not in booked]
    if lost:  # a key was used for another budget at the same moment
        earlier |= journal.open_books(lost)
    new = []
    for booking in bookings:
        if booking.id in booked and booking.hold is not None:
            earlier[booking.key] = Earlier(booking.body, booking.hold.id)
            new.append(booking.hold)
    return new


def _promise(book: Book, ask: Ask, offer: rates.Offer, now: datetime) -> Booking | LaunchRefused:
    want = Want(ask.budget_id, ask.person_id, offer.tariff, now, ask.seconds, is_free=offer.is_rescue)
    outcome = decide(book, want)
    if isinstance(outcome, Denied):
        return refusals.refusal(ask.budget_id, outcome)
    hold = HoldRow(
        id=uuid7(),
        created_at=now,
        budget_id=ask.budget_id,
        person_id=ask.person_id,
        center_id=offer.center_id,
        flavor_id=ask.flavor_id,
        seconds=ask.seconds,
        amount=outcome.amount,
        price_micro=offer.tariff.price_micro,
        bands=offer.bands,
        time_zone=offer.tariff.time_zone,
        started_at=None,
        expires_at=ask.expires_at or now + timedelta(seconds=ask.seconds) + UNUSED,
        purpose=ask.purpose,
        posted_seconds=0,
        posted_micro=0,
        corrected_micro=0,
        state=HoldState.OPEN,
        closed_at=None,
    )
    booking = Booking(Command.RESERVE, ask.key, ask.body, hold, actor_id=ask.person_id)
    for tranche_id, amount in outcome.parts:
        booking.move(tranche_id, ask.budget_id, Account.AVAILABLE, Account.HELD, amount)
    return booking


def answer(ask: Ask, refused: dict[int, LaunchRefused], earlier: dict[str, Earlier]) -> UUID | LaunchRefused:
    """The id of the hold that was made for it, now or under the same key before; or why there is none."""
    if id(ask) in refused:
        return refused[id(ask)]
    before = earlier[ask.key]
    if before.body != ask.body or before.hold_id is None:
        return IdempotencyConflict(key=ask.key)
    return before.hold_id


def _answered(ask: Ask, refused: dict[int, LaunchRefused], earlier: dict[str, Earlier]) -> Hold | LaunchRefused:
    found = answer(ask, refused, earlier)
    return found if isinstance(found, LaunchRefused) else db.session.get_one(Hold, found)


def _use(items: Iterable[tuple[UUID, int] | Used], command: Command, changed: set[UUID] | None = None) -> list[Hold]:
    db.session.flush()
    asked = [Used(*item) for item in items]
    holds = journal.lock_holds(item.hold_id for item in asked)
    todo = latest(holds, asked, command)
    if todo:
        used = [holds[hold_id] for hold_id in todo]
        journal.book_changes(uses(used, todo, command, _lock_parts(used), clock.now()))
        if changed is not None:
            changed.update(todo)
    return [holds[item.hold_id] for item in asked]


def latest(holds: Mapping[UUID, AnyHold], asked: Iterable[Used], command: Command) -> dict[UUID, Used]:
    """What is to be booked of what was sent, by its hold: the most seconds, where it is open and they are news."""
    todo: dict[UUID, Used] = {}
    for item in asked:
        hold, known = holds[item.hold_id], todo.get(item.hold_id)
        if hold.state is not HoldState.OPEN or (command is Command.POST and item.seconds <= hold.posted_seconds):
            continue
        if known is None or item.seconds > known.seconds:
            todo[item.hold_id] = item
    return todo


def uses(
    holds: Sequence[AnyHold], used: dict[UUID, Used], command: Command, parts: dict[UUID, list[Part]], now: datetime
) -> list[Booking]:
    """Let locked holds say what was used of them, and close them if it is the last; what is to be booked for that."""
    bookings = []
    for hold in holds:
        item = used[hold.id]
        seconds = max(item.seconds, hold.posted_seconds)
        is_last = command is Command.SETTLE
        key = f"settle:{hold.id.hex}" if is_last else f"post:{hold.id.hex}:{seconds}"
        booking = Booking(command, key, digest(command, hold=hold.id, seconds=seconds), hold)
        booking.seconds, booking.settled = seconds - hold.posted_seconds, int(is_last)
        if hold.started_at is None:
            _change(hold, started_at=item.started_at or hold.created_at)
        charge(booking, hold, parts[hold.id], seconds)
        if is_last:
            release(booking, hold, parts[hold.id], now)
            _change(hold, state=HoldState.SETTLED, closed_at=now)
        bookings.append(booking)
    return bookings


def charge(booking: Booking, hold: AnyHold, parts: Sequence[Part], seconds: int) -> None:
    """Turn held credits into used ones; what exceeds the hold is an overrun, recorded and never hidden."""
    cost = max(hold.posted_micro, hold.tariff.cost(hold.started_at, seconds))
    rest = cost - hold.posted_micro
    for part in parts:
        taken = min(rest, part.amount - part.used)
        if taken:
            part.used += taken
            rest -= taken
            booking.add(Account.HELD, -taken, hold.budget_id, tranche_id=part.tranche_id)
            booking.add(Account.USED, taken, hold.budget_id, tranche_id=part.tranche_id, center_id=hold.center_id)
    booking.add(Account.OVERRUN, -rest, hold.budget_id)
    booking.add(Account.USED, rest, hold.budget_id, center_id=hold.center_id)
    _change(hold, posted_seconds=seconds, posted_micro=cost)


def release(booking: Booking, hold: AnyHold, parts: Sequence[Part], now: datetime) -> None:
    """Give back what the hold did not use: to its tranche, or to nobody where the tranche has expired meanwhile."""
    for part in parts:
        target = Account.AVAILABLE if part.valid_until > now else Account.EXPIRED
        booking.move(part.tranche_id, hold.budget_id, Account.HELD, target, part.amount - part.used)


def _give_back(holds: Sequence[Hold], command: Command, state: HoldState) -> None:
    now, parts = clock.now(), _lock_parts(holds)
    bookings = []
    for hold in holds:
        booking = Booking(command, f"{command}:{hold.id.hex}", digest(command, hold=hold.id), hold)
        release(booking, hold, parts[hold.id], now)
        _change(hold, state=state, closed_at=now)
        bookings.append(booking)
    journal.book_changes(bookings)


_PARTS = Question(
    """
    SELECT p.hold_id, p.tranche_id, p.amount, p.used, t.valid_until
    FROM hold_part p JOIN tranche t ON t.id = p.tranche_id
    WHERE p.hold_id = ANY(CAST(:holds AS uuid[]))
    ORDER BY p.hold_id, t.valid_until, t.id
    """
)


def _lock_parts(holds: Sequence[Hold]) -> dict[UUID, list[Part]]:
    """Lock caps and purses of these holds, and the books; say on which tranches they lie, the first to expire first."""
    members, budgets = {(hold.budget_id, hold.person_id) for hold in holds}, {hold.budget_id for hold in holds}
    ids = [hold.id for hold in holds]
    (found,) = journal.lock_balances(members, budgets, parts_question(ids))
    return parts_in(found, ids)


def parts_question(hold_ids: Iterable[UUID]) -> tuple[Question, dict[str, Any]]:
    """What to ask for `parts_in`, when caps and purses are locked."""
    return _PARTS, {"holds": list(hold_ids)}


def parts_in(found: Iterable[tuple[Any, ...]], hold_ids: Iterable[UUID]) -> dict[UUID, list[Part]]:
    parts: dict[UUID, list[Part]] = {hold_id: [] for hold_id in hold_ids}
    for hold_id, tranche_id, amount, used, valid_until in found:
        parts[hold_id].append(Part(tranche_id, amount, used, valid_until))
    return parts


def _book_of(hold: Hold) -> Book:
    return journal.lock_book([(hold.budget_id, hold.person_id)], [hold.budget_id], clock.now())


def _want(hold: Hold, seconds: int) -> Want:
    flavor = db.session.get(Flavor, hold.flavor_id) if hold.flavor_id else None
    return Want(
        hold.budget_id,
        hold.person_id,
        hold.tariff,
        clock.now(),
        seconds,
        is_free=flavor is not None and flavor.is_rescue,
        promised_seconds=hold.seconds or hold.posted_seconds,
        promised_micro=hold.amount,
        started_at=hold.started_at or hold.created_at,
    )


def _refuse_closed(hold: Hold) -> None:
    if hold.state is not HoldState.OPEN:
        raise HoldClosed(hold=str(hold.id))


def _locked(hold_id: UUID) -> Hold:
    return journal.lock_holds([hold_id])[hold_id]


def _change(hold: AnyHold, **values: object) -> None:
    """Set fields of a hold that the journal writes: the session must not write them a second time."""
    put = set_committed_value if isinstance(hold, Hold) else setattr
    for name, value in values.items():
        put(hold, name, value)
