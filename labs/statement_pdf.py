"""A statement as PDF, in the reader's language: letterhead, sums, tables, and how to verify it."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask_babel import gettext as _

from app import clock
from app.locale import credits_text, language, moment, pick
from app.pdf import Document
from app.report import Column, Report
from labs.months import Month
from labs.queries.sheets import Line, Sheet, events_told, names_of
from labs.statement_table import pick_of
from labs.statement_words import DECISIONS, at, event_net, hours_text, month_text, signed_flows

NUMBER = 66.0  # the width of a column of credits


def as_pdf(sheets: Sequence[Sheet], month: Month) -> bytes:
    """All sheets one after the other; they are of one partner, or of one person."""
    is_personal = any(sheet.person_ids is not None for sheet in sheets) or not sheets
    title = _title(sheets, month, is_personal)
    is_open = not sheets or any(sheet.is_preliminary for sheet in sheets)
    made_at = max((sheet.closed_at for sheet in sheets if sheet.closed_at), default=None)
    document = Document(title, language().replace("_", "-"), clock.now() if is_open or made_at is None else made_at)
    report = Report(document, title, _("Preliminary") if is_open else "")
    names = names_of({line.id for sheet in sheets for line in sheet.people} | _told(sheets))
    report.letterhead(
        " · ".join(dict.fromkeys(pick(sheet.partner) for sheet in sheets)) or _("Chancai"),
        title,
        _lead(sheets, month, names),
    )
    for sheet in sheets:
        if len(sheets) > 1:
            report.heading(pick(sheet.partner))
        _write(report, sheet, names)
    if not sheets:
        report.paragraph(_("No lab was charged in this month."))
    return report.save()


def _title(sheets: Sequence[Sheet], month: Month, is_personal: bool) -> str:
    name = month_text(month)
    return str(_("Compute used in %(month)s", month=name) if is_personal else _("Statement for %(month)s", month=name))


def _lead(sheets: Sequence[Sheet], month: Month, names: dict[str, str]) -> Iterable[str]:
    """For whom and about when: beneath the title."""
    period = _("From %(start)s to %(end)s", start=moment(month.starts_at), end=moment(month.ends_at))
    yield " · ".join((period, _("all amounts in credits")))
    for sheet in sheets:
        if sheet.budget_id is not None:
            yield _("Budget: %(budget)s", budget=pick_of(sheet.budgets[0].row))
        if sheet.flavor_id is not None and sheet.flavors:
            yield _("Flavor: %(flavor)s", flavor=pick_of(sheet.flavors[0].row))
    people = {person: names.get(person, person) for sheet in sheets for person in sheet.person_ids or ()}
    if people:
        yield _("Person: %(name)s", name=", ".join(people[key] for key in sorted(people)))
    centers = dict.fromkeys(pick_of(line.row["center"]) for sheet in sheets for line in sheet.flavors)
    if centers:
        yield _("Computing centers: %(names)s", names=" · ".join(centers))
    if any(sheet.is_preliminary for sheet in sheets):
        yield _("Preliminary: this month is still open, and its numbers change with every lab.")


def _write(report: Report, sheet: Sheet, names: dict[str, str]) -> None:
    if sheet.shows_balances:
        _sum(report, sheet)
        _budgets(report, sheet)
    elif sheet.budgets_used:
        _usage(report, sheet, _("Budgets"), _("Budget"), ((pick_of(line.row), line) for line in sheet.budgets_used))
    if sheet.flavors:
        flavors = ((f"{pick_of(line.row)} · {pick_of(line.row['center'])}", line) for line in sheet.flavors)
        _usage(report, sheet, _("Flavors"), _("Flavor"), flavors)
    if sheet.people and sheet.person_ids is None:
        people = ((names.get(line.id, line.id), line) for line in sheet.people)
        _usage(report, sheet, _("People"), _("Person"), people)
    if sheet.events:
        _events(report, sheet, names)
    _seal(report, sheet)


def _sum(report: Report, sheet: Sheet) -> None:
    outside = sheet.outside
    report.heading(_("Sum"))
    report.facts(
        [
            (_("Balance at the start"), _exact(outside["opening"])),
            *((text, _exact(micro)) for text, micro in signed_flows(outside)),
            (_("Balance at the end"), _exact(outside["closing"])),
        ]
    )
    held = sum(line.row["closing"]["held"] for line in sheet.budgets)
    if held:
        report.paragraph(_("Of this, %(credits)s are promised to running labs.", credits=_exact(held)))


def _budgets(report: Report, sheet: Sheet) -> None:
    columns = [
        Column(_("Budget")),
        *(Column(title, NUMBER, True) for title in (_("Opening"), _("Came in"), _("Passed on"))),
        *(Column(title, NUMBER, True) for title in (_("Used"), _("Expired"), _("Closing"))),
    ]
    report.heading(_("Budgets"))
    rows = (
        ("– " * min(line.depth, 3) + pick_of(line.row), *_amounts(line.opening, line.flows, line.closing))
        for line in sheet.budgets
    )
    outside = sheet.outside
    report.table(columns, rows, (_("In all"), *_amounts(outside["opening"], outside, outside["closing"])))


def _amounts(opening: int, flows: dict[str, int], closing: int) -> tuple[str, ...]:
    comes = flows["granted"] + flows["received"] + flows["pulled_in"]
    goes = flows["passed_on"] + flows["pulled_out"]
    used = flows["used"] - flows["corrected"]
    return tuple(map(_short, (opening, comes, goes, used, flows["expired"], closing)))


def _usage(report: Report, sheet: Sheet, title: str, first: str, lines: Iterable[tuple[str, Line]]) -> None:
    columns = [Column(first), *(Column(text, 90.0, True) for text in (_("Labs"), _("Hours"), _("Credits")))]
    totals = sheet.totals
    report.heading(title)
    report.table(
        columns,
        ((text, str(line.sessions), hours_text(line.seconds), _exact(line.micro)) for text, line in lines),
        (_("In all"), str(totals["sessions"]), hours_text(totals["seconds"]), _exact(totals["micro"])),
    )


def _events(report: Report, sheet: Sheet, names: dict[str, str]) -> None:
    columns = [
        *(Column(_("When"), 96.0), Column(_("What"), 54.0), Column(_("Budget"), 124.0)),
        *(Column(_("Credits"), 78.0, True), Column(_("Reason")), Column(_("By"), 60.0)),
    ]
    report.heading(_("Decisions and expiries"))
    report.table(columns, (_event(sheet, event, names) for event in sheet.events))


def _event(sheet: Sheet, event: dict[str, Any], names: dict[str, str]) -> tuple[str, ...]:
    budgets = dict.fromkeys(pick_of(sheet.body["budgets"][budget]) for budget, _account, _amount in event["lines"])
    return (
        moment(at(event["at"])),
        str(DECISIONS[event["command"]]),
        " · ".join(budgets),
        _exact(event_net(event)),
        event["reason"] or "",
        names.get(event["actor"] or "", ""),
    )


def _seal(report: Report, sheet: Sheet) -> None:
    report.heading(_("How to verify it"))
    if sheet.is_preliminary:
        report.paragraph(_("This month is still open. A preliminary statement has no number and no hash."))
        return
    if not sheet.is_whole:
        report.paragraph(_("This is a part of the partner's statement, to which number and hash belong."))
    report.paragraph(
        _("Statement no. %(number)s, closed %(moment)s", number=sheet.number, moment=moment(sheet.closed_at))
    )
    report.paragraph(f"SHA-256  {sheet.sha256}")
    report.paragraph(_("After  %(hash)s", hash=sheet.previous))
    report.paragraph(
        _(
            "This hash seals the statement and the one before it. Recompute it from the JSON of the API (GET "
            "%(address)s): sha256 of `previous` followed by `body` as canonical JSON, RFC 8785.",
            address=f"/api/v1/partners/{sheet.partner.slug}/statements/{sheet.month}",
        )
    )


def _told(sheets: Sequence[Sheet]) -> set[str]:
    own = {person for sheet in sheets for person in sheet.person_ids or ()}
    return own | {person for sheet in sheets for person in events_told(sheet.events)}


def _exact(micro: int) -> str:
    return credits_text(micro, 6)


def _short(micro: int) -> str:
    return credits_text(micro)
