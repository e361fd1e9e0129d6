"""A statement as a table for a spreadsheet: a row for each balance, each flow, each line of usage, each decision."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from flask import Response
from flask_babel import gettext as _

from app.locale import pick
from app.spreadsheet import csv_response
from labs.queries.sheets import BudgetLine, Sheet, events_told, names_of
from labs.statements import BALANCES, FLOWS

Row = tuple[object, ...]


def file_name(sheets: Sequence[Sheet], month: object) -> str:
    """How a download is called: statement-haibin-2026-02, or usage-2026-02 for what one person used."""
    if len(sheets) != 1 or sheets[0].person_ids is not None:
        return f"usage-{month}"
    draft = "-preliminary" if sheets[0].is_preliminary else ""
    return f"statement-{sheets[0].partner.slug}-{month}{draft}"


def as_csv(sheets: Sequence[Sheet], month: object) -> Response:
    """Everything on the sheets. The first column is a stable word for programs; the amounts come exactly."""
    header = (
        *(_("Line kind"), _("Partner"), _("Month"), _("Statement number")),
        *(_("Budget"), _("Budget ID"), _("Person"), _("Person ID")),
        *(_("Center"), _("Flavor"), _("Time"), _("Reason"), _("Credits"), _("Micro-credits"), _("Seconds"), _("Labs")),
    )
    rows = [row for sheet in sheets for row in _rows(sheet)]
    return csv_response(file_name(sheets, month), header, rows)


def _rows(sheet: Sheet) -> Iterator[Row]:
    """Titles and names are looked up once, since a statement can have a hundred thousand lines."""
    names = names_of({line.id for line in sheet.people} | set(events_told(sheet.events)))
    start = (pick(sheet.partner), str(sheet.month), sheet.number or _("preliminary"))
    budgets = [(pick_of(row), row["id"]) for row in sheet.body["budgets"]]
    people = [(names.get(person), person) for person in sheet.body["persons"]]
    flavors = [(pick_of(row["center"]), pick_of(row)) for row in sheet.body["flavors"]]
    if sheet.shows_balances:
        for line in sheet.budgets:
            for name, micro in _balances(line):
                yield (name, *start, pick_of(line.row), line.row["id"], *NOBODY, *NO_FLAVOR, *NO_TIME, *_amount(micro))
        for event in sheet.events:
            told = (names.get(event["person"]), event["person"], *NO_FLAVOR, event["at"], event["reason"])
            for budget, account, micro in event["lines"]:
                yield (f"entry-{event['command']}-{account}", *start, *budgets[budget], *told, *_amount(micro))
    for budget, person, flavor, micro, seconds, sessions in sheet.usage:
        who = (*budgets[budget], *people[person], *flavors[flavor], *NO_TIME)
        yield ("usage", *start, *who, *_amount(micro, seconds, sessions))
    total = (sheet.totals["micro"], sheet.totals["seconds"], sheet.totals["sessions"])
    yield ("total-used", *start, *NO_BUDGET, *NOBODY, *NO_FLAVOR, *NO_TIME, *_amount(*total))


NO_BUDGET = NOBODY = NO_FLAVOR = NO_TIME = (None, None)


def _balances(line: BudgetLine) -> Iterator[tuple[str, int]]:
    yield from ((f"opening-{account}", line.row["opening"][account]) for account in BALANCES)
    yield from ((name.replace("_", "-"), line.flows[name]) for name in FLOWS)
    yield from ((f"closing-{account}", line.row["closing"][account]) for account in BALANCES)


def _amount(micro: int, seconds: int | None = None, sessions: int | None = None) -> Row:
    return (Decimal(micro).scaleb(-6), micro, seconds, sessions)


def pick_of(row: dict[str, Any]) -> str:
    """The title of something that a body names, in the reader's language."""
    return pick(_Named(row["title_zh"], row["title_en"]))


class _Named:
    def __init__(self, title_zh: str, title_en: str) -> None:
        self.title_zh = title_zh
        self.title_en = title_en
