"""What somebody sees of a statement: all of it, one budget with those below it, one person, one flavor."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import select

import accounts.queries
from accounts.models import Partner, Person
from accounts.models_life import PersonMerge
from app import clock
from app.access import Actor
from app.db import db
from app.errors import NotFound
from labs import policy
from labs.models import Budget, MemberCap, UsageDay
from labs.months import Month
from labs.queries.budgets import partner_of, visible_budget
from labs.queries.statements import compose, first_month, statement_of
from labs.statements import WAYS, Body, balance, comes_in, sums


@dataclass(frozen=True)
class BudgetLine:
    """How one budget opened, moved and closed."""

    row: dict[str, Any]
    depth: int
    seconds: int
    sessions: int

    @property
    def opening(self) -> int:
        return balance(self.row["opening"])

    @property
    def closing(self) -> int:
        return balance(self.row["closing"])

    @property
    def flows(self) -> dict[str, int]:
        found: dict[str, int] = self.row["flows"]
        return found


@dataclass(frozen=True)
class Line:
    """What was used by one person, with one flavor, or from one budget; `row` is what the body says of it."""

    row: dict[str, Any]
    micro: int
    seconds: int
    sessions: int

    @property
    def id(self) -> str:
        return str(self.row["id"])


@dataclass(frozen=True)
class Sheet:
    """A statement, or a part of it. Without a number it is preliminary, since its month is still open."""

    partner: Partner
    month: Month
    body: Body
    sha256: str | None = None
    previous: str | None = None
    closed_at: datetime | None = None
    budget_id: str | None = None  # this budget and those below it
    person_ids: frozenset[str] | None = None
    flavor_id: str | None = None

    @property
    def number(self) -> int | None:
        number: int | None = self.body["number"]
        return number

    @property
    def is_preliminary(self) -> bool:
        return self.number is None

    @property
    def is_whole(self) -> bool:
        return self.budget_id is None and self.shows_balances

    @property
    def shows_balances(self) -> bool:
        """Whether all usage is there that explains the balances of the budgets."""
        return self.person_ids is None and self.flavor_id is None

    @cached_property
    def places(self) -> frozenset[int]:
        """Which of the body's budgets are on the sheet."""
        rows = self.body["budgets"]
        if self.budget_id is None:
            return frozenset(range(len(rows)))
        inside, places = {self.budget_id}, set()
        for place, row in enumerate(rows):  # each stands after the one above it
            if row["id"] == self.budget_id or row["parent_id"] in inside:
                inside.add(row["id"])
                places.add(place)
        if not places:
            raise NotFound
        return frozenset(places)

    @cached_property
    def usage(self) -> list[list[int]]:
        """The usage lines [budget, person, flavor, micro, seconds, sessions] on the sheet; the numbers are places."""
        if self.is_whole:
            return list(self.body["usage"])
        persons = {place for place, person in enumerate(self.body["persons"]) if person in (self.person_ids or ())}
        flavors = {place for place, row in enumerate(self.body["flavors"]) if row["id"] == self.flavor_id}
        return [
            line
            for line in self.body["usage"]
            if line[0] in self.places
            and (self.person_ids is None or line[1] in persons)
            and (self.flavor_id is None or line[2] in flavors)
        ]

    @cached_property
    def budgets(self) -> list[BudgetLine]:
        used = {line[0]: line for line in (self.body["by_budget"] if self.is_whole else sums(self.usage, 0))}
        depths: dict[str, int] = {}
        found = []
        for place, row in enumerate(self.body["budgets"]):
            if place in self.places:
                depths[row["id"]] = depths.get(row["parent_id"], -1) + 1
                _place, _micro, seconds, sessions = used.get(place, (place, 0, 0, 0))
                found.append(BudgetLine(row, depths[row["id"]], seconds, sessions))
        return found

    @cached_property
    def budgets_used(self) -> list[Line]:
        return self._lines(self.body["budgets"], 0)

    @cached_property
    def people(self) -> list[Line]:
        return self._lines([{"id": person} for person in self.body["persons"]], 1)

    @cached_property
    def flavors(self) -> list[Line]:
        return self._lines(self.body["flavors"], 2)

    @cached_property
    def totals(self) -> dict[str, int]:
        """The sums of what is on the sheet."""
        found = {
            "opening": sum(line.opening for line in self.budgets),
            "closing": sum(line.closing for line in self.budgets),
            "micro": sum(line[3] for line in self.usage),
            "seconds": sum(line[4] for line in self.usage),
            "sessions": sum(line[5] for line in self.usage),
        }
        for name in self.body["totals"].keys() - found.keys():
            found[name] = sum(line.flows[name] for line in self.budgets)
        return found

    @cached_property
    def outside(self) -> dict[str, int]:
        """The totals without what the budgets on the sheet passed on to each other."""
        totals = self.totals | dict.fromkeys(("received", "passed_on", "pulled_in", "pulled_out"), 0)
        for event in self.events:
            if event["command"] in WAYS:
                net = sum(comes_in(account, amount) for _budget, account, amount in event["lines"])
                totals[WAYS[event["command"]][net < 0]] += abs(net)
        return totals

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """What was decided about the budgets on the sheet, with only their lines."""
        if not self.shows_balances:
            return []
        found = []
        for event in self.body["events"]:
            lines = [line for line in event["lines"] if line[0] in self.places]
            if lines:
                found.append(event | {"lines": lines})
        return found

    def _lines(self, rows: list[dict[str, Any]], place: int) -> list[Line]:
        """Those who used most first."""
        name = ("by_budget", "by_person", "by_flavor")[place]
        added = self.body[name] if self.is_whole else sums(self.usage, place)
        return [Line(rows[key], micro, *more) for key, micro, *more in sorted(added, key=lambda line: (-line[1], line))]


