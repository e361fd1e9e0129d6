"""A throw-away PostgreSQL for one pytest run: one server for all workers, one database for each."""

import atexit
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from app.embedded import postgres
from app.embedded.postgres import Cluster

SHARED = "CHANCAI_TEST_SERVER"  # the server that the first process of this run started
PR_SET_PDEATHSIG = 1


def url(purpose: str = "test") -> str:
    """The URL of an empty database of this worker's own; starts the server if this run has none yet.

    TEST_DATABASE_URL names a server to use instead; its user must be allowed to make databases.
    """
    server = share()
    return _empty_database(server, f"chancai_{purpose}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{_run()}")


def share() -> str:
    """The URL of the server. Called by xdist's controller (pytest_configure), it makes all workers use one."""
    server = os.environ.get("TEST_DATABASE_URL") or os.environ.get(SHARED)
    if server is None:
        server = os.environ[SHARED] = _serve()  # workers are our children and inherit it
    return server


def _run() -> str:
    """Names this pytest run, so that two of them can share a server given by TEST_DATABASE_URL."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:8]


def _serve() -> str:
    home = Path(tempfile.mkdtemp(prefix="chancai-test-", dir="/tmp"))
    home.chmod(0o711)
    cluster = postgres.prepare(home, settings=postgres.THROW_AWAY)
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            cluster.command(),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent,
            **cluster.account.popen_options(),
        )
    atexit.register(_stop, server, cluster, home)
    postgres.wait_until_ready(cluster, lambda: server.poll() is None)
    return cluster.url("postgres")


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _stop(server: "subprocess.Popen[bytes]", cluster: Cluster, home: Path) -> None:
    server.send_signal(signal.SIGQUIT)  # nothing in it is worth a checkpoint
    server.wait(timeout=30)
    shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(cluster.socket, ignore_errors=True)


def _empty_database(server: str, name: str) -> str:
    target = make_url(server)
    conninfo = target.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return target.set(database=name).render_as_string(hide_password=False)
