"""Reserve and settle on one hot budget, over HTTP, beside the floor: a database function called by bare WSGI.

Both are served by granian with the same workers and threads, from the same PostgreSQL with fsync on, to the same
client: first with few connections, then with as many as there are threads, so that everybody waits for everybody.
Each connection reserves for one of many members and settles at once.
Both write the same rows, with the trail. The floor knows no tokens, rules or frameworks: one call of a function and one
commit for each request. The platform does all that it always does, and commits what waits for the budget together.
Runs alternate, and ratios are of medians. Then the same again on a slow disk: `commit_delay` makes each commit wait
for two milliseconds before it flushes, while it keeps its locks, as a slow flush would (measured, too).
"""

import itertools
import os
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
from flask import Flask
from flask_migrate import upgrade

from accounts.models import ServiceToken, fingerprint
from accounts.services import service_tokens
from app import clock
from app.config import Settings
from app.db import db
from app.embedded import ports, postgres
from app.embedded.postgres import Cluster
from app.embedded.run import WEB_THREADS
from app.factory import create_app
from benchmarks import bare, load
from benchmarks.load import Got, Outcome, Script, Sent
from benchmarks.table import Measurement
from labs import ledger
from tests.make import Make

MEMBERS = 200
ROUNDS = 5
SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
WORKERS = os.cpu_count() or 1
CONNECTIONS = WORKERS * WEB_THREADS  # as many as can be served at once: what comes on top waits
FEW = 8  # programs at once, and nobody waits for a thread
SLOW_US = 2000


@dataclass(frozen=True)
class World:
    """What the requests name."""

    url: str
    budget_id: str
    flavor_id: str
    person_ids: list[str]
    token: str


def measure() -> list[Measurement]:
    with database() as cluster, settled(cluster) as world:
        with serving("app.wsgi:app", world) as ours, serving("benchmarks.bare:app", world) as floor:
            _check(ours, floor, world)
            rows = _compared("", world, ours, floor, FEW, least=1, slowest_ms=50)
            rows += _compared(" when full", world, ours, floor, CONNECTIONS, least=1, slowest_ms=50)
            rows += _slowed(cluster)
            rows += _compared(" on the slow disk", world, ours, floor, CONNECTIONS, least=4)
        _audit(world)
    return rows


@contextmanager
def database() -> Iterator[Cluster]:
    """A PostgreSQL of our own, that flushes as a real one does."""
    home = Path(tempfile.mkdtemp(prefix="chancai-bench-", dir="/tmp"))
    home.chmod(0o711)
    cluster = postgres.prepare(home)
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            cluster.command(), stdout=log, stderr=log, start_new_session=True, **cluster.account.popen_options()
        )
    try:
        postgres.wait_until_ready(cluster, lambda: server.poll() is None)
        yield cluster
    finally:
        server.send_signal(signal.SIGINT)  # wait for nobody
        server.wait(30)
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(cluster.socket, ignore_errors=True)


@contextmanager
def settled(cluster: Cluster) -> Iterator[World]:
    """A budget with many members, and a program of its partner that may draw on it."""
    app = application(cluster.url("postgres"))
    with app.app_context():
        upgrade()
        yield _world(app)
        for engine in db.engines.values():
            engine.dispose()


def application(url: str) -> Flask:
    return create_app(Settings(database_url=url, secret_key="bench", secure_cookies=False), hubs={})


def _world(app: Flask) -> World:
    make = Make()
    budget = make.budget(10**6, parent=make.budget(10**7))
    people = [make.person() for _ in range(MEMBERS)]
    for person in people:
        make.cap(budget, person, 10**5)
    secret = service_tokens.PREFIX + secrets.token_urlsafe(32)
    expires = clock.now() + timedelta(days=1)
    row = ServiceToken(
        partner_id=budget.partner_id,
        name="bench",
        sha256=fingerprint(secret),
        scopes=["holds:write", "budgets:read"],
        expires_at=expires,
    )
    make._save(row)
    flavor = make.flavor(make.center())
    with psycopg.connect(plain(app.config["SQLALCHEMY_DATABASE_URI"]), autocommit=True) as connection:
        connection.execute(bare.FUNCTIONS)
    ids = [str(person.id) for person in people]
    return World(app.config["SQLALCHEMY_DATABASE_URI"], str(budget.id), str(flavor.id), ids, secret)


@contextmanager
def serving(target: str, world: World) -> Iterator[int]:
    """Serve it as `chancai run` does; yields the port."""
    port = ports.choose(0)
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws", "--log-level", "error"]
    options += ["--workers", str(WORKERS), "--blocking-threads", str(WEB_THREADS)]
    env = {**os.environ, "DATABASE_URL": world.url, "SECRET_KEY": "bench", "SECURE_COOKIES": "0"}
    server = subprocess.Popen([sys.executable, "-m", "granian", *options, target], env=env)
    try:
        _wait(port)
        yield port
    finally:
        server.terminate()
        server.wait(30)


def _wait(port: int) -> None:
    for _ in range(300):
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2)
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError("the server does not answer")


