"""Credits as such: brought in, passed on, pulled back, prolonged, given back, written off, expired."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from flask_babel import lazy_gettext as _

from app import clock
from app.db import db
from app.ids import uuid7
from app.locale import credits_text
from labs.errors import CorrectionTooLarge, IdempotencyConflict, TransferTooLarge
from labs.ledger import journal
from labs.ledger.holds import _change
from labs.ledger.journal import Booking, digest
from labs.ledger.promise import Balance, Credits, first_to_expire
from labs.models import Account, Budget, Command, Hold, LabSession, LedgerEntry, LedgerTransaction, Purse, Tranche


def open_purse(budget: Budget) -> None:
    db.session.add(Purse(budget_id=budget.id))
    db.session.flush()


def grant(
    budget_id: UUID,
    amount: int,
    valid_from: datetime,
    valid_until: datetime,
    *,
    key: str,
    actor_id: UUID | None = None,
    center_id: UUID | None = None,
    reason: str | None = None,
) -> None:
    """Bring new credits into a partner's budget, valid in [valid_from, valid_until)."""
    _positive(amount)
    purses = _locked(budget_id)
    body = digest(Command.GRANT, budget=budget_id, amount=amount, until=valid_until)
    if _was_done(key, body):
        return
    booking = Booking(Command.GRANT, key, body, actor_id=actor_id, reason=reason)
    tranche = _add_tranche(budget_id, amount, valid_from, valid_until)
    booking.add(Account.SUPPLY, -amount, center_id=center_id)
    booking.add(Account.AVAILABLE, amount, budget_id, tranche_id=tranche.id)
    _pay_debt(booking, budget_id, purses[budget_id], [(tranche.id, amount)])
    journal.book(booking)


def transfer(
    from_id: UUID, to_id: UUID, amount: int, *, key: str, actor_id: UUID | None = None, reason: str | None = None
) -> None:
    """Pass credits on to another budget; they keep the validity of the tranches they come from."""
    _pass_on(Command.TRANSFER, from_id, to_id, amount, key, actor_id, reason)


def pull_back(
    from_id: UUID, to_id: UUID, amount: int, *, key: str, actor_id: UUID | None = None, reason: str | None = None
) -> None:
    """Take unused credits of a budget back into the one above; they keep their validity."""
    _pass_on(Command.PULL_BACK, from_id, to_id, amount, key, actor_id, reason)


def prolong(
    tranche_id: UUID,
    valid_until: datetime,
    *,
    key: str,
    actor_id: UUID | None = None,
    reason: str | None = None,
) -> None:
    """Let what is left of a tranche be spent for longer: it moves to a new tranche, also what has expired of it."""
    db.session.flush()
    old = db.session.get_one(Tranche, tranche_id)
    _locked(old.budget_id)
    body = digest(Command.PROLONG, tranche=tranche_id, until=valid_until)
    if _was_done(key, body):
        return
    db.session.refresh(old)
    rest, expired = old.remaining, _expired(tranche_id)
    booking = Booking(Command.PROLONG, key, body, actor_id=actor_id, reason=reason)
    if rest + expired:
        new = _add_tranche(old.budget_id, rest + expired, old.valid_from, valid_until, old.id)
        booking.add(Account.AVAILABLE, -rest, old.budget_id, tranche_id=old.id)
        booking.add(Account.EXPIRED, -expired, old.budget_id, tranche_id=old.id)
        booking.add(Account.AVAILABLE, rest + expired, old.budget_id, tranche_id=new.id)
    journal.book(booking)
    db.session.expire(old)


