"""What the worker tells of itself, once a second: that it lives, and how its jobs went. Read by /metrics and doctors.

Moments are the database's, so that a worker and a reader with different clocks agree.
"""

import json
import os
import socket
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import psycopg
import sqlalchemy as sa
from prometheus_client.core import Metric
from sqlalchemy import BigInteger, CheckConstraint, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, db
from app.metrics import counters, gauges

LIVES = timedelta(seconds=30)  # without a beat for so long it does not


class WorkerBeat(Base):
    """The worker that is at work, or was last; one row."""

    __tablename__ = "worker_beat"
    __table_args__ = (CheckConstraint("id = 1", name="one"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[datetime]
    beat_at: Mapped[datetime]


class JobTally(Base):
    """How often a job ran, over all workers there ever were."""

    __tablename__ = "job_tally"

    job: Mapped[str] = mapped_column(primary_key=True)
    runs: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(BigInteger)  # of them
    done: Mapped[int] = mapped_column(BigInteger)  # things they did
    seconds: Mapped[float]
    longest_seconds: Mapped[float]  # of the last second in which it ran
    succeeded_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]


@dataclass
class Tally:
    job: str
    runs: int = 0
    failures: int = 0
    done: int = 0
    seconds: float = 0.0
    longest_seconds: float = 0.0


_BEAT = """
WITH beat AS (
    INSERT INTO worker_beat AS b (id, host, pid, started_at, beat_at) VALUES (1, %(host)s, %(pid)s, now(), now())
    ON CONFLICT (id) DO UPDATE SET beat_at = now(), host = excluded.host, pid = excluded.pid,
        started_at = CASE WHEN (b.host, b.pid) = (excluded.host, excluded.pid) THEN b.started_at ELSE now() END
)
INSERT INTO job_tally AS t (job, runs, failures, done, seconds, longest_seconds, succeeded_at, failed_at)
SELECT job, runs, failures, done, seconds, longest_seconds,
    CASE WHEN runs > failures THEN now() END, CASE WHEN failures > 0 THEN now() END
FROM json_populate_recordset(NULL::job_tally, %(tallies)s::json)
ON CONFLICT (job) DO UPDATE SET runs = t.runs + excluded.runs, failures = t.failures + excluded.failures,
    done = t.done + excluded.done, seconds = t.seconds + excluded.seconds, longest_seconds = excluded.longest_seconds,
    succeeded_at = coalesce(excluded.succeeded_at, t.succeeded_at),
    failed_at = coalesce(excluded.failed_at, t.failed_at)
"""


class Heart:
    """Counts runs of jobs in this process until the next beat writes them down. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: dict[str, Tally] = {}

    def ran(self, job: str, seconds: float, done: int, *, failed: bool) -> None:
        with self._lock:
            self._add(Tally(job, 1, int(failed), done, seconds, seconds))

    def beat(self, connection: psycopg.Connection[tuple[bool]]) -> None:
        """Write down that we live, in a round trip. What cannot be written is kept for the next beat."""
        with self._lock:
            tallies, self._tallies = self._tallies, {}
        values = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "tallies": json.dumps([asdict(tally) for tally in tallies.values()]),
        }
        try:
            connection.execute(_BEAT, values)
        except psycopg.Error:
            with self._lock:
                for tally in tallies.values():
                    self._add(tally)
            raise

    def _add(self, more: Tally) -> None:
        known = self._tallies.setdefault(more.job, Tally(more.job))
        known.runs += more.runs
        known.failures += more.failures
        known.done += more.done
        known.seconds += more.seconds
        known.longest_seconds = max(known.longest_seconds, more.longest_seconds)


def age() -> timedelta | None:
    """How long ago the worker last said that it lives; None: there never was one."""
    return db.session.scalar(sa.select(sa.func.now() - WorkerBeat.beat_at))


def read(periods: dict[str, float]) -> Iterable[Metric]:
    """The worker and its jobs for /metrics. `periods` says in seconds how often each job should run."""
    beat = db.session.scalar(sa.select(sa.extract("epoch", sa.func.now() - WorkerBeat.beat_at)))
    yield gauges("chancai_worker_beat_age_seconds", "Since the worker last said that it lives", [], [([], beat)])
    since = sa.extract("epoch", sa.func.now() - JobTally.succeeded_at)
    rows = [(row, ago) for row, ago in db.session.execute(sa.select(JobTally, since)) if row.job in periods]
    for name, says, column in (
        ("chancai_job_runs", "Runs of a job", "runs"),
        ("chancai_job_failures", "Runs of a job that failed", "failures"),
        ("chancai_job_seconds", "How long its runs took, added up", "seconds"),
        ("chancai_job_things", "Things a job did", "done"),
    ):
        yield counters(name, says, ["job"], [([row.job], getattr(row, column)) for row, _ in rows])
    yield gauges(
        "chancai_job_longest_seconds",
        "The longest of the latest runs of a job",
        ["job"],
        (([row.job], row.longest_seconds) for row, _ in rows),
    )
    yield gauges(
        "chancai_job_since_success_seconds",
        "Since a job last ran to its end",
        ["job"],
        (([row.job], ago) for row, ago in rows),
    )
    yield gauges(
        "chancai_job_late_seconds",
        "By how much a job is late: since it last ran to its end, less how often it should run",
        ["job"],
        (([row.job], None if ago is None else max(0.0, float(ago) - periods[row.job])) for row, ago in rows),
    )
