"""The ledger of credits, and the only code that writes it: grant, transfer, reserve, post, settle, void, expire.

Double entry: the entries of a transaction sum to zero, and are only ever added. `Purse`, `MemberCap`, `Tranche`
and `Hold` cache what the entries add up to; every guard is one UPDATE with its condition, in the order cap, purse,
tranches, so two commands on one budget wait for each other and never for the budget above. Every command carries
a key: the same key with the same body gives the same answer again, with another body it is a conflict.

Amounts are micro-credits; prices are micro-credits an hour; time is whole seconds.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app import clock
from app.db import db
from app.ids import uuid7
from app.locale import credits_text
from labs.errors import (
    BudgetExhausted,
    BudgetOverrun,
    HoldClosed,
    IdempotencyConflict,
    MemberCapExhausted,
    NotEnrolled,
    TransferTooLarge,
)
from labs.ledger import rates
from labs.models import (
    HOUR,
    Account,
    Budget,
    Command,
    Flavor,
    Hold,
    HoldPart,
    HoldState,
    LedgerEntry,
    LedgerTransaction,
    MemberCap,
    Purse,
    Tranche,
)


@dataclass(frozen=True)
class Line:
    """One entry to be: signed amount on an account."""

    account: Account
    amount: int
    budget_id: UUID | None = None
    tranche_id: UUID | None = None
    center_id: UUID | None = None


def price(price_micro: int, seconds: int) -> int:
    """What to put aside for so many seconds: rounded up, so that usage, rounded down, always fits."""
    return -(-price_micro * seconds // HOUR)


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
) -> None:
    """Bring new credits into a partner's budget, valid in [valid_from, valid_until)."""
    transaction = _begin(Command.GRANT, key, actor_id, budget=budget_id, amount=amount, until=valid_until)
    if transaction is None:
        return
    _credit(budget_id, amount)
    tranche = _add_tranche(budget_id, amount, valid_from, valid_until)
    _write(
        transaction,
        Line(Account.SUPPLY, -amount, center_id=center_id),
        Line(Account.AVAILABLE, amount, budget_id, tranche.id),
    )


def transfer(from_id: UUID, to_id: UUID, amount: int, *, key: str, actor_id: UUID | None = None) -> None:
    """Pass credits on to the budget below; they keep the validity of the tranches they come from."""
    transaction = _begin(Command.TRANSFER, key, actor_id, source=from_id, target=to_id, amount=amount)
    if transaction is None:
        return
    for budget_id in sorted((from_id, to_id)):  # two transfers across each other never wait in a circle
        db.session.execute(select(Purse.budget_id).where(Purse.budget_id == budget_id).with_for_update())
    if not _debit(from_id, amount):
        raise _too_large(from_id, amount)
    lines = []
    for tranche, part in _spend_tranches(from_id, amount):
        passed_on = _add_tranche(to_id, part, tranche.valid_from, tranche.valid_until, source_id=tranche.id)
        lines += [
            Line(Account.AVAILABLE, -part, from_id, tranche.id),
            Line(Account.AVAILABLE, part, to_id, passed_on.id),
        ]
    if sum(line.amount for line in lines if line.amount > 0) < amount:
        raise _too_large(from_id, amount)
    _credit(to_id, amount)
    _write(transaction, *lines)


def reserve(
    budget_id: UUID, person_id: UUID, flavor: Flavor, seconds: int, *, key: str, expires_at: datetime | None = None
) -> Hold:
    """Promise the most that so many seconds can cost, from this person's cap and the budget, or refuse.

    Rescue is free, and open to those whose cap or budget is used up. An open hold under which nothing runs gives
    everything back at `expires_at`.
    Raises NotEnrolled, MemberCapExhausted, BudgetOverrun, BudgetExhausted, IdempotencyConflict.
    """
    now = clock.now()
    offer = rates.offers([flavor.id], now)[flavor.id]
    transaction = _begin(Command.RESERVE, key, person_id, budget=budget_id, flavor=flavor.id, seconds=seconds)
    if transaction is None:
        return _hold_of(key)
    amount = offer.tariff.most(now, seconds)
    if not offer.is_rescue:
        _take_from_cap(budget_id, person_id, amount)
        _take_from_purse(budget_id, amount)
    hold = Hold(
        budget_id=budget_id,
        person_id=person_id,
        center_id=offer.center_id,
        flavor_id=flavor.id,
        seconds=seconds,
        amount=amount,
        price_micro=offer.tariff.price_micro,
        bands=offer.bands,
        time_zone=offer.tariff.time_zone,
        expires_at=expires_at,
    )
    db.session.add(hold)
    db.session.flush()
    lines = []
    for position, (tranche, part) in enumerate(_spend_tranches(budget_id, amount)):
        db.session.add(HoldPart(hold_id=hold.id, tranche_id=tranche.id, position=position, amount=part))
        lines += [
            Line(Account.AVAILABLE, -part, budget_id, tranche.id),
            Line(Account.HELD, part, budget_id, tranche.id),
        ]
    if sum(line.amount for line in lines if line.amount > 0) < amount:
        raise _exhausted(budget_id, amount)  # the rest of the purse is not valid now
    transaction.hold_id = hold.id
    _write(transaction, *lines)
    return hold


