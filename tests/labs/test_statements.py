"""What a statement says, that it adds up, that it stays as it is, and who gets to see it."""

import json
from datetime import timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.access import SYSTEM, MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import db
from app.errors import Conflict
from labs import ledger, queries, statements
from labs.errors import StatementFaulty
from labs.models import BudgetManager, Statement, UsageDay
from labs.months import Month
from labs.queries import sheets
from labs.services import periods, verifying
from tests.labs.books import MONTHS, TODAY
from tests.make import as_actor, sign_in

C = 1_000_000
JANUARY, FEBRUARY, MARCH = MONTHS[:3]


def test_a_statement_opens_moves_and_closes(books):
    books.use("li", 3600)
    books.clock.move_to("2026-02-03T00:00:00+00:00")
    books.use("wang", 7200)

    first, second = books.close(JANUARY), books.close(FEBRUARY)

    assert first.body["totals"] | {"seconds": 0} == {
        **dict.fromkeys(("opening", "pulled_in", "pulled_out", "corrected", "expired", "seconds"), 0),
        **{"granted": 100 * C, "received": 40 * C, "passed_on": 40 * C, "used": C, "sessions": 1, "closing": 99 * C},
    }
    assert second.body["totals"]["opening"] == 99 * C
    assert second.body["totals"]["used"] == 2 * C
    assert second.body["totals"]["closing"] == 97 * C
    assert (second.number, second.previous) == (2, first.sha256)
    assert [statements.faults(row.body) for row in (first, second)] == [[], []]


def test_sums_by_budget_person_and_flavor_are_what_was_used(books):
    books.use("li", 3600)
    books.use("wang", 1800, flavor="large")
    books.use("li", 600, flavor="large")

    body = books.close(JANUARY).body

    used = body["totals"]["used"]
    assert used == C + 4 * C // 2 + 4 * C // 6
    for lines in (body["by_budget"], body["by_person"], body["by_flavor"]):
        assert sum(line[1] for line in lines) == used
    assert len(body["by_person"]) == len(body["by_flavor"]) == 2
    assert sum(line[3] for line in body["by_person"]) == 3  # sessions


def test_what_is_held_over_the_end_of_a_month_stands_in_its_closing_balance(books):
    """A lab runs across midnight: what was posted before belongs to January, the rest to February."""
    books.clock.move_to(JANUARY.ends_at - timedelta(hours=1))
    hold = books.reserve("li", 7200)
    books.clock.move_to(JANUARY.ends_at - timedelta(minutes=1))
    ledger.post(hold.id, 3540)
    books.clock.move_to(JANUARY.ends_at + timedelta(hours=1))
    first = books.close(JANUARY)
    ledger.settle(hold.id, 7200)
    second = books.close(FEBRUARY)

    run = first.body["budgets"][1]
    assert run["closing"]["used"] == 3540 * C // 3600
    assert run["closing"]["held"] == 2 * C - 3540 * C // 3600
    assert second.body["budgets"][1]["opening"] == run["closing"]
    assert second.body["budgets"][1]["closing"]["held"] == 0
    assert first.body["totals"]["used"] + second.body["totals"]["used"] == 2 * C
    assert (first.body["totals"]["sessions"], second.body["totals"]["sessions"]) == (0, 1)


def test_what_is_booked_by_a_clock_that_went_back_into_a_closed_month_comes_into_the_open_one(books):
    books.close(JANUARY)
    before = books.last().sha256

    books.clock.move_to(JANUARY.ends_at - timedelta(hours=3))
    books.use("li", 3600)
    february = books.close(FEBRUARY)

    assert february.body["totals"]["used"] == C
    assert statements.digest(statements.NOTHING_BEFORE, queries.statement_of(books.partner.id, JANUARY).body) == before


def test_the_database_takes_nothing_dated_in_a_closed_month(books):
    books.close(JANUARY)

    insert = sa.text(
        "INSERT INTO ledger_transaction (id, created_at, key, command, body_sha256)"
        " VALUES (gen_random_uuid(), '2026-01-20', 'late', 'grant', '0')"
    )
    with pytest.raises(sa.exc.DatabaseError, match="period is closed"), db.session.begin_nested():
        db.session.execute(insert)


