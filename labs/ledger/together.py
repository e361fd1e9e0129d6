"""Settle and reserve in one go: what many programs want of a budget at the same moment, under one set of locks.

What is settled comes first: credits that return can be promised again at once. A handful of round trips,
whatever the number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app import clock
from app.db import db
from app.statements import Question
from labs.errors import LaunchRefused
from labs.ledger import holds, journal, rates
from labs.ledger.holds import Ask, Used
from labs.ledger.journal import Booking
from labs.models import Command, Hold

Trail = Callable[[Sequence[Booking]], tuple[Question, dict[str, Any]]]


@dataclass(frozen=True)
class Done:
    """What became of each, in the order in which they were given; and which holds are closed or made by it."""

    settled: list[Hold]
    reserved: list[Hold | LaunchRefused]
    closed: set[UUID]
    made: set[UUID]


def settle_and_reserve(ends: Sequence[Used], asks: Sequence[Ask], trail: Trail) -> Done:
    """As `settle_many` and then `reserve_many`.

    `trail` is given what is to be booked, and says what else is written after it. A hold that is not made after all,
    because its key was used elsewhere at the same moment, is not in the table then.
    """
    now = clock.now()
    db.session.flush()
    known = journal.lock_holds(end.hold_id for end in ends) if ends else {}
    todo = holds.latest(known, ends, Command.SETTLE)
    closing = [known[hold_id] for hold_id in todo]
    members = {(hold.budget_id, hold.person_id) for hold in closing} | {(ask.budget_id, ask.person_id) for ask in asks}
    prices = rates.question({ask.flavor_id for ask in asks}, now)
    book, earlier, (lying, found) = journal.open_book(
        *(members, {budget_id for budget_id, _person_id in members}, [ask.key for ask in asks], now),
        *(holds.parts_question(closing), prices),
    )
    changes = holds.uses(closing, todo, Command.SETTLE, holds.parts_in(lying, closing), now)
    for booking in changes:
        journal.enter(book, booking)
    refused, new = holds.promises(book, asks, earlier, rates.offers_in(found), now)
    booked: set[UUID] = set()
    if changes or new:
        booked = journal.book_all(changes, new, trail([*changes, *new]))
    made = holds.written(new, booked, earlier)
    return Done(
        settled=[known[end.hold_id] for end in ends],
        reserved=[holds.answered(ask, refused, earlier) for ask in asks],
        closed=set(todo),
        made={hold.id for hold in made},
    )
