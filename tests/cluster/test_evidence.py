"""Evidence from a real slurmdbd, through a real slurmrestd, into a real ledger."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app import clock as now
from app.db import db, transaction
from deploy.cluster import build, parts
from deploy.cluster.layout import Layout
from labs import ledger
from labs.adapters.slurmrestd import Order, Slurm, SlurmRest
from labs.models import AccountingCursor, CenterKind, JobSegment, LabSession
from labs.models import SessionState as State
from labs.queries import evidence as queries
from labs.services import evidence
from tests.cluster.conftest import eventually
from tests.fakes import FakeHub
from tests.labs.conftest import Campus
from tests.labs.conftest import build as build_campus
from tests.make import Make

pytestmark = [pytest.mark.cluster, pytest.mark.hub]  # the clock runs


@pytest.fixture
def campus(app: Flask, make: Make, hub: FakeHub, slurm: SlurmRest) -> Iterator[Campus]:
    """A platform whose hub is played, and whose scheduler is real."""
    campus = build_campus(app, make, hub)
    campus.center.kind = CenterKind.SLURM
    db.session.commit()
    app.extensions["slurms"]["embedded"] = Slurm(slurm, "slurm")
    yield campus
    app.extensions["slurms"].clear()


def submit(cluster: Layout, slurm: SlurmRest, name: str, script: str = "sleep 60", **more: Any) -> int:
    person = cluster.lab_accounts[0]
    home = str(cluster.homes / person)
    order = Order(
        name=name,
        script=f"#!/bin/bash\n{script}\n",
        account="chancai",
        partition="labs",
        folder=home,
        output=f"{home}/{name}.log",
        minutes=5,
        cores=1,
        memory_mb=100,
        qos="lab",
    )
    return slurm.submit(person, order)


def started(campus: Campus, cluster: Layout, slurm: SlurmRest, script: str = "sleep 60") -> tuple[LabSession, int]:
    """A running session, and the job that is its lab."""
    session = campus.launch()
    campus.run("start_sessions")
    job_id = submit(cluster, slurm, session.server_name, script)
    eventually(lambda: (job := slurm.job("slurm", job_id)) is not None and job.is_running)
    campus.redeem(session)
    campus.run("follow_sessions")
    return campus.again(session.id), job_id


def import_(campus: Campus) -> bool:
    """True, to go on with what is looked at then."""
    campus.run("import_accounting")
    return True


def segments(session: LabSession) -> list[tuple[str, bool]]:
    """State, and whether it has ended. The cluster has jobs of other tests, too."""
    found = sa.select(JobSegment).where(JobSegment.work_id == session.id).order_by(JobSegment.submitted_at)
    return [(one.state, one.ended_at is not None) for one in db.session.scalars(found)]


def end_for_us(session: LabSession, at: Any) -> None:
    with transaction():
        evidence.sessions.end(session.id, at, "student")


def agrees(session: LabSession, cluster: Layout) -> bool:
    """What is charged is what sacct says, asked by itself and by hand."""
    said = parts.run(
        *(cluster, "sacct", "-a", "-X", "-n", "-P", "-D", f"--name={session.server_name}", "--format=Start,End"),
        *("-S", "now-1hour"),
    )
    last = said.split()[-1].split("|")[1]
    ended = parts.run(cluster, "date", "-d", last, "+%s")
    assert session.ready_at
    return abs(int(ended) - session.ready_at.timestamp() - session.seconds_used) <= queries.LET_BE_SECONDS + 1


def test_a_job_that_ended_earlier_than_the_hub_believed(campus: Campus, cluster: Layout, slurm: SlurmRest) -> None:
    session, job_id = started(campus, cluster, slurm)
    import_(campus)
    assert segments(session) == [("RUNNING", False)]
    time.sleep(3)
    slurm.cancel("slurm", job_id)
    eventually(lambda: (job := slurm.job("slurm", job_id)) is None or job.has_ended)
    end_for_us(session, now.now() + timedelta(seconds=40))  # what a hub says that was asleep
    assert campus.again(session.id).seconds_used > 40

    eventually(lambda: import_(campus) and segments(session) == [("CANCELLED", True)])

    session = campus.again(session.id)
    assert segments(session) == [("CANCELLED", True)]
    assert session.seconds_used < 20
    assert agrees(session, cluster)
    assert queries.differences() == []
    assert ledger.audit() == []


def test_a_job_that_ran_longer_than_was_charged(campus: Campus, cluster: Layout, slurm: SlurmRest) -> None:
    session, _job_id = started(campus, cluster, slurm, "sleep 9")
    end_for_us(session, now.now())
    short = campus.again(session.id).seconds_used

    eventually(lambda: import_(campus) and campus.again(session.id).seconds_used != short, 60)

    session = campus.again(session.id)
    assert session.seconds_used > short + 3
    assert agrees(session, cluster)
    assert ledger.audit() == []


def test_a_job_killed_from_outside_ends_its_lab(campus: Campus, cluster: Layout, slurm: SlurmRest) -> None:
    session, job_id = started(campus, cluster, slurm)
    slurm.cancel("slurm", job_id)

    eventually(lambda: import_(campus) and campus.again(session.id).state is State.SETTLED, 60)

    assert agrees(campus.again(session.id), cluster)


def test_a_requeued_job_has_two_segments(campus: Campus, cluster: Layout, slurm: SlurmRest) -> None:
    session = campus.launch()
    person = cluster.lab_accounts[0]
    home = str(cluster.homes / person)
    words = [
        "sbatch",
        "--parsable",
        "--requeue",
        "-A",
        "chancai",
        "-D",
        home,
        "-J",
        session.server_name,
        "--wrap=sleep 60",
    ]
    job_id = int(parts.run(cluster, *words, account=person))
    eventually(lambda: (job := slurm.job("slurm", job_id)) is not None and job.is_running)
    time.sleep(2)
    parts.run(cluster, "scontrol", "requeue", str(job_id))
    eventually(lambda: (job := slurm.job("slurm", job_id)) is not None and job.is_pending)
    eventually(lambda: starts_again(cluster, slurm, job_id), 90)
    slurm.cancel("slurm", job_id)

    both = [("REQUEUED", True), ("CANCELLED", True)]
    eventually(lambda: import_(campus) and segments(session) == both, 60)
    again = campus.run("import_accounting")

    assert again == 0


def starts_again(cluster: Layout, slurm: SlurmRest, job_id: int) -> bool:
    """A requeued job waits for two minutes, unless it is told not to once it ended; each telling puts it off anew."""
    parts.run(cluster, "scontrol", "update", f"JobId={job_id}", "StartTime=now")
    for _look in range(20):
        if (job := slurm.job("slurm", job_id)) and job.is_running:
            return True
        time.sleep(0.5)
    return False


def test_accounting_that_was_away_for_some_time(campus: Campus, cluster: Layout, slurm: SlurmRest) -> None:
    """slurmdbd dies while a lab ends: nothing moves, and all is told later."""
    session, job_id = started(campus, cluster, slurm, "sleep 5")
    import_(campus)
    read_until = db.session.scalars(sa.select(AccountingCursor.read_until)).one()
    build.kill(cluster, "slurmdbd")
    try:
        eventually(lambda: (job := slurm.job("slurm", job_id)) is None or job.has_ended)
        end_for_us(session, now.now() + timedelta(seconds=100))

        import_(campus)

        cursor = db.session.scalars(sa.select(AccountingCursor)).one()
        assert cursor.read_until == read_until
        assert cursor.silent_since is not None
    finally:
        build._start_books(cluster)

    eventually(lambda: import_(campus) and campus.again(session.id).seconds_used < 100, 90)

    assert agrees(campus.again(session.id), cluster)
    assert db.session.scalars(sa.select(AccountingCursor.silent_since)).one() is None
    assert queries.differences() == []


def test_what_a_job_is_cut_off_by_is_told(campus: Campus, cluster: Layout, slurm: SlurmRest) -> None:
    session = campus.launch()
    submit(cluster, slurm, session.server_name, "kill -9 $$")

    eventually(lambda: import_(campus) and segments(session) == [("FAILED", True)], 60)

    status = sa.select(JobSegment.exit_status).where(JobSegment.work_id == session.id)
    assert db.session.scalars(status).one() == 9