def test_transfers_pull_backs_corrections_and_expiries_are_told_with_their_reasons(books):
    books.clock.move_to("2026-01-12T00:00:00+00:00")
    hold = books.use("li", 3600)
    ledger.correct(hold.id, C // 4, "the center was slow", key="correct", actor_id=books.operator.person_id)
    ledger.pull_back(books.run.id, books.root.id, 5 * C, key="back", reason="not needed")
    books.grant(3 * C, days=2)
    books.clock.move_to("2026-01-20T00:00:00+00:00")
    ledger.expire()

    body = books.close(JANUARY).body

    told = {(event["command"], event["reason"]) for event in body["events"]}
    assert {("correct", "the center was slow"), ("pull-back", "not needed"), ("expire", None)} <= told
    totals = body["totals"]
    assert (totals["used"], totals["corrected"], totals["expired"]) == (C, C // 4, 3 * C)
    assert (totals["pulled_in"], totals["pulled_out"]) == (5 * C, 5 * C)
    assert sum(line[1] for line in body["by_person"]) == C - C // 4
    correction = next(event for event in body["events"] if event["command"] == "correct")
    assert correction["person"] == str(books.people["li"].id)
    assert correction["actor"] == str(books.operator.person_id)


def test_a_debt_that_new_credits_pay_is_granted_and_not_passed_on(books):
    books.give_debt(2 * C)
    books.grant(10 * C, to=books.run)

    body = books.close(JANUARY).body

    run = body["budgets"][1]
    assert run["closing"]["overrun"] == 0
    assert run["flows"]["passed_on"] == 0
    assert statements.faults(body) == []


def test_a_statement_knows_people_by_their_ids_only(books):
    books.use("li", 3600)

    body = books.close(JANUARY).body

    text = json.dumps(body, ensure_ascii=False)
    assert body["persons"] == [str(books.people["li"].id)]
    assert books.people["li"].name not in text
    assert books.people["li"].email not in text


def test_the_name_of_somebody_who_was_erased_is_their_pseudonym_and_the_chain_holds(books, app):
    books.use("li", 3600)
    books.close(JANUARY)

    books.people["li"].name = "Person 7f3a"
    db.session.commit()

    page = sign_in(app, books.admin).get(books.url(JANUARY)).text
    assert "Person 7f3a" in page
    assert "李娜" not in page
    assert verifying.verify(SYSTEM) == []


def test_a_partner_without_budgets_gets_no_statement_and_an_empty_month_is_one(books, make):
    make.partner(slug="bystander")

    january, february = books.close(JANUARY), books.close(FEBRUARY)

    assert db.session.scalars(sa.select(Statement)).all() == [january, february]
    assert february.body["usage"] == []
    assert february.body["events"] == []
    assert february.body["totals"]["opening"] == february.body["totals"]["closing"] == 100 * C


def test_a_partner_that_comes_later_starts_with_number_one(books, make):
    books.close(JANUARY)
    books.clock.move_to("2026-02-05T00:00:00+00:00")
    later = make.budget(5)

    books.close(FEBRUARY)

    assert queries.last_statement(later.partner_id).number == 1
    assert queries.last_statement(books.partner.id).number == 2


def test_a_statement_that_does_not_add_up_is_not_stored(books):
    books.use("li", 3600)
    db.session.execute(sa.update(UsageDay).values(micro=UsageDay.micro + 1))
    db.session.commit()

    with pytest.raises(StatementFaulty) as refusal:
        books.close(JANUARY)

    assert "what its people used is not what it paid" in refusal.value.members["faults"][0]
    assert queries.last_closed() is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda body: body["budgets"][0]["closing"].update(available=1), "do not add up"),
        (lambda body: body["budgets"][1]["flows"].update(used=0), "flows are not what"),
        (lambda body: body["usage"][0].__setitem__(3, 7), "not the sum of its lines"),
        (lambda body: body["by_person"][0].__setitem__(1, 7), "by_person"),
        (lambda body: body["totals"].update(granted=1), "totals"),
        (lambda body: body.update(version=2), "version 2"),
    ],
)
def test_a_body_that_contradicts_itself_is_named(books, change, fault):
    books.use("li", 3600)
    body = queries.compose(books.partner, JANUARY)

    change(body)

    assert any(fault in text for text in statements.faults(body))


# --- the chain ----------------------------------------------------------------------------------------------------


