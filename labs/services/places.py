"""The places of a center: one narrow row counts those that are taken and the labs that wait for one.

Every change is one guarded UPDATE, made last in its transaction (after the session, the cap and the purse), so that
nobody waits in a circle; whoever comes to the same center waits for the commit and sees the new numbers.
"""

import logging
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app.db import db
from labs.models import TAKING_A_PLACE, Center, CenterLoad, LabSession, SessionState

log = logging.getLogger(__name__)

_limit = select(Center.session_limit).where(Center.id == CenterLoad.center_id).scalar_subquery()


def take(center_id: UUID) -> bool:
    """Take a free place; False where there is none, or where somebody waits, whom nobody overtakes."""
    return _move(center_id, CenterLoad.taken < _limit, CenterLoad.waiting == 0, taken=1)


def queue(center_id: UUID) -> None:
    """One more waits. Until the commit nobody else joins, or takes a place, at this center."""
    _move(center_id, waiting=1)


def keep(center_id: UUID) -> bool:
    """Keep a free place for one who waits; False where there is none."""
    return _move(center_id, CenterLoad.taken < _limit, CenterLoad.waiting > 0, taken=1, waiting=-1)


def put_back(center_id: UUID) -> None:
    """Whoever had a kept place waits again."""
    _give(center_id, CenterLoad.taken > 0, taken=-1, waiting=1)


def leave(center_id: UUID, state: SessionState) -> None:
    """A session in this state ends: its place is free, or it waits no more. Called once for each, where it ends."""
    if state is SessionState.WAITING:
        _give(center_id, CenterLoad.waiting > 0, waiting=-1)
    else:
        _give(center_id, CenterLoad.taken > 0, taken=-1)


def recount(center_id: UUID) -> None:
    """Set the counters to what the sessions say. Who is about to change them is waited for, and comes after."""
    _move(center_id, waiting=0)  # locks the row, so that the next statement sees what others have committed
    counted = select(func.count()).select_from(LabSession).where(LabSession.center_id == center_id)
    db.session.execute(
        sa.update(CenterLoad)
        .where(CenterLoad.center_id == center_id)
        .values(
            taken=counted.where(LabSession.state.in_(TAKING_A_PLACE)).scalar_subquery(),
            waiting=counted.where(LabSession.state == SessionState.WAITING).scalar_subquery(),
        )
        .execution_options(synchronize_session=False)
    )


def _move(center_id: UUID, *guards: sa.ColumnElement[bool], taken: int = 0, waiting: int = 0) -> bool:
    statement = (
        sa.update(CenterLoad)
        .where(CenterLoad.center_id == center_id, *guards)
        .values(taken=CenterLoad.taken + taken, waiting=CenterLoad.waiting + waiting)
        .returning(CenterLoad.center_id)
        .execution_options(synchronize_session=False)
    )
    db.session.flush()
    if db.session.scalar(statement) is not None:
        return True
    made = insert(CenterLoad).values(center_id=center_id).on_conflict_do_nothing().returning(CenterLoad.center_id)
    if db.session.scalar(made) is None:  # it is there, and a guard said no
        return False
    return db.session.scalar(statement) is not None


def _give(center_id: UUID, guard: sa.ColumnElement[bool], *, taken: int = 0, waiting: int = 0) -> None:
    """Less of something. Where there is none the counter was wrong: said, and no reason to keep a lab from ending."""
    if not _move(center_id, guard, taken=taken, waiting=waiting):
        log.error("the places of a center are counted wrongly", extra={"center": center_id})
