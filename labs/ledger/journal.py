"""The one place that writes the books: locks in a fixed order, and one statement for everything that a batch books.

A booking is one command with its lines. The balances that we cache (caps, purses, tranches, parts of holds, usage by
day) are changed by exactly what its lines say, in the statement that adds them: `_BOOK` is the definition of each.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from app import clock
from app.db import db
from app.ids import uuid7
from app.locale import DEFAULT_ZONE
from app.statements import Question, ask
from labs.errors import IdempotencyConflict
from labs.ledger.promise import Balance, Book, Cap, Credits
from labs.ledger.rows import COLUMNS, AnyHold, HoldRow
from labs.models import Account, Command, Hold, HoldState

BOOKS = 7_021_002  # key of the advisory lock: shared by who books, alone for who closes a period


@dataclass(frozen=True)
class Line:
    """One entry to be: signed amount on an account."""

    account: Account
    amount: int
    budget_id: UUID | None = None
    tranche_id: UUID | None = None
    center_id: UUID | None = None


@dataclass
class Booking:
    """One command: what it is called, what it was asked, and the lines that it adds."""

    command: Command
    key: str
    body: str
    hold: AnyHold | None = None
    actor_id: UUID | None = None
    reason: str | None = None
    seconds: int = 0  # used since the last posting
    settled: int = 0
    lines: list[Line] = field(default_factory=list)
    id: UUID = field(default_factory=uuid7)

    def add(self, account: Account, amount: int, budget_id: UUID | None = None, **where: UUID | None) -> None:
        if amount:
            self.lines.append(Line(account, amount, budget_id, **where))

    def move(self, tranche_id: UUID, budget_id: UUID, source: Account, target: Account, amount: int) -> None:
        """From one account of a budget to another, on the same tranche."""
        self.add(source, -amount, budget_id, tranche_id=tranche_id)
        self.add(target, amount, budget_id, tranche_id=tranche_id)


@dataclass(frozen=True)
class Earlier:
    """What was done under a key."""

    body: str
    hold_id: UUID | None


def digest(command: Command, **body: object) -> str:
    """What tells a replay from another command under the same key."""
    return hashlib.sha256(json.dumps([command, body], default=str, sort_keys=True).encode()).hexdigest()


# --- locks: holds, caps, purses, books; each in the order of its ids -----------------------------------------------


def lock_holds(hold_ids: Iterable[UUID]) -> dict[UUID, Hold]:
    """The holds; nobody else changes them until the transaction ends."""
    found = db.session.scalars(
        sa.select(Hold)
        .where(Hold.id.in_(set(hold_ids)))
        .order_by(Hold.id)
        .with_for_update(key_share=True, of=Hold)
        .execution_options(populate_existing=True)
    )
    return {hold.id: hold for hold in found}


_ROWS = f"SELECT {', '.join(COLUMNS)} FROM hold WHERE id = ANY(CAST(:holds AS uuid[])) ORDER BY id"  # noqa: S608
_HOLDS_SEEN = Question(_ROWS)
_HOLDS_LOCKED = Question(f"{_ROWS} FOR NO KEY UPDATE")
_CAPS = Question(
    """
    SELECT c.budget_id, c.person_id, c.cap_micro, c.held, c.used, c.is_open
    FROM unnest(CAST(:budgets AS uuid[]), CAST(:persons AS uuid[])) AS asked(budget_id, person_id)
    JOIN member_cap c USING (budget_id, person_id)
    ORDER BY c.budget_id, c.person_id FOR NO KEY UPDATE OF c
    """
)
_CAPS_OF_HOLDS = Question(
    """
    SELECT c.budget_id, c.person_id, c.cap_micro, c.held, c.used, c.is_open
    FROM (
        SELECT budget_id, person_id FROM hold WHERE id = ANY(CAST(:holds AS uuid[]))
        UNION SELECT * FROM unnest(CAST(:budgets AS uuid[]), CAST(:persons AS uuid[]))
    ) AS asked
    JOIN member_cap c USING (budget_id, person_id)
    ORDER BY c.budget_id, c.person_id FOR NO KEY UPDATE OF c
    """
)
_PURSES = Question(
    """
    SELECT budget_id, available, held, used, expired, overrun FROM purse
    WHERE budget_id = ANY(CAST(:budgets AS uuid[])) ORDER BY budget_id FOR NO KEY UPDATE
    """
)
_TRANCHES = Question(
    """
    SELECT budget_id, id, remaining, valid_from, valid_until FROM tranche
    WHERE budget_id = ANY(CAST(:budgets AS uuid[])) AND valid_until > CAST(:now AS timestamptz)
    """
)
_EARLIER = Question(
    """
    SELECT t.key, t.body_sha256, t.hold_id FROM (SELECT pg_advisory_xact_lock_shared(:books)) AS open_books
    LEFT JOIN ledger_transaction t ON t.key = ANY(CAST(:keys AS text[]))
    """
)


def lock_caps(members: Iterable[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Cap]:
    (found,) = ask(_caps(members))
    return _caps_in(found)


def lock_purses(budget_ids: Iterable[UUID]) -> dict[UUID, Balance]:
    """The purses. Whoever has one has its budget's tranches too: nobody changes those without it."""
    (found,) = ask(_purses(budget_ids))
    return _purses_in(found)


