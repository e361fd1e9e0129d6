"""The browsers that look at a lab: who is there, what they are told, and what they have saved."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from .room import Room

SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_TO_COME_BACK = 5.0  # a browser that asks again within this was there all the time
SECONDS_TO_SAVE = 2.5
MOST_BROWSERS = 64


class Browsers:
    """Each page of the owner's is known by a word it made up. Guests are told the news too, and not counted."""

    def __init__(self, room: Room) -> None:
        self.news: dict[str, Any] = {}
        self.version = ""
        self.last_seen_at: datetime | None = None
        self.changed = asyncio.Event()  # what to say, or who is there
        self._room = room
        self._asking: dict[str, int] = {}
        self._seen: dict[str, float] = {}
        self._save: str | None = None
        self._appeared = asyncio.Event()
        self._owing: set[str] = set()
        self._saved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._watch())

    # Who is there

    @property
    def there(self) -> set[str]:
        since = time.monotonic() - SECONDS_TO_COME_BACK
        self._seen = {name: at for name, at in self._seen.items() if at >= since or name in self._asking}
        return set(self._seen)

    def arrive(self, name: str) -> None:
        if name not in self._seen and len(self._seen) >= MOST_BROWSERS:
            return
        is_new = name not in self._seen
        self._asking[name] = self._asking.get(name, 0) + 1
        self.note(name)
        if is_new:
            self._appeared.set()

    def leave(self, name: str) -> None:
        if name not in self._asking:
            return
        self._asking[name] -= 1
        if not self._asking[name]:
            del self._asking[name]
        self.note(name)

    def note(self, name: str) -> None:
        self._seen[name] = time.monotonic()
        self.last_seen_at = datetime.now(UTC)

    async def appeared(self) -> None:
        """Come back when a browser appears, so that the hub hears of it soon."""
        await self._appeared.wait()
        self._appeared.clear()

    # What they are told

    async def wait_for_other_than(self, version: str, seconds: float) -> None:
        """Come back when there is something that was not told yet, or in so many seconds."""
        deadline = time.monotonic() + seconds
        while self.told == version and (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self.changed.wait()
            except TimeoutError:
                return

    @property
    def told(self) -> str:
        """The version of all that a browser is told, the wish to save included."""
        return f"{self.version}-{self._save or ''}"

    @property
    def to_save(self) -> str | None:
        return self._save

    # Saving

    async def save_all(self, name: str) -> tuple[int, int]:
        """Have every page save its documents; (how many did in time, how many there were)."""
        asked = self.there
        if not asked:
            return 0, 0
        self._owing, self._save = set(asked), name
        self._saved.clear()
        self._tell()
        try:
            async with asyncio.timeout(SECONDS_TO_SAVE):
                await self._saved.wait()
        except TimeoutError:
            pass
        return len(asked - self._owing), len(asked)

    def saved(self, name: str, browser: str) -> None:
        if name == self._save:
            self._owing.discard(browser)
            if not self._owing:
                self._saved.set()

    # Inside

    async def _watch(self) -> None:
        """Look for news of the hub's. A look is one call to the system."""
        while True:
            version = str(self._room.news_version())
            if version != self.version:
                self.news, self.version = self._room.news(), version
                self._tell()
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()
