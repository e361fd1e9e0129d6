"""Looking into somebody's lab: only who teaches asks, only its person says yes, and every end is the hub's too."""

import pytest

from accounts.models import Notice
from app.access import MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import db, transaction
from app.errors import Forbidden, Invalid, NotFound
from labs import queries
from labs.adapters import HubFault
from labs.errors import LabIsEnding, LookNotGranted
from labs.models import BudgetManager, SessionState, SessionView, ViewState
from labs.services import news, sessions, views
from tests.make import as_actor, sign_in


@pytest.fixture
def lab(campus):
    return campus.running(120)


@pytest.fixture
def teacher(campus):
    person = campus.make.member(role=MemberRole.TEACHER, name="张敏")
    campus.make._save(BudgetManager(budget_id=campus.budget.id, person_id=person.id))
    return person


def ask(who, lab, reason="The plot is empty"):
    with transaction():
        return views.ask(as_actor(who), lab.id, reason)


def answer(who, view, yes=True):
    with transaction():
        return views.answer(as_actor(who), view.id, yes=yes)


def end(who, view):
    with transaction():
        return views.end(as_actor(who), view.id)


def enter(who, lab):
    with transaction():
        return views.enter(as_actor(who), lab.id)


def again(view):
    return db.session.get(SessionView, view.id, populate_existing=True)


def kinds(person):
    return [n.kind for n in db.session.query(Notice).filter_by(person_id=person.id).order_by(Notice.id)]


def share(campus, lab, teacher):
    return (campus.student.hub_name, lab.server_name, teacher.hub_name)


@pytest.fixture
def granted(campus, lab, teacher):
    view = ask(teacher, lab)
    answer(campus.student, view)
    campus.run("share_labs")
    return view


def test_with_a_yes_the_teacher_goes_inside_and_the_hub_knows(campus, lab, teacher, granted):
    assert kinds(campus.student) == ["lab-look-asked"]
    assert kinds(teacher) == ["lab-look-answered"]
    assert campus.hub.shares == {share(campus, lab, teacher)}

    assert enter(teacher, lab).id == lab.id

    assert again(granted).opened_at is not None
    acts = {e.action for e in db.session.query(AuditEntry) if e.action.startswith("session.look")}
    assert acts == {"session.look.ask", "session.look.answer", "session.look.enter"}


def test_without_a_yes_nobody_goes_inside(campus, lab, teacher):
    with pytest.raises(LookNotGranted):
        enter(teacher, lab)
    view = ask(teacher, lab)
    campus.run("share_labs")
    with pytest.raises(LookNotGranted):
        enter(teacher, lab)

    answer(campus.student, view, yes=False)
    campus.run("share_labs")

    with pytest.raises(LookNotGranted):
        enter(teacher, lab)
    assert campus.hub.called("share") == []
    assert kinds(teacher) == ["lab-look-declined"]
    assert answer(campus.student, view, yes=True).state is ViewState.DECLINED  # a no stays


def test_before_the_hub_has_confirmed_it_the_way_is_not_open(campus, lab, teacher):
    view = ask(teacher, lab)
    answer(campus.student, view)

    with pytest.raises(LookNotGranted):
        enter(teacher, lab)


def test_a_yes_is_taken_back_at_any_time_and_the_hub_is_told(campus, lab, teacher, granted):
    end(campus.student, granted)

    with pytest.raises(LookNotGranted):
        enter(teacher, lab)
    campus.run("share_labs")
    assert campus.hub.shares == set()
    assert again(granted).unshared_at is not None
    assert campus.run("share_labs") == 0


def test_who_looked_can_be_done_with_it(campus, lab, teacher, granted):
    assert end(teacher, granted).state is ViewState.ENDED


def test_a_look_ends_with_the_lab(campus, lab, teacher, granted):
    waiting = ask(campus.make._save(_manager(campus)).person, lab)
    with transaction():
        sessions.stop(as_actor(campus.student), lab.id)
    for _ in range(3):
        campus.run("follow_sessions")

    assert campus.again(lab.id).state is SessionState.SETTLED
    assert (again(granted).state, again(waiting).state) == (ViewState.ENDED, ViewState.ENDED)
    campus.run("share_labs")
    assert campus.hub.shares == set()
    with pytest.raises(LookNotGranted):
        enter(teacher, lab)


def _manager(campus):
    person = campus.make.person()
    row = BudgetManager(budget_id=campus.budget.id, person_id=person.id)
    row.person = person
    return row


