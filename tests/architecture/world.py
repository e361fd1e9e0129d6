"""A little world in which every route leads somewhere: two universities, a run, and everybody who may knock."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pyotp
import sqlalchemy as sa
from flask import Flask

from accounts import passwords, sealing
from accounts.adapters import Arrival, Departure
from accounts.models import (
    Identity,
    IdentityProvider,
    Notice,
    Partner,
    Person,
    PersonalToken,
    PlatformRoleGrant,
    SecondFactor,
    SignIn,
    fingerprint,
)
from accounts.models_partners import Agreement
from accounts.services import contacts, invitations, logo, merging, notices, service_tokens, signing_in
from accounts.services.tokens import SCOPES
from app import clock
from app.access import SYSTEM, MemberRole, PlatformRole
from app.access_matrix import Walker
from app.db import db, transaction
from app.heartbeat import WorkerBeat
from app.jobs import run_job
from courses import queries as course_queries
from courses.models import TeachingRole
from courses.services import enrollment, runs
from labs.models import AccountingReject, Decision, Outcome, RequestKind
from labs.services import holds, orders, requests, rescue, sessions, terms, views
from tests.courses.conftest import School
from tests.fakes import FakeHub
from tests.make import Make, as_actor

PASSWORD = "correct horse battery"
ISSUER = "https://id.home.example"


class HomeProvider:
    """Stands in for a university's identity provider; the real one is in tests/accounts/test_home_sign_in.py."""

    def depart(self) -> Departure:
        return Departure(f"{ISSUER}/authorize", "state", "nonce", "verifier")

    def arrive(self, code: str, *, nonce: str, verifier: str) -> Arrival:
        return Arrival(ISSUER, "student-at-home", None, None)


