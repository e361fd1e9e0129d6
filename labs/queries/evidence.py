"""Reads on what schedulers' accounting says: of a session, where it and the ledger part, and what made no sense."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Select, select, text

from app import clock
from app.db import db
from app.errors import NotFound
from labs.models import AccountingCursor, AccountingReject, Center, CenterKind, JobSegment, RejectState
from labs.models.sessions import GRACE_SECONDS

LET_BE_SECONDS = 2  # Slurm notes whole seconds, at both ends
LATE = timedelta(minutes=10)  # what accounting may take, until it is a difference that it says nothing
LOOKED_BACK = timedelta(days=40)  # sessions that ended earlier are not compared any more
LISTED = 200


@dataclass(frozen=True)
class Accounted:
    """What accounting knows of a session. `seconds` are those its person pays for: since the lab was ready, no longer
    than the grace after its lease or the order to stop it."""

    session_id: UUID
    segments: int
    is_open: bool  # a segment has not ended, or waits to begin
    ended_at: datetime | None
    state: str | None  # of the last segment, in the scheduler's words
    seconds: int


# Who submits a job of another's name pays nothing and takes nothing: only what ran as the account of the first counts.
_ACCOUNTED = """
WITH sessions AS (
    SELECT l.*, least(l.lease_ends_at, l.stop_requested_at) + make_interval(secs => :grace) AS paid_until
    FROM lab_session l JOIN center c ON c.id = l.center_id WHERE c.kind = 'slurm' AND {of_sessions}
), mine AS (
    SELECT s.*, first_value(s."user") OVER (PARTITION BY s.work_id ORDER BY s.submitted_at, s.job_id) AS first_user
    FROM job_segment s JOIN sessions l ON l.id = s.work_id AND l.center_id = s.center_id WHERE NOT s.is_batch
), grouped AS (
    SELECT l.id, count(m.job_id) AS segments, max(m.ended_at) AS ended_at,
        coalesce(bool_or(m.ended_at IS NULL) FILTER (WHERE m.job_id IS NOT NULL), false) AS is_open,
        (array_agg(m.state ORDER BY m.submitted_at DESC, m.job_id DESC))[1] AS state,
        coalesce(sum(m.suspended_seconds) FILTER (WHERE m.ended_at > l.ready_at), 0) AS suspended,
        range_agg(tstzrange(greatest(m.started_at, l.ready_at), least(m.ended_at, l.paid_until))) FILTER (
            WHERE m.started_at IS NOT NULL AND m.ended_at IS NOT NULL AND l.ready_at IS NOT NULL
                AND greatest(m.started_at, l.ready_at) < least(m.ended_at, l.paid_until)
        ) AS ran
    FROM sessions l LEFT JOIN mine m ON m.work_id = l.id AND m."user" = m.first_user
    GROUP BY l.id
), accounted AS (
    SELECT id, segments, is_open, ended_at, state, greatest(0, floor(coalesce(
        (SELECT sum(extract(epoch FROM upper(stretch) - lower(stretch))) FROM unnest(ran) AS stretch), 0
    )) - suspended)::int AS seconds FROM grouped
)
"""


def accounted(session_ids: Iterable[UUID]) -> dict[UUID, Accounted]:
    """What accounting says of these sessions; those of centers without one are not in the answer."""
    query = _ACCOUNTED.format(of_sessions="l.id = ANY(:ids)")
    found = db.session.execute(
        text(query + "SELECT id, segments, is_open, ended_at, state, seconds FROM accounted"),  # noqa: S608
        {"ids": list(session_ids), "grace": GRACE_SECONDS},
    )
    return {row[0]: Accounted(*row) for row in found}


def to_weigh(center_id: UUID, work_ids: Iterable[str]) -> list[UUID]:
    """Of these sessions, and of those that are on, the ones where something must follow from what accounting says."""
    query = _ACCOUNTED.format(
        of_sessions="""l.center_id = :center
            AND (l.id = ANY(CAST(:ids AS uuid[])) OR l.state IN ('running', 'stopping'))
            AND l.ready_at IS NOT NULL AND l.hold_id IS NOT NULL""",
    )
    query += """SELECT s.id FROM sessions s JOIN accounted a USING (id) WHERE a.segments > 0 AND NOT a.is_open AND (
        (s.state IN ('running', 'stopping') AND a.ended_at >= date_trunc('second', s.ready_at))
        OR (s.state = 'settled' AND abs(s.seconds_used - a.seconds) > :let_be)) ORDER BY s.id"""
    values = {"center": center_id, "ids": list(work_ids), "grace": GRACE_SECONDS, "let_be": LET_BE_SECONDS}
    return list(db.session.scalars(text(query), values))


class DifferenceKind(StrEnum):
    SECONDS = "seconds"  # charged for another time than accounting says
    NO_EVIDENCE = "no-evidence"  # charged, and accounting knows nothing of it
    STILL_OPEN = "still-open"  # ended for us, and not for accounting
    ENDED = "ended"  # on for us, and ended for accounting


@dataclass(frozen=True)
class Difference:
    """Where the ledger and a scheduler's accounting part on a session. Seconds are those that are to be paid."""

    kind: DifferenceKind
    center: str
    session_id: UUID
    since: datetime | None
    charged_seconds: int
    accounted_seconds: int
    charged_micro: int


