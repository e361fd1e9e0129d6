"""What can be promised: decided on balances that the caller has locked, without a database. Everything here is pure.

A promise draws on a member's cap, a budget's purse and its tranches. The first tranche to expire pays first, and none
pays for time after its end: a promise across the end of one is split.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from uuid import UUID

from labs.tariff import SLACK, Tariff

Parts = list[tuple[UUID, int]]  # how much lies on which tranche, in the order in which it is spent


@dataclass
class Cap:
    """A member's share of a budget."""

    limit: int | None
    held: int
    used: int
    is_open: bool

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.held - self.used)


@dataclass
class Balance:
    """A purse."""

    available: int
    held: int
    used: int
    expired: int
    overrun: int

    @property
    def total(self) -> int:
        return self.available + self.held + self.used + self.expired - self.overrun


@dataclass
class Credits:
    """What is left of a tranche."""

    id: UUID
    remaining: int
    valid_from: datetime
    valid_until: datetime


@dataclass
class Book:
    """The balances that a batch works on; each promise takes its part out of them before the next is decided."""

    caps: dict[tuple[UUID, UUID], Cap] = field(default_factory=dict)
    purses: dict[UUID, Balance] = field(default_factory=dict)
    tranches: dict[UUID, list[Credits]] = field(default_factory=dict)

    def valid(self, budget_id: UUID, at: datetime) -> int:
        """What a budget could spend at that moment."""
        spendable = sum(t.remaining for t in self.tranches.get(budget_id, ()) if t.valid_from <= at < t.valid_until)
        return min(spendable, self.purses[budget_id].available)


@dataclass(frozen=True)
class Want:
    """So many more seconds under a tariff, after those that were promised already."""

    budget_id: UUID
    person_id: UUID
    tariff: Tariff
    now: datetime
    seconds: int
    is_free: bool = False  # rescue: no cap and no purse stands in its way
    promised_seconds: int = 0
    promised_micro: int = 0
    started_at: datetime | None = None  # None: it starts within the slack

    @property
    def starts_at(self) -> datetime:
        """The latest start: who starts earlier has used more of a tranche before it ends, never less."""
        return self.started_at or self.now + SLACK

    def total(self, seconds: int) -> int:
        """The most that all of it costs when so many seconds are added."""
        first = self.started_at or self.now
        return self.tariff.most(first, self.promised_seconds + seconds, self.starts_at - first)

    def amount(self, seconds: int | None = None) -> int:
        """What has to be put aside on top."""
        return max(0, self.total(self.seconds if seconds is None else seconds) - self.promised_micro)


class Obstacle(StrEnum):
    STRANGER = "stranger"
    CAP = "cap"
    OVERRUN = "overrun"
    PURSE = "purse"
    VALIDITY = "validity"


@dataclass(frozen=True)
class Granted:
    amount: int
    parts: Parts


@dataclass(frozen=True)
class Denied:
    """Why not, with the numbers as they were at that moment."""

    obstacle: Obstacle
    asked: int
    cap: Cap | None = None
    purse: Balance | None = None
    left: int = 0  # micro-credits that can be spent now
    fits_seconds: int = 0  # so much of what was asked is paid for by credits that are still valid then


def decide(book: Book, want: Want) -> Granted | Denied:
    """Give a promise and take it out of the book, or say why not."""
    outcome = judge(book, want)
    if isinstance(outcome, Granted) and outcome.amount:
        _take(book, want, outcome)
    return outcome