class World:
    """Made by the services where people would use them. `ids` are of things that exist, by name of the parameter."""

    def __init__(self, app: Flask, make: Make, hub: FakeHub) -> None:
        self.app, self.make = app, make
        self.school = School(make)
        self.home: Partner = self.school.partner
        self.other: Partner = make.partner(title_en="Other University")
        self.people = self._people()
        self.keys = {walker: self._sign_in(person) for walker, person in self.people.items()}
        self.course = self.school.course()
        self.run = self.school.run(self.course, seats={self.home.id: 30})
        self._other_course()
        runs.appoint(self.school.as_teacher, self.run.id, self.people[Walker.ASSISTANT].id, TeachingRole.ASSISTANT)
        enrollment.enroll(as_actor(self.student), self.run.id, self.student.id)
        self.lab_unit = self._lab_unit()
        db.session.commit()
        self.session_id = self._running_lab(hub)
        self._keep_personal_things()
        self._keep_terms_and_a_decision()
        self._let_a_worker_live()
        self._keep_a_row_that_makes_no_sense()
        self.request_id = requests.ask(
            self.school.as_teacher,
            RequestKind.SUPPLEMENT,
            self.run.budget_id,
            amount_micro=1_000_000,
            reason="walk",
        ).id
        db.session.commit()
        self.ids = self._ids()
        self.foreign = self._foreign()
        self.student_id = self.student.id
        self.person_ids = {walker: person.id for walker, person in self.people.items()}
        self.password_hash = self.student.password_hash or ""
        self.partner_budget_id = self.school.budget.id
        self.flavor_id = self.school.flavor.id
        self.course_slug = self.course.slug

    @property
    def student(self) -> Person:
        return self.people[Walker.STUDENT]

    def token(self, walker: Walker, scopes: tuple[str, ...] = tuple(SCOPES), days: int = 1) -> str:
        """A personal token of this walker; with a negative number of days, one that has expired."""
        secret = f"chancai_{uuid4().hex}"
        row = PersonalToken(
            person_id=self.person_ids[walker],
            name="walk",
            sha256=fingerprint(secret),
            scopes=list(scopes),
            expires_at=clock.now() + timedelta(days=days),
        )
        db.session.add(row)
        db.session.commit()
        return secret

    def service_token(self, *, of_platform: bool) -> str:
        """A token of the platform, or of the other university, with every scope it can have."""
        administrator = as_actor(self.people[Walker.ADMINISTRATOR])
        partner_id = None if of_platform else self.other.id
        wanted = {"name": "all", "scopes": service_tokens.scopes_for(partner_id), "days": 30}
        secret = service_tokens.make(administrator, partner_id=partner_id, **wanted)[1]
        db.session.commit()
        return secret

    def _people(self) -> dict[Walker, Person]:
        secret = {"password_hash": passwords.hashed(PASSWORD)}
        member, platform = self.make.member, self.make.platform
        self.school.teacher.password_hash = secret["password_hash"]
        return {
            Walker.OUTSIDER: member(self.other, **secret),
            Walker.STUDENT: member(self.home, email="student@home.example", **secret),
            Walker.OTHER_TEACHER: member(self.home, MemberRole.TEACHER, **secret),
            Walker.ASSISTANT: member(self.home, MemberRole.ASSISTANT, **secret),
            Walker.TEACHER: self.school.teacher,
            Walker.OTHER_ADMIN: member(self.other, MemberRole.ADMINISTRATOR, **secret),
            Walker.ADMIN: member(self.home, MemberRole.ADMINISTRATOR, **secret),
            Walker.COORDINATOR: platform(PlatformRole.COORDINATOR, **secret),
            Walker.OPERATOR: platform(PlatformRole.OPERATOR, **secret),
            Walker.ADMINISTRATOR: platform(PlatformRole.ADMINISTRATOR, **secret),
        }

    def _other_course(self) -> None:
        other_teacher, course = self.people[Walker.OTHER_TEACHER], self.school.course()
        self.school.run(course, seats={self.home.id: 5}, teacher_ids=[other_teacher.id])
        course.owner_id = other_teacher.id

    def _sign_in(self, person: Person) -> str:
        return signing_in.open_sign_in(person, address="127.0.0.1", browser="walk", has_shown_second_factor=True)

    def _lab_unit(self) -> UUID:
        return next(unit.id for unit in course_queries.units(self.run.version_id) if unit.is_lab)

    def _text_unit(self) -> UUID:
        return next(unit.id for unit in course_queries.units(self.run.version_id) if not unit.is_lab)

    def _running_lab(self, hub: FakeHub) -> UUID:
        """A lab of the student, paid by the run, that has come all the way."""
        unit = course_queries.unit(self.run, self.lab_unit)
        assert unit.lab_template_id is not None
        with transaction():
            session = sessions.request(
                as_actor(self.student),
                template_id=unit.lab_template_id,
                flavor_id=self.school.flavor.id,
                minutes=60,
                budget_id=self.run.budget_id,
            )
        run_job(self.app, self.app.extensions["jobs"]["start_sessions"])
        with transaction():
            orders.redeem("embedded", self.student.hub_name, session.server_name)
        run_job(self.app, self.app.extensions["jobs"]["follow_sessions"])
        return session.id

    def _hold(self) -> UUID:
        """Credits of the run, put aside for the student by a program of the university."""
        asked = {"budget_id": self.run.budget_id, "person_id": self.student.id, "flavor_id": self.school.flavor.id}
        administrator = as_actor(self.people[Walker.ADMIN])
        wanted = {"seconds": 600, "purpose": "walk", "expires_in": None, "key": "walk-0000", "address": None}
        return holds.reserve(administrator, **asked, **wanted).hold.id

    def _keep_terms_and_a_decision(self) -> None:
        """Terms that everybody has accepted, and an answer to the student on the run's budget."""
        operator = as_actor(self.people[Walker.OPERATOR])
        number = terms.publish(operator, "embedded", text_zh="条款", text_en="Terms").number
        for person in self.people.values():
            terms.accept(as_actor(person), "embedded", number)
        self.decision = Decision(
            person_id=self.student.id,
            asked="launch",
            outcome=Outcome.GRANTED,
            reason="GRANTED",
            budget_id=self.run.budget_id,
            inputs={},
        )
        self._keep(self.decision)

    def _keep_a_row_that_makes_no_sense(self) -> None:
        center_id = self.school.flavor.center_id
        self.reject = AccountingReject(center_id=center_id, sha256="0", raw={}, why="no-field", detail="walk")
        self._keep(self.reject)

    def _keep_personal_things(self) -> None:
        """What belongs to the student alone, and what everybody has."""
        self._keep(SignIn(person_id=self.student.id, key_sha256="0", expires_at=clock.now() + timedelta(hours=1)))
        self._keep(
            PersonalToken(
                person_id=self.student.id,
                name="theirs",
                sha256="0",
                scopes=["labs:read"],
                expires_at=clock.now() + timedelta(days=1),
            )
        )
        self._keep(Identity(person_id=self.student.id, issuer=ISSUER, subject="student-at-home"))
        notices.notify(self.student.id, "welcome", "walk", url="/courses", name="Student")
        self.secret = pyotp.random_base32()
        sealed = sealing.seal(self.secret)
        for person in self.people.values():
            self._keep(SecondFactor(person_id=person.id, sealed_secret=sealed, confirmed_at=clock.now()))
        provider = IdentityProvider(
            partner_id=self.home.id,
            issuer=ISSUER,
            client_id="chancai",
            sealed_client_secret=sealed,
            creates_accounts=False,
            role=MemberRole.STUDENT,
        )
        self._keep(provider)
        self.app.extensions["openid"] = {(ISSUER, "chancai", sealed): HomeProvider()}
        administrator = as_actor(self.people[Walker.ADMIN])
        invited = {"partner_id": self.home.id, "role": MemberRole.STUDENT, "name": "Somebody"}
        self.invitation, self.code = invitations.invite(administrator, **invited)
        self.contact = contacts.add(administrator, self.home.slug, name="Chen", role="Registry")
        self.logo = logo.put(administrator, self.home.slug, b'<svg xmlns="http://www.w3.org/2000/svg"/>')
        self.partner_token_id = self._service_token(Walker.ADMIN, self.home.id)
        self.platform_token_id = self._service_token(Walker.ADMINISTRATOR, None)
        self.double_id = self.make.person().id
        self.merge = merging.merge(
            as_actor(self.people[Walker.ADMINISTRATOR]),
            kept_id=self.make.person().id,
            merged_id=self.make.person().id,
            reason="walk",
        )
        rescue.offer(SYSTEM, self.school.flavor.center, cores=1, memory_mb=512)
        self.look = views.ask(self.school.as_teacher, self.session_id, "walk")
        self.spare = self.make.member(self.home, email="spare@home.example")

    def _service_token(self, walker: Walker, partner_id: UUID | None) -> UUID:
        wanted = {"name": "walk", "scopes": ["labs:read"], "days": 30}
        return service_tokens.make(as_actor(self.people[walker]), partner_id=partner_id, **wanted)[0].id

    def _let_a_worker_live(self) -> None:
        now = sa.func.now()
        self._keep(WorkerBeat(id=1, host="here", pid=1, started_at=now, beat_at=now))

    def _keep(self, row: Any) -> None:
        db.session.add(row)
        db.session.flush()

    def _ids(self) -> dict[str, str]:
        of_student = {"person_id": self.student.id}
        rows: dict[str, Any] = {
            "run_id": self.run.id,
            "unit_id": self._text_unit(),
            "session_id": self.session_id,
            "flavor_id": self.school.flavor.id,
            "look_id": self.look.id,
            "budget_id": self.run.budget_id,
            "decision_id": self.decision.id,
            "number": 1,
            "reject_id": self.reject.id,
            "person_id": self.student.id,
            "request_id": self.request_id,
            "hold_id": self._hold(),
            "invitation_id": self.invitation.id,
            "token_id": _one(PersonalToken, sha256="0"),
            "sign_in_id": _one(SignIn, key_sha256="0"),
            "notice_id": _one(Notice, event="walk", **of_student),
            "identity_id": _one(Identity, **of_student),
            "contact_id": self.contact.id,
            "agreement_id": _one(Agreement, partner_id=self.home.id),
            "grant_id": _one(PlatformRoleGrant, person_id=self.people[Walker.COORDINATOR].id),
            "merge_id": self.merge.id,
            "digest": self.logo.sha256,
            "slug": self.home.slug,
            "month": "2026-03",
            "form": "csv",
            "code": "not-found",
            "path": "chancai.css",
        }
        return {name: str(value) for name, value in rows.items()}

    def _foreign(self) -> dict[str, str]:
        """Things of the other university, by the parameters that come second in an address."""
        administrator = as_actor(self.people[Walker.OTHER_ADMIN])
        invited = {"partner_id": self.other.id, "role": MemberRole.STUDENT, "name": "Somebody"}
        budget = self.make.budget(10, parent=self.make.budget(100, partner_id=self.other.id))
        outsider = self.people[Walker.OUTSIDER]
        self.make.cap(budget, outsider)
        template = self.make.template([self.school.flavor], partner_id=self.other.id)
        with transaction():
            session = sessions.request(
                as_actor(outsider),
                template_id=template.id,
                flavor_id=self.school.flavor.id,
                minutes=60,
                budget_id=budget.id,
            )
        decision = Decision(person_id=outsider.id, asked="launch", outcome=Outcome.GRANTED, reason="GRANTED", inputs={})
        self._keep(decision)
        course = self.school.course()
        rows = {
            "decision_id": decision.id,
            "invitation_id": invitations.invite(administrator, **invited)[0].id,
            "person_id": outsider.id,
            "session_id": session.id,
            "token_id": self._service_token(Walker.OTHER_ADMIN, self.other.id),
            "contact_id": contacts.add(administrator, self.other.slug, name="Sun", role="Registry").id,
            "agreement_id": _one(Agreement, partner_id=self.other.id),
            "unit_id": course_queries.units(self.school.run(course, seats={self.other.id: 5}).version_id)[0].id,
        }
        return {name: str(value) for name, value in rows.items()}


def _one(kind: Any, **values: Any) -> UUID:
    found: UUID = db.session.scalars(sa.select(kind.id).filter_by(**values)).one()
    return found