def tranches(budget_ids: Iterable[UUID], now: datetime) -> dict[UUID, list[Credits]]:
    """What is left of the tranches of budgets whose purses are locked, and not over yet; empty ones are among them."""
    asked = sorted(set(budget_ids))
    (found,) = ask(_tranches(asked, now))
    return _tranches_in(found, asked)


def lock_book(members: Iterable[tuple[UUID, UUID]], budget_ids: Iterable[UUID], now: datetime) -> Book:
    """Every balance that promises to these members of these budgets are decided on."""
    book, _earlier, _more = open_book(members, budget_ids, (), now)
    return book


def open_book(
    members: Iterable[tuple[UUID, UUID]],
    budget_ids: Iterable[UUID],
    keys: Sequence[str],
    now: datetime,
    *more: tuple[Question, dict[str, Any]],
) -> tuple[Book, dict[str, Earlier], list[list[tuple[Any, ...]]]]:
    """`lock_book` and `open_books` in one round trip, with what else is asked in it."""
    budgets = sorted(set(budget_ids))
    questions = [_caps(members), _purses(budgets), _tranches(budgets, now), _earlier(keys)]
    caps, purses, credits, earlier, *rest = ask(*questions, *more)
    return Book(_caps_in(caps), _purses_in(purses), _tranches_in(credits, budgets)), _earlier_in(earlier), rest


def open_everything(
    hold_ids: Iterable[UUID],
    members: Iterable[tuple[UUID, UUID]],
    budget_ids: Iterable[UUID],
    keys: Sequence[str],
    now: datetime,
    *more: tuple[Question, dict[str, Any]],
) -> tuple[dict[UUID, HoldRow], Book, dict[str, Earlier], list[list[tuple[Any, ...]]]]:
    """`open_book` with holds locked before, and the caps of whom they are for; all budgets must be named."""
    budgets, holds = sorted(set(budget_ids)), sorted(set(hold_ids))
    _caps_alone, asked = _caps(members)
    questions = [
        *((_HOLDS_LOCKED, {"holds": holds}), (_CAPS_OF_HOLDS, {"holds": holds, **asked})),
        *(_purses(budgets), _tranches(budgets, now), _earlier(keys)),
    ]
    locked, caps, purses, credits, earlier, *rest = ask(*questions, *more)
    book = Book(_caps_in(caps), _purses_in(purses), _tranches_in(credits, budgets))
    return _rows_in(locked), book, _earlier_in(earlier), rest


def hold_rows(hold_ids: Iterable[UUID]) -> dict[UUID, HoldRow]:
    """Holds as they are, nobody being kept from changing them."""
    (found,) = ask((_HOLDS_SEEN, {"holds": sorted(set(hold_ids))}))
    return _rows_in(found)


def _rows_in(found: Iterable[tuple[Any, ...]]) -> dict[UUID, HoldRow]:
    rows = {}
    for values in found:
        row = HoldRow(*values)
        row.state = HoldState(row.state)
        rows[row.id] = row
    return rows


def lock_balances(
    members: Iterable[tuple[UUID, UUID]], budget_ids: Iterable[UUID], *more: tuple[Question, dict[str, Any]]
) -> list[list[tuple[Any, ...]]]:
    """Lock caps, purses and the books in one round trip, without looking; answer what else is asked in it."""
    return ask(_caps(members), _purses(budget_ids), _earlier(()), *more)[3:]


