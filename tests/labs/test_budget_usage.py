"""Budgets with everybody who draws on them: the JSON of the schema, in one statement, of what one may see."""

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from app.access import MemberRole, PlatformRole
from app.db import db
from labs.models import BudgetManager, MemberCap
from labs.schemas import BudgetUsageSchema
from tests.labs.test_holds_api import service_token

USAGE = "/api/v1/budgets/usage"


@pytest.fixture
def operator(make):
    make.platform(PlatformRole.OPERATOR, second_factor=True, token="op", scopes=("budgets:read",))
    return {"Authorization": "Bearer op"}


def test_the_json_is_that_of_the_schema(client, campus, make, operator):
    for name, cap, used, held in (
        ('"Ada" \\ 李', 5, 3, 1),
        ("无上限", None, 7, 0),
        ("over", 1, 4, 0),
        ("none", 0, 0, 0),
    ):
        share = make.cap(campus.budget, make.person(name=name), cap)
        share.used, share.held = used, held
    make.budget(5)  # without members
    db.session.commit()

    answer = client.get(USAGE, headers=operator)

    rows = sorted(answer.json, key=lambda row: row["id"])
    assert rows == _by_schema()
    assert len(rows) == 3
    assert answer.json == client.get(USAGE, headers=operator).json


def _by_schema():
    from labs.models import Budget

    budgets = db.session.scalars(sa.select(Budget).order_by(Budget.id)).all()
    for budget in budgets:
        shares = (
            sa.select(MemberCap).where(MemberCap.budget_id == budget.id).options(sa.orm.joinedload(MemberCap.person))
        )
        most_first = ((MemberCap.used + MemberCap.held).desc(), MemberCap.person_id)
        budget.members = list(db.session.scalars(shares.options(joinedload(MemberCap.person)).order_by(*most_first)))
    return BudgetUsageSchema(many=True).dump(budgets)


def test_those_who_used_most_come_first(client, campus, make, operator):
    for used in (2, 9, 5):
        make.cap(campus.budget, make.person()).used = used
    db.session.commit()

    (budget,) = [row for row in client.get(USAGE, headers=operator).json if row["id"] == str(campus.budget_id)]

    assert [member["used"] for member in budget["members"]] == [9, 5, 2, 0]


def test_many_budgets_take_as_many_statements_as_one(client, campus, make, operator):
    def statements():
        seen = []
        note = lambda *args: seen.append(args[2])  # noqa: E731
        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        try:
            client.get(f"{USAGE}?page_size=1000", headers=operator)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", note)
        return len([text for text in seen if "SAVEPOINT" not in text])

    before = statements()
    for _ in range(5):
        make.cap(make.budget(1), make.person())

    assert statements() == before


def test_pages_may_be_long_and_say_how_many_there_are(client, campus, make, operator):
    make.budget(1)

    answer = client.get(f"{USAGE}?page_size=2&page=2", headers=operator)

    assert len(answer.json) == 1
    assert '"total": 3' in answer.headers["X-Pagination"]
    assert client.get(f"{USAGE}?page_size=1000", headers=operator).status_code == 200
    assert client.get(f"{USAGE}?page_size=1001", headers=operator).status_code == 422


def test_each_sees_the_budgets_they_look_after(client, campus, make):
    make.budget(1)
    manager = make.member(role=MemberRole.TEACHER, token="teacher", scopes=("budgets:read",))
    make._save(BudgetManager(budget_id=campus.budget_id, person_id=manager.id))
    make.person(token="nobody", scopes=("budgets:read",))
    partners = service_token(make, campus.budget.partner_id, scopes=("budgets:read",))

    seen = [
        len(client.get(USAGE, headers=headers).json)
        for headers in ({"Authorization": "Bearer teacher"}, {"Authorization": "Bearer nobody"}, partners)
    ]

    assert seen == [1, 0, 2]
