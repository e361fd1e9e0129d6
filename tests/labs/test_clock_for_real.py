"""The clock of a campus that runs is set by hours, forward and back: labs go on, and cost what they ran.

Web server, worker and hub read a clock that a file sets; PostgreSQL and the labs keep theirs. How long something
really ran is told by the clock of this test, which nobody sets.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests import campus as campuses
from tests.campus import Campus, until
from tests.visitor import Student

pytestmark = pytest.mark.campus
CLOCK = Path(__file__).parent / "clock_that_steps"
FOUND_WITHIN = 20.0  # seconds, until the reconciler has looked at a lab again: two passes
BOUND = 30.0  # docs/labs.md: by how much a lease may be off, with its stop
HOUR = 3600


@pytest.fixture(scope="module")
def own() -> Iterator[Campus]:
    with campuses.room() as folder, campuses.kept(folder / "var", CLOCK) as campus:
        yield campus


@pytest.fixture(scope="module")
def lab(own) -> Iterator[tuple[str, str]]:
    with Student(own) as student:
        yield student.enroll()


class Clock:
    """The clock that the campus reads."""

    def __init__(self, campus: Campus) -> None:
        self.campus, self.seconds = campus, 0

    def set(self, seconds: int) -> None:
        """By so many seconds against the true time, for every part at once."""
        fresh = self.campus.var_dir / "clock-set-by.new"
        fresh.write_text(str(seconds))
        fresh.rename(self.campus.var_dir / "clock-set-by")
        self.seconds = seconds

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)


def settings(campus: Campus) -> dict[str, str]:
    return json.loads((campus.var_dir / "secrets" / "environment.json").read_text())


def row_of(campus: Campus, session: str) -> dict[str, Any]:
    url = settings(campus)["DATABASE_URL"].replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as database:
        found = database.execute("SELECT * FROM lab_session WHERE id = %s", (session,)).fetchone()
    assert found is not None
    return found


def chancai(campus: Campus, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command typed by hand on the same host, so by the same clock."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "app.cli", *words],
        env={"VAR_DIR": str(campus.var_dir), "PATH": os.environ["PATH"], "PYTHONPATH": str(CLOCK)},
        capture_output=True,
        text=True,
        check=False,
    )


def is_seen_again(campus: Campus, session: str, clock: Clock) -> bool:
    row = row_of(campus, session)
    return row["state"] == "running" and abs(row["last_running_at"] - clock.now) < timedelta(seconds=FOUND_WITHIN)


def test_hours_forward_and_back_end_no_lease_and_charge_nothing_that_did_not_run(own, lab):
    clock = Clock(own)
    with Student(own) as student, Student(own, "zhang.min") as teacher:
        session = student.running(*lab)
        ran_from = time.monotonic()
        short = str(teacher.launch(*lab, minutes=1)["id"])
        until(lambda: teacher.state(short) == "running", 60)
        short_from = time.monotonic()
    lease = row_of(own, session)["lease_ends_at"] - row_of(own, session)["ready_at"]

    for hours in (3, -2):  # three hours forward; then five hours back
        clock.set(hours * HOUR)
        until(lambda: is_seen_again(own, session, clock), FOUND_WITHIN)

        row = row_of(own, session)
        assert row["lease_ends_at"] - row["ready_at"] == lease
        left, had = row["lease_ends_at"] - clock.now, time.monotonic() - ran_from
        assert abs((lease - left).total_seconds() - had) < 5
        assert row["seconds_used"] <= had
    until(lambda: row_of(own, short)["state"] == "settled", 120)
    lasted = time.monotonic() - short_from
    assert 60 - 2 <= lasted <= 60 + BOUND
    row = row_of(own, short)
    assert (row["stop_reason"], row["seconds_used"] <= lasted + 1) == ("lease-ended", True)
    assert row["seconds_used"] >= 58

    _set_while_no_worker_runs(own, clock, 7 * HOUR)
    until(lambda: is_seen_again(own, session, clock), 2 * FOUND_WITHIN)

    with Student(own) as student:
        student.stop(session)
    ran = time.monotonic() - ran_from
    found = row_of(own, session)
    assert ran - BOUND <= found["seconds_used"] <= ran + 1
    said = chancai(own, "ledger", "audit")
    assert said.returncode == 0, said.stdout + said.stderr
    until(lambda: chancai(own, "labs", "drift").returncode == 0, 60)


def _set_while_no_worker_runs(campus: Campus, clock: Clock, seconds: int) -> None:
    wait, pid = campus.var_dir / "wait", campus.parts["worker"]
    wait.touch()
    try:
        worker = psutil.Process(pid)
        worker.kill()
        with contextlib.suppress(psutil.TimeoutExpired):
            worker.wait(10)
        clock.set(seconds)
        time.sleep(2)
    finally:
        wait.unlink()
    until(lambda: campus.parts["worker"] != pid, 60)
