"""What the platform says of itself to those who watch it."""

import contextlib
import socket
import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import systemd
from app.db import db
from app.heartbeat import WorkerBeat
from app.jobs import Job, Worker
from tests.campus import until


@pytest.mark.parametrize(("age", "status"), [(None, 503), (timedelta(seconds=2), 200), (timedelta(seconds=40), 503)])
def test_the_worker_is_well_while_it_says_so(app, database, age, status):
    if age is not None:
        at = sa.func.now() - age
        db.session.add(WorkerBeat(id=1, host="here", pid=1, started_at=at, beat_at=at))
        db.session.flush()

    assert app.test_client().get("/healthz/worker").status_code == status


@pytest.mark.campus  # the clock must run
def test_a_worker_lives_and_tells_systemd(app, committed, tmp_path, monkeypatch):
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0.1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        worker = Worker(app, [Job(nothing, every=timedelta(hours=1))])
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:

            def hear():
                with contextlib.suppress(TimeoutError):
                    heard.append(manager.recv(200).decode())
                return any("READY=1" in word for word in heard) and "WATCHDOG=1" in heard

            until(hear, 15)
            until(lambda: app.test_client().get("/healthz/worker").status_code == 200, 5)
        finally:
            worker.stop()
            thread.join(15)


def nothing():
    return 0


def test_without_systemd_nothing_is_told(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.tell("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nobody/listens")
    systemd.tell("READY=1")
