"""A ledger of the first release comes up to today: nothing is lost, the audit is empty, and it goes on working."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import downgrade, upgrade

from app.config import Settings
from app.db import Base, db
from app.factory import create_app
from labs import ledger
from labs.models import Flavor, Hold, HoldState, LabSession, Purse
from tests import postgres

BEFORE = "1b94d6e8c0f3"
C = 1_000_000
THEN = datetime(2026, 2, 27, 20, 0, tzinfo=UTC)  # the 28th in Shanghai
YEAR = timedelta(days=365)


@pytest.fixture
def before(settings: Settings) -> Iterator[Flask]:
    """A database of its own, as it was before rates, days of usage and closed periods."""
    app = create_app(replace(settings, database_url=postgres.url("upgrade_ledger")), hubs={})
    with app.app_context():
        upgrade(revision=BEFORE)
        yield app
        db.session.remove()
        db.engine.dispose()


def add(table: str, **values: object) -> UUID:
    """A row by its columns, for today's models know more."""
    known = set(
        db.session.scalars(
            sa.text("SELECT column_name FROM information_schema.columns WHERE table_name = :table"), {"table": table}
        )
    )
    row = {name: value for name, value in ({"id": uuid4(), "created_at": THEN} | values).items() if name in known}
    marks = ", ".join(f":{name}" for name in row)
    db.session.execute(sa.text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"), row)
    return row.get("id")


def book(command: str, hold_id: UUID | None, *lines: tuple) -> None:
    transaction = add("ledger_transaction", key=str(uuid4()), command=command, body_sha256="", hold_id=hold_id)
    for account, amount, budget_id, tranche_id, center_id in lines:
        db.session.execute(
            sa.text(
                "INSERT INTO ledger_entry (transaction_id, account, amount, budget_id, tranche_id, center_id)"
                " VALUES (:transaction, :account, :amount, :budget, :tranche, :center)"
            ),
            {
                **{"transaction": transaction, "account": account, "amount": amount},
                **{"budget": budget_id, "tranche": tranche_id, "center": center_id},
            },
        )


def ledger_of_before() -> dict[str, UUID]:
    """Ten credits: one session settled at half a credit, one running that has used a quarter, one hold voided."""
    titles = {"title_zh": "甲", "title_en": "A"}
    partner = add("partner", slug="haibin", kind="university", time_zone="Asia/Shanghai", email_domains=[], **titles)
    person = add(
        "person", email="li@haibin.example", name="李娜", language="zh_CN", time_zone="Asia/Shanghai", is_active=True
    )
    center = add("center", slug="embedded", partner_id=partner, state="up", session_limit=10, **titles)
    flavor = add(
        *("flavor",),
        **{"center_id": center, "slug": "small", "cores": 1, "memory_mb": 1024, "accelerators": 0, "price_micro": C},
        **{"longest_minutes": 480, "is_active": True},
        **titles,
    )
    template = add("lab_template", partner_id=partner, folder="a", default_minutes=60, longest_minutes=240, **titles)
    budget = add(
        *("budget",),
        **{"partner_id": partner, "kind": "partner", "starts_at": THEN, "ends_at": THEN + YEAR, "is_closed": False},
        **titles,
    )
    hold = {"budget_id": budget, "person_id": person, "center_id": center, "price_micro": C, "amount": 1_083_334}
    settled = add("hold", posted_seconds=1800, posted_micro=C // 2, state="settled", closed_at=THEN, **hold)
    running = add("hold", posted_seconds=900, posted_micro=C // 4, state="open", **hold)
    voided = add("hold", posted_seconds=0, posted_micro=0, state="voided", closed_at=THEN, **hold)
    left = 10 * C - C // 2 - 1_083_334
    tranche = add("tranche", budget_id=budget, amount=10 * C, remaining=left, valid_from=THEN, valid_until=THEN + YEAR)
    add("purse", budget_id=budget, available=left, held=1_083_334 - C // 4, used=3 * C // 4, expired=0, overrun=0)
    add("member_cap", budget_id=budget, person_id=person, held=1_083_334 - C // 4, used=3 * C // 4, is_open=True)
    on = (budget, tranche, None)
    at = (budget, tranche, center)
    book("grant", None, ("supply", -10 * C, None, None, None), ("available", 10 * C, *on))
    for hold_id, used in ((settled, C // 2), (running, C // 4), (voided, 0)):
        add("hold_part", hold_id=hold_id, tranche_id=tranche, position=0, amount=1_083_334, used=used)
        book("reserve", hold_id, ("available", -1_083_334, *on), ("held", 1_083_334, *on))
    rest = 1_083_334 - C // 2
    book(
        "settle", settled, ("held", -C // 2, *on), ("used", C // 2, *at), ("held", -rest, *on), ("available", rest, *on)
    )
    book("post", running, ("held", -C // 4, *on), ("used", C // 4, *at))
    book("void", voided, ("held", -1_083_334, *on), ("available", 1_083_334, *on))
    session = {
        **{"person_id": person, "template_id": template, "flavor_id": flavor, "center_id": center},
        **{"budget_id": budget, "lease_minutes": 60, "attempts": 1, "admitted_attempt": 1, "missing": 0},
        **{"ready_at": THEN, "seconds_used": 0, "charged_micro": 0},
    }
    add("lab_session", hold_id=settled, state="settled", ended_at=THEN, **session)
    lab = add("lab_session", hold_id=running, state="running", **session)
    db.session.commit()
    return {"budget": budget, "person": person, "flavor": flavor, "running": running, "settled": settled, "lab": lab}


def test_what_was_booked_is_there_and_the_ledger_goes_on(before):
    ids = ledger_of_before()

    upgrade()

    assert ledger.audit() == []
    known = db.session.execute(sa.text("SELECT price_micro, bands FROM rate")).all()
    days = db.session.execute(sa.text("SELECT day::text, micro FROM usage_day")).all()
    assert [tuple(row) for row in known] == [(C, [])]
    assert [tuple(row) for row in days] == [("2026-02-28", 3 * C // 4)]
    running = db.session.get_one(Hold, ids["running"])
    assert (running.flavor_id, running.seconds, running.started_at) == (ids["flavor"], 3900, THEN)
    # and everything goes on: what runs is extended, posted and settled; something new is promised
    ledger.extend(running.id, 600, "longer")
    ledger.settle(running.id, 1800, THEN)
    new = ledger.reserve(ids["budget"], ids["person"], db.session.get_one(Flavor, ids["flavor"]), 3600, key="new")
    ledger.correct(ids["settled"], 1000, "a test", key="correction")
    db.session.commit()
    assert (running.posted_micro, running.state, new.amount) == (C // 2, HoldState.SETTLED, C)
    purse = db.session.get_one(Purse, ids["budget"], populate_existing=True)
    assert (purse.used, purse.held) == (C - 1000, C)
    assert ledger.audit() == []
    assert db.session.get_one(LabSession, ids["lab"]).hold_id == running.id


def test_the_step_can_be_taken_back_and_taken_again(before):
    ids = ledger_of_before()
    upgrade()
    ledger.settle(ids["running"], 1800, THEN)
    db.session.commit()
    db.session.remove()

    downgrade(revision=BEFORE)
    upgrade()

    context = MigrationContext.configure(db.session.connection(), opts={"compare_type": True})
    assert compare_metadata(context, Base.metadata) == []
    assert ledger.audit() == []
    assert db.session.get_one(Hold, ids["running"]).posted_micro == C // 2
