"""PostgreSQL refuses root: who runs it then, and what that user can reach."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.embedded import account
from app.embedded.account import Account
from app.embedded.errors import CannotStart

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NOBODY = Account(identity=(65534, 65534), name="nobody")


@pytest.fixture
def open_folder():
    """A folder that every user can reach; pytest's own are closed to others."""
    with TemporaryDirectory(prefix="chancai-test-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_an_ordinary_user_runs_it_as_themselves(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert account.choose() == Account()
    assert account.choose().popen_options() == {}


@as_root
def test_root_runs_it_as_somebody_else():
    chosen = account.choose()

    assert chosen.identity is not None
    assert chosen.identity[0] != 0
    assert account.run_as(chosen, ["/usr/bin/id", "-un"]).stdout.strip() == chosen.name


@as_root
def test_the_first_closed_folder_on_the_way_is_named(open_folder):
    closed = open_folder / "closed"
    inside = closed / "a" / "b"
    inside.mkdir(parents=True)
    closed.chmod(0o700)

    assert account.first_closed(inside, NOBODY) == closed
    assert account.first_closed(inside, Account()) is None


@as_root
def test_a_way_with_blanks_and_quotes_is_walked_too(open_folder):
    odd = open_folder / 'it\'s a "way" with $HOME'
    odd.mkdir(mode=0o755)

    assert account.first_closed(odd, NOBODY) is None


def test_without_a_user_and_without_useradd_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account, "KNOWN_USERS", ("chancai-no-such-user",))
    monkeypatch.setattr(account.shutil, "which", lambda *_, **__: None)

    with pytest.raises(CannotStart, match="Start Chancai as an ordinary user"):
        account.choose()
