"""What a closed hold has used, set right by a source that knows better: the difference, up or down, is booked anew."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from app import clock
from app.db import db
from app.ids import uuid7
from labs.ledger import journal
from labs.ledger.credits import _alive, _forgive, _used_by_tranche
from labs.ledger.holds import _change
from labs.ledger.journal import Booking, digest
from labs.ledger.promise import Balance, Credits, Parts
from labs.models import Account, Command, Hold, HoldState


def revise(hold_id: UUID, seconds: int, reason: str, *, started_at: datetime | None = None) -> int:
    """Let a closed hold have used so many seconds in all, at the price that was pinned; micro-credits that moved.

    More is paid out of what the budget can spend now, and what it cannot pay is an overrun; less comes back to where it
    was taken from. What a person gave back by a correction stays given back. Doing it again changes nothing, so it
    needs no key. The books are dated now: a closed period stays as it is.
    """
    db.session.flush()
    hold = journal.lock_holds([hold_id])[hold_id]
    if hold.state is HoldState.OPEN:
        raise ValueError("an open hold is posted, not revised")
    if seconds == hold.posted_seconds:
        return 0
    journal.lock_caps([(hold.budget_id, hold.person_id)])
    purse = journal.lock_purses([hold.budget_id])[hold.budget_id]
    journal.open_books([])
    start = hold.started_at or started_at or hold.created_at
    cost = max(hold.tariff.cost(start, seconds), hold.corrected_micro)
    key = f"revise:{hold.id.hex}:{uuid7().hex}"
    booking = Booking(Command.REVISE, key, digest(Command.REVISE, hold=hold.id, seconds=seconds), hold, reason=reason)
    booking.seconds = seconds - hold.posted_seconds
    difference, now = cost - hold.posted_micro, clock.now()
    taken = 0
    if difference > 0:
        taken = _charge(booking, hold, difference, journal.tranches([hold.budget_id], now)[hold.budget_id], now)
    elif difference < 0:
        _return(booking, hold, -difference, purse, now)
    _change(
        hold, posted_seconds=seconds, posted_micro=cost, amount=hold.amount + taken, started_at=hold.started_at or start
    )
    journal.book_changes([booking])
    return difference


def _charge(booking: Booking, hold: Hold, amount: int, known: Iterable[Credits], now: datetime) -> int:
    """Out of what can be spent, the first to expire first; the rest is owed. How much could be taken."""
    rest = amount
    for tranche_id, part in _spendable(known, amount, now):
        rest -= part
        booking.add(Account.AVAILABLE, -part, hold.budget_id, tranche_id=tranche_id)
        booking.add(Account.USED, part, hold.budget_id, tranche_id=tranche_id, center_id=hold.center_id)
    booking.add(Account.OVERRUN, -rest, hold.budget_id)
    booking.add(Account.USED, rest, hold.budget_id, center_id=hold.center_id)
    return amount - rest


def _spendable(known: Iterable[Credits], amount: int, now: datetime) -> Parts:
    parts: Parts = []
    for tranche in sorted(known, key=lambda t: (t.valid_until, t.id)):
        part = min(amount, tranche.remaining)
        if part and tranche.valid_from <= now < tranche.valid_until:
            parts.append((tranche.id, part))
            amount -= part
    return parts


def _return(booking: Booking, hold: Hold, amount: int, purse: Balance, now: datetime) -> None:
    """What was overrun first, then the tranche that was spent last, as for a correction; the center loses nothing."""
    rest = amount
    for tranche_id, valid_until, used in _used_by_tranche(hold.id):
        back = min(rest, used)
        if not back:
            continue
        rest -= back
        booking.add(Account.USED, -back, hold.budget_id, tranche_id=tranche_id, center_id=hold.center_id)
        if tranche_id is None:
            _forgive(booking, hold.budget_id, purse.overrun, back, now)
        else:
            booking.add(_alive(valid_until, now), back, hold.budget_id, tranche_id=tranche_id)
