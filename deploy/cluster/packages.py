"""The programs a cluster is made of, from Debian's packages. Their services are not started: we start our own."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.cluster.errors import NoCluster

PROGRAMS = {
    "munged": "munge",
    "mariadbd": "mariadb-server",
    "slurmctld": "slurmctld",
    "slurmdbd": "slurmdbd",
    "slurmd": "slurmd",
    "slurmrestd": "slurmrestd",
    "scontrol": "slurm-client",
}
PLUGIN_PACKAGE = "slurm-wlm-jwt-plugin"
PLUGINS = ("/usr/lib/*/slurm-wlm/auth_jwt.so",)
POLICY = Path("/usr/sbin/policy-rc.d")
SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"


def cannot() -> str | None:
    """Why no cluster can be had on this machine at all; None when it can."""
    if sys.platform != "linux":
        return "Slurm runs on Linux only"
    if os.geteuid() != 0:
        return "it needs root, to make accounts and to start jobs as other people"
    if missing() and shutil.which("apt-get") is None:
        return f"{', '.join(missing())} must be installed, and there is no apt-get to do it"
    return None


def missing() -> list[str]:
    found = [package for program, package in PROGRAMS.items() if not shutil.which(program, path=SBIN)]
    if not any(list(Path("/").glob(pattern.lstrip("/"))) for pattern in PLUGINS):
        found.append(PLUGIN_PACKAGE)
    return found


def install() -> None:
    """Install what is missing. Raises `NoCluster` with apt's last words."""
    packages = missing()
    if not packages:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": SBIN}
    with _no_service_starts():
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            done = subprocess.run(
                ["/usr/bin/apt-get", "--quiet=2", *command], env=quiet, capture_output=True, text=True, check=False
            )
            if done.returncode:
                said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
                raise NoCluster(f"apt-get {command[0]} failed: {said}")
    if missing():
        raise NoCluster(f"apt-get installed everything, and still there is no {', '.join(missing())}")


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian starts what it installs unless this file says no. One that is there already is left alone."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