def tamper(sql, **values):
    """What only somebody with power over the database can do."""
    db.session.execute(sa.text("ALTER TABLE statement DISABLE TRIGGER append_only"))
    db.session.execute(sa.text(sql), values)
    db.session.execute(sa.text("ALTER TABLE statement ENABLE TRIGGER append_only"))
    db.session.commit()
    db.session.expire_all()


def test_an_honest_chain_verifies(books):
    books.use("li", 3600)
    for month in MONTHS[:2]:
        books.close(month)

    assert verifying.verify(SYSTEM) == []


@pytest.mark.parametrize(
    ("sql", "month", "text"),
    [
        (
            "UPDATE statement SET body = jsonb_set(body, '{totals,used}', '0') WHERE number = 1",
            "2026-01",
            "hash is not that of its body",
        ),
        (
            "UPDATE statement SET body = jsonb_set(body, '{partner,title_en}', '\"X\"') WHERE number = 2",
            "2026-02",
            "hash is not that of its body",
        ),
        ("UPDATE statement SET sha256 = repeat('1', 64) WHERE number = 1", "2026-02", "does not follow"),
        ("DELETE FROM statement WHERE number = 2", "2026-02", "missing"),
        ("DELETE FROM statement WHERE number = 1", "2026-02", "a number is missing"),
    ],
)
def test_a_tampered_statement_is_named(books, sql, month, text):
    books.use("li", 3600)
    for one in MONTHS[:2]:
        books.close(one)

    tamper(sql)

    assert any(flaw.month == month and text in flaw.text for flaw in verifying.verify(SYSTEM)), verifying.verify(SYSTEM)


def test_a_statement_that_was_signed_anew_does_not_fit_the_books(books):
    """Whoever changes a body and recomputes its hash is found by the entries."""
    books.use("li", 3600)
    row = books.close(JANUARY)
    body = json.loads(json.dumps(row.body))
    line = body["budgets"][0]
    for key, amount in (("closing", -C), ("opening", -C)):
        line[key]["available"] += amount
    body["totals"]["opening"] -= C
    body["totals"]["closing"] -= C
    assert statements.faults(body) == []

    sealed = statements.digest(row.previous, body)
    tamper("UPDATE statement SET body = CAST(:body AS jsonb), sha256 = :sealed", body=json.dumps(body), sealed=sealed)

    assert [flaw.text.split(": ", 1)[1][-43:] for flaw in verifying.verify(SYSTEM)] == [
        " does not close at what its entries add up to"[-43:]
    ]


def test_the_command_verifies_and_names_what_is_wrong(app, books):
    books.close(JANUARY)
    run = app.test_cli_runner().invoke

    fine = run(args=["statements", "verify"])
    one = run(args=["statements", "verify", "--partner", books.partner.slug])
    nobody = run(args=["statements", "verify", "--partner", "none"])
    tamper("UPDATE statement SET body = jsonb_set(body, '{totals,granted}', '0')")
    wrong = run(args=["statements", "verify"])
    audit = run(args=["ledger", "audit"])

    assert (fine.exit_code, one.exit_code, nobody.exit_code) == (0, 0, 1), (fine.output, one.output, nobody.output)
    assert (wrong.exit_code, audit.exit_code) == (1, 1)
    assert f"{books.partner.slug} 2026-01: no. 1: its hash is not that of its body" in wrong.output
    assert "its hash is not that of its body" in audit.output


def test_canonical_json_is_that_of_rfc_8785():
    body = {"b": [1, -2, None, True], "a": '汉"\\\n\u0001é', "sum": 10**15}

    assert (
        statements.canonical(body).decode()
        == '{"a":"汉\\"\\\\\\n\\u0001é","b":[1,-2,null,true],"sum":1000000000000000}'
    )


def test_the_docs_say_how_to_verify_and_their_lines_of_python_do(books, app):
    from pathlib import Path

    books.use("li", 3600)
    books.close(JANUARY)
    answer = sign_in(app, books.admin).get(f"/api/v1{books.url(JANUARY)}").json
    text = (Path(__file__).parents[2] / "docs" / "statements.md").read_text()
    code = text.split("```python\n", 1)[1].split("```", 1)[0]

    scope = {"statement": answer}
    exec(code, scope)

    assert scope["is_as_signed"] is True


# --- anything at all ----------------------------------------------------------------------------------------------

