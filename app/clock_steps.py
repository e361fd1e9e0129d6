"""Notices that the clock of this host was set, against a second one that only counts.

What both show apart is kept in the trail, by boot of the host, and written in the transaction that tells those who
have something under way. So a step is found, and followed once, also where it came while no worker ran.
"""

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app import audit, clock
from app.access import SYSTEM
from app.audit import AuditEntry
from app.db import db, transaction

NOTICED = timedelta(seconds=5)  # smaller steps are let be, until they add up to this
BOOT = Path("/proc/sys/kernel/random/boot_id")
COUNTER = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # counts while the host sleeps, too, where it can
MICROSECOND = timedelta(microseconds=1)

Follow = Callable[[timedelta], None]  # told by how much the clock was set forward; negative: back


class Host:
    """This host since it was booted, as the trail knows it."""

    __tablename__ = "host"

    def __init__(self, boot: UUID) -> None:
        self.id = boot


class Watch:
    """Compares the clock with the counter. Made in an application context, by the one worker that works."""

    def __init__(self, followers: list[Follow]) -> None:
        self._followers = followers
        self._host = _host()
        kept = None if self._host is None else _kept(self._host)
        self._apart = _apart() if kept is None else kept
        if kept is None:
            with transaction():
                self._keep(self._apart, timedelta())

    def step(self) -> timedelta:
        """By how much the clock was set since the last time we followed it; nothing where that is too little."""
        return _noticed(_apart() - self._apart)

    def check(self, moment: datetime) -> None:
        if _noticed(_apart(moment) - self._apart):
            raise clock.ClockStepped

    def follow(self) -> None:
        """Tell everybody, in one transaction. No job may be under way."""
        moment = datetime.now(UTC)
        apart = _apart(moment)
        with clock.at(moment), transaction():
            for follower in self._followers:
                follower(apart - self._apart)
            self._keep(apart, apart - self._apart)
        self._apart = apart

    def _keep(self, apart: timedelta, step: timedelta) -> None:
        if self._host is not None:
            facts: dict[str, Any] = {"apart_us": apart // MICROSECOND, "step_seconds": round(step.total_seconds(), 1)}
            with clock.at(datetime.now(UTC)):
                audit.record(SYSTEM, "host.clock", self._host, counter=time.clock_gettime(COUNTER), **facts)
                db.session.flush()


def _noticed(step: timedelta) -> timedelta:
    return step if abs(step) >= NOTICED else timedelta()


def _apart(moment: datetime | None = None) -> timedelta:
    """What the clock is ahead of the counter."""
    seconds = (moment or datetime.now(UTC)).timestamp() - time.clock_gettime(COUNTER)
    return timedelta(seconds=seconds)


def _host() -> Host | None:
    with contextlib.suppress(OSError, ValueError):
        return Host(UUID(BOOT.read_text().strip()))
    return None


def _kept(host: Host) -> timedelta | None:
    statement = sa.select(AuditEntry.changes).where(AuditEntry.subject == "host", AuditEntry.subject_id == host.id)
    latest = AuditEntry.changes["counter"].as_float().desc()  # moments and ids follow the clock, which was set
    with transaction():
        changes = db.session.scalar(statement.order_by(latest).limit(1))
    return None if changes is None else timedelta(microseconds=changes["apart_us"])
