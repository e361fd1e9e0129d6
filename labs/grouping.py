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
from contextlib import contextmanager
from typing import Generic, TypeVar

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
        self.wake = threading.Event()
        self.answer: Answer | Exception | None = None
        self.is_done = False
        self.leads = False


class Group(Generic[Item, Answer]):
    """`work` gets a batch inside a transaction, and answers for each item, in its order: a result, or a refusal."""

    def __init__(
        self, work: Callable[[list[Item]], Sequence[Answer | Exception]], *, most: int = MOST, wait: float = WAIT
    ) -> None:
        self._work, self._most, self._wait = work, most, wait
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
        if not ticket.leads and not ticket.wake.wait(self._wait):
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
        with self._lock:
            batch = self._waiting[: self._most]
            del self._waiting[: self._most]
        answers: Sequence[Answer | Exception] = [NobodyAnswered() for _ticket in batch]  # should the leader die
        try:
            answers = self._done([ticket.item for ticket in batch])
        finally:
            with self._lock:
                self._has_leader = bool(self._waiting)
                successor = self._waiting[0] if self._waiting else None
                if successor is not None:
                    successor.leads = True
            if successor is not None:
                successor.wake.set()
            for ticket, answer in zip(batch, answers, strict=True):
                ticket.answer, ticket.is_done = answer, True
                ticket.wake.set()

    def _done(self, items: list[Item]) -> Sequence[Answer | Exception]:
        try:
            return self._together(items)
        except Exception as fault:
            if len(items) == 1 or _concerns_all(fault):
                return [fault] * len(items)
        return [self._alone(item) for item in items]

    def _alone(self, item: Item) -> Answer | Exception:
        try:
            return self._together([item])[0]
        except Exception as fault:
            return fault

    def _together(self, items: list[Item]) -> Sequence[Answer | Exception]:
        with _own_transaction():
            answers = self._work(items)
            if len(answers) != len(items):
                raise AssertionError(f"{len(items)} items, {len(answers)} answers")
        return answers


class Groups(Generic[Item, Answer]):
    """A group for each of many things (a budget, say), made when needed: those of one never wait for another's."""

    def __init__(self, work: Callable[[list[Item]], Sequence[Answer | Exception]], *, most: int = MOST) -> None:
        self._work, self._most = work, most
        self._lock = threading.Lock()
        self._groups: dict[Hashable, tuple[Group[Item, Answer], int]] = {}

    def submit(self, about: Hashable, item: Item) -> Answer:
        with self._lock:
            group, inside = self._groups.get(about) or (Group(self._work, most=self._most), 0)
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
