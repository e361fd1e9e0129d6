"""Keeps the quotas of a Slurm cluster as the platform wants them: writes what differs, tells what is left.

python -m deploy.hub.slurm_keeper [--once]      (docs/cluster.md lists the environment)

Runs on a host of the cluster, as an account that Slurm calls an administrator; the platform needs no way in, and no
key of the cluster's. What it last heard stays in force while the platform does not answer.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from deploy.hub import settings
from labs.adapters.sacctmgr import Sacctmgr, SacctmgrError
from labs.slurm_quotas import Quotas

SECONDS_BETWEEN_QUESTIONS = 2.0
SECONDS_BETWEEN_LOOKS = 30.0  # at a cluster that nothing has changed in, as far as we know
TOLD = 50  # differences, of however many

log = logging.getLogger("chancai.keeper")


@dataclass
class Keeper:
    """One cluster's. `books` is its accounting."""

    platform: httpx.Client
    center: str
    books: Sacctmgr
    version: str = ""
    wanted: Quotas | None = None
    state: dict[str, Any] | None = None  # to be told with the next question
    looked_at: float = field(default=float("-inf"))

    def round(self) -> bool:
        """Ask the platform, and look at the cluster where that is due. Whether the cluster is as it should be."""
        has_news = self._ask()
        is_due = time.monotonic() - self.looked_at >= SECONDS_BETWEEN_LOOKS
        if self.wanted is not None and (has_news or is_due or self._is_wrong()):
            self._look(self.wanted)
            self._ask()
        return self.wanted is not None and not self._is_wrong()

    def _ask(self) -> bool:
        """Whether the quotas are others now. A platform that does not answer changes nothing."""
        body = {"center": self.center, "have": self.version, "state": self.state}
        try:
            answer = self.platform.post("/internal/quotas", json=body)
            answer.raise_for_status()
            told = answer.json()
            quotas = Quotas.read(told["quotas"]) if "quotas" in told else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("The platform does not say what the quotas are: %s", error)
            return False
        if self.state is not None:
            self.state = {**self.state, "written": 0}  # told
        if quotas is None:
            return False
        self.version, self.wanted = str(told["version"]), quotas
        return True

    def _look(self, wanted: Quotas) -> None:
        self.looked_at = time.monotonic()
        untold = self.state["written"] if self.state else 0
        try:
            written, left, said = self.books.apply(wanted)
        except SacctmgrError as error:
            log.warning("Slurm's accounting does not answer: %s", error)
            self.state = {"differences": [], "number": 0, "written": untold, "failure": str(error)}
            return
        if written:
            log.info("%i quotas were set", written)
        if left:
            log.warning("%i quotas could not be set: %s: %s", len(left), left[0].why, said)
        differences = [change.why for change in left[:TOLD]]
        failure = (said or "Slurm says nothing against it, and does not do it") if left else None
        self.state = {
            **{"differences": differences, "number": len(left), "written": untold + written},
            "failure": failure,
        }

    def _is_wrong(self) -> bool:
        return self.state is None or self.state["number"] > 0 or self.state["failure"] is not None


def read(environment: Mapping[str, str] = os.environ) -> Keeper:
    center, platform_url, secret = settings.of_keeper(environment)
    platform = httpx.Client(
        base_url=platform_url, headers={"Authorization": f"Bearer {secret}"}, timeout=30.0, trust_env=False
    )
    return Keeper(platform, center, Sacctmgr())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--once", action="store_true", help="one round; exit status 1 where something stays wrong")
    once = parser.parse_args().once
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    keeper = read()
    if once:
        return 0 if keeper.round() else 1
    while True:
        keeper.round()
        time.sleep(SECONDS_BETWEEN_QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
