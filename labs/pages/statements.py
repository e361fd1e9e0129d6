"""The pages of statements: a partner's months, one of them, the part about a budget, what one used oneself."""

from typing import Any
from uuid import UUID

from flask import Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import accounts.queries
from app import clock
from app.access import Actor, current_actor, require, require_person, signed_in
from app.db import transaction
from app.errors import Invalid, NotFound
from app.paging import Pagination, page_of
from labs import policy, queries, statement_files, statement_table, statement_words
from labs.models import LedgerPeriod
from labs.months import Month
from labs.pages.blueprint import blp
from labs.queries import sheets
from labs.queries.sheets import Sheet
from labs.services import periods, statements

PEOPLE_ON_A_PAGE = 50
FORMS = ("csv", "pdf")
# These leave a trace of who took a file with what others used, and so write on GET.
WRITES_ON_GET = frozenset({"labs.partner_statement_file", "labs.budget_statement_file"})  # and those of the API


@blp.get("/partners/<slug>/statements")
@signed_in
def partner_statements(slug: str) -> str:
    """A partner's statements, the current month's first."""
    partner = accounts.queries.partner(slug)
    if not policy.may_see_statements(current_actor(), partner.id):
        raise NotFound
    return render_template(
        "labs/statements.html", partner=partner, outlines=queries.outlines(partner.id), words=statement_words
    )


@blp.get("/partners/<slug>/statements/<month>")
@signed_in
def partner_statement(slug: str, month: str) -> str:
    sheet = sheets.sheet_of_partner(current_actor(), slug, _month(month))
    return _page(sheet, ".partner_statement", slug=slug)


@blp.get("/partners/<slug>/statements/<month>.<any(csv, pdf):form>")
@signed_in
def partner_statement_file(slug: str, month: str, form: str) -> Response:
    sheet = sheets.sheet_of_partner(current_actor(), slug, _month(month))
    return _handed_out(current_actor(), sheet, form)


@blp.get("/budgets/<uuid:budget_id>/statements/<month>")
@signed_in
def budget_statement(budget_id: UUID, month: str) -> str:
    """The part of a partner's statement that is about one budget and those below it."""
    sheet = sheets.sheet_of_budget(current_actor(), budget_id, _month(month))
    return _page(sheet, ".budget_statement", budget_id=budget_id)


@blp.get("/budgets/<uuid:budget_id>/statements/<month>.<any(csv, pdf):form>")
@signed_in
def budget_statement_file(budget_id: UUID, month: str, form: str) -> Response:
    sheet = sheets.sheet_of_budget(current_actor(), budget_id, _month(month))
    return _handed_out(current_actor(), sheet, form)


@blp.get("/budgets/<uuid:budget_id>/statements")
@signed_in
def budget_statement_now(budget_id: UUID) -> ResponseReturnValue:
    queries.visible_budget(current_actor(), budget_id)
    return redirect(url_for(".budget_statement", budget_id=budget_id, month=str(Month.of(clock.now()))))


@blp.get("/labs/usage")
@signed_in
def my_usage_now() -> ResponseReturnValue:
    require_person(current_actor())
    return redirect(url_for(".my_usage", month=str(Month.of(clock.now()))))


@blp.get("/labs/usage/<month>")
@signed_in
def my_usage(month: str) -> str:
    """What I used in a month, and who paid for it."""
    person_id = require_person(current_actor())
    wanted = _month(month)
    return render_template(
        "labs/usage.html",
        month=wanted,
        months=sorted({*sheets.months_of_person(person_id), wanted, Month.of(clock.now())}, reverse=True),
        sheets=sheets.sheets_of_person(person_id, wanted),
        words=statement_words,
        title_of=statement_table.pick_of,
    )


@blp.get("/labs/usage/<month>.<any(csv, pdf):form>")
@signed_in
def my_usage_file(month: str, form: str) -> Response:
    wanted = _month(month)
    return statement_files.answer(sheets.sheets_of_person(require_person(current_actor()), wanted), wanted, form)


@blp.get("/operations/periods")
@signed_in
def show_periods() -> str:
    """The closed months, and the next one to close."""
    require(policy.may_close_periods(current_actor()))
    following = queries.next_to_close()
    return render_template(
        "labs/periods.html",
        pager=page_of(queries.periods(), size=24),
        following=following,
        may_close=following is not None and following.ends_at <= clock.now(),
        month_of=Month.of,
        words=statement_words,
    )


@blp.post("/operations/periods")
@signed_in
def close_period() -> ResponseReturnValue:
    """Close a month for good; the form asks first."""
    month = Month.parse(request.form.get("month", ""))
    require(policy.may_close_periods(current_actor()))
    if month is None:
        raise Invalid(_("That is not a month; write it like 2026-02."))
    with transaction():
        _closed: LedgerPeriod = periods.close(current_actor(), month)
    return redirect(url_for(".show_periods"), 303)


def _month(text: str) -> Month:
    month = Month.parse(text)
    if month is None:
        raise NotFound
    return month


def _page(sheet: Sheet, endpoint: str, **place: Any) -> str:
    shown = _filtered(sheet)
    people, query = shown.people, request.args.get("q", "").strip()
    names: dict[str, str] = {}
    if query:
        names = sheets.names_of(line.id for line in people)
        people = [line for line in people if query.casefold() in names.get(line.id, "").casefold()]
    pager = _paged(people)
    filters = _filters()
    told = {line.id for line in pager.items} | set(sheets.events_told(shown.events))
    return render_template(
        "labs/statement.html",
        sheet=shown,
        whole=sheet,
        pager=pager,
        names=names | sheets.names_of(told - names.keys()),
        query=query,
        chosen=next(iter(shown.person_ids), None) if shown.person_ids else None,
        words=statement_words,
        title_of=statement_table.pick_of,
        endpoint=endpoint,
        place=place,
        filters=filters,
        files={form: url_for(f"{endpoint}_file", month=sheet.month, form=form, **place, **filters) for form in FORMS},
        is_first=sheet.number == 1 or sheet.month <= queries.first_month(sheet.partner.id),
        is_latest=sheet.month == Month.of(clock.now()),
    )


def _paged(lines: list[sheets.Line]) -> Pagination:
    size, total = PEOPLE_ON_A_PAGE, len(lines)
    page = min(max(1, request.args.get("page", 1, type=int)), max(1, -(-total // size)))
    return Pagination(lines[(page - 1) * size : page * size], page, size, total)


def _filtered(sheet: Sheet) -> Sheet:
    """Only what the address asks for; what it asks for in vain is left out."""
    wanted = {f"{name}_id": request.args.get(name, type=UUID) for name in ("budget", "person", "flavor")}
    return sheets.narrowed(sheet, **wanted)


def _filters() -> dict[str, Any]:
    """The filters of this address, for the links that keep them."""
    return {name: value for name in ("budget", "person", "flavor") if (value := request.args.get(name))}


def _handed_out(actor: Actor, sheet: Sheet, form: str) -> Response:
    with transaction():
        statements.hand_out(actor, sheet, form)
    return statement_files.answer([_filtered(sheet)], sheet.month, form)
