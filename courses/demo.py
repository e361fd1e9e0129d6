"""Demo courses for a newcomer's first look: read from demo_content/, made by calling the services.

Each folder there is a course: course.json says what is in it, each text is a pair of Markdown files, each lab has
notebooks and data beside its text. One run is under way, one starts soon, one is full and has a waiting list.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from accounts import queries as accounts_queries
from accounts.models import Partner, Person
from app import clock
from app.access import Actor
from app.db import db
from app.locale import MICRO
from courses import queries
from courses.models import Course, CourseLevel, CourseRun, TeachingRole
from courses.services import catalog, enrollment, runs
from labs import ledger
from labs.models import GRACE_SECONDS, Budget, Flavor, Hold, LabSession, LabTemplate, SessionState
from labs.services import templates

CONTENT = Path(__file__).parent / "demo_content"
QUIET = frozenset({"wang.wei", "chen.chen", "liu.yang", "ma.li"})  # who have used compute; nobody signs in as them
LEASE_MINUTES = 120  # of the labs that ran before
ASKED_SECONDS = LEASE_MINUTES * 60 + GRACE_SECONDS
COURSES = ("deep-learning-first-steps", "iot-data-analysis", "hpc-basics")


@dataclass(frozen=True)
class Campus:
    """What was there before the courses: people by key, partners and their budgets by slug."""

    people: Mapping[str, Person]
    partners: Mapping[str, Partner]
    flavors: Sequence[Flavor]
    budgets: Mapping[str, Budget]

    def acting(self, key: str) -> Actor:
        return accounts_queries.actor(self.people[key].id)


def build(
    actor: Actor,
    people: Mapping[str, Person],
    partners: Mapping[str, Partner],
    flavors: Sequence[Flavor],
    partner_budgets: Mapping[str, Budget],
) -> None:
    """Make the courses and their runs. Teachers and students act for themselves; `actor` appoints the assistants."""
    campus = Campus(people, partners, flavors, partner_budgets)
    for slug in COURSES:
        plan = json.loads((CONTENT / slug / "course.json").read_text(encoding="utf-8"))
        course = _course(campus, slug, plan)
        for run in plan["runs"]:
            _run(campus, actor, course, plan, run)


def _course(campus: Campus, slug: str, plan: Mapping[str, Any]) -> Course:
    teacher = campus.acting(plan["teacher"])
    course = catalog.draft(
        teacher,
        slug=slug,
        partner_id=campus.partners[plan["partner"]].id,
        level=CourseLevel(plan["level"]),
        hours=plan["hours"],
        **_pairs(plan, "title", "summary"),
    )
    for unit in plan["units"]:
        texts = {
            **_pairs(unit, "title"),
            "body_zh": _read(slug, f"{unit['text']}.zh.md"),
            "body_en": _read(slug, f"{unit['text']}.en.md"),
            "minutes_estimate": unit["minutes"],
        }
        if "files" in unit:
            template_id = _template(campus, teacher, course, unit)
            catalog.add_lab(teacher, course.id, lab_template_id=template_id, **texts)
        else:
            catalog.add_text(teacher, course.id, **texts)
    catalog.publish(teacher, course.id)
    return course


def _template(campus: Campus, teacher: Actor, course: Course, unit: Mapping[str, Any]) -> UUID:
    wanted = [flavor.id for flavor in campus.flavors if flavor.slug in unit["flavors"]]
    template = templates.prepare(
        teacher,
        partner_id=course.partner_id,
        folder=course.slug,
        files=[(name, (CONTENT / course.slug / name).read_bytes()) for name in unit["files"]],
        flavor_ids=wanted or [flavor.id for flavor in campus.flavors],
        default_minutes=unit["default_minutes"],
        longest_minutes=unit["longest_minutes"],
        **_pairs(unit, "title"),
    )
    return template.id


def _run(campus: Campus, actor: Actor, course: Course, plan: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    starts_at = _day(run["starts_at"])
    slug, title_zh, title_en = _term(starts_at)
    row = runs.open_run(
        campus.acting(plan["teacher"]),
        course.id,
        slug=slug,
        title_zh=title_zh,
        title_en=title_en,
        parent_budget_id=campus.budgets[plan["partner"]].id,
        member_cap_micro=run["credits_each"] * MICRO,
        seats={campus.partners[slug].id if slug != "shared" else None: cap for slug, cap in run["seats"].items()},
        teacher_ids=[campus.people[key].id for key in (plan["teacher"], *run.get("co_teachers", ()))],
        starts_at=starts_at,
        ends_at=_day(run["ends_at"]),
        enroll_from_at=_day(run["enroll_from_at"]),
        enroll_until_at=_day(run["enroll_until_at"]),
        fund_micro=0,
    )
    with clock.at(min(clock.now(), starts_at)):
        key = f"demo:{course.slug}:{slug}"
        ledger.transfer(campus.budgets[plan["partner"]].id, row.budget_id, run["credits"] * MICRO, key=key)
    for key in run.get("assistants", ()):
        runs.appoint(actor, row.id, campus.people[key].id, TeachingRole.ASSISTANT)
    for key in run["students"]:
        enrollment.enroll(campus.acting(key), row.id, campus.people[key].id)
    _past(campus, row, run)


def _past(campus: Campus, row: CourseRun, run: Mapping[str, Any]) -> None:
    """What the students have used since the run began: an hour or two on most days, less on Sundays."""
    flavor, lab = campus.flavors[0], queries.lab_units(row)[0][1]
    people = [campus.people[key].id for key in run["students"] if key in QUIET]
    for days_ago in range(-run["starts_at"] - 1, 0, -1):
        with clock.at(_day(-days_ago) + timedelta(hours=6)):
            if clock.now().weekday() == 6:
                continue
            asks = [
                ledger.Ask(row.budget_id, person_id, flavor.id, ASKED_SECONDS, f"demo:{row.id}:{days_ago}:{number}")
                for number, person_id in enumerate(people)
                if (number + days_ago) % 3
            ]
            holds = [hold for hold in ledger.reserve_many(asks) if isinstance(hold, Hold)]
            seconds = [2400 + 900 * ((days_ago + number) % 5) for number in range(len(holds))]
            ledger.settle_many([(hold.id, spent) for hold, spent in zip(holds, seconds, strict=True)])
            labs = [_ended(lab, hold.id, spent) for hold, spent in zip(holds, seconds, strict=True)]
            db.session.add_all(labs)
            db.session.flush()


def _ended(template: LabTemplate, hold_id: UUID, seconds: int) -> LabSession:
    """The lab for which credits were promised and charged: it ran so long, and its hub has forgotten it."""
    hold, now = db.session.get_one(Hold, hold_id, populate_existing=True), clock.now()
    ended_at = now + timedelta(seconds=seconds)
    return LabSession(
        person_id=hold.person_id,
        template_id=template.id,
        flavor_id=hold.flavor_id,
        center_id=hold.center_id,
        budget_id=hold.budget_id,
        hold_id=hold.id,
        state=SessionState.SETTLED,
        lease_minutes=LEASE_MINUTES,
        attempts=1,
        ready_at=now,
        lease_ends_at=now + timedelta(minutes=LEASE_MINUTES),
        stop_reason="student",
        ended_at=ended_at,
        forgotten_at=ended_at,
        seconds_used=seconds,
        charged_micro=hold.posted_micro,
    )


def _day(days_from_now: int) -> datetime:
    """Eight in the morning in China on that day."""
    return (clock.now() + timedelta(days=days_from_now)).replace(hour=0, minute=0, second=0, microsecond=0)


def _term(starts_at: datetime) -> tuple[str, str, str]:
    year = starts_at.year
    if starts_at.month >= 7:
        return f"{year}-fall", f"{year} 年秋季学期", f"Fall {year}"
    return f"{year}-spring", f"{year} 年春季学期", f"Spring {year}"


def _pairs(plan: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {f"{name}_{language}": plan[f"{name}_{language}"] for name in names for language in ("zh", "en")}


def _read(slug: str, name: str) -> str:
    return (CONTENT / slug / name).read_text(encoding="utf-8")