def open_books(keys: Sequence[str]) -> dict[str, Earlier]:
    """Keep periods from being closed until the transaction ends, and say what was done under these keys before.

    Comes after the locks on balances: whoever sent the same command a moment ago has committed by then.
    """
    (found,) = ask(_earlier(keys))
    return _earlier_in(found)


def _caps(members: Iterable[tuple[UUID, UUID]]) -> tuple[Question, dict[str, Any]]:
    pairs = sorted(set(members))
    return _CAPS, {"budgets": [budget_id for budget_id, _ in pairs], "persons": [person_id for _, person_id in pairs]}


def _caps_in(found: Iterable[tuple[Any, ...]]) -> dict[tuple[UUID, UUID], Cap]:
    return {(row[0], row[1]): Cap(*row[2:]) for row in found}


def _purses(budget_ids: Iterable[UUID]) -> tuple[Question, dict[str, Any]]:
    return _PURSES, {"budgets": sorted(set(budget_ids))}


def _purses_in(found: Iterable[tuple[Any, ...]]) -> dict[UUID, Balance]:
    return {row[0]: Balance(*row[1:]) for row in found}


def _tranches(budget_ids: Sequence[UUID], now: datetime) -> tuple[Question, dict[str, Any]]:
    return _TRANCHES, {"budgets": list(budget_ids), "now": now}


def _tranches_in(found: Iterable[tuple[Any, ...]], budget_ids: Sequence[UUID]) -> dict[UUID, list[Credits]]:
    known: dict[UUID, list[Credits]] = {budget_id: [] for budget_id in budget_ids}
    for budget_id, *values in found:
        known[budget_id].append(Credits(*values))
    return known


def _earlier(keys: Sequence[str]) -> tuple[Question, dict[str, Any]]:
    return _EARLIER, {"books": BOOKS, "keys": list(keys)}


def _earlier_in(found: Iterable[tuple[Any, ...]]) -> dict[str, Earlier]:
    return {key: Earlier(body, hold_id) for key, body, hold_id in found if key is not None}


def lock_books() -> None:
    """Keep everybody from booking until the transaction ends: for closing a period."""
    db.session.execute(sa.select(sa.func.pg_advisory_xact_lock(BOOKS)))


# --- the statement --------------------------------------------------------------------------------------------------

