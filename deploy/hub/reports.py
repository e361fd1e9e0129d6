"""Tells the platform every few seconds what the labs of this hub do, and takes its news down to them.

Nothing here holds up the hub: files are read, and homes measured, in threads; the platform is asked in pages. When it
does not answer, that is said once, and the next round tries again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from deploy.hub import rooms
from deploy.hub.home_sizes import HomeSizes
from deploy.hub.rooms import Activity

SECONDS_BETWEEN_ROUNDS = 10.0
SECONDS_BETWEEN_HOMES = 2.0
LABS_IN_A_PAGE = 200
ROUNDS_FOR_LAST_WORDS = 30  # in which the size of a home after its lab's end is told
LONGEST_TEXT = 1000
TONES = ("info", "warning", "error")

log = logging.getLogger("chancai.hub")


class Ear(Protocol):
    """The platform, as far as it listens."""

    async def report(self, labs: list[dict[str, Any]]) -> Any: ...


@dataclass(frozen=True)
class Lab:
    """A lab that runs: its name, its home, the folder shared with it, and whose files are its own.

    `lease_moved` hears until when its lease runs, with each round; what it does must not take long.
    """

    server: str
    home: Path
    room: Path
    uid: int
    lease_moved: Callable[[str], None] | None = None


class Reporter:
    """Knows the labs of this hub from their start to their end."""

    def __init__(self, platform: Ear) -> None:
        self._platform = platform
        self._labs: dict[str, Lab] = {}
        self._ended: dict[str, tuple[Lab, int]] = {}
        self._homes = HomeSizes()
        self._clicks: dict[str, str] = {}  # the last click on "Keep running" that the platform heard of
        self._written: dict[str, dict[str, Any]] = {}
        self._is_silent = False
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, lab: Lab) -> None:
        self._labs[lab.server] = lab
        self._ended.pop(lab.server, None)
        if not self._tasks:
            self._begin()

    def remove(self, server: str) -> None:
        lab = self._labs.pop(server, None)
        self._clicks.pop(server, None)
        self._written.pop(server, None)
        if lab:
            self._ended[server] = (lab, ROUNDS_FOR_LAST_WORDS)
            self._homes.forget_soon(lab.home)

    # Rounds

    def _begin(self) -> None:
        self._tasks = [asyncio.ensure_future(self._report()), asyncio.ensure_future(self._measure())]

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_ROUNDS)
            try:
                await self.round()
            except Exception:
                log.exception("A round of reports failed")

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_HOMES)
            try:
                ended = [lab for lab, _rounds in self._ended.values()]
                await self._homes.measure_next(lab.home for lab in [*self._labs.values(), *ended])
            except Exception:
                log.exception("A home could not be measured")

    async def round(self) -> None:
        """Tell of every lab once, page by page."""
        labs = list(self._labs.values())
        ended = [lab for lab, _rounds in self._ended.values() if self._was_measured_since_its_end(lab)]
        for first in range(0, len(labs), LABS_IN_A_PAGE):
            await self._tell(labs[first : first + LABS_IN_A_PAGE])
        if ended and await self._tell(ended[:LABS_IN_A_PAGE]):
            for lab in ended[:LABS_IN_A_PAGE]:
                self._ended.pop(lab.server, None)
        self._ended = {server: (lab, left - 1) for server, (lab, left) in self._ended.items() if left > 1}

    def _was_measured_since_its_end(self, lab: Lab) -> bool:
        return not self._homes.is_due(lab.home)

    async def _tell(self, labs: list[Lab]) -> bool:
        """Whether the platform has heard of these."""
        said = await asyncio.to_thread(_read_all, [lab for lab in labs if lab.server in self._labs])
        rows = [self._row(lab, said.get(lab.server)) for lab in labs]
        try:
            answer = await self._platform.report(rows)
        except Exception as error:
            if not self._is_silent:
                log.warning("The platform does not hear what the labs do: %s", error)
            self._is_silent = True
            return False
        if self._is_silent:
            log.warning("The platform hears again what the labs do")
        self._is_silent = False
        for server, activity in said.items():
            if activity and activity.keep_alive:
                self._clicks[server] = activity.keep_alive[0]
        await self._take_down(labs, answer)
        return True

    def _row(self, lab: Lab, activity: Activity | None) -> dict[str, Any]:
        now, home = activity or Activity(), self._homes.known(lab.home)
        click = now.keep_alive
        return {
            "server": lab.server,
            "kernels": now.kernels,
            "busy_kernels": now.busy,
            "last_busy_at": _iso(now.last_busy_at),
            "accelerator_percent": now.accelerator_percent,
            "last_accelerator_at": _iso(now.last_accelerator_at),
            "last_seen_person_at": _iso(now.last_seen_person_at),
            "keep_alive_minutes": click[1] if click and self._clicks.get(lab.server) != click[0] else None,
            **(
                {
                    "home_bytes": home.size_bytes,
                    "home_files": home.files,
                    "home_measured_at": _iso(home.measured_at),
                }
                if home
                else {}
            ),
        }

    async def _take_down(self, labs: Iterable[Lab], answer: Any) -> None:
        """Put the news where it has changed."""
        told = answer.get("labs") if isinstance(answer, dict) else None
        if not isinstance(told, dict):
            return
        changed = []
        for lab in labs:
            news = read_news(told.get(lab.server))
            if news and news["lease_ends_at"] and lab.lease_moved and lab.server in self._labs:
                lab.lease_moved(news["lease_ends_at"])
            if news and lab.server in self._labs and self._written.get(lab.server) != news:
                changed.append((lab, news))
        for lab in await asyncio.to_thread(_write_all, changed):
            if lab.server in self._labs:
                self._written[lab.server] = dict(next(news for other, news in changed if other is lab))


def read_news(news: Any) -> dict[str, Any] | None:
    """What a lab is to know, without what makes no sense."""
    if not isinstance(news, dict):
        return None
    notices = news.get("notices")
    return {
        "owner": _text(news, "owner"),
        "lease_ends_at": _text(news, "lease_ends_at"),
        "keep_alive_until": _text(news, "keep_alive_until"),
        "notices": [
            {
                **{name: _text(notice, name) for name in ("id", "kind", "text", "url")},
                "tone": notice["tone"] if notice.get("tone") in TONES else "info",
            }
            for notice in (notices if isinstance(notices, list) else [])[:20]
            if isinstance(notice, dict) and _text(notice, "id") and _text(notice, "text")
        ],
    }


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value[:LONGEST_TEXT] if isinstance(value, str) else None


def _read_all(labs: list[Lab]) -> dict[str, Activity | None]:
    return {lab.server: rooms.read_activity(lab.room, lab.uid) for lab in labs}


def _write_all(news: list[tuple[Lab, dict[str, Any]]]) -> list[Lab]:
    """Those whose news could be put down. A lab that has put something in the way hears nothing."""
    written = []
    for lab, body in news:
        try:
            rooms.write_news(lab.room, body)
        except OSError as error:
            log.info("%s takes no news: %s", lab.server, error.strerror)
        else:
            written.append(lab)
    return written


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
