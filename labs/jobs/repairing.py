"""Repair what drifts and no hub can tell: counters, holds without a session, sessions without a hold."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select

from app.db import db, transaction
from labs.queries.drift import holds_without_session, sessions_unpaid
from labs.queries.places import miscounted_loads
from labs.services import repairs


def repair_drift() -> int:
    """Find each difference without a lock, and look again under one before anything is changed."""
    done = 0
    for step, ids in (
        (repairs.recount_places, _centers()),
        (repairs.close_hold, _ids(holds_without_session())),
        (repairs.stop_unpaid, _ids(sessions_unpaid())),
    ):
        for row_id in ids:
            with transaction():
                done += step(row_id)
    return done


def _centers() -> list[UUID]:
    with transaction():
        return list(miscounted_loads())


def _ids(statement: Select[Any]) -> list[UUID]:
    with transaction():
        return [row.id for row in db.session.execute(statement.limit(200))]
