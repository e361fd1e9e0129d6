"""The courses pages: what people see, with htmx and without."""

import re
from datetime import timedelta

import pytest

from app.access import MemberRole
from app.db import db
from courses import queries
from courses.services import enrollment
from labs.services import sessions
from tests.make import as_actor, sign_in

HTMX = {"HX-Request": "true"}


@pytest.fixture
def student(school):
    return school.student(name="王伟")


@pytest.fixture
def as_student(app, student):
    return sign_in(app, student)


@pytest.fixture
def as_teacher(app, school):
    return sign_in(app, school.teacher)


def join(run, person):
    enrollment.enroll(as_actor(person), run.id, person.id)
    db.session.commit()


def lab_of(run):
    return next(unit for unit in queries.units(run.version_id) if unit.is_lab)


def start_lab(school, run, person):
    row = sessions.request(
        as_actor(person),
        template_id=lab_of(run).lab_template_id,
        flavor_id=school.flavor.id,
        minutes=30,
        budget_id=run.budget_id,
    )
    row.attempts = 1
    sessions.mark_running(row.id)
    db.session.commit()
    return row


class TestCatalog:
    def test_everybody_finds_courses_in_their_language(self, client, school):
        school.run(school.course(slug="dl"))

        english = client.get("/courses", headers={"Accept-Language": "en"}).text
        chinese = client.get("/courses", headers={"Accept-Language": "zh-CN"}).text

        assert "Deep learning, first steps" in english
        assert "30 seats left" in english
        assert "Coast University" in english
        assert "深度学习入门" in chinese
        assert "滨海大学" in chinese

    def test_search_keeps_what_was_asked_and_says_when_nothing_matches(self, client, school):
        school.course()

        found = client.get("/courses?q=neuron&level=beginner", headers={"Accept-Language": "en"}).text
        none = client.get("/courses?q=%22%3E%3Cscript%3E", headers={"Accept-Language": "en"}).text

        assert 'value="neuron"' in found
        assert "1 course" in found
        assert "No course matches" in none
        assert "<script>" not in none.split("</head>")[1]

    def test_nonsense_in_the_address_is_as_good_as_nothing(self, client, school):
        school.course()

        assert client.get("/courses?level=guru&sort=color&page=-3&partner=none").status_code == 200
        assert client.get("/courses?page=999").status_code == 200

    def test_an_empty_catalog_says_so(self, client, database):
        assert "No course is published yet" in client.get("/courses", headers={"Accept-Language": "en"}).text

    def test_twelve_to_a_page(self, client, school):
        for number in range(13):
            school.course(slug=f"c{number}", title_en=f"Course {number:02}")

        first = client.get("/courses?sort=title", headers={"Accept-Language": "en"}).text
        second = client.get("/courses?sort=title&page=2", headers={"Accept-Language": "en"}).text

        assert "Course 11" in first
        assert "Course 12" not in first
        assert "Course 12" in second
        assert "page=2" in first

    def test_the_course_page_shows_outline_and_only_the_runs_one_may_join(self, client, school):
        course = school.course(slug="dl")
        shared = school.run(course, title_en="Spring for all")
        school.run(course, seats={school.partner.id: 3}, title_en="Spring for us")

        page = client.get("/courses/dl", headers={"Accept-Language": "en"}).text

        assert "The first lab" in page
        assert f"/runs/{shared.id}" in page
        assert "Spring for us" not in page

    def test_a_missing_course_is_a_page(self, client, database):
        response = client.get("/courses/none")

        assert (response.status_code, response.mimetype) == (404, "text/html")