def correct(hold_id: UUID, amount: int, reason: str, *, key: str, actor_id: UUID | None = None) -> Hold:
    """Give a charge back, or a part of it: the budget has it again, the center bears the loss.

    What was overrun is taken away first, then the tranche that was spent last. What belongs to a tranche that has
    expired meanwhile comes back as expired; `prolong` brings it to life.
    """
    _positive(amount)
    db.session.flush()
    hold = journal.lock_holds([hold_id])[hold_id]
    journal.lock_caps([(hold.budget_id, hold.person_id)])
    purses = _locked(hold.budget_id)
    body = digest(Command.CORRECT, hold=hold_id, amount=amount)
    if _was_done(key, body):
        return hold
    charged = hold.posted_micro - hold.corrected_micro
    if amount > charged:
        raise CorrectionTooLarge(
            _(
                "%(asked)s credits are to be given back, %(left)s were charged.",
                asked=credits_text(amount),
                left=credits_text(charged),
            ),
            asked=amount,
            left=charged,
            unit="micro-credits",
        )
    booking = Booking(Command.CORRECT, key, body, hold, actor_id=actor_id, reason=reason)
    rest, now = amount, clock.now()
    for tranche_id, valid_until, used in _used_by_tranche(hold_id):
        back = min(rest, used)
        rest -= back
        booking.add(Account.USED, -back, hold.budget_id, tranche_id=tranche_id, center_id=hold.center_id)
        if tranche_id is None:
            _forgive(booking, hold.budget_id, purses[hold.budget_id].overrun, back, now)
        else:
            booking.add(_alive(valid_until, now), back, hold.budget_id, tranche_id=tranche_id)
    booking.add(Account.SUPPLY, -amount, center_id=hold.center_id)
    booking.add(Account.LOSS, amount, center_id=hold.center_id)
    _change(hold, corrected_micro=hold.corrected_micro + amount)
    journal.book_changes([booking])
    return hold


def write_off(
    center_id: UUID,
    amount: int,
    reason: str,
    *,
    key: str,
    session_id: UUID | None = None,
    actor_id: UUID | None = None,
) -> None:
    """Book what ran by our fault and nobody is to pay: out of the center's supply, into its losses."""
    _positive(amount)
    db.session.flush()
    body = digest(Command.WRITE_OFF, center=center_id, amount=amount, session=session_id)
    if _was_done(key, body):
        return
    booking = Booking(Command.WRITE_OFF, key, body, _hold_of(session_id), actor_id=actor_id, reason=reason)
    booking.add(Account.SUPPLY, -amount, center_id=center_id)
    booking.add(Account.LOSS, amount, center_id=center_id)
    journal.book(booking)


def expire(limit: int = 500) -> int:
    """Take what is left of tranches whose time is over out of their budgets; return how many tranches."""
    db.session.flush()
    is_over = sa.and_(Tranche.valid_until <= clock.now(), Tranche.remaining > 0)
    over = db.session.execute(
        sa.select(Tranche.id, Tranche.budget_id).where(is_over).order_by(Tranche.budget_id, Tranche.id).limit(limit)
    ).all()
    if not over:
        return 0
    journal.lock_purses(budget_id for _tranche, budget_id in over)
    journal.open_books([])
    rests = db.session.execute(
        sa.select(Tranche.id, Tranche.budget_id, Tranche.remaining)
        .where(is_over, Tranche.id.in_([tranche_id for tranche_id, _budget in over]))
        .order_by(Tranche.budget_id, Tranche.id)
    ).all()
    bookings = []
    for tranche_id, budget_id, rest in rests:
        key = f"expire:{tranche_id.hex}:{uuid7().hex}"
        booking = Booking(Command.EXPIRE, key, digest(Command.EXPIRE, tranche=tranche_id))
        booking.move(tranche_id, budget_id, Account.AVAILABLE, Account.EXPIRED, rest)
        bookings.append(booking)
    if bookings:
        journal.book(*bookings)
    return len(bookings)


# --- inside ---------------------------------------------------------------------------------------------------------


def _pass_on(
    command: Command,
    from_id: UUID,
    to_id: UUID,
    amount: int,
    key: str,
    actor_id: UUID | None,
    reason: str | None,
) -> None:
    _positive(amount)
    purses = _locked(from_id, to_id)
    body = digest(command, source=from_id, target=to_id, amount=amount)
    if _was_done(key, body):
        return
    now = clock.now()
    known = journal.tranches([from_id], now)[from_id]
    parts = first_to_expire(known, amount, now)
    if parts is None:
        raise _too_large(known, amount, now)
    booking = Booking(command, key, body, actor_id=actor_id, reason=reason)
    by_id, arrived = {tranche.id: tranche for tranche in known}, []
    for tranche_id, part in parts:
        old = by_id[tranche_id]
        new = _add_tranche(to_id, part, old.valid_from, old.valid_until, old.id)
        booking.add(Account.AVAILABLE, -part, from_id, tranche_id=tranche_id)
        booking.add(Account.AVAILABLE, part, to_id, tranche_id=new.id)
        arrived.append((new.id, part))
    _pay_debt(booking, to_id, purses[to_id], arrived)
    journal.book(booking)


