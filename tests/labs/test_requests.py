"""Asking for compute, and answering: who may, what moves, and what two at once come to."""

from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from accounts.models import Membership, Notice, Person, PlatformRoleGrant
from app import clock as app_clock
from app.access import Actor, MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import db, transaction
from app.errors import Forbidden, Invalid, NotFound
from app.locale import MICRO
from labs import ledger, queries
from labs.errors import (
    BudgetClosed,
    CorrectionTooLarge,
    IdempotencyConflict,
    OwnRequest,
    RequestDecided,
    RequestNotPossible,
    RootBudget,
    TooManyOpenRequests,
    TransferTooLarge,
)
from labs.models import Budget, BudgetManager, ComputeRequest, Purse, RequestKind, RequestState
from labs.services import requests, sessions
from tests.make import Make, as_actor, sign_in

SUPPLEMENT, GRANT, TRANSFER = RequestKind.SUPPLEMENT, RequestKind.GRANT, RequestKind.TRANSFER


class Office:
    """A partner with its administrator, an operator, and a run whose teacher looks after its budget."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.partner = make.partner()
        self.root = make.budget(100, partner_id=self.partner.id)
        self.run = make.budget(10, parent=self.root)
        self.teacher = make.member(self.partner, MemberRole.TEACHER, name="张敏")
        self.administrator = make.member(self.partner, MemberRole.ADMINISTRATOR)
        self.operator = make.platform(PlatformRole.OPERATOR)
        make._save(BudgetManager(budget_id=self.run.id, person_id=self.teacher.id))
        self.root_id, self.run_id = self.root.id, self.run.id

    def ask(self, credits: float = 20, *, who: Person | None = None, **values: Any) -> ComputeRequest:
        defaults: dict[str, Any] = {"reason": "The class has grown.", "amount_micro": round(credits * MICRO)}
        kind = values.pop("kind", SUPPLEMENT)
        budget_id = values.pop("budget_id", self.run_id)
        with transaction():
            return requests.ask(as_actor(who or self.teacher), kind, budget_id, **defaults | values)

    def approve(self, found: ComputeRequest, who: Person | None = None, **values: Any) -> ComputeRequest:
        with transaction():
            return requests.approve(as_actor(who or self.administrator), found.id, **values)


@pytest.fixture
def office(make: Make) -> Office:
    return Office(make)


def left(budget_id: Any) -> int:
    db.session.expire_all()
    return db.session.get_one(Purse, budget_id).available // MICRO


def state(found: ComputeRequest) -> RequestState:
    db.session.expire_all()
    return queries.request(found.id).state


def notices_of(person: Person) -> list[str]:
    return [row.kind for row in db.session.query(Notice).filter_by(person_id=person.id).order_by(Notice.created_at)]


def test_an_approved_supplement_comes_from_the_budget_above(office):
    found = office.ask(20)

    office.approve(found)

    assert (left(office.root_id), left(office.run_id)) == (70, 30)
    assert state(found) is RequestState.APPROVED
    assert ledger.audit() == []


def test_less_can_be_approved_and_never_more(office):
    found = office.ask(20)

    with pytest.raises(Invalid):
        office.approve(found, amount_micro=21 * MICRO)
    office.approve(found, amount_micro=5 * MICRO, note="That is what is left this term.")

    assert left(office.run_id) == 15
    assert queries.request(found.id).granted_micro == 5 * MICRO


def test_approving_twice_moves_once(office):
    found = office.ask(20)

    office.approve(found)
    office.approve(found)

    assert left(office.run_id) == 30


def test_another_answer_to_an_answered_request_is_refused(office, make):
    found = office.ask(20)
    office.approve(found)
    other = make.member(office.partner, MemberRole.ADMINISTRATOR)

    for again in (
        lambda: office.approve(found, who=other),
        lambda: office.approve(found, amount_micro=MICRO),
        lambda: requests.decline(as_actor(office.administrator), found.id, "No."),
        lambda: requests.withdraw(as_actor(office.teacher), found.id),
    ):
        with pytest.raises(RequestDecided):
            again()
    assert left(office.run_id) == 30


def test_what_the_budget_above_lacks_is_refused_and_stays_open(office):
    found = office.ask(95)

    with pytest.raises(TransferTooLarge) as refusal:
        office.approve(found)

    assert refusal.value.members["left"] == 90 * MICRO
    assert state(found) is RequestState.ASKED
    assert (left(office.root_id), left(office.run_id)) == (90, 10)
    office.approve(found, amount_micro=90 * MICRO)
    assert left(office.run_id) == 100


def test_a_declined_request_moves_nothing_and_says_why(office):
    found = office.ask()

    with transaction():
        requests.decline(as_actor(office.administrator), found.id, "Wait for the next term.")

    assert left(office.run_id) == 10
    notice = db.session.query(Notice).filter_by(person_id=office.teacher.id, kind="request-declined").one()
    assert notice.facts["note"] == "Wait for the next term."


def test_a_withdrawn_request_cannot_be_approved(office):
    found = office.ask()
    with transaction():
        requests.withdraw(as_actor(office.teacher), found.id)

    with pytest.raises(RequestDecided):
        office.approve(found)


def test_those_who_decide_hear_of_it_and_the_asker_hears_the_answer(office):
    found = office.ask(20)
    assert notices_of(office.administrator) == ["request-asked"]
    assert notices_of(office.operator) == []

    office.approve(found)

    assert notices_of(office.teacher) == ["request-approved"]


def test_without_an_administrator_those_of_the_platform_hear_of_it(office, make):
    platform = make.platform(PlatformRole.ADMINISTRATOR)
    db.session.query(Membership).filter_by(person_id=office.administrator.id).delete()

    office.ask()

    assert notices_of(platform) == ["request-asked"]


def test_new_credits_are_asked_for_by_the_administrator_and_given_by_an_operator(office):
    found = office.ask(50, kind=GRANT, budget_id=office.root_id, who=office.administrator)
    assert notices_of(office.operator) == ["request-asked"]
    with pytest.raises(Forbidden):
        office.approve(found, who=office.administrator)

    office.approve(found, who=office.operator)

    assert left(office.root_id) == 140
    assert ledger.audit() == []


def test_a_transfer_goes_between_budgets_of_one_partner(office, make):
    contest = make.budget(30, parent=office.root)
    found = office.ask(12, kind=TRANSFER, other_budget_id=contest.id)

    office.approve(found)

    assert (left(contest.id), left(office.run_id)) == (18, 22)


def test_a_transfer_from_elsewhere_is_refused(office, make):
    foreign = make.budget(30)

    for source in (foreign.id, office.run_id, office.partner.id):
        with pytest.raises(RequestNotPossible):
            office.ask(12, kind=TRANSFER, other_budget_id=source)
    with pytest.raises(Invalid):
        office.ask(12, kind=TRANSFER)


def test_nobody_decides_on_what_they_asked_for_themselves(office, make):
    both = make.platform(PlatformRole.OPERATOR)
    make._save(Membership(person_id=both.id, partner_id=office.partner.id, role=MemberRole.ADMINISTRATOR))
    found = office.ask(50, kind=GRANT, budget_id=office.root_id, who=both)

    with pytest.raises(OwnRequest):
        office.approve(found, who=both)
    with pytest.raises(OwnRequest):
        requests.decline(as_actor(both), found.id, "No.")

    assert found not in db.session.scalars(queries.requests_to_decide(as_actor(both))).all()
    office.approve(found, who=office.operator)


def test_who_lost_the_role_decides_no_more(office):
    found = office.ask()
    db.session.query(Membership).filter_by(person_id=office.administrator.id).delete()
    db.session.commit()

    with pytest.raises(NotFound):
        office.approve(found)
    assert state(found) is RequestState.ASKED


def test_other_partners_know_nothing_of_it(office, make):
    found = office.ask()
    stranger = as_actor(make.member(role=MemberRole.ADMINISTRATOR))

    with pytest.raises(NotFound):
        queries.visible_request(stranger, found.id)
    with pytest.raises(NotFound):
        requests.approve(stranger, found.id)
    assert db.session.scalars(queries.requests_seen_by(stranger)).all() == []
    assert db.session.scalars(queries.requests_to_decide(stranger)).all() == []


def test_lists_show_what_waits_and_what_was_asked(office):
    first, second = office.ask(1), office.ask(2)
    grant = office.ask(3, kind=GRANT, budget_id=office.root_id, who=office.administrator)
    office.approve(second)

    def ids(statement: Any) -> list[Any]:
        return [row.id for row in db.session.scalars(statement)]

    assert ids(queries.requests_to_decide(as_actor(office.administrator))) == [first.id]
    assert ids(queries.requests_to_decide(as_actor(office.operator))) == [grant.id]
    assert set(ids(queries.requests_by(as_actor(office.teacher)))) == {first.id, second.id}
    assert ids(queries.requests_to_decide(as_actor(office.teacher))) == []
    assert len(ids(queries.requests_seen_by(as_actor(office.operator)))) == 3
    assert len(ids(queries.requests_seen_by(as_actor(office.teacher)))) == 2


def test_a_list_is_narrowed_by_kind_state_and_words(office):
    first = office.ask(1)
    office.approve(office.ask(2))
    seen = queries.requests_seen_by(as_actor(office.teacher))

    def found(**wanted: Any) -> list[Any]:
        return [row.id for row in db.session.scalars(queries.RequestFilter(**wanted).narrow(seen))]

    assert found(state=RequestState.ASKED) == [first.id]
    assert found(kind=GRANT) == []
    assert len(found(search="张")) == 2
    assert len(found(search="compute")) == 2
    assert found(search="100%") == []
    assert len(found(partner=office.partner.slug)) == 2
    assert found(partner="elsewhere") == []


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1, None])
def test_an_amount_that_is_none_is_refused(office, amount):
    with pytest.raises(Invalid):
        office.ask(amount_micro=amount)


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 2001])
def test_a_reason_must_be_given_and_can_be_too_long(office, reason):
    with pytest.raises(Invalid):
        office.ask(reason=reason)


def test_text_in_any_script_is_kept(office):
    said = "نحتاج إلى المزيد من الحوسبة 算力不足"

    assert office.ask(reason=said).reason == said


def test_a_closed_budget_is_asked_nothing_and_given_nothing(office):
    found = office.ask()
    db.session.get_one(Budget, office.run_id).is_closed = True
    db.session.commit()

    with pytest.raises(BudgetClosed):
        office.ask()
    with pytest.raises(BudgetClosed):
        office.approve(found)


def test_a_partners_own_budget_has_none_above(office):
    with pytest.raises(RootBudget):
        office.ask(budget_id=office.root_id, who=office.administrator)
    with pytest.raises(RequestNotPossible):
        office.ask(kind=GRANT, who=office.administrator)


def test_a_student_and_a_program_ask_for_nothing(office, make):
    student = make.member(office.partner)

    with pytest.raises(Forbidden):
        office.ask(who=student)
    with pytest.raises(Forbidden):
        requests.ask(Actor(None), SUPPLEMENT, office.run_id, amount_micro=MICRO, reason="x")
    with pytest.raises(Forbidden):
        office.ask(kind=GRANT, budget_id=office.root_id, who=office.teacher)


def test_the_same_key_asks_once_and_another_body_is_a_conflict(office):
    first = office.ask(20, key="double-click")

    assert office.ask(20, key="double-click").id == first.id
    with pytest.raises(IdempotencyConflict):
        office.ask(21, key="double-click")
    assert db.session.query(ComputeRequest).count() == 1
    assert office.ask(20, key="double-click", who=office.administrator).id != first.id


def test_nobody_floods_those_who_decide(office):
    for _number in range(requests.OPEN_AT_ONCE):
        office.ask(1)

    with pytest.raises(TooManyOpenRequests):
        office.ask(1)


def test_a_grant_whose_time_is_over_stays_open(office, clock):
    until = app_clock.now() + timedelta(days=3)
    found = office.ask(5, kind=GRANT, budget_id=office.root_id, who=office.administrator, valid_until=until)
    clock.shift(timedelta(days=4))

    with pytest.raises(RequestNotPossible):
        office.approve(found, who=office.operator)
    assert state(found) is RequestState.ASKED


def test_every_act_leaves_a_trace_with_its_reason(office):
    found = office.ask(20)
    office.approve(found, amount_micro=MICRO, note="One is enough.")

    acts = {row.action: row for row in db.session.query(AuditEntry).filter_by(subject_id=found.id)}

    assert acts["request.ask"].changes["reason"] == "The class has grown."
    assert acts["request.approve"].changes["note"] == "One is enough."
    assert acts["request.approve"].changes["granted_micro"] == MICRO
    assert acts["request.approve"].partner_id == office.partner.id


def test_what_is_given_back_goes_to_the_budget_above(office):
    found = office.ask(4, kind=RequestKind.PULL_BACK)

    office.approve(found)

    assert (left(office.root_id), left(office.run_id)) == (94, 6)
    assert ledger.audit() == []


def test_more_than_is_left_cannot_be_given_back(office):
    found = office.ask(11, kind=RequestKind.PULL_BACK)

    with pytest.raises(TransferTooLarge):
        office.approve(found)
    assert state(found) is RequestState.ASKED


def test_credits_are_valid_longer_when_an_operator_says_so(office):
    tranche = queries.tranches_of(office.run_id)[0]
    until = tranche.valid_until + timedelta(days=30)
    found = office.ask(kind=RequestKind.EXTENSION, amount_micro=None, tranche_id=tranche.id, valid_until=until)
    with pytest.raises(Forbidden):
        office.approve(found)

    office.approve(found, who=office.operator)

    db.session.expire_all()
    assert [row.valid_until for row in queries.tranches_of(office.run_id)] == [until]
    assert left(office.run_id) == 10
    assert ledger.audit() == []


def test_an_extension_says_which_credits_and_until_when(office, make):
    own, foreign = queries.tranches_of(office.run_id)[0], queries.tranches_of(office.root_id)[0]
    later = own.valid_until + timedelta(days=1)

    def ask(**values: Any) -> None:
        office.ask(kind=RequestKind.EXTENSION, amount_micro=None, **values)

    with pytest.raises(Invalid):
        ask(tranche_id=own.id)
    with pytest.raises(Invalid):
        ask(tranche_id=own.id, valid_until=own.valid_until)
    with pytest.raises(Invalid):
        ask(tranche_id=own.id, valid_until=app_clock.now() - timedelta(days=1))
    with pytest.raises(NotFound):
        ask(tranche_id=foreign.id, valid_until=later)


@pytest.fixture
def charged(campus, clock):
    """A lab that has ended and was charged half a credit."""
    session = campus.running()
    clock.shift(timedelta(minutes=30))
    campus.run("reconcile_centers")
    with transaction():
        sessions.stop(as_actor(campus.student), session.id)
    for _pass in (1, 2, 3):
        campus.run("follow_sessions")
    return campus.again(session.id)


def test_a_charge_is_given_back_at_the_centers_cost(campus, charged, make):
    operator = as_actor(make.platform(PlatformRole.OPERATOR))
    before = campus.purse()
    with transaction():
        found = requests.ask_correction(as_actor(campus.student), charged.id, reason="The center was away.")
    assert found.amount_micro == charged.charged_micro > 0

    with transaction():
        requests.approve(operator, found.id)

    after = campus.purse()
    assert (after[0] - before[0], before[2] - after[2]) == (charged.charged_micro, charged.charged_micro)
    assert ledger.audit() == []
    with pytest.raises(RequestNotPossible):
        requests.ask_correction(as_actor(campus.student), charged.id, reason="Again.", amount_micro=1)


def test_a_charge_is_given_back_once_though_two_ask(campus, charged, make):
    operator = as_actor(make.platform(PlatformRole.OPERATOR))
    with transaction():
        first, second = (
            requests.ask_correction(as_actor(campus.student), charged.id, reason="The center was away.")
            for _time in (1, 2)
        )
        requests.approve(operator, first.id)

    with pytest.raises(CorrectionTooLarge):
        requests.approve(operator, second.id)


def test_no_more_than_was_charged_and_not_while_it_runs(campus, charged):
    me = as_actor(campus.student)
    running = campus.running()

    with pytest.raises(RequestNotPossible):
        requests.ask_correction(me, charged.id, reason="Double it.", amount_micro=charged.charged_micro + 1)
    with pytest.raises(RequestNotPossible):
        requests.ask_correction(me, running.id, reason="Too early.")


def test_nobody_else_asks_for_a_strangers_charge(charged, make):
    with pytest.raises(NotFound):
        requests.ask_correction(as_actor(make.person()), charged.id, reason="Mine.")


def test_an_operator_does_not_decide_on_the_own_lab(campus, charged, make):
    make._save(
        PlatformRoleGrant(
            person_id=campus.student.id, role=PlatformRole.OPERATOR, from_at=app_clock.now(), reason="both"
        )
    )
    me = as_actor(campus.student)
    with transaction():
        found = requests.ask_correction(me, charged.id, reason="The center was away.")

    with pytest.raises(OwnRequest):
        requests.approve(me, found.id)


# --- pages and API ------------------------------------------------------------------------------------------------


def test_a_request_goes_all_the_way_on_pages(app, office):
    teacher, administrator = sign_in(app, office.teacher), sign_in(app, office.administrator)
    form = teacher.get(f"/budgets/{office.run_id}/requests/new?kind=supplement&amount=12.5").text
    assert 'value="12.5"' in form

    body = {"kind": "supplement", "amount": "12.5", "reason": "شكرا <b>算力</b>", "key": "k1"}
    asked = teacher.post(f"/budgets/{office.run_id}/requests", data=body)
    again = teacher.post(f"/budgets/{office.run_id}/requests", data=body)
    assert asked.status_code == 303
    assert asked.location == again.location
    assert "12.5 credits" in administrator.get("/requests").text
    page = administrator.get(asked.location).text
    assert "شكرا &lt;b&gt;算力&lt;/b&gt;" in page
    refused = administrator.post(asked.location + "/approve", data={"amount": "13"})
    assert refused.status_code == 422
    assert administrator.post(asked.location + "/approve", data={"amount": "2.5"}).status_code == 303

    assert left(office.run_id) == 12
    assert "Approved" in teacher.get(asked.location).text
    assert teacher.post(asked.location + "/withdraw").status_code == 409
    assert "2.5" in administrator.get("/requests.csv?list=all").text


def test_a_form_that_makes_no_sense_comes_back_with_what_was_typed(app, office):
    teacher = sign_in(app, office.teacher)

    for wrong in ({"amount": "1,5"}, {"amount": "1e999"}, {"reason": ""}, {"kind": "club"}, {"reason": "x" * 2001}):
        body = {"kind": "supplement", "amount": "3", "reason": "kept as it was"} | wrong
        answer = teacher.post(f"/budgets/{office.run_id}/requests", data=body)
        assert answer.status_code == 422
        assert wrong.get("amount", "3") in answer.text
    assert db.session.query(ComputeRequest).count() == 0


def test_the_page_says_what_stands_in_the_way(app, office):
    found = office.ask(95)
    administrator = sign_in(app, office.administrator)

    assert "There is less left than was asked for" in administrator.get(f"/requests/{found.id}").text
    refused = administrator.post(f"/requests/{found.id}/approve", data={"amount": "95"})

    assert refused.status_code == 409
    assert "95 credits were asked for, 90 are left" in refused.text
    assert state(found) is RequestState.ASKED


def test_the_api_asks_lists_and_decides(app, office):
    teacher, administrator = sign_in(app, office.teacher), sign_in(app, office.administrator)
    stranger = sign_in(app, office.make.member(role=MemberRole.ADMINISTRATOR))
    url = "/api/v1/compute-requests/"
    body = {"kind": "supplement", "budget_id": str(office.run_id), "amount_micro": MICRO, "reason": "More people."}

    made = teacher.post(url, json=body)
    assert made.status_code == 201
    one = url + made.json["id"]
    assert [row["id"] for row in administrator.get(url + "?list=to-decide").json] == [made.json["id"]]
    assert stranger.get(one).status_code == 404
    assert stranger.post(one + "/approve", json={}).status_code == 404
    assert teacher.post(one + "/approve", json={}).status_code == 403
    assert administrator.post(one + "/decline", json={}).status_code == 422
    assert administrator.post(one + "/approve", json={}).json["granted_micro"] == MICRO
    assert administrator.post(one + "/decline", json={"note": "No."}).json["code"] == "request-decided"
    assert left(office.run_id) == 11


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_micro": 0},
        {"amount_micro": 1.5},
        {"amount_micro": 10**16},
        {"reason": "x" * 2001},
        {"kind": "gift"},
        {"budget_id": None},
        {"valid_until": "2027-01-01T00:00:00"},
        {"surprise": 1},
    ],
)
def test_the_api_refuses_what_makes_no_sense(app, office, wrong):
    body = {"kind": "supplement", "budget_id": str(office.run_id), "amount_micro": MICRO, "reason": "More people."}

    assert sign_in(app, office.teacher).post("/api/v1/compute-requests/", json=body | wrong).status_code == 422


def test_of_two_who_decide_at_once_one_decides(app, committed):
    office = Office(committed)
    other = as_actor(committed.member(office.partner, MemberRole.ADMINISTRATOR))
    found = office.ask(20)
    request_id, outcomes = found.id, []

    def decline() -> None:
        with app.app_context():
            try:
                with transaction():
                    requests.decline(other, request_id, "No.")
                outcomes.append("declined")
            except RequestDecided:
                outcomes.append("too late")
            finally:
                db.session.remove()

    with transaction():
        requests.approve(as_actor(office.administrator), request_id)
        thread = Thread(target=decline)
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive(), "the second must wait for the first"
    thread.join(timeout=5)

    assert outcomes == ["too late"]
    assert left(office.run_id) == 30
