"""Starts the parts of a cluster, waits until they answer, and ends them: each with its number and its birth noted."""

import contextlib
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from deploy.cluster import accounts
from deploy.cluster.errors import NoCluster
from deploy.cluster.layout import Layout
from deploy.cluster.packages import SBIN

MARK = "CHANCAI_CLUSTER"
SECONDS_TO_END_WELL = 10.0
TICK = 0.05
_children: list["subprocess.Popen[bytes]"] = []  # those started by this very process, which must bury them


def environment(layout: Layout) -> dict[str, str]:
    """What Slurm's programs need to find this cluster; also for commands typed by hand."""
    return {"PATH": SBIN, "LANG": "C.UTF-8", "SLURM_CONF": str(layout.slurm_conf), MARK: str(layout.folder)}


def run(layout: Layout, *command: str, given: str = "", within: float = 60.0, account: str | None = None) -> str:
    """What a command of the cluster says. Raises `NoCluster` when it fails."""
    try:
        done = subprocess.run(
            command,
            env=environment(layout),
            input=given,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
            **_as(account),
        )
    except subprocess.TimeoutExpired as error:
        raise NoCluster(f"`{' '.join(command)[:200]}` did not end within {within:.0f} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise NoCluster(f"`{' '.join(command)[:200]}` failed: {said}")
    return str(done.stdout)


def start(
    layout: Layout, name: str, *command: str, account: str | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Start a part, unless it runs already."""
    if find(layout, name):
        return
    with (layout.logs / f"{name}.out").open("ab") as out:
        process = subprocess.Popen(
            command,
            env={**environment(layout), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            start_new_session=True,
            **_as(account),
        )
    _children.append(process)
    note = {"pid": process.pid, "began": psutil.Process(process.pid).create_time()}
    _note(layout, name).write_text(json.dumps(note))


def find(layout: Layout, name: str) -> psutil.Process | None:
    """The process of a part, if it runs; never another one that has its number by now."""
    try:
        note = json.loads(_note(layout, name).read_text())
        process = psutil.Process(note["pid"])
        if process.create_time() == note["began"] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        pass
    return None


def wait_for(layout: Layout, name: str, answers: Callable[[], bool], within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not answers():
        if find(layout, name) is None:
            raise NoCluster(f"{name} ended while it started: {last_words(layout, name)}")
        if time.monotonic() > deadline:
            raise NoCluster(f"{name} did not answer within {within:.0f} s: {last_words(layout, name)}")
        time.sleep(TICK)


def last_words(layout: Layout, name: str) -> str:
    for file in (layout.logs / f"{name}.log", layout.logs / f"{name}.out"):
        with contextlib.suppress(OSError):
            lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
            if lines:
                return " / ".join(lines[-3:])
    return "it said nothing"


def stop(layout: Layout, name: str, how: signal.Signals = signal.SIGTERM) -> None:
    process = find(layout, name)
    if process is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(how)
    _bury([process])


def end_all(layout: Layout) -> list[str]:
    """End whatever belongs to the cluster: marked by its environment, or run by one of its accounts."""
    left = everything(layout)
    names = [f"{one.pid} {_name(one)}" for one in left]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _bury(left)
    return names


def everything(layout: Layout) -> list[psutil.Process]:
    ours, uids = [], accounts.uids(layout)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.uids().real in uids or _is_marked(process.pid, layout):
                ours.append(process)
    return ours


def _is_marked(pid: int, layout: Layout) -> bool:
    """Read from the kernel: slurmstepd writes its title over the start of its environment, and psutil stops there."""
    with contextlib.suppress(OSError):
        return f"{MARK}={layout.folder}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _bury(processes: Sequence[psutil.Process]) -> None:
    """Wait for their end, and help those that do not want to."""
    _, stubborn = psutil.wait_procs(list(processes), timeout=SECONDS_TO_END_WELL)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=SECONDS_TO_END_WELL)
    _children[:] = [child for child in _children if child.poll() is None]


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(process.name())
    return "?"


def _note(layout: Layout, name: str) -> Path:
    return layout.run / f"{name}.part"


def _as(account: str | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account, "group": _group(account), "extra_groups": []}


def _group(account: str) -> int:
    return pwd.getpwnam(account).pw_gid
