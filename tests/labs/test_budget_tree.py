"""The shape of a partner's budgets: opening, changing, closing, shares, sums, burn-down and warnings."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from accounts.models import Membership, Notice
from app import clock as app_clock
from app.access import MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import db, transaction
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.locale import MICRO
from labs import ledger, queries
from labs.errors import (
    BudgetClosed,
    BudgetsBelowOpen,
    CapsChanged,
    NotBelow,
    OverrunOpen,
    RootBudget,
    TransferTooLarge,
)
from labs.models import Budget, BudgetKind, BudgetManager, MemberCap, Purse, UsageDay
from labs.services import budget_news, budget_tree, budgets
from tests.make import as_actor, sign_in


@pytest.fixture
def partner(make):
    return make.partner()


@pytest.fixture
def root(make, partner):
    return make.budget(100, partner_id=partner.id)


@pytest.fixture
def administrator(make, partner):
    return make.member(partner, MemberRole.ADMINISTRATOR)


@pytest.fixture
def boss(administrator):
    return as_actor(administrator)


def opened(boss: Any, parent: Budget, kind: BudgetKind = BudgetKind.PROGRAM, **values: Any) -> Budget:
    now = app_clock.now()
    defaults = {"title_zh": "项目", "title_en": "Program", "starts_at": now, "ends_at": now + timedelta(days=90)}
    with transaction():
        return budget_tree.open_below(boss, parent.id, kind, **defaults | values)


def left(budget_id: UUID) -> int:
    db.session.expire_all()
    return db.session.get_one(Purse, budget_id).available // MICRO


def test_a_program_is_opened_below_a_partner_and_a_project_below_it(boss, root):
    program = opened(boss, root, fund_micro=40 * MICRO)
    project = opened(boss, program, BudgetKind.PROJECT, fund_micro=10 * MICRO)

    assert (left(root.id), left(program.id), left(project.id)) == (60, 30, 10)
    assert ledger.audit() == []


@pytest.mark.parametrize("kind", [BudgetKind.PARTNER, BudgetKind.PROGRAM, BudgetKind.RUN])
def test_what_may_not_stand_below_is_refused(boss, root, kind):
    program = opened(boss, root)

    with pytest.raises(NotBelow):
        opened(boss, program, kind)
    with pytest.raises(NotBelow):
        opened(boss, opened(boss, program, BudgetKind.CONTEST), BudgetKind.PROJECT)


def test_opening_twice_with_a_key_opens_one(boss, root):
    first = opened(boss, root, key="double-click", fund_micro=MICRO)

    assert opened(boss, root, key="double-click", fund_micro=MICRO).id == first.id
    assert left(root.id) == 99


@pytest.mark.parametrize(
    "wrong",
    [
        {"title_en": "  "},
        {"title_zh": "长" * 121},
        {"ends_at": app_clock.now().replace(year=2020)},
        {"member_cap_micro": -1},
        {"fund_micro": -1},
    ],
)
def test_what_makes_no_sense_is_refused(boss, root, wrong):
    with pytest.raises(Invalid):
        opened(boss, root, **wrong)


def test_more_than_there_is_cannot_be_passed_on_and_nothing_is_opened(boss, root):
    with pytest.raises(TransferTooLarge):
        opened(boss, root, fund_micro=101 * MICRO)

    assert db.session.query(Budget).count() == 1


def test_only_the_partners_administrator_shapes_its_budgets(make, partner, root, boss):
    teacher = as_actor(make.member(partner, MemberRole.TEACHER))
    operator = as_actor(make.platform(PlatformRole.OPERATOR))
    stranger = as_actor(make.member(role=MemberRole.ADMINISTRATOR))
    program = opened(boss, root)

    for actor in (teacher, operator, stranger):
        with pytest.raises(Forbidden):
            opened(actor, root)
        with pytest.raises(Forbidden):
            budget_tree.change(actor, program.id, title_en="Mine")
        with pytest.raises(Forbidden):
            budget_tree.close(actor, program.id)
    with pytest.raises(NotFound):
        budget_tree.move(stranger, root.id, program.id, MICRO, key="steal-it")


def test_a_change_is_written_down_with_what_was_before(boss, root):
    program = opened(boss, root)

    with transaction():
        budget_tree.change(boss, program.id, title_en="  Summer   school ", member_cap_micro=5 * MICRO)

    assert program.title_en == "Summer school"
    entry = db.session.query(AuditEntry).filter_by(action="budget.change").one()
    assert entry.changes["title_en"] == ["Program", "Summer school"]


def test_dates_stay_in_order(boss, root):
    program = opened(boss, root)

    with pytest.raises(Invalid):
        budget_tree.change(boss, program.id, ends_at=program.starts_at)


def test_a_partners_own_budget_is_changed_by_operators(make, root, boss):
    with pytest.raises(Forbidden):
        budget_tree.change(boss, root.id, title_en="Forever")

    budget_tree.change(as_actor(make.platform(PlatformRole.OPERATOR)), root.id, title_en="Next year")
    assert root.title_en == "Next year"


def test_a_partner_has_one_open_budget(make, partner, root):
    operator = as_actor(make.platform(PlatformRole.OPERATOR))
    now = app_clock.now()
    values = {"title_zh": "明年", "title_en": "Next year", "starts_at": now, "ends_at": now + timedelta(days=365)}

    with pytest.raises(Conflict):
        budget_tree.open_root(operator, partner.id, **values)
    budget_tree.close(operator, root.id)
    following = budget_tree.open_root(operator, partner.id, **values)

    assert queries.budget_of_partner(partner.id) is following


def test_what_a_closed_budget_had_goes_back_up(boss, root):
    program = opened(boss, root, fund_micro=40 * MICRO)
    project = opened(boss, program, BudgetKind.PROJECT, fund_micro=10 * MICRO)

    with pytest.raises(BudgetsBelowOpen):
        budget_tree.close(boss, program.id)
    with transaction():
        budget_tree.close(boss, project.id)
        budget_tree.close(boss, program.id)

    assert (left(root.id), left(program.id), left(project.id)) == (100, 0, 0)
    assert ledger.audit() == []
    with pytest.raises(BudgetClosed):
        budgets.fund(boss, program.id, MICRO, key="again-1")
    with pytest.raises(BudgetClosed):
        opened(boss, program, BudgetKind.PROJECT)
    with pytest.raises(BudgetClosed):
        budget_tree.change(boss, program.id, title_en="Still here")


def test_what_labs_give_back_later_goes_up_too(campus, make):
    boss = as_actor(make.member(None, MemberRole.ADMINISTRATOR))
    make._save(Membership(person_id=boss.person_id, partner_id=campus.budget.partner_id, role=MemberRole.ADMINISTRATOR))
    boss = as_actor(db.session.get_one(type(campus.student), boss.person_id))
    session = campus.running()
    with transaction():
        budget_tree.close(boss, campus.budget_id)
    held = campus.purse()[1]
    assert held > 0
    assert campus.purse()[0] == 0

    with transaction():
        ledger.settle(session.hold_id, 0)
    campus.run("give_back_credits")

    assert campus.purse() == (0, 0, 0)
    assert left(campus.budget.parent_id) == 1000
    assert ledger.audit() == []


def test_a_budget_in_debt_is_not_closed(boss, root):
    program = opened(boss, root)
    db.session.get_one(Purse, program.id).overrun = 5

    with pytest.raises(OverrunOpen):
        budget_tree.close(boss, program.id)


def test_credits_are_pulled_back_once_for_each_key(boss, root):
    program = opened(boss, root, fund_micro=40 * MICRO)

    for _click in (1, 2):
        with transaction():
            budget_tree.pull_back(boss, program.id, 15 * MICRO, key="form-1")

    assert (left(root.id), left(program.id)) == (75, 25)
    with pytest.raises(TransferTooLarge):
        budget_tree.pull_back(boss, program.id, 26 * MICRO, key="form-2")
    with pytest.raises(Forbidden):
        budget_tree.pull_back(as_actor(_student(program)), program.id, MICRO, key="form-3")


def _student(_budget: Budget) -> Any:
    from tests.make import Make

    return Make().person()


def test_there_is_nothing_above_a_partners_own(make, root):
    platform = as_actor(make.platform(PlatformRole.ADMINISTRATOR))

    with pytest.raises(RootBudget):
        budget_tree.pull_back(platform, root.id, MICRO, key="form-1")


# --- sums ---------------------------------------------------------------------------------------------------------


def test_a_branch_adds_up_what_is_below(boss, root):
    program = opened(boss, root, fund_micro=40 * MICRO)
    project = opened(boss, program, BudgetKind.PROJECT, fund_micro=10 * MICRO)
    db.session.get_one(Purse, project.id).used = 3 * MICRO
    db.session.get_one(Purse, project.id).available = 7 * MICRO
    db.session.commit()
    db.session.expire_all()

    tree = {row.budget.id: row for row in queries.budget_tree([root])}

    assert [row.depth for row in tree.values()] == [0, 1, 2]
    top = tree[root.id]
    assert (top.own.granted, top.own.passed_on, top.own.available) == (100 * MICRO, 40 * MICRO, 60 * MICRO)
    assert (top.whole.available, top.whole.used) == (97 * MICRO, 3 * MICRO)
    assert tree[program.id].whole.granted == 40 * MICRO


def test_a_narrowed_tree_keeps_what_is_above(boss, root):
    program = opened(boss, root, title_en="Summer")
    contest = opened(boss, program, BudgetKind.CONTEST, title_en="Contest 100%")
    opened(boss, root, title_en="Other")
    tree = queries.budget_tree([root])

    found = queries.narrowed(tree, queries.TreeFilter(search="100%"))

    assert [(row.budget.id, row.is_match) for row in found] == [
        (root.id, False),
        (program.id, False),
        (contest.id, True),
    ]
    assert queries.narrowed(tree, queries.TreeFilter(kind=BudgetKind.RUN)) == []


# --- shares -------------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(make, root):
    """A budget with three members: a limit, none, and one who left."""
    run = make.budget(30, parent=root)
    make.cap(run, make.person(), 5)
    make.cap(run, make.person())
    gone = make.cap(run, make.person(), 7)
    gone.is_open = False
    db.session.commit()
    return run


def caps(budget: Budget) -> list[int | None]:
    db.session.expire_all()
    rows = db.session.query(MemberCap).filter_by(budget_id=budget.id).all()
    return sorted((row.cap_micro and row.cap_micro // MICRO for row in rows), key=str)


def test_every_share_is_set_or_raised_but_not_of_those_who_left(boss, shared):
    with transaction():
        budget_tree.set_shares(boss, shared.id, raise_micro=2 * MICRO)
    assert caps(shared) == [7, 7, None]

    with transaction():
        budget_tree.set_shares(boss, shared.id, set_micro=4 * MICRO)
    assert caps(shared) == [4, 4, 7]

    with transaction():
        budget_tree.set_shares(boss, shared.id)
    assert caps(shared) == [7, None, None]


def test_a_preview_changes_nothing_and_says_what_would_happen(boss, shared):
    found = budget_tree.shares_after(boss, shared.id, set_micro=0)

    assert (found.members, found.changed, found.exhausted, found.promised_micro) == (2, 2, 2, 0)
    assert caps(shared) == [5, 7, None]


def test_a_preview_that_is_out_of_date_is_not_carried_out(boss, shared, make):
    version = budget_tree.shares_after(boss, shared.id, set_micro=MICRO).version
    make.cap(shared, make.person(), 1)

    with pytest.raises(CapsChanged):
        budget_tree.set_shares(boss, shared.id, set_micro=MICRO, version=version)


@pytest.mark.parametrize("wrong", [{"set_micro": -1}, {"raise_micro": 0}, {"set_micro": 1, "raise_micro": 1}])
def test_shares_that_make_no_sense_are_refused(boss, shared, wrong):
    with pytest.raises(Invalid):
        budget_tree.set_shares(boss, shared.id, **wrong)


# --- burn-down ----------------------------------------------------------------------------------------------------


def used(budget: Budget, person: Any, flavor: Any, days_ago: int, credits: float) -> None:
    """Use so much on that day, as the ledger would have written it."""
    day = queries.day_of(app_clock.now()) - timedelta(days=days_ago)
    micro = round(credits * MICRO)
    db.session.add(
        UsageDay(budget_id=budget.id, day=day, person_id=person.id, flavor_id=flavor.id, micro=micro, seconds=1)
    )
    purse = db.session.get_one(Purse, budget.id)
    purse.available, purse.used = purse.available - micro, purse.used + micro
    db.session.commit()


def test_the_past_is_counted_back_from_what_is_left(make, root, clock):
    run, person, flavor = make.budget(30, parent=root), make.person(), make.flavor()
    clock.shift(timedelta(days=3))
    for days_ago, credits in ((2, 4), (1, 6)):
        used(run, person, flavor, days_ago, credits)

    burn = queries.burn_down(run)

    assert [day.left // MICRO for day in burn.days[-4:]] == [30, 26, 20, 20]
    assert burn.days[-4].came == 30 * MICRO
    assert burn.today == date(2026, 3, 5)
    assert burn.forecast.days_known == 3


def test_a_budget_with_others_below_is_read_as_a_branch(make, root):
    run = make.budget(30, parent=root)
    used(run, make.person(), make.flavor(), 0, 5)

    burn = queries.burn_down(root)

    assert burn.has_below
    assert burn.left == 95 * MICRO
    assert sum(day.came for day in burn.days) == 100 * MICRO
    assert sum(day.used for day in burn.days) == 5 * MICRO


def test_usage_that_the_ledger_books_shows_in_the_burn_down(campus, clock):
    session = campus.running()
    clock.shift(timedelta(minutes=30))
    campus.run("reconcile_centers")
    campus.run("post_usage")

    burn = queries.burn_down(campus.budget)

    assert campus.purse()[2] == 500_000
    assert burn.days[-1].used == 500_000
    assert burn.held == campus.purse()[1]
    assert session.id


# --- warnings -----------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(make, root):
    run = make.budget(30, parent=root)
    teacher = make.person()
    make._save(BudgetManager(budget_id=run.id, person_id=teacher.id))
    return run, teacher, make.person(), make.flavor()


def kinds(person: Any) -> list[tuple[str, Any]]:
    """What this person was told; two notices of one millisecond come in no order."""
    rows = db.session.query(Notice).filter_by(person_id=person.id)
    return sorted(((row.kind, row.facts.get("percent")) for row in rows), key=str)


def test_each_step_is_told_once(watched):
    run, teacher, person, flavor = watched
    used(run, person, flavor, 1, 24)
    for _day in (1, 2):
        budget_news.warn(run.id)
    assert kinds(teacher) == [("budget-used", 80)]

    used(run, person, flavor, 0, 5)
    budget_news.warn(run.id)

    assert kinds(teacher) == [("budget-used", 80), ("budget-used", 95)]


def test_a_budget_that_will_not_last_is_told_once(watched, clock):
    run, teacher, person, flavor = watched
    clock.shift(timedelta(days=5))
    for days_ago in (1, 2, 3, 4):
        used(run, person, flavor, days_ago, 1)

    for _day in (1, 2):
        budget_news.warn(run.id)

    assert kinds(teacher) == [("budget-runs-out", None)]


def test_a_budget_that_lasts_is_no_news(watched, clock):
    run, teacher, person, flavor = watched
    clock.shift(timedelta(days=5))
    used(run, person, flavor, 4, 0.01)

    assert run.id in budget_news.watched_ids()
    assert budget_news.warn(run.id) == 0
    assert kinds(teacher) == []


# --- pages --------------------------------------------------------------------------------------------------------


def test_the_page_of_a_budget_shows_how_it_burns_down(app, administrator, watched, clock):
    run, _teacher, person, flavor = watched
    clock.shift(timedelta(days=5))
    for days_ago in (1, 2, 3, 4):
        used(run, person, flavor, days_ago, 1)

    page = sign_in(app, administrator).get(f"/budgets/{run.id}").text

    assert "At this pace the credits run out on" in page
    assert 'class="chart-left" d="M' in page
    assert "style=" not in page
    assert "The same as a table" in page


def test_pages_open_change_and_close_a_budget(app, administrator, root):
    browser = sign_in(app, administrator)
    form = {"kind": "project", "title_zh": "课题", "title_en": "Project", "amount": "1,000.5"}
    days = {"starts_on": "2026-03-01", "ends_on": "2026-06-30"}

    assert browser.get(f"/budgets/{root.id}/below/new").status_code == 200
    refused = browser.post(f"/budgets/{root.id}/below", data=form | days)
    assert refused.status_code == 409
    assert 'value="1,000.5"' in refused.text
    made = browser.post(f"/budgets/{root.id}/below", data=form | days | {"amount": "12.5"})
    assert made.status_code == 303
    url = made.location
    assert browser.get(url + "/change").text.count("2026-06-30") == 1
    assert browser.post(url + "/change", data=form | days | {"title_en": "Renamed"}).status_code == 303
    assert "Renamed" in browser.get(url).text
    assert browser.post(url + "/pull-back", data={"amount": "0.5", "key": "k1"}).status_code == 303
    assert browser.post(url + "/close").status_code == 303

    page = browser.get(url).text
    assert "closed" in page
    assert left(root.id) == 100


@pytest.mark.parametrize("amount", ["0", "-1", "1e999", "1,5", "0.0000001", "١٢", "NaN", "1 0", "9" * 30, ""])
def test_what_is_no_amount_is_refused_on_the_page(app, administrator, make, root, amount):
    run = make.budget(1, parent=root)
    browser = sign_in(app, administrator)

    for what in ("fund", "pull-back"):
        assert browser.post(f"/budgets/{run.id}/{what}", data={"amount": amount, "key": "k"}).status_code == 422
    assert left(run.id) == 1


def test_the_tree_as_a_table_runs_no_formula(app, administrator, boss, root, partner):
    opened(boss, root, title_en="=1+1")

    table = sign_in(app, administrator).get(f"/partners/{partner.slug}/budget.csv").text

    assert "'=1+1" in table
    assert table.count("\n") == 3


def test_shares_are_previewed_then_set(app, administrator, shared):
    browser = sign_in(app, administrator)
    url = f"/budgets/{shared.id}/shares"

    page = browser.get(url, query_string={"how": "raise", "amount": "1"}).text
    assert "Shares that change" in page
    version = page.split('name="version" value="')[1].split('"')[0]
    assert browser.post(url, data={"how": "raise", "amount": "1", "version": version}).status_code == 303
    assert browser.post(url, data={"how": "raise", "amount": "1", "version": version}).status_code == 409

    assert caps(shared) == [6, 7, None]


def test_the_api_shows_tree_burn_down_and_tranches(app, administrator, boss, root, partner):
    program = opened(boss, root, fund_micro=40 * MICRO)
    browser = sign_in(app, administrator)

    tree = browser.get(f"/api/v1/partners/{partner.slug}/budgets").json
    burn = browser.get(f"/api/v1/budgets/{program.id}/burn-down").json
    tranches = browser.get(f"/api/v1/budgets/{program.id}/tranches").json

    assert [row["whole"]["available"] for row in tree] == [100 * MICRO, 40 * MICRO]
    assert burn["available_micro"] == 40 * MICRO
    assert burn["forecast"]["runs_out_on"] is None
    assert burn["days"][-1] == {
        "day": "2026-03-02",
        "used_micro": 0,
        "came_micro": 40 * MICRO,
        "expired_micro": 0,
        "left_micro": 40 * MICRO,
    }
    assert [row["remaining"] for row in tranches] == [40 * MICRO]


def test_the_api_refuses_what_makes_no_sense(app, administrator, root):
    browser = sign_in(app, administrator)
    below = f"/api/v1/budgets/{root.id}/below"
    body = {"kind": "program", "title_zh": "项", "title_en": "P", "starts_at": "2026-03-01T00:00:00Z"}

    wrong = [
        body | {"ends_at": "2026-02-01T00:00:00Z"},
        body | {"ends_at": "2026-04-01T00:00:00"},
        body | {"ends_at": "2026-04-01T00:00:00Z", "fund_micro": 1.5},
        body | {"ends_at": "2026-04-01T00:00:00Z", "fund_micro": -1},
        body | {"ends_at": "2026-04-01T00:00:00Z", "kind": "club"},
    ]

    assert [browser.post(below, json=each).status_code for each in wrong] == [422] * 5
    assert browser.post(below, json=body | {"ends_at": "2026-04-01T00:00:00Z"}).status_code == 201


# --- who looks after it, and moving sideways ----------------------------------------------------------------------


def test_somebody_of_the_partner_is_put_in_charge_of_a_program(app, make, partner, administrator, boss, root):
    program, member = opened(boss, root), make.member(partner, MemberRole.TEACHER)
    url, browser = f"/budgets/{program.id}", sign_in(app, administrator)
    theirs = sign_in(app, member)
    assert theirs.get(url).status_code == 404

    assert browser.post(url + "/managers", data={"email": member.email}).status_code == 303
    assert browser.post(url + "/managers", data={"email": member.email}).status_code == 303
    assert theirs.get(url).status_code == 200
    assert member.email in browser.get(url).text
    assert theirs.post(url + "/managers", data={"email": member.email}).status_code == 403

    assert browser.post(f"{url}/managers/{member.id}/relieve").status_code == 303
    assert theirs.get(url).status_code == 404
    assert browser.post(f"{url}/managers/{member.id}/relieve").status_code == 404


def test_strangers_are_not_put_in_charge_and_a_run_has_its_teachers(app, make, partner, administrator, boss, root):
    program, run = opened(boss, root), make.budget(1, parent=root, partner_id=partner.id)
    member, stranger, browser = make.member(partner), make.member(make.partner()), sign_in(app, administrator)
    api = "/api/v1/budgets/{}/managers/{}".format

    assert browser.put(api(program.id, stranger.id)).json["code"] == "not-of-the-partner"
    assert browser.post(f"/budgets/{program.id}/managers", data={"email": "no@where.example"}).status_code == 409
    assert browser.put(api(run.id, member.id)).json["code"] == "charge-fixed"
    assert browser.put(api(program.id, member.id)).status_code == 204
    assert browser.delete(api(program.id, member.id)).status_code == 204
    assert db.session.get(BudgetManager, (program.id, member.id)) is None


def test_the_page_moves_credits_sideways_once_for_each_form(app, administrator, boss, root):
    first, second = opened(boss, root, fund_micro=10 * MICRO, key="a"), opened(boss, root)
    browser = sign_in(app, administrator)
    page = browser.get(f"/budgets/{first.id}").text
    assert f'<option value="{second.id}">' in page

    for _ in range(2):
        data = {"to": str(second.id), "amount": "4", "key": "one-form"}
        assert browser.post(f"/budgets/{first.id}/move", data=data).status_code == 303

    assert (left(first.id), left(second.id)) == (6, 4)