def post(hold_id: UUID, seconds: int, started_at: datetime | None = None) -> Hold:
    """Record that so many seconds were used so far. Less than was posted before changes nothing.

    The key is the hold and the seconds, so posting twice is posting once.
    """
    hold = _locked(hold_id)
    if hold.state is not HoldState.OPEN or seconds <= hold.posted_seconds:
        return hold
    hold.started_at = hold.started_at or started_at
    transaction = _begin(Command.POST, f"post:{hold_id.hex}:{seconds}", None, hold=hold_id, seconds=seconds)
    if transaction is not None:
        transaction.hold_id = hold_id
        _write(transaction, *_use(hold, seconds))
    return hold


def settle(hold_id: UUID, seconds: int, started_at: datetime | None = None) -> Hold:
    """Post the last of the usage, give the rest back, close the hold. A closed hold stays as it is."""
    hold = _locked(hold_id)
    if hold.state is not HoldState.OPEN:
        return hold
    hold.started_at = hold.started_at or started_at
    used = max(seconds, hold.posted_seconds)
    transaction = _begin(Command.SETTLE, f"settle:{hold_id.hex}", None, hold=hold_id, seconds=used)
    assert transaction is not None, "an open hold was never settled"
    transaction.hold_id = hold_id
    _write(transaction, *_use(hold, used), *_release(hold))
    hold.state, hold.closed_at = HoldState.SETTLED, clock.now()
    db.session.flush()
    return hold


def void(hold_id: UUID) -> Hold:
    """Give everything back: nothing ever ran. Raises HoldClosed when usage was posted before."""
    hold = _locked(hold_id)
    if hold.state is HoldState.VOIDED:
        return hold
    if hold.state is HoldState.SETTLED or hold.posted_seconds:
        raise HoldClosed(hold=str(hold_id))
    transaction = _begin(Command.VOID, f"void:{hold_id.hex}", None, hold=hold_id)
    assert transaction is not None, "an open hold was never voided"
    transaction.hold_id = hold_id
    _write(transaction, *_release(hold))
    hold.state, hold.closed_at = HoldState.VOIDED, clock.now()
    db.session.flush()
    return hold


def expire(limit: int = 500) -> int:
    """Take what is left of tranches whose time is over out of their budgets; return how many tranches."""
    over = db.session.execute(
        select(Tranche.id, Tranche.budget_id)
        .where(Tranche.valid_until <= clock.now(), Tranche.remaining > 0)
        .order_by(Tranche.budget_id, Tranche.id)
        .limit(limit)
    ).all()
    for tranche_id, budget_id in over:
        db.session.execute(select(Purse.budget_id).where(Purse.budget_id == budget_id).with_for_update())
        tranche = db.session.get_one(Tranche, tranche_id, with_for_update=True, populate_existing=True)
        rest, tranche.remaining = tranche.remaining, 0
        transaction = _begin(Command.EXPIRE, f"expire:{tranche_id.hex}:{uuid7().hex}", None, tranche=tranche_id)
        assert transaction is not None
        if rest:
            _move(budget_id, available=-rest, expired=rest)
            _write(
                transaction,
                Line(Account.AVAILABLE, -rest, budget_id, tranche_id),
                Line(Account.EXPIRED, rest, budget_id, tranche_id),
            )
    return len(over)


# --- the guards ---------------------------------------------------------------------------------------------------


def _take_from_cap(budget_id: UUID, person_id: UUID, amount: int) -> None:
    taken = db.session.execute(
        sa.update(MemberCap)
        .where(
            MemberCap.budget_id == budget_id,
            MemberCap.person_id == person_id,
            MemberCap.is_open,
            sa.or_(MemberCap.cap_micro.is_(None), MemberCap.held + MemberCap.used + amount <= MemberCap.cap_micro),
        )
        .values(held=MemberCap.held + amount)
        .execution_options(synchronize_session=False)
    )
    if _rows(taken):
        return
    cap = db.session.get(MemberCap, (budget_id, person_id), populate_existing=True)
    if cap is None or not cap.is_open:
        raise NotEnrolled(layer={"name": "membership", "budget_id": str(budget_id)})
    assert cap.cap_micro is not None
    raise MemberCapExhausted(
        _("%(asked)s credits are needed, %(left)s of your share are left.", **_said(asked=amount, left=cap.left or 0)),
        layer=_layer("member-cap", limit=cap.cap_micro, posted=cap.used, held=cap.held, asked=amount),
    )