# Everything comes as three lists in JSON, so that there is one plan for batches of every size. A clock that jumped back
# must not write into a closed period: such a command is dated at the end of the last one.
_BOOK = """
WITH asked AS (
    SELECT * FROM jsonb_to_recordset(CAST(:commands AS jsonb)) AS c(
        id uuid, key text, command text, body text, hold_id uuid, budget_id uuid, person_id uuid, flavor_id uuid,
        actor_id uuid, reason text, seconds bigint, settled int)
), booked AS (
    INSERT INTO ledger_transaction (id, created_at, key, command, body_sha256, hold_id, actor_id, reason)
    SELECT id, greatest(CAST(:now AS timestamptz), (SELECT max(ends_at) FROM ledger_period)),
        key, command, body, hold_id, actor_id, reason
    FROM asked
    ON CONFLICT (key) DO NOTHING
    RETURNING id, created_at
), commands AS (
    SELECT asked.*, (booked.created_at AT TIME ZONE :zone)::date AS day FROM asked JOIN booked USING (id)
), lines AS (
    SELECT l.*, c.command, c.hold_id, c.person_id, c.flavor_id, c.day
    FROM ROWS FROM (jsonb_to_recordset(CAST(:lines AS jsonb)) AS (
        id uuid, account text, budget_id uuid, tranche_id uuid, center_id uuid, amount bigint)
    ) WITH ORDINALITY AS l(id, account, budget_id, tranche_id, center_id, amount, number)
    JOIN commands c USING (id)
), entries AS (
    INSERT INTO ledger_entry (transaction_id, account, budget_id, tranche_id, center_id, amount)
    SELECT id, account, budget_id, tranche_id, center_id, amount FROM lines ORDER BY number
), caps AS (
    UPDATE member_cap c SET held = c.held + d.held, used = c.used + d.used
    FROM (
        SELECT budget_id, person_id, coalesce(sum(amount) FILTER (WHERE account = 'held'), 0) AS held,
            coalesce(sum(amount) FILTER (WHERE account = 'used'), 0) AS used
        FROM lines WHERE account IN ('held', 'used') GROUP BY budget_id, person_id
    ) d
    WHERE c.budget_id = d.budget_id AND c.person_id = d.person_id
), purses AS (
    UPDATE purse p SET available = p.available + d.available, held = p.held + d.held, used = p.used + d.used,
        expired = p.expired + d.expired, overrun = p.overrun - d.overrun
    FROM (
        SELECT budget_id, coalesce(sum(amount) FILTER (WHERE account = 'available'), 0) AS available,
            coalesce(sum(amount) FILTER (WHERE account = 'held'), 0) AS held,
            coalesce(sum(amount) FILTER (WHERE account = 'used'), 0) AS used,
            coalesce(sum(amount) FILTER (WHERE account = 'expired'), 0) AS expired,
            coalesce(sum(amount) FILTER (WHERE account = 'overrun'), 0) AS overrun
        FROM lines WHERE budget_id IS NOT NULL GROUP BY budget_id
    ) d
    WHERE p.budget_id = d.budget_id
), tranches AS (
    UPDATE tranche t SET remaining = t.remaining + d.amount
    FROM (SELECT tranche_id, sum(amount) AS amount FROM lines WHERE account = 'available' GROUP BY tranche_id) d
    WHERE t.id = d.tranche_id
), parts AS (
    INSERT INTO hold_part AS p (hold_id, tranche_id, position, amount, used)
    SELECT l.hold_id, l.tranche_id,
        (SELECT count(*) FROM hold_part o WHERE o.hold_id = l.hold_id)
            + row_number() OVER (PARTITION BY l.hold_id ORDER BY l.number) - 1,
        l.amount, CASE l.command WHEN 'revise' THEN l.amount ELSE 0 END
    FROM lines l
    WHERE (l.command IN ('reserve', 'extend') AND l.account = 'held')
        OR (l.command = 'revise' AND l.account = 'used' AND l.tranche_id IS NOT NULL AND l.amount > 0)
    ON CONFLICT (hold_id, tranche_id) DO UPDATE SET amount = p.amount + excluded.amount, used = p.used + excluded.used
), spent AS (
    UPDATE hold_part p SET used = p.used + l.amount
    FROM lines l
    WHERE (l.command IN ('post', 'settle') OR (l.command = 'revise' AND l.amount < 0))
        AND l.account = 'used' AND l.tranche_id IS NOT NULL
        AND p.hold_id = l.hold_id AND p.tranche_id = l.tranche_id
), days AS (
    INSERT INTO usage_day AS u (budget_id, day, person_id, flavor_id, micro, seconds, sessions)
    SELECT c.budget_id, c.day, c.person_id, c.flavor_id, sum(coalesce(l.micro, 0)), sum(c.seconds), sum(c.settled)
    FROM commands c
    LEFT JOIN (SELECT id, sum(amount) AS micro FROM lines WHERE account = 'used' GROUP BY id) l USING (id)
    WHERE c.flavor_id IS NOT NULL AND (l.micro IS NOT NULL OR c.seconds > 0 OR c.settled > 0)
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (budget_id, day, person_id, flavor_id) DO UPDATE
        SET micro = u.micro + excluded.micro, seconds = u.seconds + excluded.seconds,
            sessions = u.sessions + excluded.sessions
)"""
_HOLDS = """jsonb_to_recordset(CAST(:holds AS jsonb)) AS h(
        id uuid, created_at timestamptz, budget_id uuid, person_id uuid, center_id uuid, flavor_id uuid, seconds int,
        amount bigint, price_micro bigint, bands jsonb, time_zone text, purpose text, started_at timestamptz,
        expires_at timestamptz, posted_seconds int, posted_micro bigint, corrected_micro bigint, state text,
        closed_at timestamptz)"""
