"""Reads on the places of centers: how many are taken, how many labs wait, and whether that is counted rightly."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select

from app.db import db
from labs.models import TAKING_A_PLACE, Center, CenterLoad, LabSession, SessionState


@dataclass(frozen=True)
class Load:
    """How full a center is."""

    taken: int
    waiting: int
    limit: int

    @property
    def is_full(self) -> bool:
        """Whether somebody who comes now has to wait: no place, or others who wait for the next one."""
        return self.taken >= self.limit or self.waiting > 0


def load(center_id: UUID) -> Load:
    """Read without a lock: true a moment ago."""
    taken, waiting, limit = db.session.execute(
        select(func.coalesce(CenterLoad.taken, 0), func.coalesce(CenterLoad.waiting, 0), Center.session_limit)
        .select_from(Center)
        .outerjoin(CenterLoad, CenterLoad.center_id == Center.id)
        .where(Center.id == center_id)
    ).one()
    return Load(taken, waiting, limit)


def miscounted_loads() -> dict[UUID, tuple[Load, Load]]:
    """Centers whose counters say something else than their sessions: (counted, true). Empty when all is well."""
    of_center = select(func.count()).select_from(LabSession).where(LabSession.center_id == Center.id).correlate(Center)
    rows = db.session.execute(
        select(
            Center.id,
            Center.session_limit,
            func.coalesce(CenterLoad.taken, 0),
            func.coalesce(CenterLoad.waiting, 0),
            of_center.where(LabSession.state.in_(TAKING_A_PLACE)).scalar_subquery(),
            of_center.where(LabSession.state == SessionState.WAITING).scalar_subquery(),
        ).outerjoin(CenterLoad, CenterLoad.center_id == Center.id)
    )
    return {
        center_id: (Load(taken, waiting, limit), Load(truly_taken, truly_waiting, limit))
        for center_id, limit, taken, waiting, truly_taken, truly_waiting in rows
        if (taken, waiting) != (truly_taken, truly_waiting)
    }
