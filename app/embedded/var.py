"""The var folder: everything one installation keeps, who is at work in it, and at which addresses."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from app.embedded import guard
from app.embedded.errors import AlreadyRunning, CannotStart
from app.embedded.secrets import write_private

CHECKOUT = Path(__file__).parents[2]
NEEDED_AT_FIRST = 300 * 2**20  # bytes: a new database and a little to work with
NEEDED_LATER = 50 * 2**20


@dataclass(frozen=True)
class Running:
    """What is running in a var folder."""

    pid: int  # of `chancai run`
    platform: str = ""
    labs: str = ""
    parts: dict[str, tuple[int, float]] = field(default_factory=dict)  # name → process id, moment of its start
    sign_ins: list[dict[str, Any]] = field(default_factory=list)  # of the demo campus


@dataclass(frozen=True)
class Var:
    path: Path

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def homes(self) -> Path:
        return self.path / "homes"

    @property
    def hub(self) -> Path:
        return self.path / "hub"

    @property
    def has_data(self) -> bool:
        return self.hub.exists()

    def is_claimed(self) -> bool:
        """Whether somebody is at work here now."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(lock)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Make the folder and be the only one at work in it."""
        try:
            self._make()
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise CannotStart(_said(self.path, problem)) from None
        try:
            self._take(lock)
            self._check_space()
            yield
        finally:
            os.close(lock)

    def remember(self, running: Running) -> None:
        write_private(self._state, json.dumps(asdict(running), indent=2) + "\n")

    def forget(self) -> None:
        self._state.unlink(missing_ok=True)

    def running(self) -> Running | None:
        """What was last said to run here; it may have been killed since."""
        try:
            known: dict[str, Any] = json.loads(self._state.read_text())
            return Running(**known)
        except (OSError, ValueError, TypeError):
            return None

    def demo(self) -> list[dict[str, Any]] | None:
        """The demo's sign-ins, if the database is known to have been looked at; so a start need not ask it again."""
        try:
            known: list[dict[str, Any]] = json.loads(self._demo.read_text())
        except (OSError, ValueError):
            return None
        return known

    def remember_demo(self, sign_ins: list[dict[str, Any]]) -> None:
        write_private(self._demo, json.dumps(sign_ins, indent=2, ensure_ascii=False) + "\n")

    def forget_demo(self) -> None:
        self._demo.unlink(missing_ok=True)

    def end_leftovers(self) -> list[str]:
        """End what a start that was killed left behind; the names of the parts. Only for who has claimed the folder."""
        known = self.running()
        if known is None:
            return []
        left = {name: process for name, (pid, began) in known.parts.items() if (process := _same(pid, began))}
        for process in left.values():
            guard.end_all([*guard.descendants(process.pid), process])
        self.forget()
        return list(left)

    @property
    def _demo(self) -> Path:
        return self.path / "demo.json"

    @property
    def _state(self) -> Path:
        return self.path / "running.json"

    def _make(self) -> None:
        if not self.path.exists():
            self.path.mkdir(parents=True)
            self.path.chmod(0o711)  # PostgreSQL's own user, where there is one, passes through; nobody lists it
        self.secrets.mkdir(mode=0o700, exist_ok=True)

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            known = self.running()
            where = f" at {known.platform}" if known and known.platform else ""
            who = f" (process {known.pid})" if known else ""
            raise AlreadyRunning(
                f"Chancai already runs in {self.path}{who}{where}. Stop it with Ctrl-C where it was started, "
                "or give this one a folder of its own with --var-dir."
            ) from None

    def _check_space(self) -> None:
        needed = NEEDED_LATER if self.has_data else NEEDED_AT_FIRST
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise CannotStart(
                f"The disk that holds {self.path} is full: {free // 2**20} MiB are free, {needed // 2**20} MiB are "
                "needed. Make room, or choose a folder on another disk with --var-dir."
            )


def _same(pid: int, began: float) -> psutil.Process | None:
    """The process, if it is still the one that was started then."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if abs(process.create_time() - began) < 1:
            return process
    return None


def _said(path: Path, problem: OSError) -> str:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk that holds {path} is full. Make room, or choose a folder on another disk with --var-dir."
    return f"{path} cannot be written ({problem.strerror}). Make it writable, or choose another folder with --var-dir."
