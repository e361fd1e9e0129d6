"""A campus whose parts live on their own: what dies is started again, and nothing else with it.

`chancai run` stops everything when one part dies. Where each part is a service, its manager ends what is left of that
part and starts it again; that is what this program does, with the same parts. It is run as a program by
`tests.campus.kept`. While the file `wait` lies in the var folder, what died stays dead.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from app.embedded import guard
from app.embedded.console import Console
from app.embedded.errors import CannotStart
from app.embedded.processes import Part, Stopped, Supervisor
from app.embedded.run import ANSWERS_WITHIN, Campus, Plan, answers
from app.embedded.var import Var

TRIES = 10
PYTHON_PARTS = ("web", "worker", "hub", "demo")


class Manager(Supervisor):
    """Gives the parts that are Python programs a folder of modules more, where a test asks for one."""

    modules = ""

    def start(self, name: str, command: Any, *, env: Mapping[str, str], **options: Any) -> Part:
        if self.modules and name in PYTHON_PARTS:
            env = {**env, "PYTHONPATH": self.modules}
        return super().start(name, command, env=env, **options)


class KeptCampus(Campus):
    """The campus of `chancai run`, but for what happens when a part has died."""

    def __post_init__(self) -> None:
        self.supervisor = Manager(self.console)

    def _mourn(self, part: Part) -> int:
        while True:
            self._clear_away(part)
            while (self.plan.var.path / "wait").exists():
                self.supervisor.check()
                self._bury()
                time.sleep(0.02)
            self._start_again(part.name)
            self._remember(self.sign_ins)
            part = self.supervisor.watch()

    def _clear_away(self, part: Part) -> None:
        """End what is left of it, as a service manager does."""
        self.supervisor.parts.remove(part)
        left = [process for process in guard.descendants() if _session(process) == part.process.pid]
        if part.name == "postgres":
            return  # its backends see that their parent is gone, and end by themselves
        if part.name == "hub":  # a proxy and labs have sessions of their own
            left += self._orphans()
        guard.end_all(left, gentle=0.5)
        self._bury()

    def _bury(self) -> None:
        """A hub takes a proxy that nobody has buried for one that still runs, and does not start."""
        guard.bury_orphans({part.process.pid for part in self.supervisor.parts})

    def _orphans(self) -> list[psutil.Process]:
        own = {part.process.pid for part in self.supervisor.parts}
        orphans = [process for process in psutil.Process().children() if process.pid not in own]
        return [*orphans, *(below for process in orphans for below in guard.descendants(process.pid))]

    def _start_again(self, name: str) -> None:
        if name == "postgres":
            self._start_database_again()
        elif name == "hub":
            hub = self._start_hub()
            self._wait_for_answer(hub, f"http://127.0.0.1:{self.addresses.hub}/hub/health")
        elif name == "worker":
            worker = self._start_worker(self.env)
            self.supervisor.wait_for(worker, lambda: worker.is_ready, ANSWERS_WITHIN)
        else:
            web = self._start_web(self.env)
            self._wait_for_answer(web, f"{self.addresses.platform_url}/readyz")

    def _start_database_again(self) -> None:
        for _ in range(TRIES):  # its last backends may still hold its memory
            try:
                self._start_database()
            except CannotStart:
                self.supervisor.parts = [part for part in self.supervisor.parts if part.name != "postgres"]
                time.sleep(0.3)
            else:
                return

    def _remember(self, sign_ins: list[dict[str, Any]]) -> None:
        self.sign_ins = sign_ins
        super()._remember(sign_ins)

    def _platform_env(self, url: str) -> dict[str, str]:
        self.env = super()._platform_env(url)
        return self.env

    def _wait_for_answer(self, part: Part, url: str) -> None:
        deadline = time.monotonic() + ANSWERS_WITHIN
        while not answers(url):
            self.supervisor.check()
            if time.monotonic() > deadline or not part.is_alive:
                raise Stopped
            self._bury()
            time.sleep(0.05)


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return -1


def main(var_dir: str, modules: str = "") -> int:
    Manager.modules = modules
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    plan = Plan(var=Var(Path(var_dir)), port=0, labs_port=0)
    with plan.var.claimed():
        return guard.guarded(lambda: KeptCampus(plan, Console()).live())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
