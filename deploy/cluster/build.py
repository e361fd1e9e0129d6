"""Brings the cluster up, step by step, and takes it down again."""

import shutil
import signal
import time
from collections.abc import Callable

import httpx
import psutil

from deploy.cluster import accounts, books, config, front, packages, parts
from deploy.cluster.errors import NoCluster
from deploy.cluster.layout import NODES, Layout

Say = Callable[[str], None]
DATABASE = "slurm_acct_db"


def up(layout: Layout, say: Say, platform_url: str = "") -> None:
    """Everything there is to a cluster, from nothing or from where it stopped; with a platform, hub and keeper too.

    Raises `NoCluster`.
    """
    reason = packages.cannot()
    if reason:
        raise NoCluster(f"There can be no cluster here: {reason}.")
    if packages.missing():
        say(f"Installing {', '.join(packages.missing())} with apt")
        packages.install()
    began = time.monotonic()

    def step(text: str) -> None:
        say(f"{time.monotonic() - began:5.1f} s  {text}")

    layout.keep()
    accounts.make(layout)
    config.write(layout)
    step(f"{len(layout.accounts)} accounts, keys, configuration")
    _start_munge(layout)
    _start_database(layout)
    step("munge and MariaDB")
    _start_books(layout)
    step("slurmdbd")
    _start_nodes(layout)
    step("slurmctld and slurmd on four nodes")
    _start_rest(layout)
    books.write(layout)
    _wait_until_idle(layout)
    step(f"slurmrestd at {layout.rest_url}")
    if platform_url:
        front.start(layout, platform_url)
        step(f"the hub at {front.public_url(layout)} and the keeper of quotas, for the platform at {platform_url}")


def down(layout: Layout, say: Say) -> None:
    """End everything, and remove everything. Works on a cluster that came up half, too."""
    for name in (*front.PARTS, "slurmrestd", "slurmctld", *NODES, "slurmdbd"):
        parts.stop(layout, name)
    for name in ("mariadb", "munged"):
        parts.stop(layout, name)
    for name in parts.end_all(layout):
        say(f"Ended {name}")
    left = parts.everything(layout)
    if left:
        raise NoCluster(f"These do not end: {', '.join(str(one.pid) for one in left)}")
    accounts.remove(layout)
    shutil.rmtree(layout.folder)


def _start_munge(layout: Layout) -> None:
    parts.start(
        layout,
        "munged",
        *["munged", "--foreground", f"--socket={layout.munge_socket}"],
        f"--key-file={layout.folder}/munge/munge.key",
        f"--seed-file={layout.folder}/munge/seed",
        f"--pid-file={layout.run}/munge/munged.pid",
        f"--log-file={layout.logs}/munge/munged.log",
        account="munge",
    )
    parts.wait_for(layout, "munged", layout.munge_socket.exists)


def _start_database(layout: Layout) -> None:
    data = layout.folder / "database"
    if not (data / "mysql").is_dir():
        parts.run(
            layout,
            *["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}", "--skip-test-db"],
            "--auth-root-authentication-method=socket",
        )
    parts.start(
        layout,
        "mariadb",
        *["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={layout.database_socket}"],
        *[f"--pid-file={layout.run}/mariadb/mariadb.pid", f"--port={layout.port_of('mariadb')}"],
        *["--bind-address=127.0.0.1", "--skip-name-resolve", "--performance-schema=OFF"],
        *["--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900", "--innodb-log-file-size=32M"],
        *["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--skip-log-bin"],  # it may be lost
        account="mysql",
    )
    parts.wait_for(layout, "mariadb", lambda: _database_answers(layout))
    sql(
        layout,
        f"CREATE DATABASE IF NOT EXISTS {DATABASE};"
        f"CREATE USER IF NOT EXISTS slurm@127.0.0.1 IDENTIFIED BY '{layout.database_password}';"
        f"GRANT ALL ON {DATABASE}.* TO slurm@127.0.0.1;",
    )


def sql(layout: Layout, statements: str) -> str:
    return parts.run(layout, "mariadb", "--no-defaults", f"--socket={layout.database_socket}", given=statements)


def _database_answers(layout: Layout) -> bool:
    try:
        return bool(sql(layout, "SELECT 1"))
    except NoCluster:
        return False


def _start_books(layout: Layout) -> None:
    parts.start(layout, "slurmdbd", "slurmdbd", "-D", account="slurm")
    parts.wait_for(layout, "slurmdbd", lambda: _says(layout, "sacctmgr", "-n", "show", "cluster") is not None, 120)
    if config.CLUSTER not in parts.run(layout, "sacctmgr", "-n", "-P", "show", "cluster", "format=cluster").split():
        parts.run(layout, "sacctmgr", "-i", "-Q", "add", "cluster", config.CLUSTER)


def _start_controller(layout: Layout) -> None:
    parts.start(layout, "slurmctld", "slurmctld", "-D", account="slurm")
    parts.wait_for(layout, "slurmctld", lambda: "UP" in (_says(layout, "scontrol", "ping") or ""))


def _start_nodes(layout: Layout) -> None:
    _start_controller(layout)
    for node in NODES:
        start_node(layout, node)


def start_node(layout: Layout, node: str) -> None:
    parts.start(layout, node, "slurmd", "-D", "-N", node)


def _start_rest(layout: Layout) -> None:
    parts.start(
        layout,
        "slurmrestd",
        *["slurmrestd", "-f", str(layout.slurm_conf), "-a", "rest_auth/jwt"],
        *["-s", "openapi/v0.0.38,openapi/dbv0.0.38", f"127.0.0.1:{layout.port_of('slurmrestd')}"],
        account=layout.rest_account,
        env={"SLURM_JWT": "daemon"},
    )
    parts.wait_for(layout, "slurmrestd", lambda: _rest_answers(layout))


def _rest_answers(layout: Layout) -> bool:
    try:
        return httpx.get(f"{layout.rest_url}/openapi/v3", trust_env=False, timeout=2).status_code > 0
    except httpx.HTTPError:
        return False


def _wait_until_idle(layout: Layout) -> None:
    for node in NODES:
        parts.wait_for(layout, node, lambda node=node: _is_ready(layout, node))  # type: ignore[misc]


def _is_ready(layout: Layout, node: str) -> bool:
    return (_says(layout, "sinfo", "-h", "-n", node, "-o", "%T") or "").split()[:1] in (["idle"], ["mixed"])


def _says(layout: Layout, *command: str) -> str | None:
    try:
        return parts.run(layout, *command, within=10)
    except NoCluster:
        return None


def start_again(layout: Layout, name: str) -> None:
    """A part of Slurm that has died, and wait until it answers. One that runs is left alone."""
    if name in NODES:
        start_node(layout, name)
    elif name == "slurmdbd":
        _start_books(layout)
    elif name == "slurmctld":
        _start_controller(layout)


def kill(layout: Layout, name: str) -> psutil.Process | None:
    """As a fault would: at once, and without a word."""
    process = parts.find(layout, name)
    parts.stop(layout, name, signal.SIGKILL)
    return process
