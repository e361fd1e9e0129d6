"""Passwords that everybody tries first are refused, wherever a password is set."""

import hashlib
import re

import pytest

from accounts import common_passwords
from accounts.errors import CommonPassword
from accounts.services import people
from app.access import SYSTEM
from app.errors import Invalid
from tests.accounts.conftest import PASSWORD
from tests.conftest import as_actor, sign_in


@pytest.mark.parametrize(
    "common",
    ["qwertyuiop", "1q2w3e4r5t", "basketball", "PasswordPassword", "Password2026!", "***dragon***", "woaini1314520"],
)
def test_what_everybody_tries_is_common(common):
    assert common_passwords.contains(common)


@pytest.mark.parametrize(
    "own", [PASSWORD, "industry-and-talent", "839201746528 cat", "海阔天空 2026 的一天", "\ud800" * 9]
)
def test_what_people_think_of_themselves_is_not(own):
    assert not common_passwords.contains(own)


def test_others_are_almost_never_taken_for_common():
    others = (hashlib.sha256(str(n).encode()).hexdigest()[:20] for n in range(20_000))  # the same in each run

    assert sum(common_passwords.contains(other) for other in others) <= 1


def test_every_look_up_reads_as_much_as_any_other(monkeypatch):
    read: list[int] = []

    class Watched(bytes):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    filled = Watched(common_passwords.FILE.read_bytes())
    monkeypatch.setattr(common_passwords, "_filter", lambda: filled)
    counts = []
    for password in ("qwertyuiop", "Password2026!", PASSWORD, "x" * 200):
        read.clear()
        common_passwords.contains(password)
        counts.append(len(read))

    assert counts == [2 * common_passwords.PROBES] * 4


def test_the_list_is_the_one_that_was_made():
    notice = common_passwords.FILE.with_name("NOTICE.md").read_text()

    assert re.search(r"`([0-9a-f]{64})`", notice)[1] == hashlib.sha256(common_passwords.FILE.read_bytes()).hexdigest()


def test_it_is_refused_wherever_a_password_is_set(app, wang, make):
    admin = SYSTEM
    browser = sign_in(app, wang)

    page = browser.post("/profile/password", data={"current": PASSWORD, "new": "basketball2026"})

    assert page.status_code == 422
    assert "one that many people use" in page.text
    with pytest.raises(CommonPassword):
        people.set_password(admin, wang.id, "qwertyuiop")
    with pytest.raises(CommonPassword):
        people.create(admin, email="na@qdu.example", name="Na", password="qwertyuiop")
    with pytest.raises(Invalid):  # what no form sends, and JSON can
        people.set_password(admin, wang.id, "\ud800\ud801\ud802\ud803" * 4)
    with pytest.raises(CommonPassword):
        people.change_password(as_actor(wang), current=PASSWORD, new="qwertyuiop", keep_sign_in=None)
