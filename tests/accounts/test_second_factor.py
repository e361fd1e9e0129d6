"""The second factor: set up, asked for, used once, guessed in vain, lost and recovered."""

import re
from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
import sqlalchemy as sa

from accounts import queries, sealing
from accounts.errors import SecondFactorRequired, WrongCode
from accounts.models import RecoveryCode, SecondFactor, SignIn
from accounts.services import platform_roles, second_factor, signing_in
from app import clock
from app.access import SYSTEM, PlatformRole
from app.audit import AuditEntry
from app.db import db
from app.errors import Forbidden
from tests.accounts.conftest import PASSWORD
from tests.conftest import as_actor, sign_in

ENGLISH = {"Accept-Language": "en"}


def secret_of(person) -> str:
    return sealing.unseal(queries.second_factor(person.id).sealed_secret)


def code_of(person, seconds: int = 0) -> str:
    return pyotp.TOTP(secret_of(person)).at(clock.now() + timedelta(seconds=seconds))


def turn_on(person) -> list[str]:
    """Set it up as the owner does; the code of this half minute is used up by that."""
    second_factor.begin(person.id)
    return second_factor.confirm(as_actor(person), code_of(person, -30))


def enter(client, password=PASSWORD, **form):
    data = {"email": "wang@qdu.example", "password": password, **form}
    return client.post("/sign-in", data=data, headers=ENGLISH)


def give(client, code):
    return client.post("/sign-in/code", data={"code": code}, headers=ENGLISH)


def is_in(client) -> bool:
    return client.get("/api/v1/me").status_code == 200


def test_password_alone_is_only_half_the_way(client, wang):
    turn_on(wang)

    half = enter(client, next="/profile")

    assert (half.status_code, half.location) == (303, "/sign-in/code")
    assert "Six digits from your app" in client.get("/sign-in/code", headers=ENGLISH).text
    assert not is_in(client)
    assert db.session.scalars(sa.select(SignIn)).all() == []


def test_password_and_code_lead_to_where_one_was(client, wang):
    turn_on(wang)
    enter(client, next="/profile")

    done = give(client, code_of(wang))

    assert (done.status_code, done.location) == (303, "/profile")
    assert is_in(client)


@pytest.mark.parametrize("seconds", [30, 0])
def test_a_clock_that_is_half_a_minute_off_will_do(client, wang, seconds):
    turn_on(wang)
    enter(client)

    assert give(client, code_of(wang, seconds)).status_code == 303


@pytest.mark.parametrize("seconds", [-90, 90])
def test_older_and_later_codes_are_refused(client, wang, seconds):
    turn_on(wang)
    enter(client)

    assert give(client, code_of(wang, seconds)).status_code == 401


@pytest.mark.parametrize("code", ["", "000000", "12345", "abcdef", "１２３４５６", "x" * 5000, "٠٠٠٠٠٠"])
def test_what_is_no_code_is_refused(client, wang, code):
    turn_on(wang)
    enter(client)

    assert give(client, code).status_code == 401
    assert not is_in(client)


def test_a_code_works_once(app, client, wang):
    turn_on(wang)
    code = code_of(wang)
    enter(client)
    give(client, code)
    overlooker = app.test_client()
    enter(overlooker)

    assert give(overlooker, code).status_code == 401
    assert not is_in(overlooker)


def test_the_code_of_the_setup_does_not_sign_in(client, wang):
    second_factor.begin(wang.id)
    code = code_of(wang)
    second_factor.confirm(as_actor(wang), code)
    enter(client)

    assert give(client, code).status_code == 401


def test_without_the_password_there_is_no_half_way(client, wang):
    turn_on(wang)

    assert give(client, code_of(wang)).location == "/sign-in"
    assert client.get("/sign-in/code").location == "/sign-in"


def test_the_half_way_lasts_five_minutes_and_ends_with_a_new_password(client, wang, clock):
    turn_on(wang)
    enter(client)
    clock.shift(300)
    late = give(client, code_of(wang))
    enter(client)
    wang.password_hash = "$argon2id$changed"

    assert late.location == "/sign-in"
    assert give(client, code_of(wang)).location == "/sign-in"
    assert not is_in(client)


def test_guessing_codes_stops_for_the_account_wherever_it_comes_from(app, client, wang, clock):
    turn_on(wang)
    browsers = [app.test_client() for _ in range(9)]
    answers = []
    for browser in browsers:
        enter(browser)
        answers.append(give(browser, "000000"))

    right = give(browsers[0], code_of(wang))
    clock.shift(timedelta(minutes=15))
    enter(client)

    assert [answer.status_code for answer in answers] == [401] * 8 + [429]
    assert answers[-1].headers["Retry-After"] == "900"
    assert right.status_code == 429
    assert give(client, code_of(wang)).status_code == 303


