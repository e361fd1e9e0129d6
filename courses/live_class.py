"""A class and its labs as its teachers see them: filtered, sorted, and acted on together."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.access import Actor
from app.db import transaction
from app.errors import DomainError
from courses import queries
from courses.models import CourseRun
from courses.queries import Seat
from labs import queries as labs_queries
from labs.deciding import deciding
from labs.models import SessionState
from labs.queries import Watched
from labs.services import extension, sessions

STATES = ("live", "running", "moving", "idle", "none")
SORTS = ("lab", "name", "left", "credits")
MOVING = (
    SessionState.WAITING,
    SessionState.OFFERED,
    SessionState.RESERVED,
    SessionState.STARTING,
    SessionState.STOPPING,
)


@dataclass(frozen=True)
class Wanted:
    """What of the class is shown, and in which order."""

    text: str = ""
    state: str = ""
    sort: str = "lab"

    @classmethod
    def of(cls, given: Any) -> "Wanted":
        """From the address or a form; what makes no sense is left out."""
        state, sort = given.get("state", ""), given.get("sort", "")
        return cls(
            text=given.get("q", "").strip()[:100],
            state=state if state in STATES else "",
            sort=sort if sort in SORTS else SORTS[0],
        )

    @property
    def arguments(self) -> dict[str, str]:
        """For an address that shows the same."""
        known = {"q": self.text, "state": self.state, "sort": "" if self.sort == SORTS[0] else self.sort}
        return {name: value for name, value in known.items() if value}


@dataclass(frozen=True)
class Row:
    """Somebody of the class, with a lab and what is seen of it, if there is one."""

    seat: Seat
    watched: Watched | None

    def work(self, at: datetime) -> str:
        return self.watched.work(at) if self.watched else "none"

    def cost(self, at: datetime) -> int:
        return self.seat.session.cost_so_far(at) if self.seat.session else 0


def rows(actor: Actor, run: CourseRun, wanted: Wanted, at: datetime) -> list[Row]:
    """Everybody of the class whom the filter shows."""
    seats = queries.class_list(run)
    watched = labs_queries.watched(actor, [seat.session for seat in seats if seat.session])
    found = [Row(seat, watched[seat.session.id] if seat.session else None) for seat in seats]
    return choose(found, wanted, at)


def choose(known: list[Row], wanted: Wanted, at: datetime) -> list[Row]:
    shown = [row for row in known if _mentions(row, wanted.text) and _is_in(row, wanted.state, at)]
    return sorted(shown, key=lambda row: _place(row, wanted.sort, at))


@dataclass(frozen=True)
class Result:
    """What became of one lab when many were acted on. `problem` says why nothing did."""

    session_id: UUID
    person: str
    problem: DomainError | None = None

    @property
    def done(self) -> bool:
        return self.problem is None


def stop(actor: Actor, run: CourseRun, session_ids: Iterable[UUID]) -> list[Result]:
    """Stop them, each in a transaction of its own, so that one that is refused keeps no other waiting."""
    return [_act(run, session_id, lambda i: sessions.stop(actor, i)) for session_id in session_ids]


def extend(actor: Actor, run: CourseRun, session_ids: Iterable[UUID], minutes: int, key: str) -> list[Result]:
    """Give each so many minutes more; the same key again changes nothing."""
    return [_act(run, i, lambda i: _extend(actor, i, minutes, key), within=nullcontext) for i in session_ids]


def _extend(actor: Actor, session_id: UUID, minutes: int, key: str) -> None:
    """In a transaction of its own, with a line in the log of decisions."""
    with deciding(actor, "extend", session_id=session_id, minutes=minutes, key=key) as question:
        question.answer(extension.extend(actor, session_id, minutes, key))


def _act(
    run: CourseRun, session_id: UUID, step: Any, within: Callable[[], AbstractContextManager[None]] = transaction
) -> Result:
    person = ""
    try:
        with within():
            person = queries.session_of(run, session_id).person.name
            step(session_id)
    except DomainError as refusal:
        return Result(session_id, person, refusal)
    return Result(session_id, person)


def _mentions(row: Row, text: str) -> bool:
    """Every word is somewhere in the names or the address; two characters of a Chinese name are enough."""
    person = row.seat.person
    known = " ".join(filter(None, (person.name, person.name_latin, person.email))).casefold()
    return all(word in known for word in text.casefold().split())


def _is_in(row: Row, state: str, at: datetime) -> bool:
    lab = row.seat.session
    match state:
        case "live":
            return lab is not None
        case "running":
            return lab is not None and lab.state is SessionState.RUNNING
        case "moving":
            return lab is not None and lab.state in MOVING
        case "idle":
            return row.work(at) in ("idle", "quiet")
        case "none":
            return lab is None
        case _:
            return True


def _place(row: Row, sort: str, at: datetime) -> tuple[Any, ...]:
    lab, name = row.seat.session, row.seat.person.name
    if sort == "name":
        return (name,)
    if sort == "left":
        ends_at = lab.lease_ends_at if lab else None
        return (lab is None, ends_at is None, ends_at.timestamp() if ends_at else 0, name)
    if sort == "credits":
        return (lab is None, -row.cost(at), name)
    return (lab is None, name)
