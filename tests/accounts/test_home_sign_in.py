"""Signing in through a partner's identity provider: a real one (npm's oidc-provider), started here."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
import time_machine
from joserfc import jwt
from joserfc.jwk import RSAKey

from accounts import queries
from accounts.adapters import Arrival, ProviderRefused, ProviderUnreachable
from accounts.adapters.openid import OpenIdProvider, is_safe_address
from accounts.errors import IdentityTaken, ProviderTaken
from accounts.models import Identity, IdentityProvider, Person
from accounts.services import home_sign_in, platform_roles
from app import clock
from app.access import SYSTEM, MemberRole, PlatformRole
from app.audit import AuditEntry
from app.db import db
from app.errors import Forbidden, Invalid, NotFound
from tests.accounts import identity_provider
from tests.accounts.identity_provider import CLIENT_ID, CLIENT_SECRET, CampusProvider, running
from tests.conftest import as_actor, sign_in

BACK = "http://localhost/sign-in/back"
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture(scope="module")
def campus() -> Iterator[CampusProvider]:
    if not identity_provider.is_possible():
        assert not os.environ.get("CI"), "node and npm are needed to start the identity provider"
        pytest.skip("no node and npm: nobody signs in at home in this run")
    with running(BACK) as provider:
        yield provider


@pytest.fixture(autouse=True)
def today(clock) -> None:
    """The provider lives in the present; so do these tests."""
    clock.move_to(time_machine.escape_hatch.datetime.datetime.now(UTC))


@pytest.fixture
def qdu(make):
    return make.partner(slug="qdu", title_en="Qingdao University")


def connect(campus, **values) -> IdentityProvider:
    return home_sign_in.connect(
        SYSTEM,
        **{"slug": "qdu", "issuer": campus.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET} | values,
    )


@pytest.fixture
def connected(campus, qdu) -> IdentityProvider:
    return connect(campus, creates_accounts=True)


def go(client, campus, login: str, way_back: str = "/profile") -> str:
    """Leave for the provider and sign in there; return the path that the provider sends the browser back to."""
    there = client.get(f"/sign-in/with/qdu?next={way_back}")
    assert there.status_code == 302, there.text
    back = campus.sign_in(there.location, login)
    assert back.startswith(BACK + "?")
    return back.removeprefix("http://localhost")


def come_back(client, path: str, **changes: str | None):
    query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()} | changes
    query = {name: value for name, value in query.items() if value is not None}
    return client.get("/sign-in/back", query_string=query, headers=ENGLISH)


def is_in(client) -> bool:
    return client.get("/api/v1/me").status_code == 200


def test_a_first_sign_in_makes_a_member_and_the_second_finds_the_same(app, client, campus, connected, qdu):
    assert "Qingdao University" in client.get("/sign-in", headers=ENGLISH).text

    first = come_back(client, go(client, campus, "li.na"))
    me = client.get("/api/v1/me").json
    other = app.test_client()
    come_back(other, go(other, campus, "li.na"))

    assert (first.status_code, first.location) == (303, "/profile")
    assert (me["name"], me["email"]) == ("Name of li.na", "li.na@campus.example")
    assert [(m["partner"]["slug"], m["role"]) for m in me["memberships"]] == [("qdu", "student")]
    assert other.get("/api/v1/me").json["id"] == me["id"]
    assert queries.identity(campus.issuer, "li.na").person_id.hex == me["id"].replace("-", "")


def test_where_the_partner_makes_no_accounts_a_stranger_stays_out(client, campus, qdu):
    connect(campus, creates_accounts=False)

    refused = come_back(client, go(client, campus, "li.na"))

    assert refused.status_code == 401
    assert "We do not know this sign-in yet" in refused.text
    assert not is_in(client)
    assert db.session.scalars(sa.select(Person)).all() == []


def test_the_same_e_mail_is_not_the_same_person(client, make, campus, connected):
    owner = make.person(email="LI.NA@campus.example")

    refused = come_back(client, go(client, campus, "li.na"))

    assert refused.status_code == 401
    assert not is_in(client)
    assert queries.identities(owner.id) == []


def test_the_owner_connects_the_two_and_then_signs_in_either_way(app, client, make, campus, connected):
    owner = make.person(email="li.na@campus.example", name="李娜", language="en")
    browser = sign_in(app, owner)

    asked = come_back(browser, go(browser, campus, "li.na"))
    before = queries.identities(owner.id)
    agreed = browser.post("/profile/identities")
    come_back(client, go(client, campus, "li.na"))

    assert "Connect two accounts?" in asked.text
    assert "Name of li.na" in asked.text
    assert before == []
    assert (agreed.status_code, agreed.location) == (303, "/profile")
    assert client.get("/api/v1/me").json["id"] == str(owner.id)
    assert campus.issuer in browser.get("/profile").text


def test_nobody_else_can_make_somebody_connect_accounts(app, make, campus, connected):
    """An attacker may send the browser on the way; the last step is a POST from our own page, by the same person."""
    victim, attacker = make.person(), make.person()
    browser = sign_in(app, victim)
    come_back(browser, go(browser, campus, "attacker"))

    foreign = browser.post("/profile/identities", headers={"Sec-Fetch-Site": "cross-site"})
    with browser.session_transaction() as session:
        kept = session["arrival"]
    other = sign_in(app, attacker)
    with other.session_transaction() as session:
        session["arrival"] = kept

    assert foreign.status_code == 403
    assert other.post("/profile/identities").status_code == 401
    assert db.session.scalars(sa.select(Identity)).all() == []


def test_an_identity_belongs_to_one_account(make, campus, connected):
    arrival = Arrival(campus.issuer, "li.na", None, None)
    first, second = make.person(), make.person()
    home_sign_in.link(as_actor(first), arrival)

    assert home_sign_in.link(as_actor(first), arrival).person_id == first.id
    with pytest.raises(IdentityTaken):
        home_sign_in.link(as_actor(second), arrival)


def test_an_identity_is_disconnected_but_not_the_last_way_in(app, make, campus, connected):
    owner = make.person(password_hash=None)
    identity = home_sign_in.link(as_actor(owner), Arrival(campus.issuer, "li.na", None, None))
    other = make.person()

    with pytest.raises(NotFound):
        home_sign_in.unlink(as_actor(other), identity.id)
    with pytest.raises(Invalid):
        home_sign_in.unlink(as_actor(owner), identity.id)
    owner.password_hash = "$argon2id$"
    answer = sign_in(app, owner).post(f"/profile/identities/{identity.id}/unlink")

    assert answer.status_code == 303
    assert queries.identities(owner.id) == []


def test_a_replayed_way_back_is_refused(app, client, campus, connected):
    path = go(client, campus, "li.na")
    come_back(client, path)
    client.post("/sign-out")

    again, stolen = come_back(client, path), come_back(app.test_client(), path)

    assert (again.status_code, stolen.status_code) == (401, 401)
    assert "did not prove who you are" in again.text
    assert not is_in(client)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "x" * 43},
        {"state": None},
        {"state": "é"},
        {"iss": "http://127.0.0.1:1"},
        {"code": "wrong"},
        {"code": None, "error": "access_denied"},
    ],
)
def test_a_changed_way_back_is_refused_and_cannot_be_tried_again(client, campus, connected, changes):
    path = go(client, campus, "li.na")

    wrong = come_back(client, path, **changes)
    right = come_back(client, path)

    assert (wrong.status_code, right.status_code) == (401, 401)
    assert db.session.scalars(sa.select(Person)).all() == []


def test_a_way_back_is_open_for_ten_minutes(client, campus, connected, clock):
    path = go(client, campus, "li.na")
    clock.shift(timedelta(minutes=10))

    assert come_back(client, path).status_code == 401


@pytest.mark.parametrize("kept", ["nonce", "verifier"])
def test_a_wrong_nonce_or_verifier_is_refused(client, campus, connected, kept):
    path = go(client, campus, "li.na")
    with client.session_transaction() as session:
        session["departure"] = session["departure"] | {kept: "w" * 43}

    assert come_back(client, path).status_code == 401
    assert not is_in(client)


def test_a_provider_that_was_disconnected_meanwhile_lets_nobody_in(client, campus, connected):
    path = go(client, campus, "li.na")
    home_sign_in.disconnect(SYSTEM, "qdu")

    assert come_back(client, path).status_code == 401
    assert client.get("/sign-in/with/qdu").status_code == 404


def test_a_closed_account_stays_closed(client, campus, connected):
    come_back(client, go(client, campus, "li.na"))
    client.post("/sign-out")
    queries.person_by_email("li.na@campus.example").is_active = False

    refused = come_back(client, go(client, campus, "li.na"))

    assert refused.status_code == 401
    assert "This account is closed" in refused.text


def test_the_second_factor_is_asked_for_here_too(client, campus, connected):
    come_back(client, go(client, campus, "li.na"))
    client.post("/sign-out")
    person = queries.person_by_email("li.na@campus.example")
    platform_roles.grant(SYSTEM, person_id=person.id, role=PlatformRole.OPERATOR, reason="duty")

    half = come_back(client, go(client, campus, "li.na"))

    assert (half.status_code, half.location) == (303, "/sign-in/code")
    assert not is_in(client)


def test_a_provider_that_is_away_is_said_so(client, qdu):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = CampusProvider(f"http://127.0.0.1:{closed.getsockname()[1]}")
    connect(away)

    answer = client.get("/sign-in/with/qdu", headers=ENGLISH)

    assert answer.status_code == 503
    assert "The sign-in of Qingdao University does not answer." in answer.text
    assert answer.headers["Retry-After"] == "30"


def test_the_adapter_says_what_went_wrong_without_secrets(campus):
    good = OpenIdProvider(campus.issuer, CLIENT_ID, CLIENT_SECRET, BACK)
    departure = good.depart()
    code = parse_qs(urlsplit(campus.sign_in(departure.url, "li.na")).query)["code"][0]
    proof = {"nonce": departure.nonce, "verifier": departure.verifier}

    with pytest.raises(ProviderRefused) as wrong_secret:
        OpenIdProvider(campus.issuer, CLIENT_ID, "not-the-secret", BACK).arrive(code, **proof)
    with pytest.raises(ProviderRefused, match="another issuer"):
        OpenIdProvider(campus.issuer + "/", CLIENT_ID, CLIENT_SECRET, BACK).depart()
    with pytest.raises(ProviderUnreachable):
        OpenIdProvider("http://127.0.0.1:9", CLIENT_ID, CLIENT_SECRET, BACK).depart()

    assert "not-the-secret" not in str(wrong_secret.value)
    assert code not in str(wrong_secret.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example"},
        {"aud": "another-client"},
        {"aud": [CLIENT_ID, "another-client"]},
        {"azp": "another-client"},
        {"exp": 1},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": ""},
        {"sub": None},
        {"sub": 7},
    ],
)
def test_a_token_that_proves_something_else_is_refused(campus, wrong):
    """Signed with the right key, and still not for us: what the real provider would never say."""
    key = RSAKey.generate_key(2048, {"kid": "k"})
    provider = OpenIdProvider(campus.issuer, CLIENT_ID, CLIENT_SECRET, BACK)
    now = int(time_machine.escape_hatch.time.time())
    provider._kept["keys"] = clock.now(), {"keys": [key.as_dict(private=False)]}
    right = {"iss": campus.issuer, "aud": CLIENT_ID, "sub": "li.na", "nonce": "n", "iat": now, "exp": now + 60}
    claims = {name: value for name, value in (right | wrong).items() if value is not None}

    assert provider._verified(jwt.encode({"alg": "RS256", "kid": "k"}, right, key), "n")["sub"] == "li.na"
    with pytest.raises(ProviderRefused):
        provider._verified(jwt.encode({"alg": "RS256", "kid": "k"}, claims, key), "n")


def test_tokens_signed_by_others_or_by_nobody_are_refused(campus):
    stranger = RSAKey.generate_key(2048, {"kid": "k"})
    provider = OpenIdProvider(campus.issuer, CLIENT_ID, CLIENT_SECRET, BACK)
    now = int(time_machine.escape_hatch.time.time())
    claims = {"iss": campus.issuer, "aud": CLIENT_ID, "sub": "li.na", "nonce": "n", "iat": now, "exp": now + 60}
    unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJsaS5uYSJ9."

    for token in (jwt.encode({"alg": "RS256", "kid": "k"}, claims, stranger), unsigned, "", "x.y.z", None):
        with pytest.raises(ProviderRefused):
            provider._verified(token, "n")


@pytest.mark.parametrize(
    ("address", "issuer", "safe"),
    [
        ("https://campus.example/token", "https://campus.example", True),
        ("http://campus.example/token", "https://campus.example", False),
        ("http://127.0.0.1/token", "https://campus.example", False),
        ("http://127.0.0.1:5/token", "http://127.0.0.1:5", True),
        ("http://10.0.0.1/token", "http://127.0.0.1:5", False),
        ("http://campus.example", "http://campus.example", False),
        ("file:///etc/passwd", "https://campus.example", False),
        ("", "https://campus.example", False),
        ("https://", "https://", False),
    ],
)
def test_addresses_are_https_except_on_ones_own_machine(address, issuer, safe):
    assert is_safe_address(address, issuer) is safe


def test_providers_are_connected_by_the_platform_only(make, qdu):
    values = {"slug": "qdu", "issuer": "https://campus.example", "client_id": "c", "client_secret": "s3cret"}
    row = home_sign_in.connect(as_actor(make.platform(PlatformRole.ADMINISTRATOR)), **values)

    trail = [entry.changes for entry in db.session.scalars(sa.select(AuditEntry))]
    assert "s3cret" not in row.sealed_client_secret + str(trail)
    with pytest.raises(ProviderTaken):
        home_sign_in.connect(SYSTEM, **values)
    for role in (MemberRole.ADMINISTRATOR, MemberRole.TEACHER):
        with pytest.raises(Forbidden):
            home_sign_in.connect(as_actor(make.member(qdu, role)), **values)
    for wrong in ({"issuer": "http://campus.example"}, {"client_secret": ""}, {"role": MemberRole.ADMINISTRATOR}):
        with pytest.raises(Invalid):
            home_sign_in.connect(SYSTEM, **values | wrong)
    token = replace(as_actor(make.platform(PlatformRole.ADMINISTRATOR)), scopes=frozenset())
    with pytest.raises(Forbidden):
        home_sign_in.disconnect(token, "qdu")


def test_the_page_connects_and_disconnects(app, make, qdu):
    browser = sign_in(app, make.platform(PlatformRole.ADMINISTRATOR))
    form = {"issuer": "https://campus.example", "client_id": "c", "client_secret": "s3cret", "role": "student"}

    wrong = browser.post("/partners/qdu/sign-on", data=form | {"issuer": "campus"})
    done = browser.post("/partners/qdu/sign-on", data=form | {"creates_accounts": "1"})
    page = browser.get("/partners/qdu/sign-on").text
    gone = browser.post("/partners/qdu/sign-on/disconnect")

    assert (wrong.status_code, done.status_code, gone.status_code) == (422, 303, 303)
    assert "makes an account: Student" in page
    assert "s3cret" not in page
    assert queries.identity_providers() == []


def test_a_partners_administrator_does_not_see_that_page(app, make, qdu):
    browser = sign_in(app, make.member(qdu, MemberRole.ADMINISTRATOR))

    assert browser.get("/partners/qdu/sign-on").status_code == 404
    assert browser.post("/partners/qdu/sign-on/disconnect").status_code == 404
