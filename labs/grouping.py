"""Requests that wait for the same rows are done together: one transaction, one commit, an answer for each of them.

Leader and followers. Whoever finds nobody at work leads: takes everything that waits, in the order it came, has it done
in one transaction of its own, and hands the lead to the first of those who came meanwhile, so that nobody serves others
for ever. On a hot row this replaces a commit for each request, each waiting for the one before, by a commit for each
batch (docs/adr/0006).

An item that is refused is refused alone: what does the work answers a refusal in its place. An unexpected fault takes
the whole batch back, and then its items are done one by one, so that a poisonous one hurts only itself. Whoever dies
between commit and answer has its caller repeat the request, and the idempotency key gives the answer again.
"""

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from flask import current_app
from flask_babel import lazy_gettext as _

from app.db import transaction
from app.errors import Unavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MOST = 64  # items of a batch: what is held locked for all of them stays short
WAIT = 10.0  # seconds; longer than any lock is waited for
AGAIN_ALONE = {"40P01", "40001"}  # deadlock, serialization: the fault of the company, not of the database


class NobodyAnswered(Unavailable):
    """Others were at work for too long. Repeating with the same key shows whether it was done."""

    code = "group-too-slow"
    title = _("This takes too long at the moment")
    advice = _("Send it again with the same key: what was done already is not done twice.")


class _Ticket(Generic[Item, Answer]):
    """One item that waits, and what became of it."""

    __slots__ = ("answer", "is_done", "item", "leads", "wake")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.wake = threading.Lock()  # cheaper than an Event; held until it is woken
        self.wake.acquire()
        self.answer: Answer | Exception | None = None
        self.is_done = False
        self.leads = False


def _awaken(ticket: _Ticket[Any, Any]) -> None:
    """Twice is once: who gave up waiting may find itself the leader."""
    with suppress(RuntimeError):
        ticket.wake.release()


class Group(Generic[Item, Answer]):
    """`work` gets a batch inside a transaction, and answers for each item, in its order: a result, or a refusal."""

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Answer | Exception]],
        *,
        turn: Callable[[], None] | None = None,
        most: int = MOST,
        wait: float = WAIT,
    ) -> None:
        self._work, self._turn, self._most, self._wait = work, turn, most, wait
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[Item, Answer]] = []
        self._has_leader = False

    def submit(self, item: Item) -> Answer:
        """Have the item done, by this thread or by another's, and return what came of it or raise its refusal.

        The session of the request must hold no transaction: what is done here is committed when this returns.
        """
        ticket: _Ticket[Item, Answer] = _Ticket(item)
        with self._lock:
            self._waiting.append(ticket)
            ticket.leads, self._has_leader = not self._has_leader, True
        if not ticket.leads and not ticket.wake.acquire(timeout=self._wait):
            self._give_up(ticket)
        if ticket.leads and not ticket.is_done:
            self._lead()
        if isinstance(ticket.answer, Exception):
            raise ticket.answer
        return ticket.answer  # type: ignore[return-value]

    def _give_up(self, ticket: _Ticket[Item, Answer]) -> None:
        with self._lock:
            if ticket.leads or ticket.is_done:  # its turn came at the last moment
                return
            if ticket in self._waiting:
                self._waiting.remove(ticket)
        raise NobodyAnswered

    def _lead(self) -> None:
        """Do what waits, then hand on the lead and wake those who were served. Whatever happens, both are done."""
        batch: list[_Ticket[Item, Answer]] = []
        answers: Sequence[Answer | Exception] = []  # stays so if the leader dies
        try:
            answers = self._done(batch)
        finally:
            with self._lock:
                self._has_leader = bool(self._waiting)
                successor = self._waiting[0] if self._waiting else None
                if successor is not None:
                    successor.leads = True
            if successor is not None:
                _awaken(successor)
            for ticket, answer in zip(batch, answers or [NobodyAnswered()] * len(batch), strict=True):
                ticket.answer, ticket.is_done = answer, True
                _awaken(ticket)

    def _done(self, batch: list[_Ticket[Item, Answer]]) -> Sequence[Answer | Exception]:
        """Answers for the batch, which is cut when it is its turn: who comes while others are at work is in it, too."""
        try:
            with _own_transaction():
                if self._turn is not None:
                    self._turn()
                self._cut(batch)
                return self._worked([ticket.item for ticket in batch])
        except Exception as fault:
            self._cut(batch)
            if len(batch) == 1 or _concerns_all(fault):
                return [fault] * len(batch)
        return [self._alone(ticket.item) for ticket in batch]

    def _cut(self, batch: list[_Ticket[Item, Answer]]) -> None:
        if not batch:
            with self._lock:
                batch += self._waiting[: self._most]
                del self._waiting[: self._most]

    def _alone(self, item: Item) -> Answer | Exception:
        try:
            with _own_transaction():
                return self._worked([item])[0]
        except Exception as fault:
            return fault

    def _worked(self, items: list[Item]) -> Sequence[Answer | Exception]:
        answers = self._work(items)
        if len(answers) != len(items):
            raise AssertionError(f"{len(items)} items, {len(answers)} answers")
        return answers


class Groups(Generic[Item, Answer]):
    """A group for each of many things (a budget, say), made when needed: those of one never wait for another's."""

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Answer | Exception]],
        *,
        turn: Callable[[Hashable], None] | None = None,
        most: int = MOST,
    ) -> None:
        self._work, self._turn, self._most = work, turn, most
        self._lock = threading.Lock()
        self._groups: dict[Hashable, tuple[Group[Item, Answer], int]] = {}

    def submit(self, about: Hashable, item: Item) -> Answer:
        with self._lock:
            group, inside = self._groups.get(about) or (self._new(about), 0)
            self._groups[about] = group, inside + 1
        try:
            return group.submit(item)
        finally:
            with self._lock:
                _group, inside = self._groups[about]
                if inside == 1:
                    del self._groups[about]
                else:
                    self._groups[about] = group, inside - 1

    def _new(self, about: Hashable) -> Group[Item, Answer]:
        return Group(self._work, turn=self._turn and partial(self._turn, about), most=self._most)


@contextmanager
def _own_transaction() -> Iterator[None]:
    """A transaction of the batch's own: in a fresh application context there is a session that no request knows."""
    with current_app._get_current_object().app_context(), transaction():  # type: ignore[attr-defined]
        yield


def _concerns_all(fault: Exception) -> bool:
    """The database is away, or a lock was not to be had: trying each item alone would only wait again."""
    if isinstance(fault, sa.exc.DBAPIError):
        is_about_company = getattr(fault.orig, "sqlstate", None) in AGAIN_ALONE
        return fault.connection_invalidated or (isinstance(fault, sa.exc.OperationalError) and not is_about_company)
    return isinstance(fault, sa.exc.TimeoutError)