acts = st.one_of(
    st.tuples(st.just("reserve"), st.sampled_from(["li", "wang"]), st.integers(60, 9000)),
    st.tuples(st.just("post"), st.integers(0, 5), st.integers(1, 9000)),
    st.tuples(st.just("settle"), st.integers(0, 5), st.integers(0, 20_000)),
    st.tuples(st.just("void"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("grant"), st.integers(1, 5 * C), st.integers(1, 40)),
    st.tuples(st.just("transfer"), st.integers(1, 5 * C), st.just(0)),
    st.tuples(st.just("pull_back"), st.integers(1, 5 * C), st.just(0)),
    st.tuples(st.just("correct"), st.integers(0, 5), st.integers(1, C)),
    st.tuples(st.just("wait"), st.integers(1, 25), st.just(0)),
    st.tuples(st.just("close"), st.just(0), st.just(0)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(acts, min_size=3, max_size=25))
def test_whatever_happens_statements_add_up_and_those_that_are_closed_stay_as_they_are(books, script):
    db.session.commit()
    undo = db.engines[None].begin_nested()
    books.clock.move_to("2026-01-10T08:00:00+00:00")
    holds, kept = [], []
    try:
        for number, (name, one, two) in enumerate(script):
            _act(books, holds, number, name, one, two)
            kept += _closed(books, kept)
            for body, text in kept:
                assert statements.canonical(body) == text
        assert verifying.verify(SYSTEM) == []
        for month in (Month.of(books.now()), Month.of(books.now()).previous):
            if month >= JANUARY:
                assert statements.faults(queries.compose(books.partner, month)) == []
        rows = list(queries.statements_by_partner(books.partner.id))
        assert all(later.previous == earlier.sha256 for earlier, later in pairwise(rows))
    finally:
        db.session.rollback()
        undo.rollback()
        db.session.expire_all()


def _act(books, holds, number, name, one, two):
    try:
        if name == "reserve":
            holds.append(books.reserve(one, two, key=f"h{number}").id)
        elif name in ("post", "settle", "void", "correct") and holds:
            hold_id = holds[one % len(holds)]
            call = {
                "post": lambda: ledger.post(hold_id, two),
                "settle": lambda: ledger.settle(hold_id, two),
                "void": lambda: ledger.void(hold_id),
                "correct": lambda: ledger.correct(hold_id, two, "random", key=f"c{number}"),
            }
            call[name]()
        elif name == "grant":
            books.grant(one, days=two, key=f"g{number}")
        elif name == "transfer":
            ledger.transfer(books.root.id, books.run.id, one, key=f"t{number}")
        elif name == "pull_back":
            ledger.pull_back(books.run.id, books.root.id, one, key=f"b{number}")
        elif name == "wait":
            books.clock.move_to(books.now() + timedelta(days=one))
            ledger.expire()
        elif name == "close":
            month = periods.due()
            if month is not None:
                periods.close(SYSTEM, month)
        db.session.commit()
    except Conflict:
        db.session.rollback()


def _closed(books, kept):
    rows = list(queries.statements_by_partner(books.partner.id))[len(kept) :]
    return [(row.body, statements.canonical(row.body)) for row in rows]


# --- who sees what ------------------------------------------------------------------------------------------------


def test_who_looks_after_a_budget_sees_its_part_and_not_the_rest(app, books, make):
    books.use("li", 3600)
    books.other_run("wang", 1800)
    books.close(JANUARY)
    teacher = make.member(books.partner, MemberRole.TEACHER)
    db.session.add(BudgetManager(budget_id=books.run.id, person_id=teacher.id))
    db.session.commit()
    browser = sign_in(app, teacher)

    part = browser.get(f"/api/v1/budgets/{books.run.id}/statements/2026-01").json

    assert part["totals"]["micro"] == C
    assert part["body"] is None
    assert [row["id"] for row in part["people"]] == [str(books.people["li"].id)]
    assert (part["number"], part["sha256"]) == (1, books.last().sha256)
    for address in (books.url(JANUARY), f"/api/v1{books.url(JANUARY)}", f"/budgets/{books.root.id}/statements/2026-01"):
        assert browser.get(address).status_code == 404, address


def test_a_budget_comes_with_those_below_it(app, books):
    books.use("li", 3600)
    january = books.close(JANUARY)

    sheet = sheets.sheet_of_budget(as_actor(books.admin), books.root.id, JANUARY)

    assert sheet.totals["micro"] == C
    assert sheet.totals["received"] == 40 * C
    assert sheet.outside["received"] == 0
    assert sheet.outside["granted"] == 100 * C
    assert [line.depth for line in sheet.budgets] == [0, 1]
    assert january.body["totals"]["closing"] == sheet.totals["closing"]


def test_i_see_what_i_used_and_nothing_of_others(app, books):
    books.use("li", 3600)
    books.use("wang", 1800)
    books.clock.move_to(TODAY)
    books.close(JANUARY)

    mine = sign_in(app, books.people["li"])
    rows = mine.get("/api/v1/me/usage/2026-01").json
    page, csv = mine.get("/labs/usage/2026-01").text, mine.get("/labs/usage/2026-01.csv").text

    assert [row["totals"]["micro"] for row in rows] == [C]
    assert rows[0]["body"] is None
    assert str(books.people["wang"].id) not in json.dumps(rows) + page + csv
    assert "wang" not in (page + csv).lower()
    assert mine.get("/labs/usage/2026-02").status_code == 200
    assert mine.get("/api/v1/me/usage/2026-01", headers={"Accept": "application/pdf"}).data[:5] == b"%PDF-"


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "2027-01", "2025-12", "latest", "2026-04"])
def test_there_is_no_statement_of_a_month_that_does_not_exist_or_is_to_come(app, books, month):
    browser = sign_in(app, books.admin)

    for start in (f"/partners/{books.partner.slug}", f"/api/v1/partners/{books.partner.slug}"):
        for end in ("", ".csv", ".pdf"):
            assert browser.get(f"{start}/statements/{month}{end}").status_code == 404, (start, end)


