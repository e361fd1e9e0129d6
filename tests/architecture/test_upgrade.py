"""An installation of the first day comes up to today with everything that stood in it, and people go on at once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import downgrade, upgrade

from accounts import queries
from app.config import Settings
from app.db import Base, db
from app.factory import create_app
from tests import postgres

FIRST = "cb4cf199dd13"
THEN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@pytest.fixture
def first_day(settings: Settings) -> Iterator[Flask]:
    """A database of its own at the first migration."""
    app = create_app(replace(settings, database_url=postgres.url("upgrade")), hubs={})
    with app.app_context():
        upgrade(revision=FIRST)
        yield app
        db.session.remove()
        db.engine.dispose()


def add(table: str, **values: object) -> UUID:
    """A row as the first version wrote it: by its columns, for today's models know more."""
    row = {"id": uuid4(), "created_at": THEN} | values
    names = ", ".join(row)
    marks = ", ".join(f":{name}" for name in row)
    db.session.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), row)
    db.session.commit()
    return row["id"]


def campus_of_the_first_day() -> tuple[UUID, UUID]:
    partner_id = add(
        "partner",
        slug="haibin",
        kind="university",
        title_zh="海滨大学",
        title_en="Haibin University",
        time_zone="Asia/Shanghai",
        email_domains=["haibin.example"],
    )
    person_id = add(
        "person", email="li@haibin.example", name="李娜", language="zh_CN", time_zone="Asia/Shanghai", is_active=True
    )
    add("membership", person_id=person_id, partner_id=partner_id, role="student", number="007")
    add("sign_in", person_id=person_id, key_sha256="0" * 64, expires_at=datetime(2030, 1, 1, tzinfo=UTC), address="::1")
    add("notice", person_id=person_id, kind="welcome", event="welcome", facts="{}")
    add(
        "audit_entry",
        actor_id=person_id,
        actor_name="李娜",
        action="person.change",
        subject="person",
        subject_id=person_id,
        changes='{"name": ["李", "李娜"]}',
    )
    return partner_id, person_id


def test_what_stood_there_stands_there_and_partners_take_part_as_before(first_day):
    partner_id, person_id = campus_of_the_first_day()

    upgrade()

    assert queries.under_agreement([partner_id]) == {partner_id}
    (agreement,) = queries.agreements(partner_id)
    assert (agreement.from_at, agreement.until_at) == (THEN, None)
    person = queries.person(person_id)
    assert (person.name, person.email, person.wants_mail) == ("李娜", "li@haibin.example", True)
    assert [m.number for m in queries.memberships(person_id)] == ["007"]
    assert queries.unread_notices(person_id) == 1
    assert len(queries.live_sign_ins(person_id)) == 1
    with pytest.raises(sa.exc.DatabaseError, match="append-only"), db.session.begin_nested():
        db.session.execute(sa.text("UPDATE audit_entry SET actor_name = 'x'"))


def test_every_step_can_be_taken_back_with_people_in_it(first_day):
    campus_of_the_first_day()
    upgrade()
    db.session.remove()

    downgrade(revision=FIRST)
    upgrade()

    context = MigrationContext.configure(db.session.connection(), opts={"compare_type": True})
    assert compare_metadata(context, Base.metadata) == []
    assert db.session.scalar(sa.text("SELECT count(*) FROM person")) == 1
    assert db.session.scalar(sa.text("SELECT count(*) FROM agreement")) == 1
