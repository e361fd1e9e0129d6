"""The pages of the log of decisions, and their table: found by those who may, in words, in the reader's zone."""

import csv
import io
import re

import pytest
import sqlalchemy as sa

from app.access import MemberRole, PlatformRole
from app.db import db
from labs import ledger
from labs.models import BudgetManager, Decision, MemberCap
from tests.make import sign_in

C = 1_000_000


@pytest.fixture
def teacher(campus):
    person = campus.make.member(role=MemberRole.TEACHER, name="张敏", language="en")
    campus.make._save(BudgetManager(budget_id=campus.budget.id, person_id=person.id))
    return person


@pytest.fixture
def refused(app, campus):
    """A lab of an hour, and no credits for a second one of two."""
    lab = campus.running(60)
    other = campus.make.budget(0, parent=campus.make.budget(10))
    ledger.transfer(campus.budget.id, other.id, 98 * C, key="away")
    db.session.commit()
    _extend(app, campus.student, lab, 120)
    return db.session.scalars(sa.select(Decision)).one()


def _extend(app, person, lab, minutes):
    answer = sign_in(app, person).post(f"/labs/{lab.id}/extend", data={"minutes": str(minutes), "key": "k"})
    assert answer.status_code == 409


def test_a_refusal_is_found_and_read_in_words(app, campus, refused):
    browser = sign_in(app, campus.student)

    page = browser.get("/labs/decisions").text
    one = browser.get(f"/labs/decisions/{refused.id}").text

    assert f"/labs/decisions/{refused.id}" in page
    assert "Mar 2, 2026 17:00:00" in page  # nine in the morning in UTC
    assert "compute budget does not suffice" in page
    assert "BUDGET_EXHAUSTED" not in page.replace('value="BUDGET_EXHAUSTED"', "")
    assert "Extend" in one
    assert "2 h 00 min" in one
    assert "Left in the budget" in one


def test_the_list_is_narrowed(app, campus, refused):
    browser = sign_in(app, campus.student)

    def finds(query):
        return f"/labs/decisions/{refused.id}" in browser.get(f"/labs/decisions?{query}").text

    assert finds("outcome=refused&reason=BUDGET_EXHAUSTED&day=2026-03-02&center=embedded")
    assert not finds("outcome=granted")
    assert not finds("day=2026-03-01")
    assert not finds("reason=NOT_ENROLLED")
    assert finds("day=nonsense&outcome=nonsense")


def test_only_who_may_sees_it(app, campus, refused, teacher):
    operator, stranger = campus.make.platform(PlatformRole.OPERATOR), campus.make.person()

    statuses = {
        name: sign_in(app, person).get(f"/labs/decisions/{refused.id}").status_code
        for name, person in {"teacher": teacher, "operator": operator, "stranger": stranger}.items()
    }

    assert statuses == {"teacher": 200, "operator": 200, "stranger": 404}
    assert str(refused.id) not in sign_in(app, stranger).get("/labs/decisions").text
    assert str(refused.id) in sign_in(app, operator).get("/labs/decisions?person=" + campus.student.name).text


def test_the_table_has_the_same_rows_in_words_and_runs_no_formula(app, campus, refused):
    campus.student.name = "=1+1"
    db.session.commit()
    browser = sign_in(app, campus.student)

    answer = browser.get("/labs/decisions.csv?outcome=refused")
    rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))

    assert answer.mimetype == "text/csv"
    assert len(rows) == 2
    assert rows[0][:5] == ["Moment", "Person", "Asked", "Answer", "Reason"]
    assert rows[1][1] == "'=1+1"
    assert rows[1][2:5] == ["Extend", "Refused", "BUDGET_EXHAUSTED"]
    assert rows[1][-1] == "120"
    assert len(list(csv.reader(io.StringIO(browser.get("/labs/decisions.csv?outcome=granted").text)))) == 1


def test_who_looks_after_the_budget_asks_for_what_was_missing_with_one_click(app, campus, refused, teacher):
    student, other = sign_in(app, campus.student), sign_in(app, teacher)

    own, seen = (browser.get(f"/labs/decisions/{refused.id}").text for browser in (student, other))
    url = re.findall(r'href="(/budgets/[^"]*requests/new[^"]*)"', seen)[0].replace("&amp;", "&")
    form = other.get(url).text

    assert "requests/new" not in own
    layer = refused.problem["layer"]
    short = -(-(layer["asked"] - layer["left"]) // 10_000) / 100
    kind = "supplement" if campus.budget.parent_id else "grant"
    assert url == f"/budgets/{campus.budget.id}/requests/new?kind={kind}&amount={short:.2f}"
    assert (f'value="{short:.2f}"' in form) is (kind == "supplement")


@pytest.mark.parametrize("manages", [True, False])
def test_a_share_that_does_not_suffice_says_what_to_do(app, campus, teacher, manages):
    person = teacher if manages else campus.student
    campus.make.cap(campus.budget, teacher, 0.5)
    db.session.execute(sa.update(MemberCap).values(cap_micro=C // 2))
    db.session.commit()

    with pytest.raises(Exception) as refusal:  # noqa: PT011 - which one is said below
        campus.launch(60, who=person)

    assert refusal.value.members["reason"] == "MEMBER_CAP_EXHAUSTED"
    remedies = {remedy.code: remedy.url for remedy in refusal.value.remedies}
    assert ("ask-for-credits" in remedies, "ask-for-compute" in remedies) == (manages, not manages)
    if manages:
        assert remedies["ask-for-credits"].startswith(f"/budgets/{campus.budget.id}/requests/new?kind=")
        assert remedies["ask-for-credits"].endswith("&amount=0.59")
        assert remedies["larger-share"] == f"/budgets/{campus.budget.id}"
