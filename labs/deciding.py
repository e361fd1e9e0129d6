"""The edge of every question "may this lab …?": one transaction, one answer, one row in the log of decisions.

    with deciding(actor, "launch", template_id=…, flavor_id=…, budget_id=…, minutes=60) as question:
        question.answer(sessions.request(…))

What is granted is written down in the transaction that grants it. A refusal undoes its transaction, so its row is
written in one of its own, and the refusal goes on to whoever answers the request. Other errors decide nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flask import g, has_request_context
from sqlalchemy import select

from app.access import Actor, require_person
from app.audit import plain
from app.db import db, transaction
from app.locale import in_every_language
from labs import queries
from labs.errors import LaunchRefused
from labs.models import Budget, Decision, Flavor, LabSession, MemberCap, Outcome, SessionState
from labs.services import line

SAME = {"extend": ("key",), "keep-alive": ("until_at",)}  # what tells a second question about a session from a replay


@dataclass
class Question:
    """What is asked, and in the end the session that is the answer. Holds what it is about, so that it is read once."""

    person_id: UUID
    asked: str
    about: dict[str, UUID | None]
    inputs: dict[str, Any] = field(default_factory=dict)
    flavor: Flavor | None = None
    budget: Budget | None = None
    cap: MemberCap | None = None
    session: LabSession | None = None

    def answer(self, session: LabSession) -> LabSession:
        self.session = session
        return session

    def weighed(self, flavor: Flavor, candidates: list[dict[str, Any]]) -> None:
        """This flavor comes first of what was wanted; where others could be had too, each is kept with its answer."""
        if flavor is not self.flavor:
            self.flavor, self.about["flavor_id"] = flavor, flavor.id
            self.inputs["numbers"] |= queries.center_numbers(flavor, self.person_id)
        if candidates:
            self.inputs["placement"] = candidates


@contextmanager
def deciding(
    actor: Actor,
    asked: str,
    *,
    session_id: UUID | None = None,
    template_id: UUID | None = None,
    flavor_id: UUID | None = None,
    budget_id: UUID | None = None,
    when_refused: Callable[[LaunchRefused], None] | None = None,
    **wanted: object,
) -> Iterator[Question]:
    """Decide inside, in one transaction. `wanted` is what else was asked (minutes); `when_refused` follows a refusal,
    in the transaction that writes it down."""
    question = Question(
        require_person(actor),
        asked,
        {"session_id": session_id, "template_id": template_id, "flavor_id": flavor_id, "budget_id": budget_id},
    )
    try:
        with transaction():
            _prepare(actor, question, wanted)
            yield question
            _write_answer(question)
    except LaunchRefused as refusal:
        with transaction():
            _write(question, Outcome.REFUSED, refusal.reason, kind=refusal.kind, problem=as_kept(refusal))
            if when_refused is not None:
                when_refused(refusal)
        raise


def taking_place(actor: Actor, session_id: UUID) -> AbstractContextManager[Question]:
    """Deciding on the place that is kept for a session in line: who is refused for good leaves it to the next."""
    return deciding(
        actor, "accept", session_id=session_id, when_refused=lambda refusal: line.give_up(session_id, refusal)
    )


def as_kept(refusal: LaunchRefused) -> dict[str, Any]:
    """A refusal as plain data, with its words in every language: whoever reads it later may read another one."""
    known = {
        "code": refusal.code,
        "title": in_every_language(refusal.title),
        "detail": None if refusal.detail is None else in_every_language(refusal.detail),
        "advice": in_every_language(refusal.advice),
        "remedies": [{"code": r.code, "text": in_every_language(r.text), "url": r.url} for r in refusal.remedies],
    }
    return known | {name: _plain(value) for name, value in refusal.members.items()}


def _prepare(actor: Actor, question: Question, wanted: dict[str, object]) -> None:
    """Note the numbers. A session that the actor may not see is not there, and nothing of it is looked at."""
    about = question.about
    if about["session_id"] is not None:
        session = queries.session(actor, about["session_id"])
        about |= {
            "template_id": session.template_id,
            "flavor_id": session.flavor_id,
            "budget_id": session.budget_id,
        }
    flavor_id, budget_id = about["flavor_id"], about["budget_id"]
    if flavor_id is not None:
        question.flavor = db.session.get(Flavor, flavor_id)
    if budget_id is not None:
        question.budget = db.session.get(Budget, budget_id, populate_existing=True)
        question.cap = db.session.get(MemberCap, (budget_id, question.person_id), populate_existing=True)
    question.inputs = {name: _plain(value) for name, value in wanted.items()}
    question.inputs["numbers"] = queries.numbers(question.person_id, question.flavor, question.budget, question.cap)


def _write_answer(question: Question) -> None:
    session = question.session
    assert session is not None, "a question that was not refused has an answer"
    question.about |= {"session_id": session.id, "flavor_id": session.flavor_id}
    question.flavor = session.flavor
    if question.asked == "keep-alive":
        question.inputs["until_at"] = _plain(session.keep_alive_until)
    if _is_decided(question, session.id):
        return
    waits = session.state is SessionState.WAITING
    _write(question, Outcome.WAITING if waits else Outcome.GRANTED, "WAITING" if waits else "GRANTED")


def _is_decided(question: Question, session_id: UUID) -> bool:
    """Asked again and answered with what is there already, this is no new decision."""
    before = select(Decision.id).where(
        Decision.session_id == session_id,
        Decision.person_id == question.person_id,
        Decision.asked == question.asked,
        Decision.outcome != Outcome.REFUSED,
    )
    for name in SAME.get(question.asked, ()):
        before = before.where(Decision.inputs[name].astext == question.inputs[name])
    return db.session.scalar(before.limit(1)) is not None


def _write(
    question: Question, outcome: Outcome, reason: str, *, kind: str | None = None, problem: dict[str, Any] | None = None
) -> None:
    db.session.add(
        Decision(
            person_id=question.person_id,
            asked=question.asked,
            outcome=outcome,
            reason=reason,
            kind=kind,
            center_id=question.flavor.center_id if question.flavor else None,
            inputs=question.inputs,
            problem=problem,
            request_id=g.get("request_id") if has_request_context() else None,
            **question.about,
        )
    )
    db.session.flush()


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return plain(value)