def test_a_yes_taken_back_while_the_hub_is_being_told_is_taken_back_there_too(campus, lab, teacher):
    view = ask(teacher, lab)
    answer(campus.student, view)
    with transaction():
        orders = views.orders()  # … the hub is told, and the worker dies
    campus.hub.share(orders[0].user, orders[0].server, orders[0].viewer)
    end(campus.student, view)

    campus.run("share_labs")

    assert campus.hub.shares == set()


def test_a_hub_that_fails_is_told_again(campus, lab, teacher):
    view = ask(teacher, lab)
    answer(campus.student, view)
    campus.hub.fail_next("share", HubFault("share", "no", 500))
    assert campus.run("share_labs") == 0
    assert again(view).shared_at is None

    assert campus.run("share_labs") == 1
    assert again(view).shared_at is not None


def test_only_who_teaches_with_the_budget_asks(campus, lab):
    administrator = campus.make.member(campus.make.partner(), MemberRole.ADMINISTRATOR)
    for who in (
        campus.student,
        campus.make.platform(PlatformRole.OPERATOR),
        campus.make.platform(PlatformRole.ADMINISTRATOR),
    ):
        with pytest.raises(Forbidden):
            ask(who, lab)
    for who in (administrator, campus.make.person()):
        with pytest.raises(NotFound):
            ask(who, lab)


def test_only_its_person_says_yes(campus, lab, teacher):
    view = ask(teacher, lab)

    for who in (teacher, campus.make.platform(PlatformRole.ADMINISTRATOR)):
        with pytest.raises(Forbidden):
            answer(who, view)
    with pytest.raises(NotFound):
        answer(campus.make.person(), view)
    assert again(view).state is ViewState.ASKED


def test_a_reason_is_needed_and_asking_twice_is_asking_once(campus, lab, teacher):
    with pytest.raises(Invalid):
        ask(teacher, lab, "  ")

    assert ask(teacher, lab).id == ask(teacher, lab, "again").id
    assert kinds(campus.student) == ["lab-look-asked"]


def test_nobody_asks_to_look_into_a_lab_that_does_not_run(campus, teacher):
    session = campus.launch()

    with pytest.raises(LabIsEnding):
        ask(teacher, session)


def test_both_see_who_looked(campus, lab, teacher, granted):
    assert [view.viewer_id for view in queries.rows(queries.views_into_labs_of(campus.student.id))] == [teacher.id]
    assert [view.id for view in queries.rows(queries.views_of_person(teacher.id))] == [granted.id]
    assert "lab-look-granted" in [notice.kind for notice in news.current(lab)]


def test_the_page_leads_the_teacher_inside_and_asks_the_student(app, campus, lab, teacher):
    theirs, mine = sign_in(app, teacher), sign_in(app, campus.student)
    page = f"/labs/{lab.id}"
    assert "Ask to look" in theirs.get(page).text
    theirs.post(f"{page}/looks", data={"reason": "The plot is empty"})
    asked = mine.get(page).text
    assert "张敏 asks to look into this lab" in asked
    assert "The plot is empty" in asked

    view = db.session.query(SessionView).one()
    mine.post(f"/labs/looks/{view.id}/answer", data={"answer": "yes"})
    campus.run("share_labs")
    assert "Look inside" in theirs.get(page).text
    inside = theirs.post(f"{page}/look")

    assert inside.status_code == 303
    assert inside.headers["Location"].startswith(f"http://labs.test/user/{campus.student.hub_name}/{lab.server_name}/")
    assert "Who looked into my labs" in mine.get("/labs").text
    mine.post(f"/labs/looks/{view.id}/end")
    assert theirs.post(f"{page}/look").status_code == 409


def test_the_api_does_the_same(app, campus, lab, teacher):
    theirs, mine = sign_in(app, teacher), sign_in(app, campus.student)
    asked = theirs.post(f"/api/v1/lab-sessions/{lab.id}/looks", json={"reason": "The plot is empty"})
    assert asked.status_code == 201
    look_id = asked.json["id"]

    assert mine.post(f"/api/v1/lab-looks/{look_id}/answer", json={"yes": True}).json["state"] == "granted"
    assert [row["id"] for row in mine.get("/api/v1/lab-looks/").json] == [look_id]
    assert [row["id"] for row in theirs.get(f"/api/v1/lab-sessions/{lab.id}/looks").json] == [look_id]
    assert theirs.post(f"/api/v1/lab-looks/{look_id}/end").json["state"] == "ended"
