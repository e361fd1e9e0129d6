"""What is seen of labs that run, for those who look after them: at work or idle, storage, who looks inside."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, tuple_

from app.access import Actor
from app.db import db
from labs.models import HomeUsage, LabSession, SessionActivity, SessionState, SessionView
from labs.queries.views import OPEN_VIEWS

SILENT_AFTER = timedelta(minutes=2)  # without a report nobody knows


@dataclass(frozen=True)
class Watched:
    """One lab: its last report, its home, and the actor's open question to look inside."""

    session: LabSession
    activity: SessionActivity | None
    home: HomeUsage | None
    look: SessionView | None

    def work(self, at: datetime) -> str:
        """busy, quiet (nothing runs now), idle (about to be stopped for it), or unknown."""
        said = self.activity
        if self.session.state is not SessionState.RUNNING or said is None or said.reported_at < at - SILENT_AFTER:
            return "unknown"
        if said.busy_kernels or said.accelerator_percent:
            return "busy"
        return "idle" if self.session.idle_warned_at else "quiet"


def watched(actor: Actor, sessions: Iterable[LabSession]) -> dict[UUID, Watched]:
    """By session, with three looks at the database for all of them."""
    sessions = list(sessions)
    ids = [session.id for session in sessions]
    homes = {(session.person_id, session.center_id) for session in sessions}
    said = {
        row.session_id: row
        for row in db.session.scalars(
            select(SessionActivity).where(SessionActivity.session_id.in_(ids)).execution_options(populate_existing=True)
        )
    }
    usage = {
        (row.person_id, row.center_id): row
        for row in db.session.scalars(
            select(HomeUsage)
            .where(tuple_(HomeUsage.person_id, HomeUsage.center_id).in_(homes))
            .execution_options(populate_existing=True)
        )
    }
    looks = {
        row.session_id: row
        for row in db.session.scalars(
            select(SessionView).where(
                SessionView.session_id.in_(ids),
                SessionView.viewer_id == actor.person_id,
                SessionView.state.in_(OPEN_VIEWS),
            )
        )
    }
    return {
        session.id: Watched(
            session, said.get(session.id), usage.get((session.person_id, session.center_id)), looks.get(session.id)
        )
        for session in sessions
    }
