"""`chancai homes`: folders of erased people, until somebody has deleted them."""

import pytest

from app.access import PlatformRole
from app.db import db
from app.errors import Forbidden
from labs.models import HomeRemoval
from labs.services import homes
from tests.conftest import as_actor


@pytest.fixture
def run(app, database):
    runner = app.test_cli_runner()

    def run(*arguments: str):
        db.session.commit()
        return runner.invoke(args=["homes", *arguments])

    return run


def test_a_folder_is_listed_until_it_is_deleted(run):
    db.session.add(HomeRemoval(hub_name="a" * 32))

    assert run("list").output.split() == ["a" * 32]
    assert run("removed", "a" * 32).exit_code == 0
    assert run("removed", "a" * 32).exit_code == 0
    assert run("list").output == ""


def test_a_folder_that_is_not_to_be_deleted_is_named(run):
    done = run("removed", "b" * 32)

    assert done.exit_code == 1
    assert "b" * 32 in done.output


def test_only_operators_ask(make):
    with pytest.raises(Forbidden):
        homes.waiting(as_actor(make.person()))
    assert homes.waiting(as_actor(make.platform(PlatformRole.OPERATOR))) == []