def _take_from_purse(budget_id: UUID, amount: int) -> None:
    taken = db.session.execute(
        sa.update(Purse)
        .where(Purse.budget_id == budget_id, Purse.overrun == 0, Purse.available >= amount)
        .values(available=Purse.available - amount, held=Purse.held + amount)
        .execution_options(synchronize_session=False)
    )
    if _rows(taken):
        return
    purse = db.session.get_one(Purse, budget_id, populate_existing=True)
    if purse.overrun:
        raise BudgetOverrun(layer=_layer("budget", limit=purse.total, posted=purse.used, held=purse.held, asked=amount))
    raise _exhausted(budget_id, amount)


def _debit(budget_id: UUID, amount: int) -> bool:
    taken = db.session.execute(
        sa.update(Purse)
        .where(Purse.budget_id == budget_id, Purse.available >= amount)
        .values(available=Purse.available - amount)
        .execution_options(synchronize_session=False)
    )
    return bool(_rows(taken))


def _credit(budget_id: UUID, amount: int) -> None:
    if amount <= 0:
        raise ValueError("credits are moved in positive amounts")
    _move(budget_id, available=amount)


def _move(budget_id: UUID, **changes: int) -> None:
    db.session.execute(
        sa.update(Purse)
        .where(Purse.budget_id == budget_id)
        .values({name: getattr(Purse, name) + change for name, change in changes.items()})
        .execution_options(synchronize_session=False)
    )


def _exhausted(budget_id: UUID, amount: int) -> BudgetExhausted:
    purse = db.session.get_one(Purse, budget_id, populate_existing=True)
    usable = _valid_now(budget_id)
    return BudgetExhausted(
        _("%(asked)s credits are needed, %(left)s are left in the budget.", **_said(asked=amount, left=usable)),
        layer=_layer("budget", limit=purse.total, posted=purse.used, held=purse.held, asked=amount) | {"left": usable},
    )


def _too_large(budget_id: UUID, amount: int) -> TransferTooLarge:
    left = _valid_now(budget_id)
    return TransferTooLarge(
        _("%(asked)s credits were asked for, %(left)s are left.", **_said(asked=amount, left=left)),
        asked=amount,
        left=left,
        unit="micro-credits",
    )


def _valid_now(budget_id: UUID) -> int:
    now = clock.now()
    statement = select(func.coalesce(func.sum(Tranche.remaining), 0)).where(
        Tranche.budget_id == budget_id, Tranche.valid_from <= now, Tranche.valid_until > now
    )
    purse = db.session.get_one(Purse, budget_id, populate_existing=True)
    return min(int(db.session.scalar(statement) or 0), purse.available)


def _layer(name: str, **numbers: int) -> dict[str, object]:
    left = max(0, numbers["limit"] - numbers["posted"] - numbers["held"])
    return {"name": name, **numbers, "left": left, "unit": "micro-credits"}


def _said(**amounts: int) -> dict[str, str]:
    return {name: credits_text(amount) for name, amount in amounts.items()}


# --- tranches -----------------------------------------------------------------------------------------------------


def _add_tranche(
    budget_id: UUID, amount: int, valid_from: datetime, valid_until: datetime, source_id: UUID | None = None
) -> Tranche:
    tranche = Tranche(
        budget_id=budget_id,
        source_id=source_id,
        amount=amount,
        remaining=amount,
        valid_from=valid_from,
        valid_until=valid_until,
    )
    db.session.add(tranche)
    db.session.flush()
    return tranche


