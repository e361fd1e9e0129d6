"""The Slurm cluster that `make run CENTER=slurm` puts labs on: built first, and left there afterwards."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from app.embedded.console import Console
from app.embedded.errors import CannotStart
from app.embedded.var import CHECKOUT


@dataclass(frozen=True)
class Hub:
    """Where its hub answers, and the file of the secrets that the platform shares with it."""

    hubs_file: Path
    public_port: int
    api_port: int
    proxy_api_port: int


def bring_up(folder: Path | None, platform_url: str, console: Console) -> Hub:
    """Build the cluster, or start what of it does not run, with a hub that knows this platform.

    Not below the guard, which would end it together with everything else.
    """
    from deploy.cluster import front, layout, packages

    reason = packages.cannot()
    if reason:
        raise CannotStart(
            f"There can be no Slurm cluster here: {reason}. Without CENTER=slurm, labs run on this machine itself."
        )
    place = folder or layout.DEFAULT_FOLDER
    command = [sys.executable, "-m", "deploy.cluster", "--folder", str(place), "up", "--platform", platform_url]
    with console.step("Building the Slurm cluster", f"Slurm cluster is up in {place}; `make cluster-down` removes it"):
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
            raise CannotStart(f"The Slurm cluster could not be built: {said[-1]}")
    built = layout.kept(place)
    if built is None:
        raise CannotStart(f"There is no Slurm cluster in {place}.")
    ports = (built.port_of(name) for name in ("hub", "hub_api", "proxy_api"))
    return Hub(front.hubs_file(built), *ports)
