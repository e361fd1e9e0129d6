"""The pages of labs: what people see, with htmx and without."""

import pytest

from app.access import MemberRole, PlatformRole
from app.db import db
from labs.models import BudgetManager, CenterState, MemberCap, SessionState
from tests.make import sign_in


@pytest.fixture
def mine(app, campus):
    return sign_in(app, campus.student)


def test_my_labs_are_empty_at_first_and_say_what_to_do(mine):
    page = mine.get("/labs").text

    assert "No lab is running" in page
    assert "Labs that have ended stand here" in page


def test_the_page_of_a_lab_follows_its_life(app, campus, mine, clock):
    from datetime import timedelta

    session = campus.launch(60)
    url = f"/labs/{session.id}"
    assert "Your lab is starting" in mine.get(url).text
    campus.run("start_sessions")
    campus.redeem(session)
    campus.run("follow_sessions")
    assert "Open JupyterLab" in mine.get(url).text
    clock.shift(timedelta(minutes=30))

    response = mine.post(url + "/stop")
    assert (response.status_code, response.location) == (303, url)
    assert "Your lab is stopping" in mine.get(url).text
    campus.run("follow_sessions")
    campus.run("follow_sessions")

    page = mine.get(url).text
    assert "The lab ran for 30 min and was charged 0.5 credits." in page
    assert "0.5" in mine.get("/labs").text


def test_the_fragment_enters_the_lab_as_soon_as_it_is_ready(campus, mine):
    session = campus.launch()
    waiting = mine.get(f"/labs/{session.id}/status?enter=1")
    assert "HX-Redirect" not in waiting.headers
    assert waiting.text.lstrip().startswith('<div id="lab-status"')
    campus.run("start_sessions")
    campus.run("follow_sessions")

    assert mine.get(f"/labs/{session.id}/status?enter=1").headers["HX-Redirect"] == f"/labs/{session.id}/open"
    assert "HX-Redirect" not in mine.get(f"/labs/{session.id}/status").headers


def test_open_leads_to_the_hub_and_to_the_notebook(campus, mine):
    session = campus.running()

    response = mine.get(f"/labs/{session.id}/open")

    inside = f"/user/{campus.student.hub_name}/{session.server_name}/lab/tree/first-lesson/lesson.ipynb"
    assert (response.status_code, response.location) == (302, "http://labs.test" + inside)


def test_a_lab_that_does_not_run_is_not_opened(campus, mine):
    session = campus.launch()

    response = mine.get(f"/labs/{session.id}/open")

    assert response.status_code == 409
    assert "This lab is not running" in response.text


def test_nobody_else_goes_inside(app, campus, make):
    session = campus.running()
    operator = sign_in(app, make.platform(PlatformRole.OPERATOR))
    stranger = sign_in(app, make.person())

    assert operator.get(f"/labs/{session.id}").status_code == 200
    assert operator.get(f"/labs/{session.id}/open").status_code == 403
    assert stranger.get(f"/labs/{session.id}").status_code == 404
    assert stranger.get(f"/labs/{session.id}/open").status_code == 404


def test_a_center_that_does_not_answer_is_said_on_the_page(campus, mine):
    session = campus.running()
    campus.hub.down = True
    campus.run("reconcile_centers")

    page = mine.get(f"/labs/{session.id}").text

    assert "does not answer" in page
    assert "Not reachable" in page


def test_operations_shows_center_sessions_and_budgets_to_operators_only(app, campus, make, mine):
    campus.running()
    operator = sign_in(app, make.platform(PlatformRole.OPERATOR))

    page = operator.get("/operations").text

    assert "1 / 1000" in page
    assert campus.student.name in page
    assert campus.budget.title_en in page
    assert mine.get("/operations").status_code == 403


def test_an_operator_drains_a_center(app, campus, make):
    operator = sign_in(app, make.platform(PlatformRole.OPERATOR))

    response = operator.post("/operations/centers/embedded/state", data={"state": "draining"})

    assert response.status_code == 303
    db.session.expire_all()
    assert campus.center.state is CenterState.DRAINING
    assert operator.post("/operations/centers/embedded/state", data={"state": "x"}).status_code == 400


def test_a_partner_sees_its_budget_and_what_its_people_used(app, campus, make, clock):
    from datetime import timedelta

    from accounts.models import Membership, Partner

    partner = db.session.get_one(Partner, campus.budget.partner_id)
    admin = make.person()
    make._save(Membership(person_id=admin.id, partner_id=partner.id, role=MemberRole.ADMINISTRATOR))
    campus.running(60)
    clock.shift(timedelta(minutes=60))
    for name in ("end_leases", "follow_sessions", "follow_sessions"):
        campus.run(name)

    page = sign_in(app, admin).get(f"/partners/{partner.slug}/budget").text
    other = sign_in(app, make.member(role=MemberRole.ADMINISTRATOR)).get(f"/partners/{partner.slug}/budget")

    assert campus.student.name in page
    assert ">1<" in page
    assert other.status_code == 404


