"""How a center on one host starts labs: behind walls where bubblewrap is usable, as plain processes where it is not.

Neither kind outlives the hub, not even a hub that is killed. So a hub that comes back says that nothing runs, and is
right, and no lab burns compute that nobody is charged for.
"""

import asyncio
import contextlib
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import zlib
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from jupyterhub.spawner import LocalProcessSpawner
from tornado import web
from traitlets import Integer, Unicode

from deploy.hub import bubblewrap, lesson_files
from deploy.hub.admission import Spec
from deploy.hub.bubblewrap import HOME, HUB_SOCKET, SOCKETS, Walls, owner_of, python_paths
from deploy.hub.relay import Relay, connect_to_lab
from deploy.hub.reports import Lab, Reporter
from deploy.hub.saving import SavingSpawner

HERE = Path(__file__).parent
LAB = HERE / "lab"
LAB_SOCKET = "lab.sock"
SECONDS_BETWEEN_LOOKS = 0.03
LINES_KEPT, LONGEST_LINE = 30, 400
SMALLEST_FILE_MB = 16  # what a lab may write however full its home is


class LabSpawner(SavingSpawner, LocalProcessSpawner):
    """What both kinds share. `granted` is what the platform's admission said, set by the hub's hook before a start."""

    homes_dir = Unicode(config=True, help="The folder of the students' homes")
    state_dir = Unicode(config=True, help="The hub's own folder for what running labs need")
    most_processes = Integer(1024, config=True, help="Processes and threads of one lab")
    most_file_mb = Integer(4096, config=True, help="The largest file a lab may write")

    reporter: Reporter | None = None  # of the hub, for all of its labs; no setting, since of settings each gets a copy
    walled = False
    granted: Spec | None = None
    said: deque[str]

    @property
    def home(self) -> Path:
        return Path(str(self.homes_dir), str(self.user.name))

    # What JupyterHub asks of a spawner

    async def start(self) -> tuple[str, int]:
        if self.granted is None:
            raise web.HTTPError(403, "this start was not admitted")
        await asyncio.to_thread(self._fill_home, self.granted)
        address = await self.open_doors()
        self.said = deque(maxlen=LINES_KEPT)
        listening, speaking = os.pipe()
        try:
            self.proc = subprocess.Popen(  # noqa: S603
                self.command(self.granted),
                env=self.get_env(),
                cwd="/" if self.walled else self.home,
                stdin=subprocess.DEVNULL,
                stdout=speaking,
                stderr=subprocess.STDOUT,
                preexec_fn=self.placement(self.granted),
                start_new_session=True,
            )
        finally:
            os.close(speaking)
            self._listening = asyncio.ensure_future(self._listen(os.fdopen(listening, "rb")))
        self.pid = self.proc.pid
        await self._wait_until_it_answers()
        self._was_asked_to_save = False
        if self.reporter:
            self.reporter.add(Lab(self.name, self.home, self.room, self.uid))
        return address

    async def stop(self, now: bool = False) -> None:
        await self.save_documents()
        await super().stop(now=now)

    def may_be_asked(self) -> bool:
        return self.proc is not None and self.proc.poll() is None

    def get_env(self) -> dict[str, str]:
        """The lab's whole environment: nothing is inherited from the hub."""
        env = {
            **super().get_env(),
            "HOME": self.home_inside(),
            "USER": "lab",
            "SHELL": shutil.which("bash") or "/bin/sh",
            "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            "JUPYTER_CONFIG_PATH": str(LAB / "config"),
            "CHANCAI_ROOM": self.room_inside(),
            **language(self.granted.language if self.granted else "en"),
        }
        return {name: str(value) for name, value in env.items() if value is not None}

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        return env

    def load_state(self, state: dict[str, Any]) -> None:
        """A hub that starts finds no lab alive, whatever it wrote down; the number may be another process by now."""

    def clear_state(self) -> None:
        super().clear_state()
        if self.reporter:
            self.reporter.remove(self.name)
        self.close_doors()

    def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        return paths

    # What the two kinds do in their own ways

    def home_inside(self) -> str:
        return str(self.home)

    @property
    def room(self) -> Path:
        """The folder that the lab shares with the hub."""
        return Path(str(self.state_dir), str(self.name), "room")

    def room_inside(self) -> str:
        return str(self.room)

    @property
    def uid(self) -> int:
        """Whose files are the lab's own."""
        return os.geteuid()

    async def open_doors(self) -> tuple[str, int]:
        """Make the ways into the lab and out of it; where the hub finds the lab."""
        raise NotImplementedError

    def close_doors(self) -> None:
        """Undo `open_doors`. Also called when there is nothing to undo."""

    async def answers(self) -> bool:
        """Whether the lab's server takes connections."""
        raise NotImplementedError

    def command(self, spec: Spec) -> list[str]:
        raise NotImplementedError

    # Shared parts

    def server_command(self, spec: Spec, limits: dict[str, int], *arguments: str) -> list[str]:
        limits = {"CORE": 0, "DATA": spec.memory_mb << 20, "FSIZE": self._longest_file(spec), **limits}
        return [
            *[sys.executable, "-I", str(LAB / "start.py")],
            *server_arguments(spec, limits, *arguments),
            *self.get_args(),
        ]

    def _longest_file(self, spec: Spec) -> int:
        """No file may be larger than what is left of the home's quota; the quota itself only a file system can keep."""
        most: int = self.most_file_mb << 20
        if spec.home_left_bytes is None or not self.walled:
            return most
        return min(most, max(SMALLEST_FILE_MB << 20, spec.home_left_bytes))

    def placement(self, spec: Spec) -> Callable[[], None] | None:
        """Keep the lab on as many of this host's cores as it paid for, always the same ones for the same lab."""
        if not hasattr(os, "sched_setaffinity"):
            return None
        cores = sorted(os.sched_getaffinity(0))
        first = zlib.crc32(self.name.encode()) % len(cores)
        given = {cores[(first + i) % len(cores)] for i in range(min(len(cores), math.ceil(spec.cores)))}
        return lambda: os.sched_setaffinity(0, given)

    def _fill_home(self, spec: Spec) -> None:
        owner = owner_of(self.user.name) if self.walled else None
        try:
            lesson_files.make_home(self.home, owner)
            record = Path(str(self.state_dir), "lessons", f"{self.user.name}.json")
            written = lesson_files.write(self.home, spec.files, owner, record)
        except OSError as error:
            raise web.HTTPError(403, f"The lab's home cannot be written: {error.strerror}") from error
        if written:
            self.log.info("%s: %i lesson files are new", self._log_name, len(written))

    async def _wait_until_it_answers(self) -> None:
        """Wait here, in short steps, since the hub's own waiting grows longer with every look."""
        while not await self.answers():
            if self.proc is None or self.proc.poll() is not None:
                for line in getattr(self, "said", ()):
                    self.log.warning("%s said: %s", self._log_name, line)
                raise RuntimeError("The lab ended before it answered")
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def _listen(self, output: BinaryIO) -> None:
        """Keep the last lines a lab says, for when it fails; a lab that floods us is read slowly."""
        reader = asyncio.StreamReader(limit=1 << 16)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), output
        )
        with contextlib.closing(transport):
            while piece := await reader.read(1 << 14):
                for line in piece.decode("utf-8", "replace").splitlines():
                    self.said.append(ascii(line[:LONGEST_LINE])[1:-1])
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


