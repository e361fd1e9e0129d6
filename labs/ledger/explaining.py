"""The account of one session, for people: what was promised at which rate, what it became, what returned."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.db import db
from labs.models import Account, Command, Hold, HoldPart, LabSession, LedgerEntry, LedgerTransaction, Tranche


@dataclass(frozen=True)
class PartOfHold:
    """How much of the hold lay on which tranche."""

    tranche_id: UUID
    valid_until: datetime
    amount_micro: int
    used_micro: int


@dataclass(frozen=True)
class Movement:
    account: Account
    amount_micro: int
    tranche_id: UUID | None


@dataclass(frozen=True)
class Booked:
    """One command of the ledger, with what it moved."""

    at: datetime
    command: Command
    reason: str | None
    movements: list[Movement]

    def moved(self, *accounts: Account) -> int:
        return sum(move.amount_micro for move in self.movements if move.account in accounts)


@dataclass(frozen=True)
class Explanation:
    """All that the ledger knows of a session. `hold` is None for one that never left the line."""

    session: LabSession
    hold: Hold | None
    parts: list[PartOfHold]
    commands: list[Booked]

    @property
    def returned_micro(self) -> int:
        """What was promised and came back, to be spent or, where its time was over, expired."""
        back = (Command.SETTLE, Command.VOID, Command.EXPIRE)
        accounts = (Account.AVAILABLE, Account.EXPIRED)
        return sum(booked.moved(*accounts) for booked in self.commands if booked.command in back)

    @property
    def expired_micro(self) -> int:
        return sum(booked.moved(Account.EXPIRED) for booked in self.commands)

    @property
    def overrun_micro(self) -> int:
        """What ran beyond the hold, before anybody paid for it."""
        used = (Command.POST, Command.SETTLE, Command.REVISE)
        return -sum(booked.moved(Account.OVERRUN) for booked in self.commands if booked.command in used)

    @property
    def lost_micro(self) -> int:
        """What the center bears."""
        return sum(booked.moved(Account.LOSS) for booked in self.commands)

    @property
    def bands(self) -> list[dict[str, Any]]:
        return list(self.hold.bands or ()) if self.hold else []


def explain(session: LabSession) -> Explanation:
    """The account of a session that the caller may see."""
    if session.hold_id is None:
        return Explanation(session, None, [], [])
    return Explanation(session, session.hold, _parts(session.hold_id), list(_commands(session.hold_id)))


def _parts(hold_id: UUID) -> list[PartOfHold]:
    found = db.session.execute(
        sa.select(Tranche.id, Tranche.valid_until, HoldPart.amount, HoldPart.used)
        .join(HoldPart, HoldPart.tranche_id == Tranche.id)
        .where(HoldPart.hold_id == hold_id)
        .order_by(Tranche.valid_until, Tranche.id)
    )
    return [PartOfHold(*row) for row in found]


def _commands(hold_id: UUID) -> Iterable[Booked]:
    commands = db.session.scalars(
        sa.select(LedgerTransaction)
        .where(LedgerTransaction.hold_id == hold_id)
        .options(sa.orm.selectinload(LedgerTransaction.entries))
    )
    for row in sorted(commands, key=_order):
        yield Booked(row.created_at, row.command, row.reason, [_movement(entry) for entry in row.entries])


def _order(row: LedgerTransaction) -> tuple[datetime, int]:
    """Commands of one moment stand in the order of their entries."""
    return row.created_at, row.entries[0].id if row.entries else 0


def _movement(entry: LedgerEntry) -> Movement:
    return Movement(entry.account, entry.amount, entry.tranche_id)
