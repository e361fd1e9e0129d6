"""A pass over ten thousand running sessions, beside the bare fetching of the same pages.

The hub is simulated at the level of HTTP, in a process of its own: JupyterHub's pages and JSON, and no servers behind
them. PostgreSQL is real, with what was written kept as in a deployment.
"""

import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import httpx
import psutil
import sqlalchemy as sa
from flask import Flask
from flask_migrate import upgrade

from accounts.models import Person
from app import clock
from app.config import HubSettings, Settings
from app.db import db
from app.factory import create_app
from app.jobs import run_job
from benchmarks import simulated_hub
from benchmarks.table import Measurement
from labs.adapters.jupyterhub import PAGED, JupyterHub
from labs.models import Hold, LabSession, SessionState
from tests import postgres
from tests.make import Make

SESSIONS = 10_000
PASSES = 5
PAGE = 200


def measure() -> list[Measurement]:
    with _hub(SESSIONS) as address, _platform(address) as app:
        _fill(app)
        _pass(app)  # once to warm up
        bare, whole = [], []
        before, asked = psutil.Process().memory_info().rss, _calls(address)
        for _ in range(PASSES):
            bare.append(_seconds(lambda: _fetch(address)))
            whole.append(_seconds(lambda: _pass(app)))
        grown = (psutil.Process().memory_info().rss - before) / 1e6
        calls = (_calls(address) - asked) / PASSES - SESSIONS / PAGE  # without those of the bare fetching
        peak, small_peak = _peak(app), _peak_of_a_tenth(app)
    passed, fetched = statistics.median(whole), statistics.median(bare)
    return [
        Measurement(f"A pass over {SESSIONS:,} running sessions", f"{passed:.2f} s", f"median of {PASSES}; limit 5 s"),
        Measurement("… calls to the hub", f"{calls:.0f}", f"pages of {PAGE}; limit {SESSIONS // PAGE + 1}"),
        Measurement("… fetching the same pages, and nothing else", f"{fetched:.2f} s", "httpx and json.loads"),
        Measurement(
            "… memory that Python takes in a pass", f"{peak:.1f} MB", f"{small_peak:.1f} MB for a tenth of them"
        ),
        Measurement(f"… memory that stays after {PASSES} passes", f"{grown:.1f} MB", "resident"),
    ]


@contextmanager
def _hub(servers: int) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.simulated_hub", str(servers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _platform(address: str) -> Iterator[Flask]:
    center = HubSettings(
        center="embedded",
        api_url=f"{address}/hub/api",
        public_url="http://labs.test",
        token="hub-token",
        client_id="hub",
        client_secret="secret",
        admission_secret="secret",
    )
    settings = Settings(database_url=postgres.url("bench"), secret_key="bench", hubs=(center,))
    hub = JupyterHub(center.api_url, center.token)
    app = create_app(settings, hubs={"embedded": hub})
    with app.app_context():
        upgrade()
        yield app
        db.session.remove()
        db.engine.dispose()
    hub.close()


def _fill(app: Flask) -> None:
    """So many people, each with a running session whose server the simulated hub shows."""
    make = Make()
    center = make.center(session_limit=2 * SESSIONS)
    flavor = make.flavor(center)
    template = make.template([flavor])
    budget = make.budget(1000)
    now, ends_at = clock.now(), clock.now() + timedelta(hours=8)
    people, sessions = [], []
    for number in range(SESSIONS):
        person_id = UUID(simulated_hub.user_of(number))
        session_id = _session_id(number)
        people.append({"id": person_id, "name": "Somebody", "email": f"{person_id}@example.org"})
        sessions.append({"id": session_id, "hold_id": session_id, "person_id": person_id})
    of_center = {"center_id": center.id, "flavor_id": flavor.id, "budget_id": budget.id}
    hold = {**of_center, "seconds": 3900, "amount": 0, "price_micro": 0}
    running = {"state": SessionState.RUNNING, "ready_at": now, "last_running_at": now, "lease_ends_at": ends_at}
    running |= {**of_center, "template_id": template.id, "lease_minutes": 480, "attempts": 1, "admitted_attempt": 1}
    db.session.execute(sa.insert(Person), people)
    db.session.execute(
        sa.insert(Hold), [{**hold, "id": one["hold_id"], "person_id": one["person_id"]} for one in sessions]
    )
    db.session.execute(sa.insert(LabSession), [{**running, **one} for one in sessions])
    db.session.commit()
    db.session.execute(sa.text("ANALYZE"))
    db.session.commit()


def _session_id(number: int) -> UUID:
    return UUID(simulated_hub.server_of(number).removeprefix("lab-"))


def _pass(app: Flask) -> None:
    done = run_job(app, app.extensions["jobs"]["reconcile_centers"])
    if done:
        raise RuntimeError(f"a pass over what runs as it should found {done} things to do")


def _fetch(address: str) -> None:
    """The least that a pass can do: get every page and read its JSON."""
    with httpx.Client(headers={"Accept": PAGED}) as http:
        offset: int | None = 0
        while offset is not None:
            query = {"state": "active", "sort": "id", "offset": str(offset), "limit": str(PAGE)}
            following = http.get(f"{address}/hub/api/users", params=query).json()["_pagination"]["next"]
            offset = following["offset"] if following else None


def _calls(address: str) -> int:
    return sum(httpx.get(f"{address}/calls").json().values())


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _peak(app: Flask) -> float:
    """Megabytes that Python objects take at the most during a pass."""
    tracemalloc.start()
    try:
        _pass(app)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def _peak_of_a_tenth(app: Flask) -> float:
    with _hub(SESSIONS // 10) as address:
        known = app.extensions["hubs"]
        whole = known["embedded"]
        known["embedded"] = JupyterHub(f"{address}/hub/api", "hub-token")
        db.session.execute(
            sa.text("DELETE FROM lab_session WHERE NOT id = ANY(CAST(:kept AS uuid[]))"),
            {"kept": [_session_id(number) for number in range(SESSIONS // 10)]},
        )
        db.session.commit()
        try:
            return _peak(app)
        finally:
            known["embedded"].close()
            known["embedded"] = whole