class WalledSpawner(LabSpawner):
    """A lab in bubblewrap: no network but two sockets, no files but its home, no other processes, no rights."""

    walled = True
    _place: Path | None = None
    _relays: tuple[Relay, ...] = ()

    async def open_doors(self) -> tuple[str, int]:
        self._place = room = Path(str(self.state_dir)) / self.name
        shutil.rmtree(room, ignore_errors=True)
        sockets = self.room
        sockets.mkdir(parents=True, mode=0o700)
        owner = owner_of(self.user.name)
        if owner:
            os.chown(sockets, owner.uid, owner.gid)
        uid = self.uid
        into_lab = Relay(lambda: connect_to_lab(sockets, LAB_SOCKET, uid))
        hub = urlsplit(self.hub.api_url)
        to_hub = Relay(lambda: asyncio.open_connection(hub.hostname, hub.port))
        self._relays = (into_lab, to_hub)
        await to_hub.listen_on_socket(room / "hub.sock")
        return "127.0.0.1", await into_lab.listen_on_port()

    def close_doors(self) -> None:
        for relay in self._relays:
            relay.close()
        self._relays = ()
        if self._place:
            shutil.rmtree(self._place, ignore_errors=True)
        self._place = None

    async def answers(self) -> bool:
        try:
            _, writer = await connect_to_lab(self.room, LAB_SOCKET, self.uid)
        except OSError:
            return False
        writer.close()
        return True

    def home_inside(self) -> str:
        return HOME

    @property
    def room(self) -> Path:
        return Path(str(self.state_dir), str(self.name), "sockets")

    def room_inside(self) -> str:
        return SOCKETS

    @property
    def uid(self) -> int:
        owner = owner_of(self.user.name)
        return owner.uid if owner else os.geteuid()

    def get_env(self) -> dict[str, str]:
        env = super().get_env()
        hub = "http+unix://" + quote(HUB_SOCKET, safe="")
        for name in ("JUPYTERHUB_API_URL", "JUPYTERHUB_ACTIVITY_URL"):
            env[name] = hub + urlsplit(env[name]).path
        # Without a port: jupyter-server refuses a socket and a port together.
        env["JUPYTERHUB_SERVICE_URL"] = f"http+unix://{quote(SOCKETS, safe='')}{env['JUPYTERHUB_SERVICE_PREFIX']}"
        env["JUPYTER_RUNTIME_DIR"] = "/tmp/jupyter"  # noqa: S108
        return env

    def command(self, spec: Spec) -> list[str]:
        room = Path(str(self.state_dir)) / self.name
        walls = Walls(
            home=self.home,
            sockets=self.room,
            hub_socket=room / "hub.sock",
            etc=Path(str(self.state_dir)) / "etc",
            memory_mb=spec.memory_mb,
            read_only=[*python_paths(), str(LAB)],
            owner=owner_of(self.user.name),
        )
        return walls.around(
            self.server_command(spec, {"NPROC": self.most_processes}, f"--ServerApp.sock={SOCKETS}/{LAB_SOCKET}")
        )