def test_a_teacher_changes_a_share_and_exports_what_was_used(app, campus, make):
    teacher = make.person(name="=cmd()")
    make._save(BudgetManager(budget_id=campus.budget.id, person_id=teacher.id))
    make.cap(campus.budget, teacher)
    campus.running(10, who=teacher)
    browser = sign_in(app, teacher)
    url = f"/budgets/{campus.budget.id}"

    response = browser.post(f"{url}/members/{campus.student.id}", data={"cap": "2.5"})
    table = browser.get(f"{url}/sessions.csv")

    assert response.status_code == 303
    db.session.expire_all()
    assert db.session.get_one(MemberCap, (campus.budget.id, campus.student.id)).cap_micro == 2_500_000
    assert table.data.startswith("\ufeff".encode())
    assert ",'=cmd()," in table.text
    assert "2.5" in browser.get(url).text
    for wrong in ("-1", "abc", "1e99", "nan"):
        assert browser.post(f"{url}/members/{campus.student.id}", data={"cap": wrong}).status_code == 422


def test_a_form_sent_twice_passes_credits_on_once(app, campus, make):
    from accounts.models import Membership

    admin = make.person()
    make._save(Membership(person_id=admin.id, partner_id=campus.budget.partner_id, role=MemberRole.ADMINISTRATOR))
    browser = sign_in(app, admin)

    for _ in range(2):
        response = browser.post(f"/budgets/{campus.budget.id}/fund", data={"amount": "5", "key": "form-key-1"})

    assert response.status_code == 303
    assert campus.purse()[0] == 105_000_000
    assert browser.post(f"/budgets/{campus.budget.id}/grant", data={"amount": "5"}).status_code == 403


def test_a_stop_by_htmx_swaps_the_status(campus, mine):
    session = campus.running()

    response = mine.post(f"/labs/{session.id}/stop", headers={"HX-Request": "true"})

    assert 'id="lab-status"' in response.text
    assert campus.again(session.id).state is SessionState.STOPPING


def test_a_center_that_is_not_configured_here_is_said_not_crashed(app, campus, make):
    center = campus.make._save(
        type(campus.center)(
            slug="elsewhere", partner_id=campus.center.partner_id, title_zh="他处", title_en="Elsewhere"
        )
    )
    flavor = make.flavor(center)
    session = campus.launch(flavor_id=flavor.id, template_id=make.template([flavor]).id)
    session.state = SessionState.RUNNING
    db.session.commit()

    response = sign_in(app, campus.student).get(f"/labs/{session.id}/open")

    assert response.status_code == 409
    assert "does not answer" in response.text


def test_the_console_shows_the_line_drift_losses_and_finds_people(app, campus, make):
    from labs.models import LabSession, SessionState

    campus.running()
    waiting = make.person(name="赵敏")
    row = {
        "person_id": waiting.id,
        "template_id": campus.template.id,
        "flavor_id": campus.flavor.id,
        "center_id": campus.center.id,
        "budget_id": campus.budget.id,
        "lease_minutes": 60,
    }
    make._save(LabSession(state=SessionState.WAITING, waiting_since=campus.center.created_at, **row))
    campus.hub.autostop = False
    campus.hub.add_stray("mallory", "free-for-all")
    campus.run("reconcile_centers")
    operator = sign_in(app, make.platform(PlatformRole.OPERATOR))

    page = operator.get("/operations").text
    found = operator.get("/operations?state=running&person=王").text
    nobody = operator.get("/operations?state=all&person=nobody&partner=none&center=embedded").text

    assert "赵敏" in page
    assert "free-for-all" in page
    assert "A server that nobody ordered" in page
    assert campus.student.name in found
    assert "Nothing has run here yet." in nobody
    assert operator.get("/operations?state=wrong").status_code == 400


def test_a_charge_is_provisional_while_the_center_does_not_answer(app, campus, mine):
    session = campus.running()
    paths = (f"/labs/{session.id}", "/labs")
    assert not any("provisional" in mine.get(path).text for path in paths)

    campus.hub.down = True
    campus.run("reconcile_centers")
    assert all("provisional" in mine.get(path).text for path in paths)

    campus.hub.down = False
    campus.run("reconcile_centers")
    assert not any("provisional" in mine.get(path).text for path in paths)


def test_a_lab_in_line_shows_its_place_among_my_labs(app, campus, mine, make):
    campus.center.session_limit = 1
    person = make.person()
    make.cap(campus.budget, person)
    campus.running(60, who=person)
    campus.launch()

    page = mine.get("/labs").text

    assert f"Place 1 in line at {campus.center.title_en}" in page
    assert "probably free at Mar 2, 2026 18:0" in page


def test_a_lab_that_was_charged_leads_to_its_account_and_to_a_correction(app, campus, mine, clock):
    from datetime import timedelta

    session = campus.running(60)
    assert "/correction" not in mine.get(f"/labs/{session.id}").text
    clock.shift(timedelta(minutes=30))
    mine.post(f"/labs/{session.id}/stop")
    for _ in range(2):
        campus.run("follow_sessions")

    assert f"/labs/{session.id}/correction" in mine.get(f"/labs/{session.id}").text
    assert f"/labs/{session.id}/ledger" in mine.get("/labs").text
    campus.again(session.id).hold.corrected_micro = campus.again(session.id).charged_micro
    db.session.commit()
    assert "/correction" not in mine.get(f"/labs/{session.id}").text


def test_the_console_says_in_words_what_was_decided(app, campus, make, mine):
    lab = campus.running(60)
    mine.post(f"/labs/{lab.id}/extend", data={"minutes": "100000", "key": "k"})
    operator = sign_in(app, make.platform(PlatformRole.OPERATOR))

    page = operator.get("/operations").text
    card = page[page.index('id="decisions"') : page.index('id="budgets"')]

    assert "Extend" in card
    assert "That is longer than this lab may run at a stretch" in card
    assert "EXCEEDS_MAX_REQUEST" not in card
    assert "/labs/decisions/" in card
