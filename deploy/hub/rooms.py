"""The folder that a lab and its hub share. The lab owns it and may put anything there; the hub believes nothing.

The lab writes `activity.json`: only a small plain file of its own is read, and only what is a number, a moment or a
short word there is taken. The hub writes `news.json`: beside, then renamed, so that a link in its place is replaced
and never followed.
"""

import contextlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ACTIVITY, NEWS = "activity.json", "news.json"
LONGEST_ACTIVITY_BYTES = 8192
MOST = 100_000
OLDEST = timedelta(seconds=60)  # a lab that wrote nothing for so long is not measured any more
LONGEST_KEEP_ALIVE_MINUTES = 24 * 60
WORD = re.compile(r"[0-9a-f]{1,32}")
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
THEIRS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OURS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Activity:
    """What a lab says of itself. `keep_alive` is a click on "Keep running": a word that names it, and minutes."""

    kernels: int = 0
    busy: int = 0
    last_busy_at: datetime | None = None
    accelerator_percent: int | None = None
    last_accelerator_at: datetime | None = None
    browsers: int = 0
    last_seen_person_at: datetime | None = None
    keep_alive: tuple[str, int] | None = None


def read_activity(room: Path, uid: int, now: datetime | None = None) -> Activity | None:
    """None where there is nothing, or nothing that makes sense, or nothing new."""
    try:
        body = json.loads(read_own(room, ACTIVITY, uid))
        written_at = _moment(body, "at")
        if written_at is None or abs((now or datetime.now(UTC)) - written_at) > OLDEST:
            return None
        return Activity(
            kernels=_count(body, "kernels", MOST) or 0,
            busy=_count(body, "busy", MOST) or 0,
            last_busy_at=_moment(body, "last_busy_at"),
            accelerator_percent=_count(body, "accelerator_percent", 100),
            last_accelerator_at=_moment(body, "last_accelerator_at"),
            browsers=_count(body, "browsers", MOST) or 0,
            last_seen_person_at=_moment(body, "last_seen_person_at"),
            keep_alive=_click(body),
        )
    except (OSError, AttributeError, OverflowError, RecursionError, TypeError, ValueError):
        return None


def write_news(room: Path, news: Mapping[str, Any]) -> None:
    """Raises OSError where the lab has made that impossible."""
    draft = f".{secrets.token_hex(8)}.part"
    with _opened(room) as folder:
        with open(os.open(draft, OURS, 0o644, dir_fd=folder), "w", encoding="utf-8") as file:
            json.dump(news, file)
        try:
            os.rename(draft, NEWS, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=folder)
            raise


def read_own(room: Path, name: str, uid: int) -> bytes:
    """A small plain file of the lab's own. Raises OSError for anything else."""
    with _opened(room) as folder:
        file = os.open(name, THEIRS, dir_fd=folder)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != uid or found.st_size > LONGEST_ACTIVITY_BYTES:
            raise PermissionError(f"{name} is not a small file of the lab's own")
        return os.read(file, LONGEST_ACTIVITY_BYTES)
    finally:
        os.close(file)


@contextmanager
def _opened(room: Path) -> Iterator[int]:
    folder = os.open(room, FOLDER)
    try:
        yield folder
    finally:
        os.close(folder)


def _count(body: Mapping[str, Any], name: str, most: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(name)
    return value


def _moment(body: Mapping[str, Any], name: str) -> datetime | None:
    value = body.get(name)
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(name)
    return moment.astimezone(UTC)


def _click(body: Mapping[str, Any]) -> tuple[str, int] | None:
    click = body.get("keep_alive")
    if click is None:
        return None
    minutes = _count(click, "minutes", LONGEST_KEEP_ALIVE_MINUTES)
    if not minutes or not WORD.fullmatch(click["id"]):
        raise ValueError("keep_alive")
    return click["id"], minutes
