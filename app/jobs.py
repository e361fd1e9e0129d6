"""Scheduled work. `chancai jobs run` is its own process; the web processes run no jobs.

A job is a function without arguments that may run twice and does the same as running once. Workers may
be many: one of them holds an advisory lock and works, the others wait for it. A transaction that leaves
work behind calls `wake(name)`, and the worker starts that job as soon as the transaction has committed.
"""

import contextvars
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

import click
import psycopg
import sqlalchemy as sa
from apscheduler.schedulers.background import BackgroundScheduler
from flask import Flask, current_app
from flask.cli import AppGroup
from prometheus_client.core import Metric

from app import clock, heartbeat, logs, systemd
from app.clock_steps import Follow, Watch
from app.db import db, transaction
from app.heartbeat import Heart
from app.ids import uuid7

log = logging.getLogger(__name__)
ONE_WORKER = 7_021_001  # key of the advisory lock that only one worker holds
CHANNEL = "chancai_jobs"
HANDS = 32  # things done beside the jobs at once


@dataclass(frozen=True)
class Job:
    run: Callable[[], int]  # returns how many things it did
    every: timedelta

    @property
    def name(self) -> str:
        return self.run.__name__


def wake(name: str) -> None:
    """Ask for that job at once; the worker hears of it when the current transaction commits."""
    db.session.execute(sa.select(sa.func.pg_notify(CHANNEL, name)))


def beside(app: Flask, work: Callable[[], object]) -> bool:
    """Let this process's worker do something beside its jobs, at once. False where no worker runs or it has no hand
    free: what is done this way is a shortcut only, and some job finds it too."""
    worker: Worker | None = app.extensions.get("worker")
    return worker is not None and worker.beside(work)


def run_job(app: Flask, job: Job) -> int:
    with app.app_context(), logs.about(job=job.name, request_id=uuid7().hex):
        done = job.run()
        if done:
            log.info("job done", extra={"done": done})
        return done