_DIFFERENCES = """
, judged AS (
    SELECT s.*, a.seconds AS accounted, CASE
        WHEN s.state IN ('running', 'stopping') THEN
            CASE WHEN a.segments > 0 AND NOT a.is_open AND a.ended_at >= date_trunc('second', s.ready_at)
                AND a.ended_at < :late THEN 'ended' END
        WHEN a.segments = 0 THEN CASE WHEN s.seconds_used > :let_be THEN 'no-evidence' END
        WHEN a.is_open THEN 'still-open'
        WHEN abs(s.seconds_used - a.seconds) > :let_be THEN 'seconds'
    END AS kind
    FROM sessions s JOIN accounted a USING (id)
    LEFT JOIN accounting_cursor r ON r.center_id = s.center_id
    WHERE s.state IN ('running', 'stopping') OR s.ended_at < least(:late, coalesce(r.read_until, :late))
)
SELECT j.kind, c.slug, j.id, coalesce(j.ended_at, j.last_running_at), j.seconds_used, j.accounted, j.charged_micro
FROM judged j JOIN center c ON c.id = j.center_id WHERE j.kind IS NOT NULL ORDER BY 4, j.id LIMIT :listed
"""


def differences() -> list[Difference]:
    """Where charges and accounting part, the oldest first. Empty at the end of a day: what comes late is followed."""
    now = clock.now()
    query = _ACCOUNTED.format(
        of_sessions="""l.ready_at IS NOT NULL AND l.hold_id IS NOT NULL
            AND (l.state IN ('running', 'stopping') OR (l.state = 'settled' AND l.ended_at >= :since))""",
    )
    values = {
        "grace": GRACE_SECONDS,
        "let_be": LET_BE_SECONDS,
        "late": now - LATE,
        "since": now - LOOKED_BACK,
        "listed": LISTED,
    }
    found = db.session.execute(text(query + _DIFFERENCES), values)
    return [Difference(DifferenceKind(row[0]), *row[1:]) for row in found]


def open_jobs(center_id: UUID) -> list[int]:
    """Jobs with a segment that has not ended, as far as we know."""
    statement = select(JobSegment.job_id).where(JobSegment.center_id == center_id, JobSegment.ended_at.is_(None))
    return list(db.session.scalars(statement.distinct().order_by(JobSegment.job_id)))


def cursors() -> list[AccountingCursor]:
    """How far the accounting of each center has been read."""
    return list(db.session.scalars(select(AccountingCursor).order_by(AccountingCursor.center_id)))


def unread_centers() -> list[Center]:
    """Centers of Slurm whose accounting was never read: nobody said how to reach it."""
    read = select(AccountingCursor.center_id)
    return list(db.session.scalars(select(Center).where(Center.kind == CenterKind.SLURM, Center.id.not_in(read))))


def rejects(state: RejectState | None = RejectState.OPEN) -> Select[AccountingReject]:
    """Rows that made no sense, the newest first; with None, those that were decided too."""
    statement = select(AccountingReject).order_by(AccountingReject.id.desc())
    return statement if state is None else statement.where(AccountingReject.state == state)


def reject(reject_id: UUID, *, lock: bool = False) -> AccountingReject:
    found = db.session.get(AccountingReject, reject_id, with_for_update={"of": AccountingReject} if lock else None)
    if found is None:
        raise NotFound
    return found
