"""Signing in to a hub by OpenID Connect, the whole way, and every wrong turn."""

import base64
import threading
from contextvars import Context
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import KeySet

from accounts.jobs import forget_old_sign_on
from accounts.models import AccessToken, AuthorizationCode
from app.db import db
from tests.conftest import sign_in

HUB = "http://labs.test/hub/oauth_callback"
VERIFIER = "v" * 43
BASIC = {"Authorization": "Basic " + base64.b64encode(b"hub-embedded:client-secret").decode()}


def authorization(**changes):
    query = {
        "response_type": "code",
        "client_id": "hub-embedded",
        "redirect_uri": HUB,
        "scope": "openid profile",
        "state": "state-1",
        "code_challenge": create_s256_code_challenge(VERIFIER),
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in query.items() if value is not None}


def sent_back(response):
    """What the hub is told in the address it gets the browser back with."""
    assert response.status_code == 302
    address, _, query = response.location.partition("?")
    assert address == HUB
    return {name: values[0] for name, values in parse_qs(query).items()}


def code_for(browser, **changes):
    return sent_back(browser.get("/oauth/authorize", query_string=authorization(**changes)))["code"]


def redeem(client, code, headers=BASIC, **changes):
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": HUB, "code_verifier": VERIFIER} | changes
    return client.post("/oauth/token", data={k: v for k, v in form.items() if v is not None}, headers=headers)


def userinfo(client, token):
    return client.get("/oauth/userinfo", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def browser(app, student):
    return sign_in(app, student)


@pytest.fixture
def hub_side(app, database):
    """The hub's own requests: another client, without cookies."""
    return app.test_client()


def test_discovery_names_every_address_and_each_answers(client):
    told = client.get("/.well-known/openid-configuration").json

    assert told["issuer"] == "http://localhost"
    assert told["code_challenge_methods_supported"] == ["S256"]
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "revocation_endpoint", "jwks_uri"):
        path = urlsplit(told[name]).path
        answers = {client.get(path).status_code, client.post(path).status_code}
        assert 404 not in answers


def test_the_whole_way(app, make, student, browser, hub_side):
    """As a hub goes it: Authlib's own client makes the addresses and checks state and PKCE."""
    qdu = make.partner(slug="qdu")
    make.member(qdu)
    hub = OAuth2Session(
        "hub-embedded", "client-secret", scope="openid profile", redirect_uri=HUB, code_challenge_method="S256"
    )
    with hub:
        url, state = hub.create_authorization_url(
            "http://localhost/oauth/authorize", code_verifier=VERIFIER, nonce="nonce-1"
        )
    back = sent_back(browser.get(urlsplit(url).path + "?" + urlsplit(url).query))
    token = redeem(hub_side, back["code"])
    keys = KeySet.import_key_set(hub_side.get("/oauth/jwks").json)
    identity = jwt.decode(token.json["id_token"], keys, algorithms=["RS256"])

    assert back["state"] == state
    assert token.status_code == 200
    assert token.headers["Cache-Control"] == "no-store"
    assert token.json["token_type"] == "Bearer"
    assert token.json["expires_in"] == 12 * 3600
    assert "refresh_token" not in token.json
    assert identity.header["kid"] == keys.keys[0].kid
    assert identity.claims["iss"] == "http://localhost"
    assert identity.claims["aud"] in ("hub-embedded", ["hub-embedded"])
    assert identity.claims["sub"] == student.id.hex == student.hub_name
    assert identity.claims["nonce"] == "nonce-1"
    assert identity.claims["exp"] > identity.claims["iat"] >= identity.claims["auth_time"]
    assert userinfo(hub_side, token.json["access_token"]).json == {
        "sub": student.id.hex,
        "name": "王伟",
        "preferred_username": student.id.hex,
        "groups": [],
    }


def test_the_published_key_has_no_private_part(client):
    (key,) = client.get("/oauth/jwks").json["keys"]

    assert set(key) == {"n", "e", "kty", "use", "alg", "kid"}


def test_groups_are_the_partners(app, make, hub_side):
    member = make.member(make.partner(slug="qdu"))

    token = redeem(hub_side, code_for(sign_in(app, member))).json

    assert userinfo(hub_side, token["access_token"]).json["groups"] == ["qdu"]


def test_secret_in_the_form_works_as_well(browser, hub_side):
    answer = redeem(hub_side, code_for(browser), headers={}, client_id="hub-embedded", client_secret="client-secret")

    assert answer.status_code == 200


