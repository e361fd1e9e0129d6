"""A real Slurm and a real hub in front of it, built for the tests and taken away after them."""

import os
import pwd
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.cluster import build, hub_files, packages, parts
from deploy.cluster.errors import NoCluster
from deploy.cluster.layout import Layout, new
from labs.adapters.sacctmgr import Sacctmgr, SacctmgrError
from labs.adapters.slurmrestd import SignedTokens, SlurmRest
from tests.hub.conftest import Campus, clock, eventually, free_ports
from tests.hub.stand_in import StandIn

__all__ = ["clock", "eventually"]

CONFIG = Path(__file__).parent / "hub_config.py"
CENTER = "slurm"
PLACES = 12


def need_cluster() -> None:
    """Skip where nobody may build one; on a machine that is root and has apt, what goes wrong is a failure."""
    reason = packages.cannot()
    if reason:
        pytest.skip(f"NOTHING IS TESTED ON A REAL SLURM: {reason}")


def free_row_of_ports(count: int = 20) -> int:
    """The first of so many ports in a row that nobody uses."""
    while True:
        first = 30000 + secrets.randbelow(2000) * 10
        if all(is_free(first + offset) for offset in range(count)):
            return first


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.fixture(scope="session")
def cluster() -> Iterator[Layout]:
    need_cluster()
    folder = Path(tempfile.mkdtemp(prefix="chancai-cluster-", dir="/tmp"))
    layout = new(folder, f"ct{secrets.token_hex(2)}", free_row_of_ports(), PLACES)
    try:
        build.up(layout, print)
        yield layout
    finally:
        keep_logs(layout)
        build.down(layout, print)


def keep_logs(layout: Layout) -> None:
    """With CLUSTER_LOGS=folder in the environment, to read them after the cluster is gone."""
    wanted = os.environ.get("CLUSTER_LOGS")
    if wanted:
        logs = [*layout.logs.glob("*.*"), *layout.homes.glob("*/.lab.log"), *layout.folder.glob("hub/*/hub.log")]
        for log in logs:
            (Path(wanted) / "-".join(log.parts[-2:])).write_bytes(log.read_bytes())


@pytest.fixture(scope="session")
def slurm(cluster: Layout) -> Iterator[SlurmRest]:
    client = SlurmRest(cluster.rest_url, SignedTokens(cluster.jwt_key))
    yield client
    client.close()


def books(layout: Layout, account: str = "") -> Sacctmgr:
    """The cluster's accounting, as its keeper reaches it, or this other account."""

    def run(command: Sequence[str], given: str) -> str:
        try:
            return parts.run(layout, *command, given=given, account=account or layout.keeper_account)
        except NoCluster as problem:
            raise SacctmgrError(str(problem)) from problem

    return Sacctmgr(run=run)


@dataclass
class ClusterCampus(Campus):
    """A hub that runs under its own account, in front of the cluster."""

    layout: Layout = None  # type: ignore[assignment]

    def start(self) -> None:
        account = pwd.getpwnam(self.layout.hub_account)
        for path in (self.folder, self.hubs_file):
            os.chown(path, account.pw_uid, account.pw_gid)
        slurm_file = hub_files.slurm_file(self.layout)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "HUB_DIR": str(self.folder / "hub"),
            "HOMES_DIR": str(self.layout.homes),
            "HUB_BIND_PORT": str(self.bind_port),
            "HUB_API_PORT": str(self.api_port),
            "HUB_PROXY_API_PORT": str(self.proxy_api_port),
            "HUB_PUBLIC_URL": self.public_url,
            "PLATFORM_URL": self.platform.url,
            "HUBS_FILE": str(self.hubs_file),
            "HUB_CENTER": CENTER,
            "SLURM_FILE": str(slurm_file),
            "TESTER_TOKEN": self.tester_token,
            "A_SECRET_OF_THE_HUB": "no lab may see this",
            parts.MARK: str(self.layout.folder),
        }
        with (self.folder / "hub.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(CONFIG)],
                env=environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=[],
            )
        eventually(self.is_up)


def make_campus(layout: Layout) -> ClusterCampus:
    folder = layout.folder / "hub" / secrets.token_hex(4)
    folder.mkdir(mode=0o700)
    platform = StandIn(CENTER, f"hub-{CENTER}", secrets.token_hex(16), secrets.token_hex(16))
    bind, api, proxy_api = free_ports(3)
    return ClusterCampus(folder, platform, bind, api, proxy_api, "slurm", center=CENTER, layout=layout)


@pytest.fixture(scope="session")
def campus(cluster: Layout) -> Iterator[ClusterCampus]:
    campus = make_campus(cluster)
    try:
        campus.start()
        yield campus
    finally:
        campus.close()
