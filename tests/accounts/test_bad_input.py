"""Sign-ons that are not what they seem: refused, logged with the reason, and explained without it."""

import logging
import os
import shutil
from collections.abc import Iterator
from datetime import UTC

import pytest
import sqlalchemy as sa
import time_machine

from accounts.models import Person
from accounts.services import home_sign_in, memberships, people
from app.access import SYSTEM, MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import db
from tests.accounts.identity_provider import CLIENT_ID, CLIENT_SECRET, CampusProvider, running
from tests.conftest import as_actor, sign_in

BACK = "http://localhost/sign-in/back"
ENGLISH = {"Accept-Language": "en"}
EXPLAINED = "sign-in did not prove who you are"


@pytest.fixture(scope="module")
def homes() -> Iterator[tuple[CampusProvider, CampusProvider]]:
    """The identity providers of two partners, both real."""
    if not (shutil.which("node") and shutil.which("npm")):
        assert not os.environ.get("CI"), "node and npm are needed to start the identity provider"
        pytest.skip("no node and npm: nobody signs in at home in this run")
    with running(BACK) as first, running(BACK) as second:
        yield first, second


@pytest.fixture
def two(clock, make, homes) -> tuple[CampusProvider, CampusProvider]:
    """Both are connected; anybody who comes from there gets an account."""
    clock.move_to(time_machine.escape_hatch.datetime.datetime.now(UTC))  # providers live in the present
    for slug, home in zip(("qdu", "other"), homes, strict=True):
        make.partner(slug=slug)
        home_sign_in.connect(
            SYSTEM,
            slug=slug,
            issuer=home.issuer,
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            creates_accounts=True,
        )
    return homes


def leave(client, slug: str, home: CampusProvider) -> str:
    """Sign in there; return the path and query of the way back."""
    return home.sign_in(client.get(f"/sign-in/with/{slug}").location, "li.na").removeprefix("http://localhost")


def is_refused(client, path: str, caplog, why: str) -> bool:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        answer = client.get(path, headers=ENGLISH)
    told = [str(vars(record).get("why", "")) for record in caplog.records if record.message == "sign-on refused"]
    assert [why in text for text in told] == [True], told
    assert why not in answer.text
    assert EXPLAINED in answer.text
    assert client.get("/api/v1/me").status_code == 401
    assert db.session.scalars(sa.select(Person)).all() == []
    return answer.status_code == 401


def test_a_replayed_way_back(app, client, two, caplog):
    path = leave(client, "qdu", two[0])

    assert is_refused(app.test_client(), path, caplog, "no departure")  # copied into another browser
    client.get("/sign-in/back?state=x", headers=ENGLISH)
    assert is_refused(client, path, caplog, "no departure")  # used before


def test_a_wrong_nonce(client, two, caplog):
    path = leave(client, "qdu", two[0])
    with client.session_transaction() as session:
        session["departure"] = session["departure"] | {"nonce": "w" * 43}

    assert is_refused(client, path, caplog, "identity token")


def test_an_unknown_issuer(client, two, caplog):
    path = leave(client, "qdu", two[0])
    start, _issuer, _rest = path.partition("&iss=")

    assert is_refused(client, f"{start}&iss=https%3A%2F%2Fevil.example", caplog, "wrong issuer")


@pytest.mark.parametrize(("names_itself", "why"), [(True, "wrong issuer"), (False, "token: 4")])
def test_the_proof_of_another_partner(app, client, two, caplog, names_itself, why):
    """Somebody signed in at one partner, and the browser brings that to the departure for another."""
    elsewhere = app.test_client()
    foreign = leave(elsewhere, "other", two[1])
    client.get("/sign-in/with/qdu")
    with client.session_transaction() as session:
        state = session["departure"]["state"]
    code = foreign.partition("code=")[2].partition("&")[0]
    path = f"/sign-in/back?code={code}&state={state}"
    if names_itself:
        path += "&iss=" + two[1].issuer

    assert is_refused(client, path, caplog, why)


def test_the_open_session_of_a_person_whose_account_was_closed(app, make):
    person = make.person()
    browser = sign_in(app, person)
    administrator = make.platform(PlatformRole.ADMINISTRATOR)
    before = browser.get("/profile").status_code

    people.close(as_actor(administrator), person.id, "left")
    page, call = browser.get("/profile"), browser.get("/api/v1/me", headers=ENGLISH)

    assert before == 200
    assert (page.status_code, page.location) == (302, "/sign-in?next=/profile")
    assert (call.status_code, call.json["code"]) == (401, "sign-in-required")
    assert call.json["title"] == "Please sign in"
    logged = {entry.action for entry in db.session.scalars(sa.select(AuditEntry)) if entry.actor_id == administrator.id}
    assert {"person.close", "sign-in.end"} <= logged


def test_the_open_session_of_a_person_who_was_removed_from_a_partner(app, make):
    partner = make.partner(slug="qdu")
    person = make.member(partner, MemberRole.ADMINISTRATOR)
    browser = sign_in(app, person)
    row = memberships.queries.memberships(person.id)[0]
    before = browser.get("/partners/qdu/people").status_code

    memberships.leave(SYSTEM, row.id)
    after = browser.get("/partners/qdu/people", headers=ENGLISH)

    assert (before, after.status_code) == (200, 404)
    assert "ask them whether you were given access" in after.text
    assert db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "membership.leave")).one()