def test_who_is_not_signed_in_signs_in_first_and_comes_back(client, make, student):
    asked = client.get("/oauth/authorize", query_string=authorization())

    way_back = parse_qs(urlsplit(asked.location).query)["next"][0]
    assert urlsplit(asked.location).path == "/sign-in"
    assert way_back.startswith("/oauth/authorize?")
    assert parse_qs(urlsplit(way_back).query)["code_challenge"] == [create_s256_code_challenge(VERIFIER)]


def test_a_hub_that_wants_no_dialog_is_told_that_nobody_is_signed_in(client, database):
    answer = sent_back(client.get("/oauth/authorize", query_string=authorization(prompt="none")))

    assert (answer["error"], answer["state"]) == ("login_required", "state-1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "stranger"},
        {"client_id": None},
        {"redirect_uri": "http://evil.example/hub/oauth_callback"},
        {"redirect_uri": HUB + "/"},
        {"redirect_uri": HUB + "?x=1"},
        {"redirect_uri": "http://labs.test/hub/../hub/oauth_callback"},
        {"redirect_uri": None},
        {"redirect_uri": 'http://evil.example/"<script>'},
    ],
)
def test_an_unknown_hub_or_address_gets_a_page_never_a_redirect(browser, wrong):
    response = browser.get("/oauth/authorize", query_string=authorization(**wrong))

    assert response.status_code == 422
    assert "A place we do not know" in response.text
    assert "<script>alert" not in response.text
    assert db.session.scalars(sa.select(AuthorizationCode)).all() == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "openid everything"}, "invalid_scope"),
    ],
)
def test_other_mistakes_go_back_to_the_hub(browser, wrong, error):
    answer = sent_back(browser.get("/oauth/authorize", query_string=authorization(**wrong)))

    assert (answer["error"], answer["state"]) == (error, "state-1")


def test_characters_that_no_error_may_repeat_are_no_fault(browser):
    assert browser.get("/oauth/authorize", query_string=authorization(response_type='"码')).status_code == 422


def test_a_nonce_is_taken_once(browser):
    code_for(browser, nonce="nonce-1")

    again = sent_back(browser.get("/oauth/authorize", query_string=authorization(nonce="nonce-1")))

    assert again["error"] == "invalid_request"


