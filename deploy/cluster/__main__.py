"""`python -m deploy.cluster up | down | env | status`: what `make cluster` and `make cluster-down` call."""

import argparse
import os
import sys
from pathlib import Path

from deploy.cluster import build, front, layout, parts
from deploy.cluster.errors import NoCluster
from deploy.cluster.layout import NODES, Layout

DEFAULT_PLATFORM = "http://127.0.0.1:8600"  # that of `make run`


def main() -> int:
    asked = _arguments()
    try:
        return int(asked.do(asked))
    except NoCluster as problem:
        print(problem, file=sys.stderr)
        return 1


def up(asked: argparse.Namespace) -> int:
    cluster = layout.kept(asked.folder) or layout.new(asked.folder, asked.name, asked.port, asked.places)
    build.up(cluster, print, asked.platform)
    return 0


def down(asked: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise NoCluster("Taking a cluster down needs root.")
    cluster = layout.kept(asked.folder)
    if cluster is None:
        print(f"There is no cluster in {asked.folder}.")
        return 0
    build.down(cluster, print)
    print("The cluster is gone: its processes, accounts, database and files. Debian's packages stay installed.")
    return 0


def env(asked: argparse.Namespace) -> int:
    """Lines for a shell: after `eval`, sinfo, squeue, sacct and scontrol speak to this cluster."""
    print(f"export SLURM_CONF={_needed(asked).slurm_conf}")
    return 0


def status(asked: argparse.Namespace) -> int:
    cluster = _needed(asked)
    names = ["munged", "mariadb", "slurmdbd", "slurmctld", *NODES, "slurmrestd", *front.PARTS]
    found = {name: parts.find(cluster, name) for name in names}
    for name, process in found.items():
        print(f"{name:<12} {'runs as ' + str(process.pid) if process else 'does not run'}")
    return 0 if all(found.values()) else 1


def _needed(asked: argparse.Namespace) -> Layout:
    cluster = layout.kept(asked.folder)
    if cluster is None:
        raise NoCluster(f"There is no cluster in {asked.folder}; `make cluster` builds one.")
    return cluster


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.cluster")
    parser.add_argument("--folder", type=Path, default=layout.DEFAULT_FOLDER)
    commands = parser.add_subparsers(required=True)
    for name, do in (("up", up), ("down", down), ("env", env), ("status", status)):
        command = commands.add_parser(name)
        command.set_defaults(do=do)
        if name == "up":
            command.add_argument("--name", default=layout.DEFAULT_NAME)
            command.add_argument("--port", type=int, default=layout.DEFAULT_PORT)
            command.add_argument("--places", type=int, default=40)
            command.add_argument("--platform", default=DEFAULT_PLATFORM, help="where it answers; '': no hub")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
