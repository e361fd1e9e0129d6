"""Figures of labs for Prometheus: a handful of counts, each by an index, without anybody's name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, case, extract, func, or_, select

from app import clock
from app.db import db
from labs.models import (
    LIVE_STATES,
    Center,
    CenterLoad,
    CenterState,
    Decision,
    Hold,
    HoldState,
    LabSession,
    LedgerAudit,
    SessionState,
)

RECENT = timedelta(hours=1)
YOUNG = timedelta(hours=24)  # sessions are looked at that were asked for since; ids are in the order of time
QUANTILES = (0.5, 0.95)


@dataclass(frozen=True)
class CenterFigures:
    slug: str
    kind: str
    state: CenterState
    places: int
    taken: int
    unreachable_seconds: float  # 0: it answers


@dataclass(frozen=True)
class LineFigures:
    center: str
    waiting: int
    longest_seconds: float


@dataclass(frozen=True)
class StartFigures:
    """Starts of the last hour at a center: by outcome, and how long those took that became ready."""

    center: str
    ready: int
    failed: int
    seconds: tuple[float | None, ...]  # by QUANTILES


def centers() -> list[CenterFigures]:
    now = clock.now()
    rows = db.session.execute(
        select(
            Center.slug,
            Center.kind,
            Center.state,
            Center.session_limit,
            func.coalesce(CenterLoad.taken, 0),
            Center.unreachable_since,
        ).outerjoin(CenterLoad, CenterLoad.center_id == Center.id)
    )
    return [
        CenterFigures(slug, str(kind), state, places, taken, _seconds(since, now))
        for slug, kind, state, places, taken, since in rows
    ]


def sessions() -> Sequence[Any]:
    """(center, state, number) of what is live."""
    return db.session.execute(
        select(Center.slug, LabSession.state, func.count())
        .join(Center, Center.id == LabSession.center_id)
        .where(LabSession.state.in_(LIVE_STATES))
        .group_by(Center.slug, LabSession.state)
    ).all()


def lines() -> list[LineFigures]:
    now = clock.now()
    rows = db.session.execute(
        select(Center.slug, func.count(LabSession.id), func.min(LabSession.waiting_since))
        .outerjoin(LabSession, and_(LabSession.center_id == Center.id, LabSession.state == SessionState.WAITING))
        .group_by(Center.slug)
    )
    return [LineFigures(slug, number, _seconds(since, now)) for slug, number, since in rows]


def starts() -> list[StartFigures]:
    """Of sessions that were asked for within a day: those that became ready, or failed, within the last hour."""
    now = clock.now()
    ready = LabSession.ready_at >= now - RECENT
    failed = and_(
        LabSession.ended_at >= now - RECENT, LabSession.ready_at.is_(None), LabSession.stop_reason == "start-failed"
    )
    took = extract("epoch", LabSession.ready_at - LabSession.ordered_at)
    quantiles = [func.percentile_cont(part).within_group(case((ready, took))) for part in QUANTILES]
    rows = db.session.execute(
        select(Center.slug, func.count().filter(ready), func.count().filter(failed), *quantiles)
        .select_from(LabSession)
        .join(Center, Center.id == LabSession.center_id)
        .where(LabSession.id >= _first_id(now - YOUNG), or_(ready, failed))
        .group_by(Center.slug)
    )
    return [StartFigures(slug, ok, bad, tuple(took)) for slug, ok, bad, *took in rows]


def decisions() -> Sequence[Any]:
    """(outcome, class of the refusal or None, number) of the last hour."""
    recent = Decision.id >= _first_id(clock.now() - RECENT)
    statement = select(Decision.outcome, Decision.kind, func.count()).where(recent)
    return db.session.execute(statement.group_by(Decision.outcome, Decision.kind)).all()


def open_holds() -> tuple[int, int]:
    """How many, and their micro-credits."""
    number, micro = db.session.execute(
        select(func.count(), func.coalesce(func.sum(Hold.amount), 0)).where(Hold.state == HoldState.OPEN)
    ).one()
    return number, int(micro)


def latest_audit() -> tuple[int, float, float] | None:
    """How many balances differed, how long it took, and how many seconds ago it was."""
    row = db.session.scalar(select(LedgerAudit).order_by(LedgerAudit.created_at.desc()).limit(1))
    return None if row is None else (row.differences, row.seconds, _seconds(row.created_at, clock.now()))


def _seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _first_id(moment: datetime) -> UUID:
    """The smallest id that could have been made then: ids begin with their moment."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
