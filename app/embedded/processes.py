"""The supervisor: starts the parts, streams what they say, waits until they answer, and stops all of them."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from app.embedded import guard
from app.embedded.account import Account
from app.embedded.console import Console
from app.embedded.errors import CannotStart

TICK = 0.05
CHECKOUT = Path(__file__).parents[2]
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody asked us to stop. Not an Exception: nothing but the end of the program handles it."""


@dataclass
class Part:
    """One of our children, in a session of its own."""

    name: str
    process: "subprocess.Popen[bytes]"
    stop_signal: signal.Signals
    grace: float
    ready_words: tuple[str, ...] = ()
    ends_by_itself: bool = False
    is_ready: bool = False  # it has said one of the ready words
    began: float = field(default_factory=time.monotonic)
    said: "deque[str]" = field(default_factory=lambda: deque(maxlen=200))
    reader: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = self.process.returncode
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with status {code}"

    def has_said(self, text: str) -> bool:
        """Whether it is among its last lines."""
        return any(text in line for line in list(self.said))


class Supervisor:
    """Everything started here is ended by `stop_all`, in reverse order."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.parts: list[Part] = []
        self._guard = os.getppid()
        self._asked_to_stop = 0

    def listen_for_stop(self) -> None:
        """Ctrl-C, a kill and a closed terminal ask us to stop; asked twice, we don't wait any longer."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 15.0,
        ready_words: tuple[str, ...] = (),
        ends_by_itself: bool = False,
    ) -> Part:
        self.check()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=CHECKOUT if account is None or account.identity is None else "/",
            start_new_session=True,
            **(account or Account()).popen_options(),
        )
        part = Part(name, process, stop_signal, grace, ready_words, ends_by_itself)
        self.parts.append(part)
        part.reader = threading.Thread(target=self._stream, args=(part,), name=f"output of {name}", daemon=True)
        part.reader.start()
        return part

    def run(self, name: str, command: Sequence[str], *, env: Mapping[str, str], within: float = 600.0) -> list[str]:
        """Run something that ends by itself; what it said, which is shown only if it fails."""
        part = self.start(name, command, env=env, ends_by_itself=True)
        self.wait_for(part, lambda: not part.is_alive, within)
        if part.reader is not None:
            part.reader.join(timeout=5)
        self.parts.remove(part)
        if part.process.returncode:
            for line in part.said:
                self.console.log(name, line)
            reason = next((line for line in reversed(part.said) if line.strip()), "it said nothing")
            raise CannotStart(f"`{_readable(command)}` {part.ending}: {reason.strip()}")
        return list(part.said)

    def wait_for(self, part: Part, is_ready: Callable[[], bool], within: float) -> None:
        deadline = time.monotonic() + within
        while not is_ready():
            self.check()
            self._expect_all_alive()
            if time.monotonic() > deadline:
                raise CannotStart(f"{part.name} was not ready within {within:.0f} seconds.")
            time.sleep(TICK)

    def watch(self) -> Part:
        """Wait until a part dies; that part."""
        while True:
            self.check()
            for part in self.parts:
                if not part.is_alive:
                    return part
            guard.bury_orphans({part.process.pid for part in self.parts})
            time.sleep(TICK * 4)

    def check(self) -> None:
        """Raise when we are to stop: asked to, orphaned (our guard was killed), or nobody reads our output."""
        if self._asked_to_stop or os.getppid() != self._guard or self.console.is_closed:
            raise Stopped

    def lives(self, part: Part) -> bool:
        """Whether to go on waiting for the part."""
        self.check()
        return part.is_alive

    def stop_all(self) -> None:
        for part in reversed(self.parts):
            self._stop(part)
        guard.end_all(guard.descendants(), gentle=self._patience(guard.GENTLE))
        for part in self.parts:
            if part.reader is not None:
                part.reader.join(timeout=1)
        self.parts.clear()

    def _expect_all_alive(self) -> None:
        for part in self.parts:
            if not part.is_alive and not part.ends_by_itself:
                raise CannotStart(f"{part.name} {part.ending} while starting; its last lines above say why.")

    def _stop(self, part: Part) -> None:
        below = guard.descendants(part.process.pid)
        with contextlib.suppress(ProcessLookupError):
            part.process.send_signal(part.stop_signal)
        deadline = time.monotonic() + part.grace
        while part.is_alive and time.monotonic() < deadline and self._patience(1):
            time.sleep(TICK)
        if part.is_alive:
            self.console.warn(f"{part.name} did not stop within {part.grace:.0f} seconds and is killed.")
            with contextlib.suppress(ProcessLookupError):
                part.process.kill()
        part.process.wait()
        guard.end_all([process for process in below if guard.lives(process)], gentle=self._patience(guard.GENTLE))

    def _patience(self, seconds: float) -> float:
        """How long to wait: not at all for somebody who pressed Ctrl-C twice."""
        return 0.0 if self._asked_to_stop > 1 else seconds

    def _on_stop(self, *_: object) -> None:
        self._asked_to_stop += 1

    def _stream(self, part: Part) -> None:
        output: IO[bytes] = part.process.stdout  # type: ignore[assignment]  # we asked for a pipe
        for line in output:
            text = line.decode(errors="replace").rstrip()
            part.said.append(text)
            part.is_ready = part.is_ready or any(words in text for words in part.ready_words)
            if not part.ends_by_itself:
                self.console.log(part.name, text)


def _readable(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])
