"""The two-phase protocol over HTTP: keys, refusals, tenants, and input that is wrong, late, twice or at once."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from accounts.models import ServiceToken, fingerprint
from accounts.services import service_tokens
from app import clock
from app.audit import AuditEntry
from app.db import db
from labs import ledger
from labs.models import Budget, MemberCap

C = 1_000_000
HOLDS = "/api/v1/holds/"
WRITES = [("usage", {"seconds": 1}), ("settle", {"seconds": 1}), ("extend", {"seconds": 1}), ("void", None)]


def service_token(make, partner_id, name="of-partner", scopes=("holds:read", "holds:write")):
    secret = f"{service_tokens.PREFIX}{name}"
    expires = clock.now() + timedelta(days=1)
    row = ServiceToken(
        partner_id=partner_id, name=name, sha256=fingerprint(secret), scopes=list(scopes), expires_at=expires
    )
    make._save(row)
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def program(client, campus, make):
    """A program of the university that owns the budget."""
    return Program(client, campus, service_token(make, campus.budget.partner_id))


class Program:
    def __init__(self, client, campus, token):
        self.client, self.campus, self.token = client, campus, token
        self.wish = {
            "budget_id": str(campus.budget.id),
            "person_id": str(campus.student.id),
            "flavor_id": str(campus.flavor.id),
            "seconds": 3600,
            "purpose": "night batch 7",
        }

    def reserve(self, key="key-00001", token=None, **changes):
        body = {name: value for name, value in (self.wish | changes).items() if value is not None}
        headers = (token or self.token) | ({"Idempotency-Key": key} if key is not None else {})
        return self.client.post(HOLDS, json=body, headers=headers)

    def send(self, verb, hold, body=None, key=None, token=None):
        headers = (token or self.token) | ({"Idempotency-Key": key} if key else {})
        return self.client.post(f"{HOLDS}{hold['id']}/{verb}", json=body, headers=headers)

    def show(self, hold, token=None):
        return self.client.get(f"{HOLDS}{hold['id']}", headers=token or self.token)


def test_a_program_reserves_charges_and_settles(program, campus):
    hold = program.reserve().json
    used = program.send("usage", hold, {"seconds": 600}).json
    settled = program.send("settle", hold, {"seconds": 1800}).json

    assert (hold["state"], hold["amount_micro"], hold["purpose"]) == ("open", C, "night batch 7")
    assert hold["expires_at"] == "2026-03-03T10:00:00+00:00"
    assert (used["state"], used["posted_micro"]) == ("open", C // 6)
    assert (settled["state"], settled["posted_micro"], settled["posted_seconds"]) == ("settled", C // 2, 1800)
    assert campus.purse() == (100 * C - C // 2, 0, C // 2)
    assert program.show(hold).json == settled
    assert ledger.audit() == []


def test_a_reservation_answers_201_with_the_hold(program):
    answer = program.reserve()

    assert answer.status_code == 201
    assert "Idempotency-Replayed" not in answer.headers


def test_the_same_key_with_the_same_body_gives_the_same_answer_and_says_so(program, campus):
    first = program.reserve()
    again = program.reserve()

    assert (again.status_code, again.json) == (first.status_code, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert campus.purse()[1] == C
    assert db.session.scalar(sa.select(sa.func.count()).where(AuditEntry.action == "hold.reserve")) == 1


@pytest.mark.parametrize(
    "changes", [{"seconds": 60}, {"purpose": "another"}, {"person_id": "other"}, {"expires_in": 600}], ids=str
)
def test_the_same_key_with_another_body_is_a_conflict(program, campus, make, changes):
    program.reserve()
    if "person_id" in changes:
        other = make.person()
        make.cap(campus.budget, other)
        changes = {"person_id": str(other.id)}

    answer = program.reserve(**changes)

    assert (answer.status_code, answer.json["code"]) == (409, "idempotency-conflict")
    assert campus.purse()[1] == C


def test_a_replay_is_answered_when_the_budget_has_ended_meanwhile(program, campus):
    first = program.reserve()
    db.session.get_one(Budget, campus.budget_id).is_closed = True
    db.session.commit()

    again = program.reserve()

    assert (again.status_code, again.json["id"]) == (201, first.json["id"])
    assert program.reserve("key-00002").json["code"] == "budget-not-active"


def test_a_replay_much_later_is_no_conflict(program, clock):
    first = program.reserve()
    clock.shift(3600)

    again = program.reserve()

    assert (again.status_code, again.json) == (201, first.json)


def test_a_refused_key_may_try_again(program, campus):
    refused = program.reserve(seconds=4 * 3600, person_id=str(campus.student.id))
    assert refused.status_code == 201  # there are credits for it

    campus.make._save(db.session.get_one(MemberCap, (campus.budget_id, campus.student.id)))
    cap = db.session.get_one(MemberCap, (campus.budget_id, campus.student.id))
    cap.cap_micro = 4 * C
    db.session.commit()
    assert program.reserve("key-00002").json["code"] == "member-cap-exhausted"
    cap.cap_micro = None
    db.session.commit()

    assert program.reserve("key-00002").status_code == 201


@pytest.mark.parametrize("key", [None, "", "short", "x" * 101, "with blank", "näh-näh-näh"])
def test_without_a_proper_key_nothing_is_reserved(program, campus, key):
    answer = program.reserve(key)

    assert (answer.status_code, answer.json["code"]) == (422, "idempotency-key-missing")
    assert campus.purse()[1] == 0


def test_a_key_may_stand_in_quotes(program):
    first = program.reserve('"key-00001"')

    assert program.reserve("key-00001").json == first.json


def test_keys_of_two_partners_are_two_keys(program, campus, make):
    operators = service_token(make, None, "of-platform")

    mine, theirs = program.reserve(), program.reserve(token=operators)

    assert mine.json["id"] != theirs.json["id"]
    assert "Idempotency-Replayed" not in theirs.headers


@pytest.mark.parametrize(
    "changes",
    [
        {"seconds": 0},
        {"seconds": -5},
        {"seconds": 10**30},
        {"seconds": 366 * 86400 + 1},
        {"seconds": "60"},
        {"seconds": 1.5},
        {"seconds": True},
        {"seconds": None},
        {"budget_id": "x"},
        {"person_id": None},
        {"flavor_id": None},
        {"flavor_id": None, "center": "embedded"},
        {"center": "embedded", "flavor": "small"},
        {"purpose": ""},
        {"purpose": "x" * 201},
        {"purpose": "a\x00b"},
        {"expires_in": 59},
        {"expires_in": 10**12},
        {"unknown": 1},
    ],
    ids=str,
)
def test_wrong_input_is_refused_by_name(program, campus, changes):
    answer = program.reserve(**changes)

    assert answer.status_code == 422, answer.json
    assert answer.mimetype == "application/problem+json"
    assert campus.purse()[1] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"seconds": NaN}'])
def test_what_is_no_json_object_is_refused(client, program, body):
    headers = program.token | {"Idempotency-Key": "key-00001"}

    answer = client.post(HOLDS, data=body, content_type="application/json", headers=headers)

    assert answer.status_code in (400, 422)


def test_a_flavor_may_be_named_by_its_center_and_slug(program, campus):
    answer = program.reserve(flavor_id=None, center="embedded", flavor=campus.flavor.slug)

    assert answer.json["flavor_id"] == str(campus.flavor.id)
    assert program.reserve("key-00002", flavor_id=None, center="embedded", flavor="none").status_code == 409


def test_who_is_no_member_of_the_budget_gets_nothing(program, campus, make):
    stranger = make.person()

    answer = program.reserve(person_id=str(stranger.id))

    assert (answer.status_code, answer.json["reason"]) == (403, "NOT_ENROLLED")


def test_caps_and_budgets_bind_programs_too(program, campus, make):
    small = make.person()
    make.cap(campus.budget, small, 1)

    own = program.reserve("key-00001", person_id=str(small.id), seconds=7200)
    whole = [program.reserve(f"many-{n:05}", seconds=8 * 3600).status_code for n in range(13)]

    assert (own.json["reason"], own.json["layer"]["asked"]) == ("MEMBER_CAP_EXHAUSTED", 2 * C)
    assert whole == [201] * 12 + [409]


def test_longer_than_the_flavor_runs_is_refused(program, campus):
    answer = program.reserve(seconds=8 * 3600 + 1)

    assert (answer.json["reason"], answer.json["layer"]["limit"]) == ("EXCEEDS_MAX_REQUEST", 8 * 3600)


def test_a_program_of_another_partner_finds_nothing(program, campus, make):
    hold = program.reserve().json
    others = service_token(make, make.partner().id, "of-others")

    assert program.reserve("key-00002", token=others).status_code == 404
    assert program.show(hold, token=others).status_code == 404
    for verb, body in WRITES:
        assert program.send(verb, hold, body, key="key-00003", token=others).status_code == 404
    assert campus.purse()[1] == C


def test_a_token_of_the_platform_may_draw_on_any_budget(program, campus, make):
    operators = service_token(make, None, "of-platform")

    hold = program.reserve(token=operators).json

    assert program.send("settle", hold, {"seconds": 60}, token=operators).status_code == 200


def test_a_person_sees_what_is_put_aside_for_them_and_does_not_charge_it(program, campus, make):
    hold = program.reserve().json
    make._save(_personal(campus.student, "mine", ["holds:read", "holds:write"]))
    mine = {"Authorization": "Bearer mine"}

    assert program.show(hold, token=mine).json["id"] == hold["id"]
    assert program.send("settle", hold, {"seconds": 1}, token=mine).status_code == 403
    assert program.reserve("key-00002", token=mine).status_code == 404


def _personal(person, secret, scopes):
    from accounts.models import PersonalToken

    expires = clock.now() + timedelta(days=1)
    return PersonalToken(person_id=person.id, name="t", sha256=fingerprint(secret), scopes=scopes, expires_at=expires)


def test_without_the_scope_nothing_is_written(program, campus, make):
    reading = service_token(make, campus.budget.partner_id, "reading", ("holds:read",))

    answer = program.reserve(token=reading)

    assert (answer.status_code, answer.json["scope"]) == (403, "holds:write")


def test_extending_puts_more_aside_once_for_each_key(program, campus):
    hold = program.reserve().json

    longer = program.send("extend", hold, {"seconds": 1800}, key="longer-01")
    again = program.send("extend", hold, {"seconds": 1800}, key="longer-01")
    conflict = program.send("extend", hold, {"seconds": 60}, key="longer-01")
    same_key = program.send("extend", hold, {"seconds": 3600}, key="key-00001")

    assert (longer.json["seconds"], longer.json["amount_micro"]) == (5400, 3 * C // 2)
    assert longer.json["expires_at"] == "2026-03-03T10:30:00+00:00"
    assert (again.status_code, again.json, again.headers["Idempotency-Replayed"]) == (200, longer.json, "true")
    assert (conflict.status_code, conflict.json["code"]) == (409, "idempotency-conflict")
    assert (same_key.status_code, same_key.json["code"]) == (409, "idempotency-conflict")
    assert campus.purse()[1] == 3 * C // 2


def test_extending_asks_for_a_key_and_for_credits(program, campus):
    hold = program.reserve().json

    assert program.send("extend", hold, {"seconds": 60}).json["code"] == "idempotency-key-missing"
    assert program.send("extend", hold, {"seconds": 200 * 3600}, key="longer-01").status_code == 409
    assert campus.purse()[1] == C


def test_usage_is_cumulative_and_never_goes_back(program, campus):
    hold = program.reserve().json

    posted = [program.send("usage", hold, {"seconds": n}).json["posted_seconds"] for n in (60, 600, 600, 300, 601)]

    assert posted == [60, 600, 600, 600, 601]
    assert ledger.audit() == []


@pytest.mark.parametrize("seconds", [-1, 10**18, "5", 1.5, None])
def test_usage_that_is_no_number_of_seconds_is_refused(program, seconds):
    hold = program.reserve().json

    for verb in ("usage", "settle"):
        assert program.send(verb, hold, {"seconds": seconds}).status_code == 422


def test_work_starts_after_its_hold_and_not_in_the_future(program, clock):
    hold = program.reserve().json
    clock.shift(60)

    for moment in ("2026-03-02T08:59:59+00:00", "2026-03-02T09:01:01+00:00", "2026-03-02T09:00:30"):
        answer = program.send("usage", hold, {"seconds": 1, "started_at": moment})
        assert answer.status_code == 422, moment
    answer = program.send("usage", hold, {"seconds": 1, "started_at": "2026-03-02T17:00:30+08:00"})

    assert answer.json["started_at"] == "2026-03-02T09:00:30+00:00"


def test_more_than_was_put_aside_is_an_overrun_that_blocks_the_budget(program, campus):
    hold = program.reserve().json

    settled = program.send("settle", hold, {"seconds": 7200}).json

    assert settled["posted_micro"] == 2 * C
    assert program.reserve("key-00002").json["reason"] == "BUDGET_OVERRUN"
    assert ledger.audit() == []


def test_settling_twice_is_settling_once(program, campus):
    hold = program.reserve().json
    first = program.send("settle", hold, {"seconds": 600})
    again = program.send("settle", hold, {"seconds": 600})
    more = program.send("settle", hold, {"seconds": 601})

    assert (again.status_code, again.json) == (200, first.json)
    assert (more.status_code, more.json["code"], more.json["posted_seconds"]) == (409, "hold-closed", 600)
    assert db.session.scalar(sa.select(sa.func.count()).where(AuditEntry.action == "hold.settle")) == 1
    assert ledger.audit() == []


def test_a_closed_hold_takes_no_usage_and_no_extension(program, campus):
    hold = program.reserve().json
    program.send("settle", hold, {"seconds": 600})

    assert program.send("usage", hold, {"seconds": 601}).json["code"] == "hold-closed"
    assert program.send("usage", hold, {"seconds": 600}).status_code == 200
    assert program.send("extend", hold, {"seconds": 60}, key="longer-01").json["code"] == "hold-closed"
    assert program.send("void", hold).json["code"] == "hold-closed"


def test_voiding_gives_everything_back_once(program, campus):
    hold = program.reserve().json

    first, again = program.send("void", hold), program.send("void", hold)

    assert (first.json["state"], again.status_code, again.json) == ("voided", 200, first.json)
    assert campus.purse() == (100 * C, 0, 0)
    assert program.send("settle", hold, {"seconds": 1}).json["code"] == "hold-closed"
    assert db.session.scalar(sa.select(sa.func.count()).where(AuditEntry.action == "hold.void")) == 1


def test_what_was_used_cannot_be_voided(program):
    hold = program.reserve().json
    program.send("usage", hold, {"seconds": 5})

    assert program.send("void", hold).json["code"] == "hold-closed"


def test_a_hold_of_a_lab_is_its_sessions_business(program, campus):
    session = campus.running(60)
    hold = {"id": session.hold_id}

    assert program.show(hold).json["purpose"] is None
    for verb, body in WRITES:
        answer = program.send(verb, hold, body, key="key-00001")
        assert (answer.status_code, answer.json["code"]) == (409, "hold-of-a-session")


def test_every_change_leaves_a_trace_with_its_program(program, campus):
    hold = program.reserve().json
    program.send("extend", hold, {"seconds": 60}, key="longer-01")
    program.send("settle", hold, {"seconds": 60})

    rows = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.subject == "hold")).all()

    by_action = {row.action: row for row in rows}
    assert (len(rows), set(by_action)) == (3, {"hold.reserve", "hold.extend", "hold.settle"})
    assert {(str(row.subject_id), row.actor_name, row.partner_id, row.address) for row in rows} == {
        (hold["id"], "of-partner", campus.budget.partner_id, "127.0.0.1")
    }
    assert by_action["hold.reserve"].changes["person"] == str(campus.student.id)


@pytest.mark.parametrize(
    ("arrange", "code"),
    [
        ("maintenance", "center-maintenance"),
        ("inactive flavor", "flavor-not-granted"),
        ("ended agreement", "agreement-ended"),
    ],
)
def test_what_keeps_labs_from_starting_keeps_programs_too(program, campus, arrange, code):
    from accounts.models_partners import Agreement
    from labs.models import CenterState

    if arrange == "maintenance":
        campus.center.state = CenterState.MAINTENANCE
    elif arrange == "inactive flavor":
        campus.flavor.is_active = False
    else:
        partner_id = campus.budget.partner_id
        db.session.execute(sa.update(Agreement).where(Agreement.partner_id == partner_id).values(until_at=clock.now()))
    db.session.commit()

    answer = program.reserve()

    assert (answer.status_code, answer.json["code"]) == (409, code)
