"""The worker: one at a time, woken by the commit, and back after the database was away."""

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import jobs
from app.db import db, transaction
from app.jobs import Job, Worker
from tests.campus import until


class Counted:
    """A job that counts its runs."""

    def __init__(self, name="counted"):
        self.__name__ = name
        self.runs = 0

    def __call__(self):
        self.runs += 1
        return 1


@pytest.fixture
def start(app, committed):
    """Start workers in threads; all are stopped at the end."""
    started = []

    def begin(*work):
        worker = Worker(app, [Job(one, every=timedelta(hours=1)) for one in work])
        thread = threading.Thread(target=worker.run)
        thread.start()
        started.append((worker, thread))
        return worker

    yield begin
    for worker, _thread in started:
        worker.stop()
    for _worker, thread in started:
        thread.join(15)
        assert not thread.is_alive()


@pytest.mark.campus  # the clock must run
def test_a_commit_wakes_the_worker_and_a_rollback_does_not(start):
    job = Counted()
    start(job)
    until(lambda: job.runs == 1)  # once at the start

    jobs.wake("counted")
    db.session.rollback()
    with transaction():
        jobs.wake("counted")

    until(lambda: job.runs >= 2, 5)
    assert job.runs == 2


@pytest.mark.campus
def test_the_second_worker_waits_for_its_turn(start):
    first, second = Counted(), Counted()
    one = start(first)
    until(lambda: first.runs == 1)
    start(second)
    with transaction():
        jobs.wake("counted")
    until(lambda: first.runs == 2, 5)
    assert second.runs == 0

    one.stop()

    until(lambda: second.runs == 1, 15)


@pytest.mark.campus
def test_a_worker_whose_connection_breaks_comes_back(start):
    job = Counted()
    start(job)
    until(lambda: job.runs == 1)

    db.session.execute(
        sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query = 'SELECT 1'"
        )
    )
    db.session.rollback()

    until(lambda: job.runs >= 2, 15)


@pytest.mark.campus
def test_a_job_that_fails_does_not_stop_the_others(start, caplog):
    def broken():
        raise RuntimeError("no luck")

    job = Counted()
    start(broken, job)

    until(lambda: job.runs == 1)
    until(lambda: "job failed" in caplog.text)
