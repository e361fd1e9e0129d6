"""Puts a lesson's files into a home that belongs to somebody else, who may have laid traps there.

No symbolic link is ever followed, and a file appears whole or not at all. What a student has written is never
overwritten: the hub remembers what it delivered, and

- a file that is missing is delivered (also one that the student deleted or renamed);
- a file that the lesson has changed and the student has not is replaced;
- a file that both have changed stays as the student's, and the lesson's new one is put beside it, once: `a.new.ipynb`.
"""

import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DEEPEST = 16
LONGEST_NAME_BYTES = 200
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LARGEST_COMPARED_BYTES = 64 << 20
MOST_VERSIONS = 20
A_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
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


def write(home: Path, files: Iterable[LessonFile], owner: Owner | None = None, record: Path | None = None) -> list[str]:
    """Deliver what is new; the paths that were written. What the owner has in the way is left as it is.

    `record` is the hub's own note of what it delivered. Without one, what is there stays as it is.
    """
    delivered = _read(record)
    with _folder(home) as folder:
        written = [path for file in files if (path := _write_one(folder, file, owner, delivered))]
    if record:
        _keep(record, delivered)
    return written


def _write_one(home: int, file: LessonFile, owner: Owner | None, delivered: dict[str, str]) -> str | None:
    *folders, name = parts(file.path)
    new, before = _sha256(file.content), delivered.get(file.path)
    with _inside(home, folders, owner) as folder:
        if folder is None:
            return None
        delivered[file.path] = new
        if not _exists(folder, name):
            return file.path if _publish(folder, name, file.content, owner) else None
        if before in (None, new):
            return None  # the lesson is as it was, or we do not know what it was
        theirs = _sha256_of(folder, name)
        if theirs in (None, new):
            return None
        if theirs == before and _replace(folder, name, file.content, owner, before):
            return file.path
        beside = _publish_beside(folder, name, file.content, owner)
        return "/".join([*folders, beside]) if beside else None


def _replace(folder: int, name: str, content: bytes, owner: Owner | None, expected: str) -> bool:
    """Put the file in the other's place, unless that turns out to have been changed at the last moment."""
    aside = f".{secrets.token_hex(8)}.part"
    try:
        os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:  # gone meanwhile
        return False
    if _sha256_of(folder, aside) == expected and _publish(folder, name, content, owner):
        os.unlink(aside, dir_fd=folder)
        return True
    with contextlib.suppress(FileExistsError):  # then the student has saved once more, and that is the newest
        os.link(aside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    os.unlink(aside, dir_fd=folder)
    return False


def _publish_beside(folder: int, name: str, content: bytes, owner: Owner | None) -> str | None:
    """`first.ipynb` comes as `first.new.ipynb`, or `first.new2.ipynb` where that is taken."""
    stem, suffix = os.path.splitext(name)
    for number in range(1, MOST_VERSIONS):
        other = f"{stem}.new{number if number > 1 else ''}{suffix}"
        if len(os.fsencode(other)) > LONGEST_NAME_BYTES:
            return None
        if not _exists(folder, other) and _publish(folder, other, content, owner):
            return other
    return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha256_of(folder: int, name: str) -> str | None:
    """None for what is no plain file of a sensible size."""
    try:
        file = os.open(name, A_FILE, dir_fd=folder)
    except OSError:
        return None
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_COMPARED_BYTES:
            return None
        with open(file, "rb", closefd=False) as stream:
            return _sha256(stream.read(LARGEST_COMPARED_BYTES))
    finally:
        os.close(file)


def _read(record: Path | None) -> dict[str, str]:
    if record is None:
        return {}
    try:
        found = json.loads(record.read_text())
    except (OSError, ValueError):
        return {}
    return {str(path): str(sha256) for path, sha256 in found.items()} if isinstance(found, dict) else {}


def _keep(record: Path, delivered: dict[str, str]) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    draft = record.with_name(f".{secrets.token_hex(8)}.part")
    draft.write_text(json.dumps(delivered))
    os.replace(draft, record)


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
