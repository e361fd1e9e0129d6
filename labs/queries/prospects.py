"""Reads on what to expect of a center: how full it is, and how long a lab that is asked for now would wait there."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select

from app import clock
from app.db import db
from labs.models import Center, CenterLoad, LabSession, SessionState
from labs.queries.line import outlook_for_newcomers
from labs.queries.places import Load

LEAST_WAIT_SECONDS = 60  # at a full center, whatever it promises: a place is offered first, and must be taken
START_SECONDS = 5  # a start takes as long; a center makes `start_limit` of them at once


@dataclass(frozen=True)
class Prospect:
    """What whoever comes now may expect of a center."""

    load: Load
    wait_seconds: int  # 0: starts at once


def prospects(center_ids: Collection[UUID]) -> dict[UUID, Prospect]:
    """Read without a lock: true a moment ago."""
    under_way = (
        select(func.count())
        .select_from(LabSession)
        .where(
            LabSession.center_id == Center.id,
            LabSession.state.in_((SessionState.RESERVED, SessionState.STARTING)),
        )
        .correlate(Center)
        .scalar_subquery()
    )
    rows = db.session.execute(
        select(
            Center.id,
            func.coalesce(CenterLoad.taken, 0),
            func.coalesce(CenterLoad.waiting, 0),
            Center.session_limit,
            under_way // Center.start_limit,
        )
        .outerjoin(CenterLoad, CenterLoad.center_id == Center.id)
        .where(Center.id.in_(center_ids))
    )
    return {
        center_id: _prospect(center_id, Load(taken, waiting, limit), rounds)
        for center_id, taken, waiting, limit, rounds in rows.all()
    }


def _prospect(center_id: UUID, load: Load, rounds: int) -> Prospect:
    if not load.is_full:
        return Prospect(load, rounds * START_SECONDS)
    wait = outlook_for_newcomers(center_id).likely_at - clock.now()
    return Prospect(load, max(LEAST_WAIT_SECONDS, int(wait.total_seconds())))
