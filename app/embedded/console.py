"""What the person at the console sees: steps with check marks, and the output of all parts as one prefixed log."""

import contextlib
import io
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

PREFIX_WIDTH = 8  # "postgres", the longest name of a part
COLORS = ("36", "35", "34", "33", "32")
RESET = "\033[0m"
CLEAR_LINE = "\r\033[2K"


@dataclass
class Step:
    """Something under way; `done` says what came of it."""

    done: str


class Console:
    """Writes whole lines, one at a time, also when several threads have something to say."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._is_terminal = self._out.isatty()
        self._colored = self._is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._lock = threading.Lock()
        self._under_way: str | None = None
        self._colors: dict[str, str] = {}
        self._palette = itertools.cycle(COLORS)
        self.is_closed = False  # nobody reads any more, as in `make run | head`
        if isinstance(self._out, io.TextIOWrapper):
            self._out.reconfigure(errors="replace")  # a terminal that knows no check mark

    def say(self, text: str = "") -> None:
        self._write(text)

    def warn(self, text: str) -> None:
        self._write(f"  {self._paint('!', '33')} {text}")

    def fail(self, text: str) -> None:
        self._write(f"  {self._paint('✗', '31')} {text}")

    def good(self, text: str) -> None:
        self._write(f"  {self._paint('✓', '32')} {text}")

    def log(self, part: str, text: str) -> None:
        """A line of output of one of the parts."""
        if part not in self._colors:
            self._colors[part] = next(self._palette)
        self._write(f"{self._paint(f'{part:<{PREFIX_WIDTH}} |', self._colors[part])} {text}")

    @contextlib.contextmanager
    def step(self, title: str, done: str) -> Iterator[Step]:
        """Show what is under way, then what is done and how long it took."""
        step, began = Step(done), time.monotonic()
        self._show_under_way(title)
        try:
            yield step
        except BaseException:
            self._show_under_way(None)
            self.fail(title)
            raise
        self._show_under_way(None)
        took = self._paint(f"({time.monotonic() - began:.1f} s)", "2")
        self._write(f"  {self._paint('✓', '32')} {step.done} {took}")

    def _show_under_way(self, title: str | None) -> None:
        if not self._is_terminal:
            return
        with self._lock:
            self._under_way = title
            self._put(CLEAR_LINE + (f"  … {title}" if title else ""))

    def _write(self, text: str) -> None:
        with self._lock:
            clear, again = (CLEAR_LINE, f"  … {self._under_way}") if self._under_way else ("", "")
            self._put(f"{clear}{text}\n{again}")

    def _put(self, text: str) -> None:
        if self.is_closed:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):  # the reader went away, or the disk of a redirected output is full
            self.is_closed = True

    def _paint(self, text: str, color: str) -> str:
        return f"\033[{color}m{text}{RESET}" if self._colored else text
