"""The commands `chancai run` and `chancai doctor`."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from app.embedded import database, secrets
from app.embedded import doctor as examination
from app.embedded import run as campus
from app.embedded.console import Console
from app.embedded.doctor import Finding, Level
from app.embedded.errors import CannotStart
from app.embedded.var import CHECKOUT, Var

var_dir = click.option(
    "--var-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=CHECKOUT / "var",
    envvar="VAR_DIR",
    help="Where database, secrets and homes are kept. [default: var/ in the checkout]",
)


MORE_CHECKS: list[Callable[[Var, Sequence[str]], list[Finding]]] = []  # of those who know more than this package


@click.command("run")
@var_dir
@click.option("--port", type=click.IntRange(0, 65535), default=8600, show_default=True, help="Of the platform; 0: any.")
@click.option("--labs-port", type=click.IntRange(0, 65000), default=8700, show_default=True, help="Of the labs.")
@click.option(
    "--center",
    type=click.Choice([secrets.CENTER, campus.SLURM]),
    default=secrets.CENTER,
    show_default=True,
    help="Where labs run: on this machine itself, or as jobs on a Slurm cluster that is built on it (Debian, root).",
)
@click.option(
    "--cluster-folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Of the Slurm cluster. [default: that of `make cluster`]",
)
@click.option("--demo/--no-demo", default=True, help="Load the demo campus when the database is empty.")
def run(var_dir: Path, port: int, labs_port: int, center: str, cluster_folder: Path | None, demo: bool) -> None:
    """Start everything: PostgreSQL, JupyterHub, worker and web server. Ctrl-C stops it.

    With DATABASE_URL set, that PostgreSQL is used and none is started. Exit status: 0 stopped on request,
    1 something could not start or died, 3 Chancai already runs in this folder.
    """
    console = Console()
    try:
        url = os.environ.get("DATABASE_URL", "")
        plan = campus.Plan(
            var=Var(var_dir.absolute() / center if center == campus.SLURM else var_dir.absolute()),
            center=center,
            cluster_folder=cluster_folder,
            port=port,
            labs_port=labs_port,
            database_url=database.parsed(url).render_as_string(hide_password=False) if url else "",
            with_demo=demo,
        )
        sys.exit(campus.run(plan, console))
    except CannotStart as problem:
        console.fail(str(problem))
        sys.exit(problem.exit_code)


@click.command("doctor")
@var_dir
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.option("--centers/--no-centers", default=True, help="Also examine the hubs in HUBS_FILE and their clusters.")
@click.option("--slurm-file", multiple=True, metavar="CENTER=FILE", help="The SLURM_FILE of the hub of that center.")
def doctor(var_dir: Path, as_json: bool, centers: bool, slurm_file: tuple[str, ...]) -> None:
    """Say what is missing or wrong here and at the centers, and how to mend it. Exit status 1 when there is an error.

    At a center it has the hub start a lab that nobody ordered, which must be refused.
    """
    var = Var(var_dir.absolute())
    findings = examination.examine(var)
    if centers:
        findings += [finding for check in MORE_CHECKS for finding in check(var, slurm_file)]
    if as_json:
        click.echo(examination.as_json(findings))
    else:
        _show(findings)
    sys.exit(0 if examination.is_healthy(findings) else 1)


def _show(findings: list[Finding]) -> None:
    console = Console()
    say = {Level.OK: console.good, Level.WARNING: console.warn, Level.ERROR: console.fail}
    for finding in findings:
        say[finding.level](f"{finding.what}: {finding.found}")
        if finding.remedy:
            console.say(f"      {finding.remedy}")