# --- whose sheet --------------------------------------------------------------------------------------------------


def sheet_of_partner(actor: Actor, slug: str, month: Month) -> Sheet:
    """A partner's statement, for those who may see it; for others there is no such thing."""
    partner = accounts.queries.partner(slug)
    if not policy.may_see_statements(actor, partner.id):
        raise NotFound
    return _sheet(partner, month)


def sheet_of_budget(actor: Actor, budget_id: UUID, month: Month) -> Sheet:
    """The part of its partner's statement that is about a budget and those below it."""
    budget: Budget = visible_budget(actor, budget_id)
    sheet = replace(_sheet(partner_of(budget), month), budget_id=str(budget_id))
    assert sheet.places
    return sheet


def sheets_of_person(person_id: UUID, month: Month) -> list[Sheet]:
    """What a person used in a month: a part of the statement of each partner that paid for it."""
    if month > Month.of(clock.now()):
        raise NotFound
    merged = select(PersonMerge.merged_id).where(PersonMerge.kept_id == person_id, PersonMerge.undone_at.is_(None))
    people = {person_id, *db.session.scalars(merged)}
    drew = select(MemberCap.budget_id).where(MemberCap.person_id.in_(people))
    partners = db.session.scalars(
        select(Partner)
        .where(Partner.id.in_(select(Budget.partner_id).where(Budget.id.in_(drew))))
        .order_by(Partner.slug)
    )
    ids = frozenset(map(str, people))
    sheets = [replace(sheet, person_ids=ids) for partner in partners if (sheet := _sheet_if_any(partner, month))]
    return [sheet for sheet in sheets if sheet.usage]


def narrowed(
    sheet: Sheet, *, budget_id: UUID | None = None, person_id: UUID | None = None, flavor_id: UUID | None = None
) -> Sheet:
    """Only what is about that budget (with those below it), that person, that flavor."""
    if budget_id is not None and str(budget_id) in {line.row["id"] for line in sheet.budgets}:
        sheet = replace(sheet, budget_id=str(budget_id))
    if person_id is not None:
        sheet = replace(sheet, person_ids=frozenset({str(person_id)}))
    if flavor_id is not None:
        sheet = replace(sheet, flavor_id=str(flavor_id))
    return sheet


def months_of_person(person_id: UUID) -> list[Month]:
    """The months in which a person used something, the latest first."""
    day = sa.func.date_trunc("month", UsageDay.day)
    statement = select(sa.cast(day, sa.Date)).where(UsageDay.person_id == person_id).distinct()
    return sorted({Month(first.year, first.month) for first in db.session.scalars(statement)}, reverse=True)


def names_of(ids: Iterable[str]) -> dict[str, str]:
    """People's names as they are today: an erased person has a pseudonym, and the statement knows only the id."""
    wanted = [UUID(text) for text in ids]
    rows = db.session.execute(select(Person.id, Person.name).where(Person.id == sa.any_(sa.literal(wanted, _UUIDS))))
    return {str(person_id): name for person_id, name in rows}


_UUIDS = sa.ARRAY(sa.Uuid())


def events_told(events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Whom these events name."""
    for event in events:
        yield from (person for person in (event["actor"], event["person"]) if person)


def _sheet(partner: Partner, month: Month) -> Sheet:
    found = _sheet_if_any(partner, month)
    if found is None:
        raise NotFound
    return found


def _sheet_if_any(partner: Partner, month: Month) -> Sheet | None:
    """The statement as it was closed; while the month is open, what it would be now."""
    row = statement_of(partner.id, month)
    if row is not None:
        return Sheet(partner, month, row.body, row.sha256, row.previous, row.created_at)
    if not first_month(partner.id) <= month <= Month.of(clock.now()):
        return None
    return Sheet(partner, month, compose(partner, month))