def test_a_recovery_code_works_once_and_its_owner_hears_of_it(app, client, wang):
    codes = turn_on(wang)
    enter(client)

    first = give(client, codes[0].upper().replace("-", " "))
    other = app.test_client()
    enter(other)

    assert first.status_code == 303
    assert give(other, codes[0]).status_code == 401
    assert queries.recovery_codes_left(wang.id) == 9
    assert "9 are left" in sign_in(app, wang).get("/notices").text


def test_recovery_codes_still_work_when_the_servers_key_has_changed(app, client, wang, settings, monkeypatch):
    codes, code = turn_on(wang), code_of(wang)
    monkeypatch.setitem(app.extensions, "settings", replace(settings, secret_key="another"))
    enter(client)

    assert give(client, code).status_code == 401
    assert give(client, codes[0]).status_code == 303


def test_somebody_elses_recovery_code_is_worth_nothing(client, wang, make):
    turn_on(wang)
    codes = turn_on(make.person())
    enter(client)

    assert give(client, codes[0]).status_code == 401


def test_secrets_and_codes_are_nowhere_in_clear(wang):
    codes = turn_on(wang)
    factor = queries.second_factor(wang.id)
    trail = str([entry.changes for entry in db.session.scalars(sa.select(AuditEntry))])

    assert secret_of(wang) not in factor.sealed_secret + trail
    kept = set(db.session.scalars(sa.select(RecoveryCode.sha256)))
    assert len(kept) == len(codes) == 10
    assert all(len(code.replace("-", "")) == 16 and code not in kept for code in codes)


def test_an_administrator_sets_it_up_while_signing_in(client, wang):
    platform_roles.grant(SYSTEM, person_id=wang.id, role=PlatformRole.ADMINISTRATOR, reason="duty")
    assert enter(client, next="/profile").location == "/sign-in/code"
    page = client.get("/sign-in/code", headers=ENGLISH).text
    shown = re.search(r'data-copy="([A-Z2-7 ]+)"', page)[1].replace(" ", "")

    wrong = give(client, "000000")
    done = give(client, pyotp.TOTP(shown).at(clock.now()))

    assert "data:image/svg+xml" in page
    assert wrong.status_code == 401
    assert done.status_code == 201
    assert len(re.findall(r"<code>[a-z2-9-]{19}</code>", done.text)) == 10
    assert 'href="/profile"' in done.text
    assert is_in(client)


def test_a_student_is_not_made_to(client, wang):
    assert enter(client).location == "/"
    assert is_in(client)


def test_a_secret_without_a_confirmed_code_asks_nobody(client, wang):
    second_factor.begin(wang.id)

    assert enter(client).location == "/"


def test_turning_it_on_ends_other_browsers_and_turning_it_off_needs_a_code(app, wang):
    here, elsewhere = sign_in(app, wang), sign_in(app, wang)
    here.post("/profile/second-factor")
    shown = here.get("/profile/second-factor").text
    wrong = here.post("/profile/second-factor/confirm", data={"code": "000000"})
    on = here.post("/profile/second-factor/confirm", data={"code": code_of(wang, -30)})
    kept_off = here.post("/profile/second-factor/off", data={"code": code_of(wang, -30)})
    off = here.post("/profile/second-factor/off", data={"code": code_of(wang)})

    assert "data:image/svg+xml" in shown
    assert (wrong.status_code, on.status_code, kept_off.status_code, off.status_code) == (401, 201, 401, 303)
    assert (is_in(here), is_in(elsewhere)) == (True, False)
    assert queries.second_factor(wang.id) is None
    assert db.session.scalars(sa.select(RecoveryCode)).all() == []


def test_a_confirmed_secret_is_never_shown_again_or_replaced(app, wang):
    turn_on(wang)
    before = secret_of(wang)
    browser = sign_in(app, wang)

    answer = browser.post("/profile/second-factor")

    assert answer.status_code == 409
    assert before not in browser.get("/profile/second-factor").text.replace(" ", "")
    assert secret_of(wang) == before


def test_new_recovery_codes_end_the_old_ones(app, client, wang):
    old = turn_on(wang)
    browser = sign_in(app, wang)

    new = browser.post("/profile/second-factor/recovery-codes", data={"code": code_of(wang)})
    enter(client)

    assert new.status_code == 201
    assert give(client, old[0]).status_code == 401
    assert queries.recovery_codes_left(wang.id) == 10


