"""What `make cluster-down` leaves behind: nothing."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.cluster import accounts, layout, parts
from tests.cluster.conftest import eventually, free_row_of_ports, need_cluster

pytestmark = pytest.mark.cluster


def command(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-m", "deploy.cluster", "--folder", str(folder), *words]
    return subprocess.run(call, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)


def test_a_cluster_leaves_nothing_behind(tmp_path: Path) -> None:
    need_cluster()
    folder = Path("/var/lib/chancai-cluster-test-down")
    port = free_row_of_ports()
    up = command(folder, "up", "--name", "ctdown", "--port", str(port), "--places", "2")
    assert up.returncode == 0, up.stdout + up.stderr
    cluster = layout.kept(folder)
    assert cluster
    person = cluster.lab_accounts[0]
    home = accounts.home(cluster, person)
    script = "--wrap=setsid sleep 600 & sleep 600"  # one of them hides from its job
    parts.run(cluster, "sbatch", f"--chdir={home}", "--account=chancai", script, account=person)
    uids = accounts.uids(cluster)
    eventually(lambda: len([one for one in parts.everything(cluster) if one.name() == "sleep"]) == 2)
    ours = parts.everything(cluster)
    assert len(ours) >= 12  # with the hub, its proxy and the keeper

    down = command(folder, "down")

    assert down.returncode == 0, down.stdout + down.stderr
    assert not folder.exists()
    assert not [name for name in cluster.accounts if accounts.exists(name)]
    assert not [one for one in ours if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not [one for one in psutil.process_iter() if one.uids().real in uids]
    mark = f"{parts.MARK}={folder}".encode()
    assert not [one for one in environments() if mark in one]  # slurmstepd is root's, and hides what psutil reads
    listening = {one.laddr.port for one in psutil.net_connections() if one.status == psutil.CONN_LISTEN}
    assert not listening & set(range(port, port + 20))
    assert command(folder, "down").returncode == 0  # once more does no harm


def environments() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()


@pytest.mark.parametrize(("root", "apt", "says"), [(False, True, "it needs root"), (True, False, "no apt-get")])
def test_where_no_cluster_can_be_it_says_why(root: bool, apt: bool, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from deploy.cluster import packages

    monkeypatch.setattr(packages.os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(packages, "missing", lambda: ["slurmctld"])
    monkeypatch.setattr(packages.shutil, "which", lambda *_args, **_more: "/usr/bin/apt-get" if apt else None)

    assert says in (packages.cannot() or "")
