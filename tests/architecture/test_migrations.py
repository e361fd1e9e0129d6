"""The migrations make the tables that the models describe, and keep what stands in them."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.db import Base, db

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def test_no_model_change_lacks_its_migration(app, database):
    context = MigrationContext.configure(db.session.connection(), opts={"compare_type": True})

    assert compare_metadata(context, Base.metadata) == []


def test_there_is_one_line_of_migrations_each_named_by_its_date():
    script = ScriptDirectory(str(MIGRATIONS))

    assert len(script.get_heads()) == 1
    for path in (MIGRATIONS / "versions").glob("*.py"):
        assert re.fullmatch(r"\d{8}_\d{4}_[a-z0-9_]+\.py", path.name), path.name


@pytest.mark.parametrize("statement", ["UPDATE ledger_entry SET amount = amount + 1", "DELETE FROM ledger_entry"])
def test_the_database_refuses_to_change_the_ledger(make, statement):
    make.budget(1)

    with pytest.raises(sa.exc.DatabaseError, match="append-only"), db.session.begin_nested():
        db.session.execute(sa.text(statement))