def test_downloads_of_what_others_used_leave_a_trace(app, books):
    books.use("li", 3600)
    books.close(JANUARY)
    browser = sign_in(app, books.admin)

    for end in (".csv", ".pdf"):
        assert browser.get(books.url(JANUARY) + end).status_code == 200
    browser.get(books.url(JANUARY))
    sign_in(app, books.people["li"]).get("/labs/usage/2026-01.csv")

    acts = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "statement.download")).all()
    assert sorted(act.changes["form"] for act in acts) == ["csv", "pdf"]
    assert {act.actor_id for act in acts} == {books.admin.id}


def test_the_open_month_is_preliminary_everywhere(app, books):
    books.use("li", 3600)
    browser = sign_in(app, books.admin)

    page = browser.get(books.url(JANUARY)).text
    answer = browser.get(f"/api/v1{books.url(JANUARY)}").json
    csv = browser.get(books.url(JANUARY) + ".csv")

    assert "Preliminary: this month is still open" in page
    assert (answer["is_preliminary"], answer["number"], answer["sha256"]) == (True, None, None)
    assert answer["totals"]["micro"] == C
    assert ",preliminary," in csv.text
    assert "preliminary" in csv.headers["Content-Disposition"]


def test_the_closed_months_page_closes_the_next_one(app, books, make):
    books.clock.move_to(TODAY)
    operator = sign_in(app, make.platform(PlatformRole.OPERATOR))

    page = operator.get("/operations/periods").text
    assert "Close January 2026 for good?" in page
    assert operator.post("/operations/periods", data={"month": "2026-01"}).status_code == 303
    assert operator.post("/operations/periods", data={"month": "2026-01"}).status_code == 409
    assert operator.post("/operations/periods", data={"month": "2026-99"}).status_code == 422
    assert operator.post("/api/v1/periods", json={"month": "nope"}).status_code == 422
    assert operator.post("/api/v1/periods", json={"month": "2026-02"}).status_code == 201
    assert [row["month"] for row in operator.get("/api/v1/periods").json] == ["2026-02", "2026-01"]
    assert sign_in(app, books.admin).get("/operations/periods").status_code == 403


def test_the_page_of_a_whole_year_names_each_month(app, books):
    books.clock.move_to(TODAY)
    books.close(JANUARY)

    page = sign_in(app, books.admin).get(f"/partners/{books.partner.slug}/statements").text

    assert 'rel="prev"' not in sign_in(app, books.admin).get(books.url(JANUARY)).text  # there was nothing before
    places = [page.index(text) for text in ("March 2026", "February 2026", "January 2026")]
    assert places == sorted(places)
    assert "No. 1" in page
