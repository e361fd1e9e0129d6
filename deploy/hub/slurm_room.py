"""The folder that a lab on a node and its hub share, on a file system that both see.

The hub makes it, under a name that nobody can guess, and owns it; the lab may add files of its own and change no
other's. Into it the hub puts the lesson before the start; the lab, where it listens.
"""

import base64
import json
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from deploy.hub.lesson_files import LessonFile
from deploy.hub.rooms import read_own

LESSON, ADDRESS = "lesson.json", "address.json"


def make(rooms: Path, server: str, files: Iterable[LessonFile]) -> Path:
    room = rooms / f"{server}-{secrets.token_hex(16)}"
    room.mkdir(mode=0o700)
    lesson = [{"path": file.path, "base64": base64.b64encode(file.content).decode()} for file in files]
    (room / LESSON).write_text(json.dumps(lesson))
    (room / LESSON).chmod(0o644)
    room.chmod(0o1777)
    return room


def remove(room: Path) -> None:
    shutil.rmtree(room, ignore_errors=True)


def port(room: Path, uid: int, allowed: tuple[int, int]) -> int | None:
    """Where the lab says that it listens; None as long as it says nothing that makes sense."""
    try:
        found = json.loads(read_own(room, ADDRESS, uid))["port"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    fits = isinstance(found, int) and not isinstance(found, bool) and allowed[0] <= found <= allowed[1]
    return found if fits else None


def say_port(room: Path, number: int) -> None:
    """From inside the lab."""
    draft = room / f".{secrets.token_hex(8)}.part"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with open(handle, "w") as file:
        json.dump({"port": number}, file)
    os.replace(draft, room / ADDRESS)
