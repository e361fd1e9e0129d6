"""The API of statements and closed months. A file comes by its suffix, or by what is accepted."""

from typing import Any
from uuid import UUID

from flask import Response, request
from flask_smorest import Blueprint
from sqlalchemy import Select

import accounts.queries
from app.access import Actor, current_actor, require, require_person, scope, signed_in
from app.db import transaction
from app.errors import NotFound
from app.paging import Rows
from labs import policy, queries, statement_files
from labs.models import LedgerPeriod
from labs.months import Month
from labs.queries import sheets
from labs.queries.sheets import Sheet
from labs.queries.statements import Outline
from labs.schemas.statements import (
    ClosingSchema,
    PeriodSchema,
    StatementOutlineSchema,
    StatementQuerySchema,
    StatementSchema,
)
from labs.services import periods, statements

blp = Blueprint("statements_api", __name__, url_prefix="/api/v1", description="Statements of closed and open months")
WRITES_ON_GET = frozenset(
    f"statements_api.{view}"
    for view in ("get_statement", "get_statement_file", "get_budget_statement", "get_budget_statement_file")
)
MIMETYPES = {"application/json": "json", "text/csv": "csv", "application/pdf": "pdf"}


@blp.get("/partners/<slug>/statements")
@signed_in
@scope("budgets:read")
@blp.response(200, StatementOutlineSchema(many=True))
def list_statements(slug: str) -> list[Outline]:
    """List a partner's statements, the current month's first."""
    partner = accounts.queries.partner(slug)
    if not policy.may_see_statements(current_actor(), partner.id):
        raise NotFound
    return queries.outlines(partner.id)


@blp.get("/partners/<slug>/statements/<month>")
@signed_in
@scope("budgets:read")
@blp.arguments(StatementQuerySchema, location="query")
@blp.response(200, StatementSchema)
def get_statement(query: dict[str, Any], slug: str, month: str) -> Sheet | Response:
    """Show a partner's statement; as CSV or PDF where that is what is accepted."""
    return _handed_out(current_actor(), sheets.sheet_of_partner(current_actor(), slug, _month(month)), query, _form())


@blp.get("/partners/<slug>/statements/<month>.<any(csv, pdf):form>")
@signed_in
@scope("budgets:read")
@blp.arguments(StatementQuerySchema, location="query")
@blp.response(200, content_type="application/octet-stream")
def get_statement_file(query: dict[str, Any], slug: str, month: str, form: str) -> Sheet | Response:
    """Take a partner's statement away as CSV or PDF."""
    return _handed_out(current_actor(), sheets.sheet_of_partner(current_actor(), slug, _month(month)), query, form)


@blp.get("/budgets/<uuid:budget_id>/statements/<month>")
@signed_in
@scope("budgets:read")
@blp.arguments(StatementQuerySchema, location="query")
@blp.response(200, StatementSchema)
def get_budget_statement(query: dict[str, Any], budget_id: UUID, month: str) -> Sheet | Response:
    """Show the part of a statement that is about a budget and those below it; as CSV or PDF where accepted."""
    return _handed_out(
        current_actor(), sheets.sheet_of_budget(current_actor(), budget_id, _month(month)), query, _form()
    )


@blp.get("/budgets/<uuid:budget_id>/statements/<month>.<any(csv, pdf):form>")
@signed_in
@scope("budgets:read")
@blp.arguments(StatementQuerySchema, location="query")
@blp.response(200, content_type="application/octet-stream")
def get_budget_statement_file(query: dict[str, Any], budget_id: UUID, month: str, form: str) -> Sheet | Response:
    """Take a budget's part of a statement away as CSV or PDF."""
    return _handed_out(current_actor(), sheets.sheet_of_budget(current_actor(), budget_id, _month(month)), query, form)


@blp.get("/me/usage/<month>")
@signed_in
@scope("labs:read")
@blp.response(200, StatementSchema(many=True))
def get_my_usage(month: str) -> list[Sheet] | Response:
    """Show what I used in a month: a part of the statement of each partner that paid for it."""
    found, form = sheets.sheets_of_person(require_person(current_actor()), _month(month)), _form()
    return found if form == "json" else statement_files.answer(found, _month(month), form)


@blp.get("/me/usage/<month>.<any(csv, pdf):form>")
@signed_in
@scope("labs:read")
@blp.response(200, content_type="application/octet-stream")
def get_my_usage_file(month: str, form: str) -> Response:
    """Take what I used in a month away as CSV or PDF."""
    wanted = _month(month)
    return statement_files.answer(sheets.sheets_of_person(require_person(current_actor()), wanted), wanted, form)


@blp.get("/periods")
@signed_in
@scope("operations:read")
@blp.response(200, PeriodSchema(many=True))
@blp.paginate(Rows)
def list_periods() -> Select[LedgerPeriod]:
    """List the closed months, the latest first."""
    require(policy.may_close_periods(current_actor()))
    return queries.periods()


@blp.post("/periods")
@signed_in
@scope("operations:write")
@blp.arguments(ClosingSchema)
@blp.response(201, PeriodSchema)
def close_period(body: dict[str, Any]) -> LedgerPeriod:
    """Close a month for good. This cannot be undone."""
    month = Month.parse(body["month"])
    assert month is not None
    with transaction():
        return periods.close(current_actor(), month)


def _month(text: str) -> Month:
    month = Month.parse(text)
    if month is None:
        raise NotFound
    return month


def _form() -> str:
    """What the client wants: JSON unless it prefers something else that there is."""
    return MIMETYPES[request.accept_mimetypes.best_match(list(MIMETYPES), default="application/json")]


def _handed_out(actor: Actor, sheet: Sheet, query: dict[str, Any], form: str) -> Sheet | Response:
    with transaction():
        statements.hand_out(actor, sheet, form)
    part = sheets.narrowed(sheet, budget_id=query["budget"], person_id=query["person"], flavor_id=query["flavor"])
    return part if form == "json" else statement_files.answer([part], sheet.month, form)