def test_whose_role_asks_for_it_cannot_turn_it_off(make):
    operator = make.platform(PlatformRole.OPERATOR)
    turn_on(operator)

    with pytest.raises(SecondFactorRequired):
        second_factor.turn_off(as_actor(operator), code_of(operator), is_required=True)


def test_an_administrator_resets_somebody_elses_never_the_own(make, wang):
    administrator = make.platform(PlatformRole.ADMINISTRATOR)
    turn_on(wang)
    turn_on(administrator)

    second_factor.reset(as_actor(administrator), wang.id, "phone lost, passport seen")

    assert queries.second_factor(wang.id) is None
    entry = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "second-factor.reset")).one()
    assert entry.changes == {"reason": "phone lost, passport seen"}
    with pytest.raises(Forbidden):
        second_factor.reset(as_actor(administrator), administrator.id, "mine")
    with pytest.raises(Forbidden):
        second_factor.reset(as_actor(wang), administrator.id, "revenge")


def test_a_secret_that_was_never_begun_confirms_nothing(app, wang):
    browser = sign_in(app, wang)

    assert browser.get("/profile/second-factor").status_code == 404
    assert browser.post("/profile/second-factor/confirm", data={"code": "123456"}).status_code == 404
    with pytest.raises(WrongCode):
        second_factor.check(wang, "123456")
    assert db.session.scalars(sa.select(SecondFactor)).all() == []


def test_a_sign_in_opened_half_way_is_none(app, client, wang):
    """The cookie of the half way is no session: it names no key."""
    turn_on(wang)
    enter(client)

    with client.session_transaction() as session:
        assert "sign_in" not in session
    assert signing_in.end_all(as_actor(wang), wang.id) == 0


def has_power(browser) -> bool:
    return browser.get("/operations").status_code == 200


def test_a_role_granted_to_somebody_signed_in_waits_for_the_second_factor(app, wang):
    client = app.test_client()
    enter(client)  # with the password alone
    platform_roles.grant(SYSTEM, person_id=wang.id, role=PlatformRole.OPERATOR, reason="on call")

    before = has_power(client)
    page = client.get("/profile", headers=ENGLISH).text
    client.post("/profile/second-factor")
    client.post("/profile/second-factor/confirm", data={"code": code_of(wang)})

    assert not before
    assert "One step is missing" in page
    assert has_power(client)
    assert "One step is missing" not in client.get("/profile", headers=ENGLISH).text


def test_a_second_factor_shown_elsewhere_gives_no_power_here(app, wang):
    client = app.test_client()
    enter(client)
    turn_on(wang)  # in another browser, which left this one signed in
    platform_roles.grant(SYSTEM, person_id=wang.id, role=PlatformRole.ADMINISTRATOR, reason="first")

    assert client.get("/api/v1/trail").status_code == 404
    assert client.get("/api/v1/me").json["platform_roles"] == []


def test_a_second_factor_that_is_taken_away_takes_the_power_along(app, make, wang):
    turn_on(wang)
    platform_roles.grant(SYSTEM, person_id=wang.id, role=PlatformRole.OPERATOR, reason="on call")
    browser = sign_in(app, wang)
    before = has_power(browser)

    second_factor.reset(as_actor(make.platform(PlatformRole.ADMINISTRATOR)), wang.id, "phone lost")

    assert before
    assert not has_power(browser)


@pytest.mark.parametrize("is_on", [False, True])
def test_a_token_has_the_power_of_a_role_only_with_a_second_factor(client, make, is_on):
    operator = make.platform(PlatformRole.OPERATOR, token="script", scopes=("accounts:read",))
    if is_on:
        turn_on(operator)

    me = client.get("/api/v1/me", headers={"Authorization": "Bearer script"}).json

    assert me["platform_roles"] == (["operator"] if is_on else [])


def test_a_coordinators_role_waits_for_nothing(app, wang):
    client = app.test_client()
    enter(client)
    platform_roles.grant(SYSTEM, person_id=wang.id, role=PlatformRole.COORDINATOR, reason="term")

    assert client.get("/api/v1/me").json["platform_roles"] == ["coordinator"]


def test_in_the_demo_roles_do_not_wait(app, wang, settings, monkeypatch):
    monkeypatch.setitem(app.extensions, "settings", replace(settings, demo=True))
    client = app.test_client()
    enter(client)
    platform_roles.grant(SYSTEM, person_id=wang.id, role=PlatformRole.OPERATOR, reason="on call")

    assert has_power(client)