def test_a_code_is_kept_as_a_digest_and_leaves_no_trace_in_referrers(browser):
    response = browser.get("/oauth/authorize", query_string=authorization())

    code = sent_back(response)["code"]
    assert code not in str(vars(db.session.scalars(sa.select(AuthorizationCode)).one()))
    assert response.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("wrong", "status", "error"),
    [
        ({"code": "unknown"}, 400, "invalid_grant"),
        ({"code": None}, 400, "invalid_request"),
        ({"code_verifier": "w" * 43}, 400, "invalid_grant"),
        ({"code_verifier": None}, 400, "invalid_request"),
        ({"redirect_uri": "http://labs.test/other"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        (
            {"headers": {"Authorization": "Basic " + base64.b64encode(b"hub-embedded:x").decode()}},
            401,
            "invalid_client",
        ),
        ({"headers": {"Authorization": "Basic " + base64.b64encode(b"stranger:x").decode()}}, 401, "invalid_client"),
        ({"headers": {}}, 401, "invalid_client"),
        ({"headers": {}, "client_id": "hub-embedded"}, 401, "invalid_client"),
        ({"headers": {"Authorization": "Basic %%%"}}, 401, "invalid_client"),
    ],
)
def test_no_token_for_a_wrong_request(browser, hub_side, wrong, status, error):
    answer = redeem(hub_side, **{"code": code_for(browser)} | wrong)

    assert (answer.status_code, answer.json["error"]) == (status, error)
    assert db.session.scalars(sa.select(AccessToken)).all() == []


def test_a_code_lasts_a_minute(browser, hub_side, clock):
    code = code_for(browser)
    clock.shift(60)

    assert redeem(hub_side, code).json["error"] == "invalid_grant"


def test_a_code_that_comes_twice_takes_back_the_token_it_gave(browser, hub_side):
    code = code_for(browser)
    token = redeem(hub_side, code).json["access_token"]
    before = userinfo(hub_side, token).status_code

    again = redeem(hub_side, code)

    assert (again.status_code, again.json["error"]) == (400, "invalid_grant")
    assert (before, userinfo(hub_side, token).status_code) == (200, 401)


def test_a_code_tried_with_a_wrong_verifier_is_used_up(browser, hub_side):
    code = code_for(browser)
    redeem(hub_side, code, code_verifier="w" * 43)

    assert redeem(hub_side, code).json["error"] == "invalid_grant"


def test_a_code_is_for_the_hub_that_asked(app, settings, browser, hub_side, monkeypatch):
    from dataclasses import replace

    from accounts import oidc

    other = replace(settings.hubs[0], client_id="hub-other", client_secret="other-secret")
    monkeypatch.setitem(app.extensions["oidc"]._clients, "hub-other", oidc.Client(other))
    stolen = {"Authorization": "Basic " + base64.b64encode(b"hub-other:other-secret").decode()}
    code = code_for(browser)

    assert redeem(hub_side, code, headers=stolen).json["error"] == "invalid_grant"
    assert redeem(hub_side, code).status_code == 200  # and the theft did not use it up


def test_signing_out_ends_the_tokens_of_the_hub(browser, hub_side):
    token = redeem(hub_side, code_for(browser)).json["access_token"]
    unused = code_for(browser)

    passed_by = browser.post("/sign-out").location

    assert passed_by == "http://labs.test/hub/logout"  # where the hub takes its cookies back
    refused = userinfo(hub_side, token)
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    assert redeem(hub_side, unused).json["error"] == "invalid_grant"


def test_another_browser_of_the_same_person_stays_signed_in(app, student, browser, hub_side):
    elsewhere = sign_in(app, student)
    token = redeem(hub_side, code_for(elsewhere)).json["access_token"]

    browser.post("/sign-out")

    assert userinfo(hub_side, token).status_code == 200


def test_a_token_ends_with_the_twelve_hours_of_its_sign_in(browser, hub_side, clock):
    token = redeem(hub_side, code_for(browser)).json["access_token"]
    clock.shift(timedelta(hours=12))

    assert userinfo(hub_side, token).status_code == 401


def test_a_closed_account_ends_at_the_hub_too(student, browser, hub_side):
    token = redeem(hub_side, code_for(browser)).json["access_token"]
    student.is_active = False

    assert userinfo(hub_side, token).status_code == 401


def test_a_hub_can_give_a_token_back(browser, hub_side):
    token = redeem(hub_side, code_for(browser)).json["access_token"]

    stranger = hub_side.post("/oauth/revoke", data={"token": token})
    ours = hub_side.post("/oauth/revoke", data={"token": token}, headers=BASIC)
    again = hub_side.post("/oauth/revoke", data={"token": token}, headers=BASIC)

    assert (stranger.status_code, ours.status_code, again.status_code) == (401, 200, 200)
    assert userinfo(hub_side, token).status_code == 401


def test_a_hubs_token_is_not_a_personal_token(browser, hub_side):
    token = redeem(hub_side, code_for(browser)).json["access_token"]

    assert hub_side.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic eDp5"}])
def test_userinfo_tells_strangers_nothing(hub_side, headers):
    assert hub_side.get("/oauth/userinfo", headers=headers).status_code == 401


def test_old_codes_and_tokens_are_forgotten(browser, hub_side, clock):
    redeem(hub_side, code_for(browser))
    code_for(browser)
    clock.shift(timedelta(hours=37))

    done = forget_old_sign_on()

    assert done == 3
    assert db.session.scalars(sa.select(AuthorizationCode)).all() == []


def test_of_two_who_redeem_a_code_at_a_time_one_wins(app, committed):
    browser = sign_in(app, committed.person())
    code = code_for(browser)
    answers: list[tuple[int, str | None]] = []
    together = threading.Barrier(2)

    def go() -> None:
        client = app.test_client()
        together.wait(timeout=10)
        answer = Context().run(redeem, client, code)
        answers.append((answer.status_code, answer.json.get("access_token")))

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    assert sorted(status for status, _token in answers) == [200, 400]
    (token,) = [token for _status, token in answers if token]
    assert userinfo(app.test_client(), token).status_code == 401  # the second use took it back


def test_the_second_redeemer_waits_for_the_first(app, committed):
    """The guard is one UPDATE: whoever comes second waits for the row, and then finds the code used."""
    from accounts.services import hub_sign_on

    code = code_for(sign_in(app, committed.person()))
    outcome: list[object] = []

    def second() -> None:
        with app.app_context():
            outcome.append(hub_sign_on.redeem(code, "hub-embedded"))
            db.session.rollback()
            db.session.remove()

    first = hub_sign_on.redeem(code, "hub-embedded")
    thread = threading.Thread(target=second)
    thread.start()
    thread.join(timeout=0.3)
    waited = thread.is_alive()
    db.session.commit()
    thread.join(timeout=10)

    assert first is not None
    assert waited
    assert outcome == [None]


def test_without_a_key_nobody_is_signed_in_to_hubs_and_it_is_said(app, client, monkeypatch):
    monkeypatch.setitem(app.extensions, "oidc", None)

    assert client.get("/.well-known/openid-configuration").status_code == 503
    assert client.get("/oauth/authorize", query_string=authorization()).status_code == 503
    assert client.post("/oauth/token").status_code == 503
