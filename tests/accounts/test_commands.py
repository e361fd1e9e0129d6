"""`chancai people make-administrator`: how a new platform gets its first one."""

import pytest

from accounts import queries
from app.db import db
from tests.accounts.conftest import PASSWORD
from tests.conftest import as_actor


@pytest.fixture
def run(app, database):
    runner = app.test_cli_runner()

    def run(*arguments: str, typed: str = ""):
        db.session.commit()
        return runner.invoke(args=["people", "make-administrator", *arguments], input=typed)

    return run


def test_a_new_platform_gets_its_first_administrator(run):
    done = run("li@qdu.example", "--name", "李娜", "--reason", "first", typed=f"{PASSWORD}\n{PASSWORD}\n")

    person = queries.person_by_email("li@qdu.example")
    assert done.exit_code == 0, done.output
    assert as_actor(person).is_administrator
    assert PASSWORD not in done.output


def test_somebody_who_has_an_account_keeps_it(run, wang):
    before = wang.password_hash

    assert run("WANG@qdu.example", "--reason", "duty").exit_code == 0
    assert as_actor(wang).is_administrator
    assert queries.person(wang.id).password_hash == before


def test_a_mistake_is_a_sentence_and_changes_nothing(run):
    nameless = run("li@qdu.example", "--reason", "first")
    weak = run("li@qdu.example", "--name", "李娜", "--reason", "first", typed="short\nshort\n")

    assert (nameless.exit_code, weak.exit_code) == (1, 1)
    assert "Give --name" in nameless.output
    assert "Traceback" not in weak.output
    assert queries.person_by_email("li@qdu.example") is None