class Worker:
    """Runs each job on its schedule and when woken, never the same job twice at a time."""

    def __init__(self, app: Flask, jobs: Sequence[Job], followers: Sequence[Follow] | None = None) -> None:
        """With `followers` it watches the clock, and tells them of every step before any job goes on."""
        self._app = app
        self._followers = followers
        self._watch: Watch | None = None
        self._jobs = {job.name: job for job in jobs}
        self._running = {job.name: threading.Lock() for job in jobs}
        self._wanted: set[str] = set()
        self._stop = threading.Event()
        self._hands = threading.BoundedSemaphore(HANDS)
        self._heart = Heart()
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": {"type": "threadpool", "max_workers": len(jobs) + 4}},
            job_defaults={"coalesce": True, "max_instances": 4, "misfire_grace_time": 60},
        )
        for job in jobs:
            self._scheduler.add_job(
                self.run_soon, "interval", args=(job.name,), seconds=job.every.total_seconds(), id=job.name
            )

    def run_soon(self, name: str) -> None:
        """Run the job now; if it is running already, run it once more when it has finished."""
        self._wanted.add(name)
        while name in self._wanted and self._running[name].acquire(blocking=False):
            began, done, failed = time.perf_counter(), 0, True
            try:
                self._wanted.discard(name)
                done = run_job(self._app, self._jobs[name])
                failed = False
            except clock.ClockStepped:
                failed = False  # it comes again at once
                log.warning("job put off, for the clock was set", extra={"job": name})
            except Exception:
                log.exception("job failed", extra={"job": name})
            finally:
                self._running[name].release()
                self._heart.ran(name, time.perf_counter() - began, done, failed=failed)

    def beside(self, work: Callable[[], object]) -> bool:
        if self._stop.is_set() or not self._hands.acquire(blocking=False):
            return False
        known = contextvars.copy_context()  # so that its lines say on whose behalf
        threading.Thread(target=known.run, args=(self._do_beside, work), name="beside", daemon=True).start()
        return True

    def _do_beside(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:
            log.exception("work beside the jobs failed")
        finally:
            self._hands.release()

    def run(self) -> None:
        """Work until stopped; survive a database that goes away and comes back."""
        self._app.extensions["worker"] = self
        self._scheduler.start(paused=True)
        try:
            while not self._stop.is_set():
                try:
                    self._work()
                except (psycopg.Error, sa.exc.DBAPIError) as error:
                    log.error("worker lost the database, trying again", extra={"why": str(error).split("\n")[0]})
                    self._scheduler.pause()
                    systemd.tell("WATCHDOG=1\nSTATUS=the database is away")
                    self._stop.wait(1)
        finally:
            clock.doubt(None)
            self._app.extensions.pop("worker", None)
            self._scheduler.shutdown(wait=True)

    def stop(self) -> None:
        self._stop.set()

    def _work(self) -> None:
        with self._app.app_context():
            words, settings = db.engine.dialect.create_connect_args(db.engine.url)
        settings = {**settings, "autocommit": True, "connect_timeout": 5}
        with psycopg.connect(*words, **settings) as connection:
            if not self._take_turn(connection):
                return
            self._watch_the_clock()
            connection.execute(f"LISTEN {CHANNEL}")
            systemd.tell("READY=1\nSTATUS=at work")
            log.info("worker ready", extra={"jobs": len(self._jobs)})
            self._scheduler.resume()
            for name in self._jobs:
                self._start(name)
            while not self._stop.is_set():
                for notice in connection.notifies(timeout=1.0):
                    self._start(notice.payload)
                self._follow_the_clock()
                systemd.tell("WATCHDOG=1")
                self._heart.beat(connection)  # also finds out that the database, and so the lock, is gone

    def _take_turn(self, connection: psycopg.Connection[tuple[bool]]) -> bool:
        said = False
        while not self._stop.is_set():
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (ONE_WORKER,)).fetchone()
            if row is not None and row[0]:
                return True
            if not said:
                systemd.tell("READY=1\nSTATUS=another worker is at work; waiting for its turn")
                log.info("another worker is at work; waiting for its turn")
                said = True
            systemd.tell("WATCHDOG=1")
            self._stop.wait(1)
        return False

    def _watch_the_clock(self) -> None:
        if self._followers is None:
            return
        clock.doubt(None)
        with self._app.app_context():
            self._watch = Watch(list(self._followers))
        clock.doubt(self._watch.check)
        self._follow_the_clock()

    def _follow_the_clock(self) -> None:
        """Where it was set: wait for the jobs under way, tell who must know, and plan every job anew, for APScheduler
        would sleep until the hour that was planned."""
        if self._watch is None or not self._watch.step():
            return
        with ExitStack() as under_way:
            for lock in self._running.values():
                under_way.enter_context(lock)
            with self._app.app_context():
                self._watch.follow()
        for job in self._jobs.values():
            self._scheduler.reschedule_job(job.name, trigger="interval", seconds=job.every.total_seconds())
            self._start(job.name)

    def _start(self, name: str) -> None:
        """Now, and past the scheduler, which would take its time: somebody waits for what woke us."""
        if name in self._jobs:
            threading.Thread(target=self.run_soon, args=(name,), name=name, daemon=True).start()


def init_app(app: Flask, jobs: Sequence[Job], clock_followers: Sequence[Follow] = ()) -> None:
    app.extensions["jobs"] = {job.name: job for job in jobs}
    group = AppGroup("jobs", help="Scheduled work.")

    @group.command("run")
    def run() -> None:
        """Run every job on its schedule, until stopped."""
        worker = Worker(app, jobs, clock_followers)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        worker.run()

    @group.command("once")
    @click.argument("name", type=click.Choice([job.name for job in jobs]))
    def once(name: str) -> None:
        """Run one job now."""
        click.echo(run_job(app, app.extensions["jobs"][name]))

    @group.command("alive")
    def alive() -> None:
        """Say whether a worker is at work; exit 1 when none has said so for half a minute."""
        with transaction():
            age = heartbeat.age()
        if age is None or age > heartbeat.LIVES:
            raise click.ClickException(
                "No worker has ever said that it lives." if age is None else f"The worker is silent since {age}."
            )
        click.echo(f"The worker said so {age.total_seconds():.1f} seconds ago.")

    app.cli.add_command(group)


def figures() -> Iterable[Metric]:
    """The worker and its jobs, for /metrics."""
    known: dict[str, Job] = current_app.extensions["jobs"]
    return heartbeat.read({job.name: job.every.total_seconds() for job in known.values()})