def _compared(
    where: str, world: World, ours: int, floor: int, connections: int, *, least: int, slowest_ms: int | None = None
) -> list[Measurement]:
    """Let both run in turn, several times."""
    runs: dict[int, list[Outcome]] = {ours: [], floor: []}
    for port in (ours, floor):
        _run(port, world, connections, is_ours=port == ours, seconds=1)
    for _ in range(ROUNDS):
        for port in (ours, floor):
            runs[port].append(_run(port, world, connections, is_ours=port == ours, seconds=SECONDS))
    mine, bare_rate = (statistics.median(one.rate for one in runs[port]) for port in (ours, floor))
    slowest = statistics.median(one.percentile(0.99) for one in runs[ours])
    floors_slowest = statistics.median(one.percentile(0.99) for one in runs[floor])
    ratios = [a.rate / b.rate for a, b in zip(runs[ours], runs[floor], strict=True)]
    rounds = f"median of {ROUNDS} runs in turn, {connections} connections"
    return [
        Measurement(f"The floor{where}: bare WSGI, a function and a commit for each", f"{bare_rate:,.0f}/s", rounds),
        Measurement("… 99 of 100 within", f"{floors_slowest * 1000:.0f} ms"),
        Measurement(f"The platform{where}: token, policy, trail, grouped commits", f"{mine:,.0f}/s", rounds),
        Measurement(
            "… 99 of 100 within", f"{slowest * 1000:.0f} ms", f"the limit is {slowest_ms} ms" if slowest_ms else ""
        ),
        Measurement(
            "… times the floor",
            f"{mine / bare_rate:.2f}",
            f"at least {least}; single runs {min(ratios):.2f} to {max(ratios):.2f}",
        ),
    ]


def _run(port: int, world: World, connections: int, *, is_ours: bool, seconds: float) -> Outcome:
    script = _platform if is_ours else _floor
    outcome = load.run(port, [script(world, number) for number in range(connections)], seconds)
    if outcome.refused:
        raise RuntimeError(f"{outcome.refused} of {outcome.requests} requests were refused")
    return outcome


def _platform(world: World, number: int) -> Script:
    token = {"Authorization": f"Bearer {world.token}"}
    for person_id in itertools.cycle(world.person_ids[number:] + world.person_ids[:number]):
        got = yield Sent("reserve", "/api/v1/holds/", _wish(world, person_id), token | _key())
        yield Sent("settle", f"/api/v1/holds/{_id(got)}/settle", {"seconds": 300}, token)


def _floor(world: World, number: int) -> Script:
    for person_id in itertools.cycle(world.person_ids[number:] + world.person_ids[:number]):
        got = yield Sent("reserve", "/reserve", _wish(world, person_id), _key())
        yield Sent("settle", "/settle", {"id": _id(got), "seconds": 300})


def _id(got: Got) -> str:
    if got.status >= 400:
        raise RuntimeError(got.body.decode())
    return str(orjson.loads(got.body)["id"])


def _key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(16)}


def _wish(world: World, person_id: str) -> dict[str, Any]:
    return {
        "budget_id": world.budget_id,
        "person_id": person_id,
        "flavor_id": world.flavor_id,
        "seconds": 600,
        "purpose": "bench",
        "expires_in": 3600,
    }


def _check(ours: int, floor: int, world: World) -> None:
    """Both write the same rows for the same request."""
    written = []
    for port, script in ((ours, _platform), (floor, _floor)):
        before = _counts(world)
        steps = script(world, 0)
        first = next(steps)
        second = steps.send(_sent(port, first))
        _sent(port, second)
        written.append({name: count - before[name] for name, count in _counts(world).items()})
    if written[0] != written[1]:
        raise RuntimeError(f"the platform wrote {written[0]}, the floor {written[1]}")


def _sent(port: int, wanted: Sent) -> Got:
    answer = httpx.post(f"http://127.0.0.1:{port}{wanted.path}", json=wanted.body, headers=wanted.headers)
    answer.raise_for_status()
    return Got(answer.status_code, answer.content)


def _counts(world: World) -> dict[str, int]:
    with psycopg.connect(plain(world.url), autocommit=True) as connection:
        tables = ("ledger_transaction", "hold", "hold_part", "ledger_entry", "audit_entry")
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in tables}


def _slowed(cluster: Cluster) -> list[Measurement]:
    """Slow down every commit, and show that it does."""
    with psycopg.connect(cluster.conninfo("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE flushes (n int)")
        before = _commit_ms(connection)
        for setting in (f"commit_delay = {SLOW_US}", "commit_siblings = 0"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)
        after = _commit_ms(connection)
    return [
        Measurement("A commit of one row, as the disk is", f"{before:.2f} ms", "one connection alone, median of 200"),
        Measurement("… with commit_delay", f"{after:.2f} ms", f"{SLOW_US} µs, commit_siblings 0, fsync on"),
    ]


def _commit_ms(connection: "psycopg.Connection[Any]") -> float:
    return statistics.median(_ms(lambda: connection.execute("INSERT INTO flushes VALUES (1)")) for _ in range(200))


def _ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def _audit(world: World) -> None:
    """All that was written adds up."""
    db.session.rollback()
    found = ledger.audit()
    if found:
        raise RuntimeError(f"the books do not add up: {found[:3]}")


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")