class TestSeat:
    def test_strangers_are_led_to_the_sign_in_and_back(self, client, school):
        run = school.run()

        page = client.get(f"/runs/{run.id}", headers={"Accept-Language": "en"}).text

        assert "Sign in to enroll" in page
        assert f"next=/runs/{run.id}" in page.replace("%2F", "/")

    def test_enroll_without_javascript(self, as_student, school, student):
        run = school.run()

        response = as_student.post(f"/runs/{run.id}/enroll")
        page = as_student.get(f"/runs/{run.id}").text

        assert (response.status_code, response.location) == (303, f"/runs/{run.id}")
        assert "Enrolled" in page
        assert "Start the course" in page
        assert queries.enrollment(run.id, student.id).has_seat

    def test_htmx_gets_the_fragment_only(self, as_student, school):
        run = school.run()

        response = as_student.post(f"/runs/{run.id}/enroll", headers=HTMX)

        assert response.status_code == 200
        assert re.match(r'\s*<section class="card" id="seat"', response.text)
        assert "Withdraw" in response.text

    def test_pressing_twice_is_pressing_once(self, as_student, school):
        run = school.run(seats={None: 1})

        first, second = (as_student.post(f"/runs/{run.id}/enroll", headers=HTMX) for _ in range(2))

        assert (first.status_code, second.status_code) == (200, 200)
        assert "Enrolled" in second.text

    def test_who_waits_sees_the_place_and_can_leave(self, as_student, school, student):
        run = school.run(seats={None: 1})
        join(run, school.student())

        offered = as_student.get(f"/runs/{run.id}").text
        waiting = as_student.post(f"/runs/{run.id}/enroll", headers=HTMX).text
        left = as_student.post(f"/runs/{run.id}/withdraw", headers=HTMX).text

        assert "Join the waiting list" in offered
        assert "You are number 1 on the waiting list." in waiting
        assert "Join the waiting list" in left
        assert queries.enrollment(run.id, student.id).state == "withdrawn"

    def test_a_refusal_lands_in_the_alert_region(self, as_student, school):
        run = school.run(seats={None: 0}, has_waiting_list=False)

        response = as_student.post(f"/runs/{run.id}/enroll", headers=HTMX)

        assert response.status_code == 409
        assert response.headers["HX-Retarget"] == "#alerts"
        assert "This run has no free seat" in response.text

    def test_a_closed_window_shows_its_dates_in_the_readers_zone(self, as_student, school, student):
        run = school.run()
        run.enroll_until_at = run.enroll_from_at + timedelta(days=1)
        student.time_zone = "America/New_York"
        db.session.commit()

        page = as_student.get(f"/runs/{run.id}").text

        said = re.search(r"Enrollment is open from [^<]+", page.replace("\u202f", " ")).group()
        assert re.search(r"from Feb 20, 2026,? 0?4:00.* to Feb 21, 2026,? 0?4:00", said)
        assert "/enroll" not in page

    def test_another_site_cannot_take_a_seat_for_me(self, as_student, school, student):
        run = school.run()

        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            assert as_student.post(f"/runs/{run.id}/enroll", headers=headers).status_code == 403
        assert queries.enrollment(run.id, student.id) is None

    def test_a_run_for_other_partners_is_not_there(self, as_student, school, student):
        other = school.make.partner()
        run = school.run(seats={other.id: 5})
        unit = lab_of(run)

        statuses = [
            as_student.get(f"/runs/{run.id}").status_code,
            as_student.post(f"/runs/{run.id}/enroll").status_code,
            as_student.get(f"/runs/{run.id}/units/{unit.id}").status_code,
            as_student.post(f"/runs/{run.id}/units/{unit.id}/launch").status_code,
            as_student.get(f"/runs/{run.id}/class").status_code,
            as_student.get(f"/runs/{run.id}/class.csv").status_code,
        ]

        assert statuses == [404, 404, 404, 422, 404, 404]


