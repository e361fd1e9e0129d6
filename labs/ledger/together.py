"""Settle and reserve in one go: what many programs want of a budget at the same moment, under one set of locks.

What is settled comes first: credits that return can be promised again at once. Two round trips, whatever the number:
one locks and reads everything, the other writes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app import clock
from app.statements import Question
from labs.errors import LaunchRefused
from labs.ledger import holds, journal, rates
from labs.ledger.holds import Ask, Part, Used
from labs.ledger.journal import Booking, Earlier
from labs.ledger.promise import Book
from labs.ledger.rates import Offer
from labs.ledger.rows import AnyHold, HoldRow
from labs.models import Command

Trail = Callable[[Sequence[Booking]], tuple[Question, dict[str, Any]]]


@dataclass(frozen=True)
class Sitting:
    """What a batch needs, locked and read; `more` has the rows of what else was asked."""

    now: datetime
    holds: dict[UUID, HoldRow]
    book: Book
    earlier: dict[str, Earlier]  # what was done before, by key
    parts: dict[UUID, list[Part]]
    offers: dict[UUID, Offer]
    more: list[list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Done:
    """What became of each, in the order in which they were given; and which holds are made by it."""

    settled: list[AnyHold]
    reserved: list[AnyHold | LaunchRefused]
    made: set[UUID]


def open_sitting(
    hold_ids: Sequence[UUID], asks: Sequence[Ask], budget_ids: set[UUID], *more: tuple[Question, dict[str, Any]]
) -> Sitting:
    """Lock these holds and all balances of the asks, which with the holds' are those of `budget_ids`."""
    now = clock.now()
    known, book, earlier, (lying, offers, *rest) = journal.open_everything(
        hold_ids,
        {(ask.budget_id, ask.person_id) for ask in asks},
        budget_ids,
        [ask.key for ask in asks],
        now,
        holds.parts_question(hold_ids),
        rates.question({ask.flavor_id for ask in asks}, now),
        *more,
    )
    return Sitting(now, known, book, earlier, holds.parts_in(lying, known), rates.offers_in(offers), rest)


def settle_and_reserve(sitting: Sitting, ends: Sequence[Used], asks: Sequence[Ask], trail: Trail) -> Done:
    """As `settle_many` and then `reserve_many`.

    `trail` is given what is to be booked, and says what else is written after it. A hold that is not made after all,
    because its key was used elsewhere at the same moment, is not in the table then.
    """
    known, now, earlier = sitting.holds, sitting.now, sitting.earlier
    todo = holds.latest(known, ends, Command.SETTLE)
    changes = holds.uses([known[hold_id] for hold_id in todo], todo, Command.SETTLE, sitting.parts, now)
    for booking in changes:
        journal.enter(sitting.book, booking)
    refused, new = holds.promises(sitting.book, asks, earlier, sitting.offers, now)
    booked: set[UUID] = set()
    if changes or new:
        booked = journal.book_all(changes, new, trail([*changes, *new]))
    made = {hold.id: hold for hold in holds.written(new, booked, earlier)}
    answers = [holds.answer(ask, refused, earlier) for ask in asks]
    others = {one for one in answers if isinstance(one, UUID)} - made.keys() - known.keys()
    at_hand = made | known | (journal.hold_rows(others) if others else {})
    return Done(
        settled=[known[end.hold_id] for end in ends],
        reserved=[at_hand[one] if isinstance(one, UUID) else one for one in answers],
        made=set(made),
    )
