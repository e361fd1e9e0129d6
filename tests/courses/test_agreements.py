"""A partner whose agreement has ended keeps what it has, and starts nothing new."""

from datetime import timedelta

import pytest

from accounts import queries as accounts_queries
from accounts.services import agreements, memberships
from app import clock
from app.access import SYSTEM, MemberRole
from app.db import db
from courses import queries
from courses.errors import NoSeatsForPartner
from courses.models import EnrollmentState
from courses.services import enrollment, launch, runs
from labs.errors import AgreementEnded
from labs.services.panel import launch_panel
from tests.conftest import as_actor, sign_in


def end_agreement(partner) -> None:
    for agreement in accounts_queries.agreements(partner.id):
        agreements.set_end(SYSTEM, agreement.id, clock.now(), "not renewed")


def lab_of(run):
    return next(unit for unit in queries.units(run.version_id) if unit.is_lab)


def test_no_new_run_no_new_seat_and_no_new_lab(school):
    course, student = school.course(), school.student()
    run = school.run(course)
    enrollment.enroll(as_actor(student), run.id, student.id)
    unit = lab_of(run)
    end_agreement(school.partner)
    actor = as_actor(student)
    subject = launch.Subject.of(actor, run.id, unit.id)

    with pytest.raises(AgreementEnded) as refusal:
        launch.launch(actor, subject, flavor_id=school.flavor.id, minutes=30)
    assert refusal.value.members["reason"] == "AGREEMENT_ENDED"
    assert refusal.value.members["partner"] == school.partner.slug
    assert {remedy.code for remedy in refusal.value.remedies} == {"look-at-partner", "renew-agreement"}
    with pytest.raises(AgreementEnded):
        school.run(course)
    other = school.make.member()
    with pytest.raises(AgreementEnded):
        enrollment.enroll(as_actor(other), run.id, other.id)


def test_people_still_sign_in_and_see_everything(app, school):
    student = school.student()
    run = school.run()
    enrollment.enroll(as_actor(student), run.id, student.id)
    unit = lab_of(run)
    end_agreement(school.partner)

    browser = sign_in(app, student)

    assert browser.get(f"/runs/{run.id}").status_code == 200
    assert "agreement" in browser.get(f"/runs/{run.id}/units/{unit.id}").text
    panel = launch_panel(as_actor(student), unit.lab_template_id, run.budget_id)
    assert [offer.obstacle for offer in panel.offers] == ["AGREEMENT_ENDED"]
    assert not panel.can_launch


def test_people_of_a_partner_that_left_join_nothing(school):
    gone = school.make.partner()
    run = school.run(seats={None: 5, gone.id: 5})
    member = school.student(gone)
    end_agreement(gone)

    with pytest.raises(AgreementEnded) as refusal:
        enrollment.enroll(as_actor(member), run.id, member.id)

    assert refusal.value.members["partner"] == gone.slug


def test_whoever_belongs_elsewhere_too_joins_with_that(school):
    gone = school.make.partner()
    run = school.run(seats={gone.id: 5})
    both = school.student(gone)
    memberships.join(SYSTEM, partner_id=school.partner.id, person_id=both.id, role=MemberRole.STUDENT)
    end_agreement(gone)

    with pytest.raises(NoSeatsForPartner):
        enrollment.enroll(as_actor(both), run.id, both.id)
    runs.set_seats(school.as_teacher, run.id, None, 3)
    db.session.commit()
    assert enrollment.enroll(as_actor(both), run.id, both.id).state is EnrollmentState.ENROLLED


def test_a_free_seat_passes_over_people_of_a_partner_that_left(school):
    gone = school.make.partner()
    run = school.run(seats={None: 1})
    first, second, third = school.student(), school.student(gone), school.student()
    for person in (first, second, third):
        enrollment.enroll(as_actor(person), run.id, person.id)
    end_agreement(gone)

    enrollment.withdraw(as_actor(first), run.id)

    assert queries.enrollment(run.id, second.id).state is EnrollmentState.WAITLISTED
    assert queries.enrollment(run.id, third.id).state is EnrollmentState.ENROLLED


def test_a_renewed_agreement_starts_everything_again(school):
    student, run = school.student(), school.run()
    end_agreement(school.partner)
    agreements.make(SYSTEM, school.partner.slug, until_at=clock.now() + timedelta(days=365), reference="2027")

    assert enrollment.enroll(as_actor(student), run.id, student.id).has_seat