class PlainSpawner(LabSpawner):
    """A lab as a plain process of the hub's own user: no walls at all. For a laptop of one's own, never for others."""

    _has_room = False

    async def open_doors(self) -> tuple[str, int]:
        shutil.rmtree(self.room, ignore_errors=True)
        self.room.mkdir(parents=True, mode=0o700)
        self._has_room = True
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        return "127.0.0.1", self.port

    def close_doors(self) -> None:
        if self._has_room:
            shutil.rmtree(self.room, ignore_errors=True)
        self._has_room = False

    async def answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def command(self, spec: Spec) -> list[str]:
        root = ["--allow-root"] if os.geteuid() == 0 else []
        notebooks = f"--ServerApp.root_dir={self.home}"
        server = self.server_command(spec, {}, notebooks, *root)
        return [sys.executable, "-I", str(HERE / "watchdog.py"), *server]


def server_arguments(spec: Spec, limits: dict[str, int], *arguments: str) -> list[str]:
    """What `lab/start.py` is called with: limits, and arguments of the server."""
    return [json.dumps(limits), f"--LabApp.app_settings_dir={LAB / 'settings' / spec.language}", *arguments]


def language(wanted: str) -> dict[str, str]:
    """LANG and LANGUAGE for the reader; a locale that this host has not generated would break programs."""
    return {"LANG": f"{wanted}.UTF-8" if f"{wanted}.utf8" in _locales() else "C.UTF-8", "LANGUAGE": wanted}


@lru_cache
def _locales() -> frozenset[str]:
    program = shutil.which("locale")
    if not program:
        return frozenset()
    listed = subprocess.run([program, "-a"], capture_output=True, text=True, check=False)  # noqa: S603
    return frozenset(line.replace("UTF-8", "utf8") for line in listed.stdout.split())


def best_spawner(wanted: str) -> tuple[type[LabSpawner], str | None]:
    """The spawner for this host, and the reason when labs will not be isolated."""
    reason = "HUB_SPAWNER=plain asks for it" if wanted == "plain" else bubblewrap.usable()
    if reason is None:
        return WalledSpawner, None
    if wanted == "bubblewrap":
        raise SystemExit(f"HUB_SPAWNER=bubblewrap, but {reason}")
    return PlainSpawner, reason