class TestUnit:
    def test_text_is_rendered_and_harmless(self, as_student, school, student):
        course = school.draft()
        school.text(
            course,
            body_en="# Hello\n\n<script>alert(1)</script> **bold** [x](javascript:alert(1))\n\n| a |\n|---|\n| 1 |",
        )
        from courses.services import catalog

        catalog.publish(school.as_teacher, course.id)
        run = school.run(course)
        join(run, student)

        page = as_student.get(f"/runs/{run.id}/units/{queries.units(run.version_id)[0].id}").text

        assert "<h2>Hello</h2>" in page
        assert "<strong>bold</strong>" in page
        assert "<td>1</td>" in page
        assert "<script>alert" not in page
        assert 'href="javascript:' not in page

    def test_a_lab_shows_its_launch_panel(self, as_student, school, student):
        run = school.run()
        join(run, student)

        page = as_student.get(f"/runs/{run.id}/units/{lab_of(run).id}").text

        assert f'action="/runs/{run.id}/units/{lab_of(run).id}/launch"' in page
        assert "Launch" in page
        assert "Small" in page

    def test_before_the_start_the_date_stands_there_instead(self, as_student, school, student):
        run = school.run()
        run.starts_at = run.starts_at + timedelta(days=5)
        db.session.commit()
        join(run, student)

        page = as_student.get(f"/runs/{run.id}/units/{lab_of(run).id}").text

        assert "The labs of this run open on" in page
        assert "/launch" not in page

    def test_after_the_end_it_says_that_it_is_over(self, as_student, school, student, clock):
        run = school.run()
        join(run, student)
        run.starts_at, run.enroll_from_at = run.starts_at - timedelta(days=50), run.enroll_from_at - timedelta(days=50)
        run.enroll_until_at = run.ends_at = run.enroll_until_at - timedelta(days=15)
        db.session.commit()

        page = as_student.get(f"/runs/{run.id}/units/{lab_of(run).id}").text

        assert "This run is over" in page
        assert "/launch" not in page

    def test_units_are_closed_to_those_without_a_seat(self, as_student, school):
        run = school.run()

        response = as_student.get(f"/runs/{run.id}/units/{lab_of(run).id}")

        assert response.status_code == 403
        assert "This is for those who are enrolled" in response.text

    def test_strangers_sign_in_first(self, client, school):
        run = school.run()

        assert client.get(f"/runs/{run.id}/units/{lab_of(run).id}").status_code == 302

    def test_launch_leads_to_the_lab(self, as_student, school, student):
        run = school.run()
        join(run, student)
        form = {"flavor_id": school.flavor.id, "minutes": 30}
        path = f"/runs/{run.id}/units/{lab_of(run).id}/launch"

        plain, htmx = as_student.post(path, data=form), as_student.post(path, data=form, headers=HTMX)

        assert plain.status_code == 303
        assert re.fullmatch(r"/labs/[0-9a-f-]{36}\?enter=1", plain.location)
        assert htmx.headers["HX-Redirect"] == plain.location

    @pytest.mark.parametrize("form", [{}, {"flavor_id": "x", "minutes": "y"}, {"flavor_id": "", "minutes": "-1"}])
    def test_a_form_that_makes_no_sense_is_explained(self, as_student, school, student, form):
        run = school.run()
        join(run, student)

        response = as_student.post(f"/runs/{run.id}/units/{lab_of(run).id}/launch", data=form)

        assert response.status_code == 422
        assert "Choose a flavor." in response.text
        assert "Say for how many minutes." in response.text

    def test_a_refused_launch_says_why(self, as_student, school, student):
        run = school.run()
        join(run, student)
        form = {"flavor_id": school.flavor.id, "minutes": 121}

        response = as_student.post(f"/runs/{run.id}/units/{lab_of(run).id}/launch", data=form, headers=HTMX)

        assert response.status_code == 409
        assert response.headers["HX-Retarget"] == "#alerts"


