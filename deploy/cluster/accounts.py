"""The accounts of the machine that a cluster needs: one of the hub, one of slurmrestd, and one for each lab user.

On a real cluster these come from the site's directory. Here they are made, all at once, and taken away again.
"""

import contextlib
import os
import pwd
import subprocess

from deploy.cluster.errors import NoCluster
from deploy.cluster.layout import Layout

FIRST_UID, LAST_UID = 20000, 59000


def make(layout: Layout) -> None:
    missing = [name for name in layout.accounts if not exists(name)]
    taken = {one.pw_uid for one in pwd.getpwall()}
    free = (uid for uid in range(FIRST_UID, LAST_UID) if uid not in taken)
    lines = [f"{name}:*:{uid}:{uid}::{home(layout, name)}:/bin/bash" for name, uid in zip(missing, free, strict=False)]
    if missing:
        _run(["newusers", "--system"], "\n".join(lines) + "\n")
    for name in layout.accounts:
        _make_home(layout, name)


def remove(layout: Layout) -> None:
    for name in layout.accounts:
        if exists(name):
            _run(["userdel", name])


def exists(name: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False


def uids(layout: Layout) -> set[int]:
    return {pwd.getpwnam(name).pw_uid for name in layout.accounts if exists(name)}


def home(layout: Layout, name: str) -> str:
    return str(layout.homes / name)


def _make_home(layout: Layout, name: str) -> None:
    folder, owner = layout.homes / name, pwd.getpwnam(name)
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    folder.chmod(0o700)


def _run(command: list[str], given: str = "") -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoCluster(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
