"""A small school for tests of courses: a university with credits, a teacher, a course, runs as a test wants them."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from accounts.models import Partner, Person
from app import clock
from app.access import SYSTEM, Actor, MemberRole
from app.db import db
from courses.models import Course, CourseLevel, CourseRun, Unit
from courses.services import catalog, runs
from labs.models import Center, Flavor
from labs.services import budgets, templates
from tests.make import Make, as_actor

_number = count(1)
CREDIT = 1_000_000


class School:
    """Everything is made by the services, as people would."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.partner: Partner = make.partner(title_zh="滨海大学", title_en="Coast University")
        self.teacher: Person = make.member(self.partner, MemberRole.TEACHER, name="Lin Yue")
        self.as_teacher: Actor = as_actor(self.teacher)
        now = clock.now()
        self.budget = budgets.open_partner_budget(
            SYSTEM,
            partner_id=self.partner.id,
            title_zh="预算",
            title_en="Budget",
            starts_at=now - timedelta(days=30),
            ends_at=now + timedelta(days=365),
        )
        valid = (now - timedelta(days=30), now + timedelta(days=365))
        budgets.grant(SYSTEM, self.budget.id, 1000 * CREDIT, *valid, key=f"grant-{next(_number)}")
        center = Center(slug="embedded", partner_id=self.partner.id, title_zh="中心", title_en="Center")
        db.session.add(center)
        db.session.flush()
        self.flavor = Flavor(
            center_id=center.id,
            slug="small",
            title_zh="小",
            title_en="Small",
            cores=1.0,
            memory_mb=1024,
            price_micro=CREDIT,
        )
        db.session.add(self.flavor)
        db.session.commit()

    def course(self, **values: Any) -> Course:
        """A published course: one unit to read, one with a lab."""
        course = self.draft(**values)
        self.text(course)
        self.lab(course)
        catalog.publish(self.as_teacher, course.id)
        db.session.commit()
        return course

    def draft(self, **values: Any) -> Course:
        defaults: dict[str, Any] = {
            "partner_id": self.partner.id,
            "slug": f"course-{next(_number)}",
            "title_zh": "深度学习入门",
            "title_en": "Deep learning, first steps",
            "summary_zh": "从一个神经元开始。",
            "summary_en": "Starts with one neuron.",
            "level": CourseLevel.BEGINNER,
            "hours": 12,
        }
        course = catalog.draft(self.as_teacher, **defaults | values)
        db.session.commit()
        return course

    def text(self, course: Course, **values: Any) -> Unit:
        defaults: dict[str, Any] = {
            "title_zh": "导言",
            "title_en": "Introduction",
            "body_zh": "欢迎。",
            "body_en": "Welcome to **this** course.",
            "minutes_estimate": 10,
        }
        return catalog.add_text(self.as_teacher, course.id, **defaults | values)

    def lab(self, course: Course, **values: Any) -> Unit:
        template = templates.prepare(
            self.as_teacher,
            partner_id=self.partner.id,
            title_zh="实验",
            title_en="Lab",
            folder=course.slug,
            files=[("lesson.ipynb", b"{}")],
            flavor_ids=[self.flavor.id],
            default_minutes=60,
            longest_minutes=120,
        )
        defaults: dict[str, Any] = {
            "lab_template_id": template.id,
            "title_zh": "第一个实验",
            "title_en": "The first lab",
            "body_zh": "打开笔记本。",
            "body_en": "Open the notebook.",
            "minutes_estimate": 45,
        }
        return catalog.add_lab(self.as_teacher, course.id, **defaults | values)

    def run(
        self, course: Course | None = None, seats: Mapping[UUID | None, int] | None = None, **values: Any
    ) -> CourseRun:
        """A run that is under way and takes enrollments; with shared seats unless told otherwise."""
        now = clock.now()
        defaults: dict[str, Any] = {
            "slug": f"term-{next(_number)}",
            "title_zh": "2026 年春季学期",
            "title_en": "Spring 2026",
            "starts_at": now - timedelta(days=1),
            "ends_at": now + timedelta(days=90),
            "enroll_from_at": now - timedelta(days=10),
            "enroll_until_at": now + timedelta(days=10),
            "parent_budget_id": self.budget.id,
            "fund_micro": 100 * CREDIT,
            "member_cap_micro": 10 * CREDIT,
            "seats": {None: 30} if seats is None else seats,
        }
        course = course or self.course()
        run = runs.open_run(self.as_teacher, course.id, **defaults | values)
        db.session.commit()
        return run

    def student(self, partner: Partner | None = None, **values: Any) -> Person:
        return self.make.member(partner or self.partner, **values)


@pytest.fixture
def school(make: Make) -> School:
    return School(make)
