"""Puts a lesson's files into a home that belongs to somebody else, who may have laid traps there.

Nothing that exists is ever written to, no symbolic link is ever followed, and a file appears whole or not at all.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DEEPEST = 16
LONGEST_NAME_BYTES = 200
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class BadPath(ValueError):
    """A path that no lesson may have."""


@dataclass(frozen=True)
class Owner:
    """Whom new files are given to, when we may give files away."""

    uid: int
    gid: int


@dataclass(frozen=True)
class LessonFile:
    """A file of a lesson; the path is relative to the home."""

    path: str
    content: bytes


def parts(path: str) -> tuple[str, ...]:
    """The names a relative path is made of; refuses what leaves the home or cannot be a file's name."""
    names = tuple(path.split("/"))
    if len(names) > DEEPEST:
        raise BadPath(f"{path[:80]!r} lies too deep")
    for name in names:
        if name in ("", ".", ".."):
            raise BadPath(f"{path[:80]!r} is no path inside a home")
        if not name.isprintable() or "\\" in name or len(os.fsencode(name)) > LONGEST_NAME_BYTES:
            raise BadPath(f"{path[:80]!r} has a name that no file should have")
    return names


def make_home(home: Path, owner: Owner | None = None) -> None:
    """The home, private to its owner. One that exists keeps what is in it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        home.mkdir(mode=0o700)
    with _folder(home) as folder:
        found = os.fstat(folder)
        if owner and (found.st_uid, found.st_gid) != (owner.uid, owner.gid):
            os.fchown(folder, owner.uid, owner.gid)


def write(home: Path, files: Iterable[LessonFile], owner: Owner | None = None) -> list[str]:
    """Write the files that are not there yet; their paths. What the owner has in the way is left as it is."""
    with _folder(home) as folder:
        return [file.path for file in files if _write_one(folder, file, owner)]


def _write_one(home: int, file: LessonFile, owner: Owner | None) -> bool:
    *folders, name = parts(file.path)
    with _inside(home, folders, owner) as folder:
        return folder is not None and not _exists(folder, name) and _publish(folder, name, file.content, owner)


@contextmanager
def _inside(home: int, folders: list[str], owner: Owner | None) -> Iterator[int | None]:
    """The innermost folder, made where missing; None when something else stands in its place."""
    folder = os.dup(home)
    try:
        for name in folders:
            following = _enter(folder, name, owner)
            if following is None:
                yield None
                return
            os.close(folder)
            folder = following
        yield folder
    finally:
        os.close(folder)


def _enter(folder: int, name: str, owner: Owner | None) -> int | None:
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        made = False
    else:
        made = True
    try:
        found = os.open(name, FOLDER, dir_fd=folder)
    except OSError:  # a file, a link, or gone again
        return None
    if made and owner:
        os.fchown(found, owner.uid, owner.gid)
    return found


def _publish(folder: int, name: str, content: bytes, owner: Owner | None) -> bool:
    """Write beside, then link: the name appears with all of its content, and only if nobody took it meanwhile."""
    draft = f".{secrets.token_hex(8)}.part"
    file = os.open(draft, NEW_FILE, 0o644, dir_fd=folder)
    try:
        with open(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            if owner:
                os.fchown(stream.fileno(), owner.uid, owner.gid)
        os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    finally:
        os.unlink(draft, dir_fd=folder)
    return True


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    folder = os.open(path, FOLDER)
    try:
        yield folder
    finally:
        os.close(folder)