def _pay_debt(booking: Booking, budget_id: UUID, purse: Balance, arrived: list[tuple[UUID, int]]) -> None:
    """What comes into a budget pays its overrun first."""
    debt = purse.overrun
    for tranche_id, amount in arrived:
        paid = min(debt, amount)
        debt -= paid
        booking.add(Account.AVAILABLE, -paid, budget_id, tranche_id=tranche_id)
        booking.add(Account.OVERRUN, paid, budget_id, tranche_id=tranche_id)


def _forgive(booking: Booking, budget_id: UUID, debt: int, amount: int, now: datetime) -> None:
    """Take an overrun away; what later credits have paid of it goes back to the tranches that paid."""
    booking.add(Account.OVERRUN, amount, budget_id)
    rest = max(0, amount - debt)
    if not rest:
        return
    total = sa.func.sum(LedgerEntry.amount)
    payers = db.session.execute(
        sa.select(Tranche.id, Tranche.valid_until, total)
        .join(LedgerEntry, LedgerEntry.tranche_id == Tranche.id)
        .where(LedgerEntry.budget_id == budget_id, LedgerEntry.account == Account.OVERRUN)
        .group_by(Tranche.id)
        .having(total > 0)
        .order_by(Tranche.valid_until.desc(), Tranche.id.desc())
    ).all()
    for tranche_id, valid_until, paid in payers:
        back = min(rest, int(paid))
        rest -= back
        booking.move(tranche_id, budget_id, Account.OVERRUN, _alive(valid_until, now), back)


def _alive(valid_until: datetime, now: datetime) -> Account:
    """Where credits return to that belong to a tranche with this end."""
    return Account.AVAILABLE if valid_until > now else Account.EXPIRED


def _locked(*budget_ids: UUID) -> dict[UUID, Balance]:
    db.session.flush()
    return journal.lock_purses(budget_ids)


def _was_done(key: str, body: str) -> bool:
    """Whether this very command was done before. Another body under the key is a conflict."""
    before = journal.open_books([key]).get(key)
    if before is not None and before.body != body:
        raise IdempotencyConflict(key=key)
    return before is not None


def _add_tranche(
    budget_id: UUID, amount: int, valid_from: datetime, valid_until: datetime, source_id: UUID | None = None
) -> Tranche:
    """A tranche with nothing on it yet: the lines of the booking bring it."""
    tranche = Tranche(
        id=uuid7(),
        budget_id=budget_id,
        source_id=source_id,
        amount=amount,
        remaining=0,
        valid_from=valid_from,
        valid_until=valid_until,
    )
    db.session.add(tranche)
    db.session.flush()
    db.session.expire(tranche, ["remaining"])
    return tranche


def _expired(tranche_id: UUID) -> int:
    statement = sa.select(sa.func.coalesce(sa.func.sum(LedgerEntry.amount), 0)).where(
        LedgerEntry.tranche_id == tranche_id, LedgerEntry.account == Account.EXPIRED
    )
    return int(db.session.scalar(statement) or 0)


def _used_by_tranche(hold_id: UUID) -> list[tuple[UUID | None, datetime, int]]:
    """What a hold has used and was not given back, what was spent last first; overruns have no tranche."""
    total = sa.func.sum(LedgerEntry.amount)
    found = db.session.execute(
        sa.select(LedgerEntry.tranche_id, Tranche.valid_until, total)
        .join(LedgerTransaction, LedgerTransaction.id == LedgerEntry.transaction_id)
        .outerjoin(Tranche, Tranche.id == LedgerEntry.tranche_id)
        .where(LedgerTransaction.hold_id == hold_id, LedgerEntry.account == Account.USED)
        .group_by(LedgerEntry.tranche_id, Tranche.valid_until)
        .having(total > 0)
        .order_by(Tranche.valid_until.desc().nulls_first(), LedgerEntry.tranche_id.desc())
    )
    return [(tranche_id, valid_until, int(used)) for tranche_id, valid_until, used in found]


def _hold_of(session_id: UUID | None) -> Hold | None:
    session = db.session.get(LabSession, session_id) if session_id else None
    return session.hold if session else None


def _too_large(known: list[Credits], amount: int, now: datetime) -> TransferTooLarge:
    left = sum(tranche.remaining for tranche in known if tranche.valid_from <= now)
    return TransferTooLarge(
        _(
            "%(asked)s credits were asked for, %(left)s are left.",
            asked=credits_text(amount),
            left=credits_text(left),
        ),
        asked=amount,
        left=left,
        unit="micro-credits",
    )


def _positive(amount: int) -> None:
    if amount <= 0:
        raise ValueError("credits are moved in positive amounts")
