"""The log of decisions as pages: "why was I refused at 10:03?", answered to the person, the teacher, the operator."""

from datetime import datetime, time
from typing import Any
from uuid import UUID

from flask import Response, render_template, request
from flask_babel import gettext as _

from app import locale
from app.access import Actor, current_actor, require_person, signed_in
from app.errors import Remedy
from app.locale import pick
from app.paging import page_of
from app.spreadsheet import csv_response
from labs import queries
from labs.errors import BudgetExhausted, MemberCapExhausted
from labs.models import Decision, Outcome
from labs.pages.blueprint import blp
from labs.queries import DecisionFilter
from labs.schemas.decisions import problem_for
from labs.services import admission

CSV_ROWS = 10_000


@blp.get("/labs/decisions")
@signed_in
def decisions() -> str:
    """One's own decisions; those on budgets one looks after; everybody's for operators. Newest first."""
    actor = current_actor()
    wanted = _wanted()
    sees_others = actor.may_operate or queries.looks_after_any(actor)
    return render_template(
        "labs/decisions.html",
        pager=page_of(queries.decisions_seen_by(actor, wanted), size=30),
        rows=in_words,
        sees_others=sees_others,
        wanted=wanted,
        day=request.args.get("day", ""),
        centers=[("", _("All centers")), *((center.slug, pick(center)) for center in queries.centers())],
        outcomes=[("", _("All answers")), *((o, text) for o, text in _outcomes().items())],
        reasons=queries.refusal_reasons(),
        arguments=request.args.to_dict(),
    )


@blp.get("/labs/decisions.csv")
@signed_in
def decisions_csv() -> Response:
    """The same as a table for a spreadsheet; the latest ten thousand."""
    header = (_("Moment"), _("Person"), _("Asked"), _("Answer"), _("Reason"), _("Lab"), _("Flavor"), _("Minutes"))
    found = queries.rows(queries.decisions_seen_by(current_actor(), _wanted()).limit(CSV_ROWS))
    lines = []
    for row in found:
        known = in_words(row)
        lines.append(
            (
                row.created_at,
                row.person.name,
                known["asked"],
                known["answer"],
                row.reason,
                known["lab"],
                known["flavor"],
                row.inputs.get("minutes"),
            )
        )
    return csv_response("decisions", header, lines)


@blp.get("/labs/decisions/<uuid:decision_id>")
@signed_in
def decision(decision_id: UUID) -> str:
    """One decision in words, with the numbers as they were then."""
    actor = current_actor()
    row = queries.decision(actor, decision_id)
    return render_template(
        "labs/decision.html",
        decision=row,
        row=in_words(row),
        problem=problem_for(row),
        numbers=row.inputs.get("numbers", {}),
        placement=row.inputs.get("placement", []),
        reasons=dict(queries.refusal_reasons()),
        english=locale.language() == "en",
        is_mine=row.person_id == require_person(actor),
        more=_more_credits(actor, row),
        pick=lambda known: known.get("title_en" if locale.language() == "en" else "title_zh", ""),
        moment=lambda text: datetime.fromisoformat(text) if text else None,
    )


def _more_credits(actor: Actor, row: Decision) -> tuple[Remedy, ...]:
    """What those who look after the budget can do about a refusal that was somebody else's."""
    if row.person_id == actor.person_id or row.budget_id is None or row.problem is None:
        return ()
    if row.reason not in (BudgetExhausted.reason, MemberCapExhausted.reason) or not queries.manages(
        actor, row.budget_id
    ):
        return ()
    return admission.more_credits(queries.budget(row.budget_id), row.reason, row.problem["layer"])


def in_words(row: Decision) -> dict[str, Any]:
    """A decision in words, for a line of the list."""
    names = queries.names_in_decision(row)
    return {
        "lab": names.lab and pick(names.lab),
        "flavor": names.flavor and pick(names.flavor),
        "center": names.center and pick(names.center),
        "asked": _asked().get(row.asked, row.asked),
        "answer": _outcomes()[row.outcome],
        "title": problem_for(row).get("title", "") if row.problem else "",
    }


def _asked() -> dict[str, str]:
    return {
        "launch": _("Launch"),
        "accept": _("Take an offered place"),
        "extend": _("Extend"),
        "keep-alive": _("Keep running"),
        "rescue": _("Rescue lab"),
    }


def _outcomes() -> dict[Outcome, str]:
    return {
        Outcome.GRANTED: _("Granted"),
        Outcome.WAITING: _("In line"),
        Outcome.REFUSED: _("Refused"),
    }


def _wanted() -> DecisionFilter:
    given = request.args
    outcome = given.get("outcome", "")
    return DecisionFilter(
        person_id=given.get("person_id", type=UUID),
        words=given.get("person", "").strip() or None,
        outcome=Outcome(outcome) if outcome in set(Outcome) else None,
        reason=given.get("reason") or None,
        center_slug=given.get("center") or None,
        budget_id=given.get("budget_id", type=UUID),
        session_id=given.get("session_id", type=UUID),
        day=_day(given.get("day", "")),
    )


def _day(text: str) -> datetime | None:
    """The beginning of that day where the reader is."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day, not a moment
    except ValueError:
        return None
    return datetime.combine(day, time(), locale.zone(locale.choose_zone()))