class TestClass:
    def test_the_teacher_sees_who_has_a_lab_and_what_it_costs(self, as_teacher, school, student, clock):
        run = school.run()
        join(run, student)
        join(run, school.student(name="李娜"))
        start_lab(school, run, student)
        clock.shift(timedelta(minutes=15))

        page = as_teacher.get(f"/runs/{run.id}/class").text

        assert page.index("王伟") < page.index("李娜")
        assert "The first lab" in page
        assert "0.25" in page
        assert 'hx-trigger="every 10s' in page

    def test_the_live_part_alone(self, as_teacher, school):
        run = school.run()

        response = as_teacher.get(f"/runs/{run.id}/class/live", headers=HTMX)

        assert re.match(r'\s*<div class="stack" id="class"', response.text)

    def test_students_and_other_teachers_do_not_see_a_class(self, app, as_student, school):
        run = school.run()
        colleague = sign_in(app, school.make.member(school.partner, MemberRole.TEACHER))

        for browser in (as_student, colleague):
            for path in ("class", "class/live", "class.csv"):
                assert browser.get(f"/runs/{run.id}/{path}").status_code == 403

    def test_stop_a_lab(self, as_teacher, school, student):
        run = school.run()
        join(run, student)
        lab = start_lab(school, run, student)
        path = f"/runs/{run.id}/class/labs/{lab.id}/stop"

        response = as_teacher.post(path, headers=HTMX)
        again = as_teacher.post(path)

        assert response.status_code == 200
        assert again.status_code == 303
        db.session.refresh(lab)
        assert (lab.state, lab.stop_reason) == ("stopping", "teacher")

    def test_a_lab_of_another_run_is_not_stopped_from_here(self, as_teacher, school, student):
        run, other = school.run(), school.run()
        join(other, student)
        lab = start_lab(school, other, student)

        assert as_teacher.post(f"/runs/{run.id}/class/labs/{lab.id}/stop").status_code == 404
        db.session.refresh(lab)
        assert lab.state == "running"

    def test_add_somebody_by_address(self, as_teacher, school, student):
        run = school.run()

        response = as_teacher.post(f"/runs/{run.id}/class/people", data={"email": student.email.upper()})

        assert response.status_code == 303
        assert queries.enrollment(run.id, student.id).has_seat
        assert "王伟 is enrolled." in as_teacher.get(f"/runs/{run.id}/class").text

    def test_whether_a_stranger_has_an_account_is_not_told(self, as_teacher, school):
        run = school.run(seats={school.partner.id: 5})
        stranger = school.student(school.make.partner())

        answers = [
            as_teacher.post(f"/runs/{run.id}/class/people", data={"email": email})
            for email in (stranger.email, "nobody@example.org", "")
        ]

        assert [answer.status_code for answer in answers] == [422, 422, 422]
        assert all("Nobody who may have a seat in this run has this address." in answer.text for answer in answers)

    def test_remove_somebody_with_a_reason(self, as_teacher, school, student):
        run = school.run()
        join(run, student)
        path = f"/runs/{run.id}/class/removals"

        without = as_teacher.post(path, data={"person_id": student.id, "reason": " "})
        done = as_teacher.post(path, data={"person_id": student.id, "reason": "Wrong course"})

        assert without.status_code == 422
        assert done.status_code == 303
        assert queries.enrollment(run.id, student.id).state == "removed"

    def test_the_export_opens_in_a_spreadsheet_and_runs_no_formula(self, as_teacher, school):
        run = school.run()
        join(run, school.student(name='=HYPERLINK("http://evil")'))

        response = as_teacher.get(f"/runs/{run.id}/class.csv")

        assert response.mimetype == "text/csv"
        assert response.data.startswith(b"\xef\xbb\xbf")
        assert "'=HYPERLINK" in response.text
        assert not re.search(r'(^|[,"\n])=', response.text)
        assert f"class-{run.course.slug}-{run.slug}.csv" in response.headers["Content-Disposition"]

    def test_the_waiting_list_stands_below_in_order(self, as_teacher, school):
        run = school.run(seats={None: 1})
        for name in ("first", "second", "third"):
            join(run, school.student(name=name))

        page = as_teacher.get(f"/runs/{run.id}/class").text

        below = page.split("Waiting list")[1]
        assert below.index("second") < below.index("third")


def test_teaching_lists_runs_and_courses(as_teacher, school, student):
    run = school.run()
    join(run, student)
    start_lab(school, run, student)

    page = as_teacher.get("/teaching").text

    assert f"/runs/{run.id}/class" in page
    assert "1 / 30" in page


def test_teaching_of_somebody_who_does_not_teach_is_empty(as_student):
    assert "You teach no run" in as_student.get("/teaching").text


def test_home_shows_my_courses(as_student, school, student):
    run, full = school.run(), school.run(seats={None: 0})
    join(run, student)
    join(full, student)

    page = as_student.get("/").text

    assert f"/runs/{run.id}/units/{queries.units(run.version_id)[0].id}" in page
    assert "You are number 1 on the waiting list" in page
