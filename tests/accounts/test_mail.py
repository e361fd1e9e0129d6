"""Notices by mail: queued once with the notice, sent by the job through a real server, retried, given up, caught."""

import socket
import threading
from collections.abc import Iterator
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller

from accounts.jobs import deliver_mail
from accounts.models import Mail, MailState
from accounts.services import mail, notices
from app import clock
from app.access import MemberRole, PlatformRole
from app.db import db, transaction
from tests.conftest import sign_in


class Mailbox:
    """What the server took; the next answers can be told beforehand."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.answers: list[str] = []

    async def handle_RCPT(self, _server, _session, envelope, address, _options) -> str:
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope) -> str:
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
def mailbox(app, settings, monkeypatch) -> Iterator[Mailbox]:
    mailbox = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    url = f"smtp://127.0.0.1:{port}"
    monkeypatch.setitem(
        app.extensions, "settings", replace(settings, smtp_url=url, mail_from="产才 <no-reply@chancai.example>")
    )
    yield mailbox
    controller.stop()


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    monkeypatch.setattr(notices, "KINDS", dict(notices.KINDS))
    notices.describe("seat", "You have a seat in %(course)s", "It begins on %(begins_at)s.")


def tell(person, event="seat:1", **facts):
    begins = datetime(2026, 3, 9, 0, 0, tzinfo=UTC)
    facts = {"course_zh": "机器学习", "course_en": "Machine learning", "begins_at": begins} | facts
    notices.notify(person.id, "seat", event, url="/courses/ml", **facts)
    db.session.commit()


def mails() -> list[Mail]:
    db.session.expire_all()
    return list(db.session.scalars(sa.select(Mail).order_by(Mail.created_at)))


def test_a_notice_is_mailed_in_its_readers_language_and_zone(make, mailbox):
    tell(make.person(email="li@qdu.example", name="李娜", language="zh_CN"))
    tell(make.person(email="bo@qdu.example", name="Bo", language="en", time_zone="America/New_York"))

    assert deliver_mail() == 2

    chinese, english = sorted(mailbox.letters, key=lambda letter: letter["To"], reverse=True)
    assert chinese["To"].addresses[0].display_name == "李娜"
    assert chinese["From"].addresses[0].display_name == "产才"
    assert chinese["Subject"] == "You have a seat in 机器学习"
    assert english["Subject"] == "You have a seat in Machine learning"
    assert "http://localhost/courses/ml" in english.get_content()
    assert "20:00" in english.get_content()  # the evening before, in New York
    assert "08:00" in chinese.get_content()
    assert english["Content-Language"] == "en"
    assert {m.state for m in mails()} == {MailState.SENT}


def test_one_event_is_one_mail(student, mailbox):
    tell(student)
    tell(student)
    deliver_mail()

    assert deliver_mail() == 0
    assert len(mailbox.letters) == 1


def test_who_wants_none_or_is_gone_gets_none(app, make, student, mailbox):
    browser = sign_in(app, student)
    browser.post("/profile/mail", data={})
    tell(student)
    tell(make.person(is_active=False))
    off = deliver_mail()
    browser.post("/profile/mail", data={"wants_mail": "1"})
    tell(student, "seat:2")

    assert (off, deliver_mail()) == (0, 1)
    assert len(mailbox.letters) == 1


def test_what_is_rolled_back_is_not_mailed(student, mailbox):
    notices.notify(student.id, "seat", "seat:1")
    db.session.rollback()

    assert deliver_mail() == 0


def test_a_refusal_for_now_is_tried_again_with_the_same_id(student, mailbox, clock):
    tell(student)
    mailbox.answers = ["451 busy"]

    first, at_once = deliver_mail(), deliver_mail()
    (waiting,) = mails()
    after_one = (waiting.state, waiting.attempts, waiting.last_error)
    clock.shift(timedelta(minutes=1))
    later = deliver_mail()

    assert (first, at_once, later) == (0, 0, 1)
    assert after_one == (MailState.WAITING, 1, "recipient refused: 451")
    assert mailbox.letters[0]["Message-ID"] == f"<{waiting.id.hex}@chancai.example>"


def test_a_refusal_for_good_is_not_repeated(student, mailbox, clock):
    tell(student)
    mailbox.answers = ["550 no such mailbox"]
    deliver_mail()
    clock.shift(timedelta(days=1))

    assert deliver_mail() == 0
    assert [(m.state, m.last_error) for m in mails()] == [(MailState.FAILED, "recipient refused: 550")]


def test_a_server_that_is_away_is_given_up_in_the_end(app, student, settings, monkeypatch, clock):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"smtp://user:s3cret@127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setitem(app.extensions, "settings", replace(settings, smtp_url=url))
    tell(student)

    tries = 0
    while mails()[0].state is MailState.WAITING and tries < 20:
        clock.move_to(mails()[0].next_at)
        deliver_mail()
        tries += 1

    assert tries == 7
    assert mails()[0].state is MailState.FAILED
    assert "s3cret" not in mails()[0].last_error


def test_one_bad_mail_does_not_hold_up_the_others(make, mailbox):
    tell(make.person(email="bad@qdu.example"))
    tell(make.person(email="good@qdu.example"))
    mailbox.answers = ["550 no"]

    assert deliver_mail() == 1
    assert sorted(m.state.value for m in mails()) == ["failed", "sent"]


def test_a_worker_that_died_leaves_the_mail_to_the_next(student, mailbox, clock):
    tell(student)
    with transaction():
        taken = mail.claim(limit=10)
    at_once = deliver_mail()
    clock.shift(timedelta(minutes=5))

    assert len(taken) == 1
    assert (at_once, deliver_mail()) == (0, 1)


def test_without_a_server_mails_are_caught_and_shown(app, make, student):
    tell(student, course_en="<b>ML</b>")
    deliver_mail()
    administrator = sign_in(app, make.platform(PlatformRole.ADMINISTRATOR))
    others = [student, make.platform(PlatformRole.OPERATOR), make.member(role=MemberRole.ADMINISTRATOR)]

    page = administrator.get("/operations/mail").text

    assert "No mail server is set" in page
    assert student.email in page
    assert "&lt;b&gt;ML&lt;/b&gt;" in page
    assert [m.state for m in mails()] == [MailState.CAUGHT]
    assert {sign_in(app, person).get("/operations/mail").status_code for person in others} == {404}


def test_nobody_smuggles_headers_in_by_a_name(make, mailbox):
    tell(make.person(name="Eve"), course_en="x\r\nBcc: all@qdu.example")

    deliver_mail()

    assert all("Bcc" not in letter for letter in mailbox.letters)
    assert mails()[0].state in (MailState.SENT, MailState.FAILED)


def test_two_workers_take_different_mails(app, committed):
    for _n in range(2):
        tell(committed.person())
    taken: list[object] = []

    def other() -> None:
        with app.app_context():
            taken.extend(mail.claim(limit=10))
            db.session.commit()
            db.session.remove()

    first = mail.claim(limit=1)  # not committed: its row is locked
    thread = threading.Thread(target=Context().run, args=(other,))
    thread.start()
    thread.join(timeout=10)
    db.session.commit()

    assert len(first) == len(taken) == 1
    assert set(first).isdisjoint(taken)
    assert clock.now() < mails()[0].next_at


def test_people_choose_by_kind_and_still_read_all_here(app, student, mailbox):
    notices.describe("odd", "An odd thing", label="Odd things")
    browser = sign_in(app, student)
    kinds = [kind for kind in notices.choices() if kind != "odd"]

    browser.post("/profile/mail", data={"wants_mail": "1", "kinds": kinds})
    notices.notify(student.id, "odd", "odd:1")
    tell(student)

    assert deliver_mail() == 1
    assert [letter["Subject"] for letter in mailbox.letters] == ["You have a seat in Machine learning"]
    assert "An odd thing" in browser.get("/notices").text
    assert browser.get("/api/v1/me/mail").json == {"wants_mail": True, "unwanted_mail": ["odd"]}


def test_the_choice_by_api_knows_its_kinds(app, student):
    browser = sign_in(app, student)

    done = browser.put("/api/v1/me/mail", json={"wants_mail": False, "unwanted_mail": ["welcome"]})
    wrong = browser.put("/api/v1/me/mail", json={"wants_mail": True, "unwanted_mail": ["none-such"]})

    assert done.json == {"wants_mail": False, "unwanted_mail": ["welcome"]}
    assert (wrong.status_code, wrong.json["unknown"]) == (422, ["none-such"])
    assert browser.get("/api/v1/me/mail").json["wants_mail"] is False


def test_what_may_be_somebody_elses_doing_is_mailed_to_everybody(student, mailbox):
    student.wants_mail = False
    notices.notify(student.id, "password-changed", "password:1")
    db.session.commit()

    assert deliver_mail() == 1


def test_an_invitation_is_mailed_and_its_code_is_kept_nowhere_afterwards(app, make, mailbox):
    qdu = make.partner(slug="qdu", title_en="Qingdao University")
    browser = sign_in(app, make.member(qdu, MemberRole.ADMINISTRATOR))
    form = {"name": "Li Na", "role": "teacher", "email": "li@qdu.example"}
    mailbox.answers = ["451 busy"]

    page = browser.post("/partners/qdu/invitations", data=form)
    waiting, first = mails(), deliver_mail()
    sealed = waiting[0].sealed_key
    waiting[0].next_at = clock.now()
    db.session.commit()
    second = deliver_mail()

    code = page.text.split("/claim?code=")[1].split('"')[0].split("<")[0]
    letter = mailbox.letters[0]
    assert (first, second) == (0, 1)
    assert "li@qdu.example by mail, too" in page.text
    assert letter["Subject"] == "Qingdao University invites you to Chancai"
    assert f"/claim?code={code.replace('-', '')}" in letter.get_content()
    assert code.replace("-", "") not in sealed
    assert code.replace("-", "") not in mails()[0].text
    assert mails()[0].sealed_key is None
    taken = app.test_client().post("/claim", data={"code": code.replace("-", "")})
    assert taken.status_code == 200
