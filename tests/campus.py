"""Everything for real: `chancai run` in a folder of its own, for the tests that walk through all of it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.embedded.var import Running, Var

CHECKOUT = Path(__file__).parents[1]
READY_WITHIN = 180.0  # seconds; other tests run beside it
STOPPED_WITHIN = 60.0
OURS = ("DATABASE_URL", "SECRET_KEY", "VAR_DIR", "HUBS_FILE", "OIDC_KEY_FILE", "PLATFORM_URL", "SECURE_COOKIES")


@dataclass
class Campus:
    """A `chancai run` that we started; `process` is what the person at the console sees, `parts` are its children."""

    process: "subprocess.Popen[bytes]"
    var_dir: Path
    log: Path

    @property
    def running(self) -> Running:
        known = Var(self.var_dir).running()
        assert known is not None, f"nothing runs here; its log:\n{self.said}"
        return known

    @property
    def platform_url(self) -> str:
        return self.running.platform

    @property
    def labs_url(self) -> str:
        return self.running.labs

    @property
    def sign_ins(self) -> list[dict[str, Any]]:
        """The people of the demo campus who may sign in: login, password, role."""
        return self.running.sign_ins

    @property
    def parts(self) -> dict[str, int]:
        """The process ids of postgres, hub, worker and web."""
        return {name: pid for name, (pid, _) in self.running.parts.items()}

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def everything(self) -> list[psutil.Process]:
        """All processes there are because of this campus."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        return self.process.wait(timeout=STOPPED_WITHIN)


def launch(var_dir: Path, *options: str, env: dict[str, str] | None = None, log: str = "log") -> Campus:
    """Start `chancai run` and return at once."""
    command = ["-m", "app.cli", "run", "--var-dir", str(var_dir), *(options or ANY_PORTS)]
    return _launch(var_dir, command, env, log)


def _launch(var_dir: Path, command: Sequence[str], env: dict[str, str] | None, log: str) -> Campus:
    clean = {name: value for name, value in os.environ.items() if name not in OURS and not name.startswith("COV_")}
    path = var_dir.with_name(f"{var_dir.name}-{log}")
    with path.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", *command],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**clean, **(env or {})},
            cwd="/",
            start_new_session=True,
        )
    return Campus(process, var_dir, path)


ANY_PORTS = ("--port", "0", "--labs-port", "0")


def wait_until_ready(campus: Campus) -> Campus:
    def ready() -> bool:
        known = Var(campus.var_dir).running()
        return known is not None and known.pid == campus.process.pid  # and not one that was killed here before

    until(lambda: ready() or campus.process.poll() is not None, READY_WITHIN)
    assert campus.process.poll() is None, f"it did not start:\n{campus.said}"
    return campus


def until(holds: Callable[[], bool], within: float = 30.0, every: float = 0.05) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"not within {within:.0f} seconds"
        time.sleep(every)


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@contextmanager
def room() -> Iterator[Path]:
    """A folder for a var folder. Not pytest's own, which PostgreSQL's user cannot enter when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="chancai-campus-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started(var_dir: Path, *options: str, env: dict[str, str] | None = None, log: str = "log") -> Iterator[Campus]:
    """A campus that answers, and is gone afterwards whatever happens."""
    yield from _while_it_runs(launch(var_dir, *options, env=env, log=log))


@contextmanager
def kept(var_dir: Path, modules: Path | None = None) -> Iterator[Campus]:
    """A campus in which each part that dies is started again alone (`tests/kept_campus.py`).

    Its web server, worker and hub also find the Python modules in `modules`.
    """
    program = [str(CHECKOUT / "tests" / "kept_campus.py"), str(var_dir), *([str(modules)] if modules else [])]
    yield from _while_it_runs(_launch(var_dir, program, None, "log"))


def _while_it_runs(campus: Campus) -> Iterator[Campus]:
    try:
        yield wait_until_ready(campus)
    finally:
        stop(campus)


def stop(campus: Campus) -> None:
    left = campus.everything() if campus.process.poll() is None else []
    if left:
        campus.interrupt()
        try:
            campus.wait()
        finally:
            for process in alive(left):
                process.kill()


@pytest.fixture(scope="session")
def campus() -> Iterator[Campus]:
    """The demo campus, shared by all tests that leave it standing. Mark such tests `campus`."""
    with room() as folder, started(folder / "var") as running:
        yield running