_PINNED = (
    *("id", "created_at", "budget_id", "person_id", "center_id", "flavor_id"),
    *("price_micro", "bands", "time_zone", "purpose"),
)
_MOVING = (
    *("seconds", "amount", "started_at", "expires_at", "posted_seconds", "posted_micro", "corrected_micro"),
    *("state", "closed_at"),
)
_MADE = f""", made AS (
    INSERT INTO hold ({", ".join(_PINNED + _MOVING)})
    SELECT {", ".join(f"h.{name}" for name in _PINNED + _MOVING)} FROM {_HOLDS}
    JOIN commands c ON c.hold_id = h.id AND c.command = 'reserve'
)"""  # noqa: S608 - only our own column names
_CHANGED = f""", changed AS (
    UPDATE hold SET {", ".join(f"{name} = h.{name}" for name in _MOVING)} FROM {_HOLDS} WHERE hold.id = h.id
)"""  # noqa: S608 - only our own column names
_ANSWER = " SELECT id FROM booked"
_BOOK_ONLY = Question(_BOOK + _ANSWER)
_BOOK_NEW = Question(_BOOK + _MADE + _ANSWER)
_BOOK_CHANGES = Question(_BOOK + _CHANGED + _ANSWER)
_BOOK_ALL = Question(_BOOK + _MADE + _CHANGED + _ANSWER)


def book(*bookings: Booking) -> None:
    """Add the lines of commands that concern no hold."""
    _all_booked(bookings, _execute(_BOOK_ONLY, bookings))


def book_new(bookings: Sequence[Booking]) -> set[UUID]:
    """Add holds with their lines; return the ids of the bookings that were made.

    One is not made where somebody else has used its key meanwhile, and then nothing of it is written.
    """
    return _execute(_BOOK_NEW, bookings)


def book_changes(bookings: Sequence[Booking]) -> None:
    """Add lines that concern holds, and write those down as they are now; each hold in one booking at the most."""
    _all_booked(bookings, _execute(_BOOK_CHANGES, bookings))


def book_all(changes: Sequence[Booking], new: Sequence[Booking], *more: tuple[Question, dict[str, Any]]) -> set[UUID]:
    """`book_changes` and `book_new` with one statement; what comes with it runs after it, in the same round trip."""
    booked = _execute(_BOOK_ALL, [*changes, *new], *more)
    _all_booked(changes, booked)
    return booked


def _execute(statement: Question, bookings: Sequence[Booking], *more: tuple[Question, dict[str, Any]]) -> set[UUID]:
    for booking in bookings:
        if sum(line.amount for line in booking.lines):
            raise AssertionError(f"unbalanced {booking.command}: {booking.lines}")
    rows = {
        "commands": [_command(booking) for booking in bookings],
        "lines": [_line(booking.id, line) for booking in bookings for line in booking.lines],
    }
    if statement is not _BOOK_ONLY:
        rows["holds"] = [_hold(booking.hold) for booking in bookings if booking.hold is not None]
    values = {name: orjson.dumps(items).decode() for name, items in rows.items()}
    booked, *_rest = ask((statement, values | {"now": clock.now(), "zone": DEFAULT_ZONE}), *more)
    return {row[0] for row in booked}


def _command(booking: Booking) -> dict[str, Any]:
    names = ("id", "key", "command", "body", "actor_id", "reason", "seconds", "settled")
    row = {name: getattr(booking, name) for name in names}
    if booking.hold is not None:
        row |= {name: getattr(booking.hold, name) for name in ("budget_id", "person_id", "flavor_id")}
        row["hold_id"] = booking.hold.id
    return row


def _line(booking_id: UUID, line: Line) -> dict[str, Any]:
    return {"id": booking_id, **vars(line)}


def _hold(hold: AnyHold) -> dict[str, Any]:
    return {name: getattr(hold, name) for name in _PINNED + _MOVING}


def enter(book: Book, booking: Booking) -> None:
    """Let the balances in hand follow what was decided on a hold, as they will when it is written."""
    assert booking.hold is not None
    cap = book.caps[booking.hold.budget_id, booking.hold.person_id]
    for line in booking.lines:
        if line.budget_id is None:
            continue
        purse, name = book.purses[line.budget_id], str(line.account)
        sign = -1 if line.account is Account.OVERRUN else 1
        setattr(purse, name, getattr(purse, name) + sign * line.amount)
        if line.account in (Account.HELD, Account.USED):
            setattr(cap, name, getattr(cap, name) + line.amount)
        if line.account is Account.AVAILABLE:
            for tranche in book.tranches[line.budget_id]:
                tranche.remaining += line.amount if tranche.id == line.tranche_id else 0


def _all_booked(bookings: Sequence[Booking], booked: set[UUID]) -> None:
    for booking in bookings:
        if booking.id not in booked:  # somebody else has used the key for something else, just now
            raise IdempotencyConflict(key=booking.key)
