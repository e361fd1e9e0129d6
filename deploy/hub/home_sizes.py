"""How much homes hold, measured now and then, one at a time, in a thread, and never for long.

A home belongs to somebody else, who may change it while it is measured: no link is followed, no other file system
entered, and what takes too long is ended. What was found until then is a size that the home has at least.
"""

import asyncio
import os
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.hub.lesson_files import FOLDER

SECONDS_TO_BELIEVE = 300.0
SECONDS_TO_MEASURE = 20.0
DEEPEST = 100
ENTRIES_BEFORE_A_BREATH = 500  # the hub's own loop shares a core with us


@dataclass(frozen=True)
class Size:
    """What a home takes up on the disk."""

    size_bytes: int
    files: int
    measured_at: datetime
    is_whole: bool = True


class HomeSizes:
    """What was measured last of each home."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._known: dict[Path, Size] = {}
        self._due_at: dict[Path, float] = {}
        self._clock = clock

    def known(self, home: Path) -> Size | None:
        return self._known.get(home)

    def forget_soon(self, home: Path) -> None:
        """It has changed, as at the end of a lab: measure it before the others."""
        self._due_at[home] = 0.0

    def is_due(self, home: Path) -> bool:
        return self._due_at.get(home, 0.0) <= self._clock()

    async def measure_next(self, homes: Iterable[Path]) -> Path | None:
        """Measure the one that is most overdue; None when none is. What nobody asks about any more is forgotten."""
        wanted = set(homes)
        for known in (self._known, self._due_at):
            for gone in known.keys() - wanted:
                del known[gone]
        home = min(wanted, key=lambda one: self._due_at.get(one, 0.0), default=None)
        if home is None or not self.is_due(home):
            return None
        size = await asyncio.to_thread(measure, home)
        self._due_at[home] = self._clock() + SECONDS_TO_BELIEVE
        before = self._known.get(home)
        if size and (size.is_whole or before is None or size.size_bytes >= before.size_bytes):
            self._known[home] = size
        return home


def measure(home: Path, seconds: float = SECONDS_TO_MEASURE) -> Size | None:
    """None when there is no home, or no way in."""
    try:
        folder = os.open(home, FOLDER)
    except OSError:
        return None
    try:
        walk = _Walk(os.fstat(folder).st_dev, time.monotonic() + seconds)
        is_whole = walk.through(folder, 0)
        return Size(walk.size_bytes, walk.files, datetime.now(UTC), is_whole)
    finally:
        os.close(folder)


class _Walk:
    def __init__(self, device: int, deadline: float) -> None:
        self.size_bytes = 0
        self.files = 0
        self._device = device
        self._deadline = deadline
        self._linked: set[int] = set()

    def through(self, folder: int, depth: int) -> bool:
        """Add up what is in the folder, and in those below; False when the time was over before."""
        try:
            entries = os.scandir(folder)
        except OSError:
            return True
        with entries:
            for entry in entries:
                if self.files % ENTRIES_BEFORE_A_BREATH == 0:
                    if time.monotonic() > self._deadline:
                        return False
                    time.sleep(0.001)
                self.files += 1
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError:  # gone again
                    continue
                if found.st_dev != self._device or self._was_counted(found):
                    continue
                self.size_bytes += found.st_blocks * 512
                if entry.is_dir(follow_symlinks=False) and depth < DEEPEST and not self._into(folder, entry, depth):
                    return False
        return True

    def _into(self, folder: int, entry: "os.DirEntry[str]", depth: int) -> bool:
        try:
            inside = os.open(entry.name, FOLDER, dir_fd=folder)
        except OSError:
            return True
        try:
            return self.through(inside, depth + 1)
        finally:
            os.close(inside)

    def _was_counted(self, found: os.stat_result) -> bool:
        """A file with several names takes up its room once."""
        if found.st_nlink < 2 or found.st_ino in self._linked:
            return found.st_ino in self._linked
        if not stat.S_ISDIR(found.st_mode):
            self._linked.add(found.st_ino)
        return False
