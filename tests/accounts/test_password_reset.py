"""Forgotten passwords: a link by mail that works once, for half an hour, and tells strangers nothing."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from accounts import passwords
from accounts.jobs import deliver_mail, forget_old_sign_on
from accounts.models import Identity, Mail, Notice, PasswordReset
from app.audit import AuditEntry
from app.db import db
from tests.accounts.conftest import PASSWORD
from tests.conftest import sign_in

NEW = "quiet river stone"


@pytest.fixture
def client(app):
    """A browser that asks for English."""
    client = app.test_client()
    client.set_cookie("language", "en")
    return client


def ask(client, email="wang@qdu.example", **kwargs):
    return client.post("/sign-in/forgot", data={"email": email}, **kwargs)


def keys() -> list[str]:
    """The keys in the links that were mailed, the oldest first."""
    deliver_mail()
    db.session.expire_all()
    texts = db.session.scalars(sa.select(Mail.text).where(Mail.kind == "password-reset").order_by(Mail.id))
    return [found[1] for text in texts if (found := re.search(r"/sign-in/reset\?key=([\w-]+)", text))]


def key(client) -> str:
    ask(client)
    (found,) = keys()
    return found


def use(client, key, password=NEW):
    return client.post("/sign-in/reset", data={"key": key, "password": password})


def rows():
    return list(db.session.scalars(sa.select(PasswordReset)))


def test_who_forgot_the_password_sets_a_new_one(app, client, wang):
    elsewhere = sign_in(app, wang)
    asked = ask(client)
    link = keys()[0]

    form = client.get(f"/sign-in/reset?key={link}")
    done = use(client, link)

    assert "If there is an account with the address wang@qdu.example" in asked.text
    assert "wang@qdu.example" in form.text
    assert (done.status_code, done.location) == (303, "/sign-in")
    assert passwords.matches(wang.password_hash, NEW)
    assert elsewhere.get("/api/v1/me").status_code == 401
    assert client.post("/sign-in", data={"email": wang.email, "password": NEW}).status_code == 303


def test_looking_at_the_link_takes_nothing_and_using_it_takes_it(client, wang):
    link = key(client)
    for _n in range(3):
        assert client.get(f"/sign-in/reset?key={link}").status_code == 200

    first, second = use(client, link), use(client, link, "yet another stone")

    assert (first.status_code, second.status_code) == (303, 404)
    assert "This link is not valid" in second.text
    assert client.get(f"/sign-in/reset?key={link}").status_code == 404
    assert passwords.matches(wang.password_hash, NEW)


def test_a_link_works_for_half_an_hour(client, wang, clock):
    link = key(client)
    clock.shift(timedelta(minutes=30))

    assert use(client, link).status_code == 404
    assert passwords.matches(wang.password_hash, PASSWORD)


def test_using_one_link_ends_the_others(client, wang):
    ask(client)
    ask(client)
    first, second = keys()

    assert use(client, second).status_code == 303
    assert use(client, first, "yet another stone").status_code == 404


def test_only_the_digest_is_kept_and_the_trail_knows_no_key(client, wang):
    link = key(client)
    use(client, link)

    (row,) = rows()
    assert link not in str(vars(row))
    assert len(row.sha256) == 64
    entries = list(db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "person.reset-password")))
    assert [entry.actor_id for entry in entries] == [wang.id]
    assert link not in str([entry.changes for entry in db.session.scalars(sa.select(AuditEntry))])
    assert db.session.scalars(sa.select(Mail.sealed_key)).all() == [None, None]  # the link and the notice


def test_the_person_is_told_here_and_by_mail(client, wang):
    use(client, key(client))
    deliver_mail()

    notice = db.session.scalars(sa.select(Notice).where(Notice.kind == "password-changed")).one()
    mail = db.session.scalars(sa.select(Mail).where(Mail.notice_id == notice.id)).one()
    assert notice.person_id == wang.id
    assert "Your password was changed" in mail.subject


@pytest.mark.parametrize("email", ["wang@qdu.example", "WANG@qdu.example ", "nobody@qdu.example", "", "x" * 5000])
def test_asking_is_answered_the_same_and_does_the_same_for_everybody(app, client, wang, email):
    statements: list[str] = []

    def note(_conn, _cursor, statement, *_args):
        statements.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        answer = ask(client, email)
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)

    assert answer.status_code == 200
    assert "If there is an account" in answer.text
    assert [s for s in statements if "person" in s.replace("person_id", "").replace("personal", "")] == []
    assert len(rows()) == 1
    assert db.session.scalars(sa.select(Mail)).all() == []


def test_strangers_and_closed_accounts_get_no_mail_and_leave_no_trace(client, wang, make):
    make.person(email="gone@qdu.example", is_active=False)
    ask(client, "nobody@qdu.example")
    ask(client, "gone@qdu.example")

    assert keys() == []
    assert rows() == []


def test_a_link_to_an_account_that_was_closed_meanwhile_is_dead(client, wang):
    link = key(client)
    wang.is_active = False

    assert use(client, link).status_code == 404


def test_who_has_no_password_is_shown_the_way_home(client, make):
    person = make.person(email="li@qdu.example", password_hash=None)
    db.session.add(Identity(person_id=person.id, issuer="https://id.example", subject="1"))
    ask(client, "li@qdu.example")

    assert keys() == []
    mail = db.session.scalars(sa.select(Mail)).one()
    assert "through your university" in mail.subject
    assert "key=" not in mail.text


def test_nobody_fills_a_mailbox_or_keeps_the_owner_from_asking(client, wang, clock):
    for _n in range(6):
        ask(client)
    links = keys()
    clock.shift(timedelta(minutes=30))
    ask(client)

    assert len(links) == 3
    assert use(client, keys()[-1]).status_code == 303


def test_asking_too_often_from_one_place_waits(client, wang):
    answers = [ask(client, environ_base={"REMOTE_ADDR": "10.1.1.1"}).status_code for _n in range(51)]
    elsewhere = ask(client, environ_base={"REMOTE_ADDR": "10.1.1.2"})

    assert answers == [200] * 50 + [429]
    assert use(client, "x").status_code == 404
    assert elsewhere.status_code == 200


def test_a_weak_password_is_refused_and_the_link_still_works(client, wang):
    link = key(client)

    weak, common = use(client, link, "short"), use(client, link, "qwertyuiop")

    assert (weak.status_code, common.status_code) == (422, 422)
    assert use(client, link).status_code == 303


def test_a_reset_does_not_pass_the_second_factor(app, client, wang, make):
    from accounts.services import second_factor

    second_factor.begin(wang.id).confirmed_at = wang.created_at
    use(client, key(client))

    after = client.post("/sign-in", data={"email": wang.email, "password": NEW})

    assert after.location == "/sign-in/code"


def test_the_same_by_api(client, wang):
    asked = client.post("/api/v1/password-resets", json={"email": "wang@qdu.example"})
    unknown = client.post("/api/v1/password-resets", json={"email": "nobody@qdu.example"})
    (link,) = keys()
    weak = client.post("/api/v1/password-resets/use", json={"key": link, "password": "qwertyuiop"})
    used = client.post("/api/v1/password-resets/use", json={"key": link, "password": NEW})
    again = client.post("/api/v1/password-resets/use", json={"key": link, "password": NEW})

    assert (asked.status_code, asked.data) == (unknown.status_code, unknown.data) == (204, b"")
    assert (weak.status_code, weak.json["code"]) == (422, "common-password")
    assert used.status_code == 204
    assert (again.status_code, again.json["code"]) == (404, "reset-unknown")
    assert passwords.matches(wang.password_hash, NEW)


def test_old_links_are_removed(client, wang, clock):
    key(client)
    clock.shift(timedelta(days=2))

    forget_old_sign_on()

    assert rows() == []
