"""How busy a lab is: its kernels, what runs in its terminals, its accelerators. Written down for the hub."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from typing import Any

from .browsers import Browsers
from .room import Room

SECONDS_BETWEEN_LOOKS = 5.0
SECONDS_BETWEEN_ACCELERATOR_LOOKS = 15.0
SECONDS_FOR_A_TOOL = 5.0
FAILURES_TO_GIVE_UP = 3
NUMBER = re.compile(rb"^\s*(\d+)\s*$", re.MULTILINE)
NPU = re.compile(rb"NPU ID\s*:\s*(\d+)")
AICORE = re.compile(rb"Aicore Usage Rate\(%\)\s*:\s*(\d+)")


class Measuring:
    def __init__(self, server: Any, room: Room, browsers: Browsers) -> None:
        self._server = server
        self._room = room
        self._browsers = browsers
        self._accelerators = Accelerators()
        self._last_busy_at: datetime | None = None
        self._keep_alive: dict[str, Any] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._go_on())

    def keep_running(self, minutes: int) -> None:
        """Somebody clicked: the hub is to take it to the platform, once."""
        self._keep_alive = {"id": os.urandom(8).hex(), "minutes": minutes}
        self.write()

    def write(self) -> None:
        kernels, busy = self._kernels()
        busy += self._busy_terminals()
        if busy:
            self._last_busy_at = datetime.now(UTC)
        self._room.write_activity(
            {
                "at": datetime.now(UTC).isoformat(),
                "kernels": kernels,
                "busy": busy,
                "last_busy_at": _iso(self._last_busy_at),
                "accelerator_percent": self._accelerators.percent,
                "last_accelerator_at": _iso(self._accelerators.last_used_at),
                "browsers": len(self._browsers.there),
                "last_seen_person_at": _iso(self._browsers.last_seen_at),
                "keep_alive": self._keep_alive,
            }
        )

    async def _go_on(self) -> None:
        measuring = asyncio.ensure_future(self._accelerators.go_on())
        try:
            while True:
                try:
                    self.write()
                except Exception:
                    self._server.log.exception("The lab could not be measured")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SECONDS_BETWEEN_LOOKS):
                        await self._browsers.appeared()
        finally:
            measuring.cancel()

    def _kernels(self) -> tuple[int, int]:
        """How many there are, and how many work. What ran between two looks moved its kernel's last activity."""
        manager = self._server.kernel_manager
        ids = list(manager.list_kernel_ids())
        busy = 0
        for kernel in (manager.get_kernel(kernel_id) for kernel_id in ids):
            busy += getattr(kernel, "execution_state", "") == "busy"
            last = getattr(kernel, "last_activity", None)
            if last is not None and (self._last_busy_at is None or last > self._last_busy_at):
                self._last_busy_at = last
        return len(ids), busy

    def _busy_terminals(self) -> int:
        manager = self._server.web_app.settings.get("terminal_manager")
        return sum(map(_runs_something, list(manager.terminals.values()))) if manager else 0


def _runs_something(terminal: Any) -> bool:
    """Whether anything but the shell itself runs in a terminal: in front of it, or behind it."""
    shell = terminal.ptyproc
    with contextlib.suppress(OSError, AttributeError, ValueError):
        if os.tcgetpgrp(shell.fd) != shell.pid:
            return True
        with open(f"/proc/{shell.pid}/task/{shell.pid}/children", "rb") as children:
            return bool(children.read(1))
    return False


class Accelerators:
    """What a tool of their maker's says of them. Where there is none, or it fails, nothing is known."""

    def __init__(self) -> None:
        self.percent: int | None = None
        self.last_used_at: datetime | None = None

    async def go_on(self) -> None:
        look = self._tool()
        failures = 0
        while look and failures < FAILURES_TO_GIVE_UP:
            self.percent = await look()
            failures = failures + 1 if self.percent is None else 0
            if self.percent:
                self.last_used_at = datetime.now(UTC)
            await asyncio.sleep(SECONDS_BETWEEN_ACCELERATOR_LOOKS)

    def _tool(self) -> Any:
        if shutil.which("npu-smi"):
            return self._npu
        return self._gpu if shutil.which("nvidia-smi") else None

    async def _gpu(self) -> int | None:
        said = await _ask("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
        return _most(NUMBER.findall(said))

    async def _npu(self) -> int | None:
        used: list[bytes] = []
        for card in NPU.findall(await _ask("npu-smi", "info", "-l"))[:16]:
            used += AICORE.findall(await _ask("npu-smi", "info", "-t", "usages", "-i", card.decode()))
        return _most(used)


def _most(percents: list[bytes]) -> int | None:
    return min(100, max(map(int, percents))) if percents else None


async def _ask(*command: str) -> bytes:
    """What a program says, or nothing; one that takes its time is ended."""
    try:
        program = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return b""
    try:
        async with asyncio.timeout(SECONDS_FOR_A_TOOL):
            said, _ = await program.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            program.kill()
        return b""
    return said if program.returncode == 0 else b""


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