def judge(book: Book, want: Want) -> Granted | Denied:
    """What the answer would be; the book stays as it is."""
    amount = want.amount()
    if want.is_free:
        return Granted(0, [])
    cap = book.caps.get((want.budget_id, want.person_id))
    if cap is None or not cap.is_open:
        return Denied(Obstacle.STRANGER, amount)
    if cap.left is not None and amount > cap.left:
        return Denied(Obstacle.CAP, amount, cap=replace(cap))
    purse = book.purses[want.budget_id]
    if purse.overrun:
        return Denied(Obstacle.OVERRUN, amount, purse=replace(purse))
    left = book.valid(want.budget_id, want.now)
    if amount > purse.available:
        return Denied(Obstacle.PURSE, amount, purse=replace(purse), left=left)
    tranches = book.tranches.get(want.budget_id, [])
    parts = cover(tranches, want)
    if parts is not None:
        return Granted(amount, parts)
    if amount > _in_sight(tranches, want):
        return Denied(Obstacle.PURSE, amount, purse=replace(purse), left=left)
    fits = longest(lambda seconds: cover(tranches, want, seconds) is not None, want.seconds)
    return Denied(Obstacle.VALIDITY, amount, purse=replace(purse), left=left, fits_seconds=fits)


def cover(tranches: Iterable[Credits], want: Want, seconds: int | None = None) -> Parts | None:
    """Which tranche pays how much, or None where no division serves.

    Time is cut where tranches begin and end; each stretch is paid for by those that are valid during it, the first to
    expire first. Whatever division serves, this one does (earliest deadline first).
    """
    seconds = want.seconds if seconds is None else seconds
    start, end = want.promised_seconds, want.promised_seconds + seconds
    known = sorted(tranches, key=lambda t: (t.valid_until, t.id))
    rests = {tranche.id: tranche.remaining for tranche in known}
    points = _points(known, want.starts_at, start, end)
    paid, total = want.promised_micro, want.promised_micro + want.amount(seconds)
    taken: dict[UUID, int] = {}
    for begin, until in pairwise(points):
        due = total if until == end else min(total, max(paid, want.tariff.cost(want.starts_at, until)))
        for tranche in known:
            if due == paid:
                break
            if _pays(tranche, want.starts_at, begin, until):
                part = min(rests[tranche.id], due - paid)
                rests[tranche.id] -= part
                taken[tranche.id] = taken.get(tranche.id, 0) + part
                paid += part
        if paid < due:
            return None
    return [(tranche.id, taken[tranche.id]) for tranche in known if taken.get(tranche.id)]


def first_to_expire(tranches: Iterable[Credits], amount: int, at: datetime) -> Parts | None:
    """Take an amount from what is valid at that moment; None where there is not so much."""
    parts: Parts = []
    for tranche in sorted(tranches, key=lambda t: (t.valid_until, t.id)):
        if amount and tranche.remaining and tranche.valid_from <= at < tranche.valid_until:
            part = min(amount, tranche.remaining)
            parts.append((tranche.id, part))
            amount -= part
    return None if amount else parts


def longest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` that fits, where whatever is smaller than one that fits does too."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _take(book: Book, want: Want, granted: Granted) -> None:
    cap, purse = book.caps[want.budget_id, want.person_id], book.purses[want.budget_id]
    cap.held += granted.amount
    purse.available -= granted.amount
    purse.held += granted.amount
    rests = {tranche.id: tranche for tranche in book.tranches[want.budget_id]}
    for tranche_id, part in granted.parts:
        rests[tranche_id].remaining -= part


def _points(tranches: list[Credits], base: datetime, start: int, end: int) -> list[int]:
    """Seconds after the base at which what is valid changes, with start and end."""
    points = {start, end}
    for tranche in tranches:
        points.add(_seconds(tranche.valid_until - base))
        points.add(-_seconds(base - tranche.valid_from))
    return sorted(point for point in points if start <= point <= end)


def _pays(tranche: Credits, base: datetime, begin: int, until: int) -> bool:
    begins, ends = base + timedelta(seconds=begin), base + timedelta(seconds=until)
    return tranche.valid_from <= begins and ends <= tranche.valid_until


def _in_sight(tranches: Iterable[Credits], want: Want) -> int:
    """All that is valid now or becomes so before the end of what is asked for."""
    end = want.starts_at + timedelta(seconds=want.promised_seconds + want.seconds)
    return sum(t.remaining for t in tranches if t.valid_from < end and t.valid_until > want.now)


def _seconds(length: timedelta) -> int:
    return length // timedelta(seconds=1)  # rounded down: before the end of one, after the beginning of another
