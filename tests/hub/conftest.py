"""A real JupyterHub for the tests of its client, its configuration and its walls."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
import pytest

from deploy.hub.bubblewrap import usable
from labs.adapters.jupyterhub import JupyterHub
from tests.hub.browser import Browser
from tests.hub.stand_in import StandIn

CONFIG = Path(__file__).parent / "hub_config.py"
CENTER = "embedded"
Found = TypeVar("Found")


@pytest.fixture(autouse=True)
def clock() -> None:
    """Time runs here as it does outside: the hub has its own."""


def eventually(look: Callable[[], Found], seconds: float = 30) -> Found:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that run. One that has ended and waits for its parent to look is no longer running."""
    return [found for found in processes if found.is_running() and found.status() != psutil.STATUS_ZOMBIE]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def name_of_user() -> str:
    return secrets.token_hex(16)


def name_of_server() -> str:
    return f"lab-{secrets.token_hex(16)}"


@dataclass
class Campus:
    """A hub that runs, the platform it asks, and a client of its API."""

    folder: Path
    platform: StandIn
    bind_port: int
    api_port: int
    proxy_api_port: int
    spawner: str
    token: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    tester_token: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    process: subprocess.Popen[bytes] | None = None
    center: str = CENTER

    def __post_init__(self) -> None:
        self.client = JupyterHub(self.api_url, self.token)
        self.tester = JupyterHub(self.api_url, self.tester_token)
        hub = {"center": self.center, "api_url": self.api_url, "public_url": self.public_url, "token": self.token}
        more = {"client_id": self.platform.client[0], "client_secret": self.platform.client[1]}
        self.hubs_file = self.folder / "hubs.json"
        self.hubs_file.write_text(json.dumps([{**hub, **more, "admission_secret": self.platform.admission_secret}]))

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}/hub/api"

    @property
    def public_url(self) -> str:
        return f"http://localhost:{self.bind_port}"

    @property
    def homes(self) -> Path:
        return self.folder / "homes"

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text()

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "HUB_DIR": str(self.folder / "hub"),
            "HOMES_DIR": str(self.homes),
            "HUB_BIND_PORT": str(self.bind_port),
            "HUB_API_PORT": str(self.api_port),
            "HUB_PROXY_API_PORT": str(self.proxy_api_port),
            "HUB_PUBLIC_URL": self.public_url,
            "PLATFORM_URL": self.platform.url,
            "HUBS_FILE": str(self.hubs_file),
            "HUB_SPAWNER": self.spawner,
            "TESTER_TOKEN": self.tester_token,
            "A_SECRET_OF_THE_HUB": "no lab may see this",
        }
        with (self.folder / "hub.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(CONFIG)],
                env=environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self.is_up)

    def is_up(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log
        try:
            return all(
                httpx.get(f"{url}/hub/health", trust_env=False).status_code == 200
                for url in (f"http://127.0.0.1:{self.api_port}", self.public_url)
            )
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        finally:
            self.kill()

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process:
            self.stop()
        self.client.close()
        self.tester.close()
        self.platform.stop()

    def processes(self) -> list[psutil.Process]:
        """The hub and everything it started."""
        assert self.process
        hub = psutil.Process(self.process.pid)
        return alive([hub, *hub.children(recursive=True)])

    def processes_of(self, server: str) -> list[psutil.Process]:
        """Whatever runs of this lab, wherever it hangs by now: all of it has the lab's environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("JUPYTERHUB_SERVER_NAME") == server:
                    found.append(process)
        return alive(found)

    def lab(self, user: str, server: str, **spec: object) -> str:
        """Order a lab, start it, and wait until it is ready; its address."""
        self.platform.order(server, **spec)
        self.client.start(user, server, {"session": server.removeprefix("lab-")}, "Lab")
        steps = list(self.client.progress(user, server))
        assert steps[-1].ready, (steps, self.log[-4000:])
        return f"{self.public_url}/user/{user}/{server}/"

    def browser(self, person: str) -> Browser:
        return Browser(self.public_url, person)


def make_campus(folder: Path, spawner: str) -> Campus:
    platform = StandIn(CENTER, f"hub-{CENTER}", secrets.token_hex(16), secrets.token_hex(16))
    bind, api, proxy_api = free_ports(3)
    return Campus(folder, platform, bind, api, proxy_api, spawner)


def need_walls() -> None:
    """Skip where there are no walls, but never where they must be: in CI on Linux as root."""
    reason = usable()
    if reason is None:
        return
    if os.environ.get("CI") == "true" and sys.platform == "linux" and os.geteuid() == 0:
        pytest.fail(f"labs must be isolated in CI: {reason}")
    pytest.skip(f"LABS ARE NOT TESTED BEHIND WALLS: {reason}")


@pytest.fixture(scope="session")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    """A hub for the whole run, with walls where this host has them."""
    campus = make_campus(tmp_path_factory.mktemp("hub"), "auto")
    try:
        campus.start()
        yield campus
    finally:
        campus.close()


@pytest.fixture
def own_campus(tmp_path: Path) -> Iterator[Callable[[str], Campus]]:
    """A hub of a test's own, to do harm to."""
    made: list[Campus] = []

    def start(spawner: str) -> Campus:
        campus = make_campus(tmp_path, spawner)
        made.append(campus)
        campus.start()
        return campus

    yield start
    for campus in made:
        campus.close()
