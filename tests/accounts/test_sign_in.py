"""Signing in and out: the page, the session, guessing, and what another site cannot do."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from accounts import passwords, queries
from accounts.jobs import forget_old_sign_on
from accounts.models import AttemptCount, Person, SignIn
from accounts.services import signing_in
from app.audit import AuditEntry
from app.db import db
from tests.accounts.conftest import PASSWORD, CountingHasher
from tests.conftest import sign_in


def enter(client, email="wang@qdu.example", password=PASSWORD, address="10.0.0.1", **form):
    return client.post(
        "/sign-in",
        data={"email": email, "password": password, **form},
        environ_base={"REMOTE_ADDR": address},
        headers={"Accept-Language": "en"},
    )


def live_keys() -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(SignIn).where(SignIn.ended_at.is_(None)))


def test_the_right_password_opens_a_session_that_is_known_only_by_digest(client, wang):
    response = enter(client)

    assert (response.status_code, response.location) == (303, "/")
    with client.session_transaction() as session:
        key = session["sign_in"]
    row = db.session.scalars(sa.select(SignIn)).one()
    assert key not in (row.key_sha256, str(row.id))
    assert row.address == "10.0.0.1"
    assert client.get("/profile").status_code == 200


def test_e_mail_is_found_in_any_case(client, wang):
    assert enter(client, email=" WANG@QDU.example ").status_code == 303


def test_signing_in_leads_back_to_where_one_was(client, wang):
    asked = client.get("/profile?tab=1")
    form = client.get(asked.location)

    assert asked.location == "/sign-in?next=/profile?tab%3D1"
    assert '<input type="hidden" name="next" value="/profile?tab=1">' in form.text
    assert enter(client, next="/profile?tab=1").location == "/profile?tab=1"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(client, wang, elsewhere):
    assert enter(client, next=elsewhere).location == "/"


def test_a_wrong_password_and_an_unknown_person_look_and_cost_the_same(client, wang, hasher: CountingHasher):
    wrong = enter(client, password="wrong horse battery")
    after_wrong = hasher.verified
    unknown = enter(client, email="nobody@qdu.example")

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text.replace("wang@", "nobody@") == unknown.text
    assert (after_wrong, hasher.verified - after_wrong) == (1, 1)
    assert live_keys() == 0


def test_somebody_without_a_password_costs_the_same_too(client, make, hasher: CountingHasher):
    make.person(email="sso@qdu.example", password_hash=None)

    assert enter(client, email="sso@qdu.example").status_code == 401
    assert hasher.verified == 1


def test_a_closed_account_is_told_so_only_to_who_knows_the_password(client, wang):
    wang.is_active = False

    assert "This account is closed" in enter(client).text
    assert "This account is closed" not in enter(client, password="wrong horse battery").text
    assert live_keys() == 0


def test_an_older_weaker_hash_is_replaced_when_its_owner_signs_in(client, wang, monkeypatch):
    before = wang.password_hash
    monkeypatch.setattr(passwords, "hasher", PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))

    assert enter(client).status_code == 303

    db.session.expire_all()
    assert wang.password_hash != before
    assert "t=2" in wang.password_hash
    assert passwords.matches(wang.password_hash, PASSWORD)


def test_signing_in_again_ends_the_session_that_was_there(client, wang, make):
    with client.session_transaction() as session:
        session["planted"] = "by somebody else"
    enter(client)
    with client.session_transaction() as session:
        first, planted = session["sign_in"], session.get("planted")

    enter(client)

    with client.session_transaction() as session:
        assert session["sign_in"] != first
    assert planted is None
    assert queries.visitor_by_sign_in(first) is None
    assert live_keys() == 1


def test_signing_out_ends_it_for_good_even_for_a_copied_cookie(app, client, wang):
    enter(client)
    with client.session_transaction() as session:
        key = session["sign_in"]
    thief = app.test_client()
    with thief.session_transaction() as session:
        session["sign_in"] = key

    assert client.post("/sign-out").location == "/"

    assert client.get("/profile").status_code == 302
    assert thief.get("/profile").status_code == 302


def test_a_session_ends_after_twelve_hours(client, wang, clock):
    enter(client)
    clock.shift(timedelta(hours=11, minutes=59))
    before = client.get("/profile").status_code
    clock.shift(timedelta(minutes=1))

    page, api = client.get("/profile"), client.get("/api/v1/me")

    assert before == 200
    assert (page.status_code, page.location) == (302, "/sign-in?next=/profile")
    assert (api.status_code, api.json["code"]) == (401, "sign-in-required")
    assert api.headers["WWW-Authenticate"].startswith("Bearer")


def test_closing_an_account_ends_its_open_sessions(app, make, student):
    browser = sign_in(app, student)
    student.is_active = False

    assert browser.get("/api/v1/me").status_code == 401


def test_guessing_is_slowed_down_where_it_happens_and_nowhere_else(client, wang):
    for _attempt in range(8):
        assert enter(client, password="guess guess guess", address="10.6.6.6").status_code == 401

    refused = enter(client, address="10.6.6.6")
    owner = enter(client, address="10.0.0.1")

    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "900"
    assert "Try again in 15 min" in refused.text
    assert owner.status_code == 303


def test_waiting_opens_the_door_again(client, wang, clock):
    for _attempt in range(9):
        enter(client, password="guess guess guess")
    clock.shift(timedelta(minutes=15))

    assert enter(client).status_code == 303


def test_the_right_password_clears_what_was_counted(client, wang):
    for _attempt in range(7):
        enter(client, password="guess guess guess")
    enter(client)

    assert enter(client, password="guess guess guess").status_code == 401
    assert enter(client).status_code == 303


def test_one_address_cannot_try_many_accounts(client, wang, hasher: CountingHasher):
    for n in range(100):
        enter(client, email=f"p{n}@qdu.example", address="10.6.6.6")

    refused = enter(client, address="10.6.6.6")

    assert refused.status_code == 429
    assert hasher.verified == 100


def test_a_class_behind_one_address_gets_in(client, make, wang):
    people = [make.person(password_hash=wang.password_hash) for _ in range(110)]

    assert {enter(client, email=p.email, address="10.0.0.9").status_code for p in people} == {303}


def test_neighbors_in_one_ipv6_network_count_as_one(client, wang):
    for n in range(8):
        enter(client, password="guess guess guess", address=f"2001:db8::{n + 1:x}")

    assert enter(client, address="2001:db8::ffff").status_code == 429
    assert enter(client, address="2001:db8:0:1::1").status_code == 303


def test_counters_name_neither_account_nor_address_and_are_removed(client, wang, clock):
    enter(client, password="guess guess guess")
    keys = db.session.scalars(sa.select(AttemptCount.key)).all()
    clock.shift(timedelta(minutes=15))

    assert len(keys) == 2
    assert all(len(key) == 64 for key in keys)
    assert forget_old_sign_on() == 2
    assert db.session.scalars(sa.select(AttemptCount.key)).all() == []


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/profile", "/profile/tokens", "/notices/read"])
def test_another_site_cannot_act_with_our_cookie(app, student, path):
    browser = sign_in(app, student)

    response = browser.post(path, data={"name": "x"}, headers={"Sec-Fetch-Site": "cross-site"})

    assert response.status_code == 403
    assert "did not come from our own page" in response.text
    assert browser.get("/profile").status_code == 200


def test_another_site_cannot_hide_behind_basic_authorization(app, student):
    browser = sign_in(app, student)

    response = browser.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site", "Authorization": "Basic eDp5"})

    assert response.status_code == 403


def test_opening_and_ending_are_in_the_trail_without_the_key(client, wang):
    enter(client)
    client.post("/sign-out")

    entries = db.session.scalars(sa.select(AuditEntry)).all()
    assert {(entry.action, entry.actor_id) for entry in entries} == {
        ("sign-in.open", wang.id),
        ("sign-in.end", wang.id),
    }
    assert all(entry.changes == {} for entry in entries)


def test_nul_and_endless_input_are_just_wrong(client, wang):
    assert enter(client, email="wang\x00@qdu.example").status_code == 422
    assert enter(client, password="x" * 100_000).status_code == 401
    assert client.post("/sign-in", data={}).status_code == 401


def test_who_is_signed_in_already_goes_on(app, student):
    assert sign_in(app, student).get("/sign-in?next=/profile").location == "/profile"


def test_the_demo_shows_whom_one_can_be(app, client, monkeypatch):
    one = SimpleNamespace(name="李娜", email="li@demo.example", password=PASSWORD, part_zh="学生", part_en="Student")
    before = client.get("/sign-in").text
    monkeypatch.setitem(app.extensions, "demo_people", [one])

    after = client.get("/sign-in").text

    assert "li@demo.example" not in before
    assert "li@demo.example" in after
    assert "李娜" in after


def test_a_request_costs_one_statement_to_know_who_sent_it(app, client, make, partner_person):
    browser = sign_in(app, partner_person)
    statements: list[str] = []

    def note(_conn, _cursor, statement, *_args):
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            statements.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        assert browser.get("/sign-in").status_code == 302
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)

    assert len(statements) == 1


@pytest.fixture
def partner_person(make) -> Person:
    return make.member()


def test_ending_everything_but_this_browser(app, student, make):
    here = signing_in.open_sign_in(student, None, "here")
    signing_in.open_sign_in(student, None, "there")
    keep = queries.visitor_by_sign_in(here)

    ended = signing_in.end_all(keep.actor, student.id, keep=keep.sign_in_id)

    assert ended == 1
    assert [row.browser for row in queries.live_sign_ins(student.id)] == ["here"]