def _spend_tranches(budget_id: UUID, amount: int) -> Iterator[tuple[Tranche, int]]:
    """Take the amount from the tranches that are valid now, the first to expire first. The purse is locked already."""
    now = clock.now()
    tranches = db.session.scalars(
        select(Tranche)
        .where(
            Tranche.budget_id == budget_id,
            Tranche.remaining > 0,
            Tranche.valid_from <= now,
            Tranche.valid_until > now,
        )
        .order_by(Tranche.valid_until, Tranche.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    for tranche in tranches:
        if not amount:
            return
        part = min(amount, tranche.remaining)
        tranche.remaining -= part
        amount -= part
        yield tranche, part
    db.session.flush()


# --- usage --------------------------------------------------------------------------------------------------------


def _use(hold: Hold, seconds: int) -> list[Line]:
    """Turn held credits into used ones; what exceeds the hold is an overrun, recorded and never hidden."""
    cost = hold.cost(seconds)
    charge = cost - hold.posted_micro
    budget_id, rest, lines = hold.budget_id, charge, []
    for part in _parts(hold):
        taken = min(rest, part.amount - part.used)
        if not taken:
            continue
        part.used += taken
        rest -= taken
        lines += [
            Line(Account.HELD, -taken, budget_id, part.tranche_id),
            Line(Account.USED, taken, budget_id, part.tranche_id, hold.center_id),
        ]
    if rest:
        lines += [
            Line(Account.OVERRUN, -rest, budget_id),
            Line(Account.USED, rest, budget_id, center_id=hold.center_id),
        ]
    hold.posted_seconds, hold.posted_micro = seconds, cost
    db.session.flush()
    _change_cap(hold, held=-(charge - rest), used=charge)
    _move(budget_id, held=-(charge - rest), used=charge, overrun=rest)
    return lines


def _release(hold: Hold) -> list[Line]:
    """Give back what the hold did not use: to its tranche, or to nobody where the tranche has expired meanwhile."""
    now, back, gone, lines = clock.now(), 0, 0, []
    rests = [(part, part.amount - part.used) for part in _parts(hold) if part.amount > part.used]
    _change_cap(hold, held=-sum(rest for _part, rest in rests))
    db.session.execute(select(Purse.budget_id).where(Purse.budget_id == hold.budget_id).with_for_update())
    for part, rest in rests:
        tranche = db.session.get_one(Tranche, part.tranche_id, with_for_update=True, populate_existing=True)
        account = Account.AVAILABLE if tranche.valid_until > now else Account.EXPIRED
        if account is Account.AVAILABLE:
            tranche.remaining += rest
            back += rest
        else:
            gone += rest
        lines += [
            Line(Account.HELD, -rest, hold.budget_id, part.tranche_id),
            Line(account, rest, hold.budget_id, part.tranche_id),
        ]
    db.session.flush()
    _move(hold.budget_id, held=-(back + gone), available=back, expired=gone)
    return lines


def _change_cap(hold: Hold, **changes: int) -> None:
    db.session.execute(
        sa.update(MemberCap)
        .where(MemberCap.budget_id == hold.budget_id, MemberCap.person_id == hold.person_id)
        .values({name: getattr(MemberCap, name) + change for name, change in changes.items()})
        .execution_options(synchronize_session=False)
    )


def _parts(hold: Hold) -> list[HoldPart]:
    return list(
        db.session.scalars(
            select(HoldPart)
            .where(HoldPart.hold_id == hold.id)
            .order_by(HoldPart.position)
            .execution_options(populate_existing=True)
        )
    )


def _locked(hold_id: UUID) -> Hold:
    return db.session.get_one(Hold, hold_id, with_for_update=True, populate_existing=True)


def _hold_of(key: str) -> Hold:
    hold = db.session.scalar(
        select(Hold).join(LedgerTransaction, LedgerTransaction.hold_id == Hold.id).where(LedgerTransaction.key == key)
    )
    assert hold is not None
    return hold


# --- writing ------------------------------------------------------------------------------------------------------


def _begin(command: Command, key: str, actor_id: UUID | None, **body: object) -> LedgerTransaction | None:
    """Claim the key. None: this very command was done before. Another body under the key is a conflict.

    A second caller with the same key waits here until the first has committed or given up.
    """
    digest = hashlib.sha256(json.dumps([command, body], default=str, sort_keys=True).encode()).hexdigest()
    values: dict[str, Any] = {"id": uuid7(), "created_at": clock.now(), "key": key, "command": command}
    claimed = db.session.scalar(
        insert(LedgerTransaction)
        .values(**values, body_sha256=digest, actor_id=actor_id)
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(LedgerTransaction.id)
    )
    if claimed is not None:
        return db.session.get_one(LedgerTransaction, claimed)
    before = db.session.scalar(select(LedgerTransaction.body_sha256).where(LedgerTransaction.key == key))
    if before != digest:
        raise IdempotencyConflict(key=key)
    return None


def _write(transaction: LedgerTransaction, *lines: Line) -> None:
    rows = [_columns(line, transaction.id) for line in lines if line.amount]
    if sum(row["amount"] for row in rows):
        raise AssertionError(f"unbalanced {transaction.command}: {lines}")
    if rows:
        db.session.execute(sa.insert(LedgerEntry), rows)
    db.session.flush()


def _columns(line: Line, transaction_id: UUID) -> dict[str, Any]:
    return {
        "transaction_id": transaction_id,
        "account": line.account,
        "budget_id": line.budget_id,
        "tranche_id": line.tranche_id,
        "center_id": line.center_id,
        "amount": line.amount,
    }


def _rows(result: Any) -> int:
    return int(result.rowcount)
