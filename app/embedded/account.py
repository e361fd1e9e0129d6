"""Who runs PostgreSQL: we ourselves, or a system user when we are root, for PostgreSQL refuses to run as root."""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.embedded.errors import CannotStart

MADE_USER = "chancai-postgres"
KNOWN_USERS = ("postgres", MADE_USER)


@dataclass(frozen=True)
class Account:
    """The user that PostgreSQL's programs run as; `identity` is None when that is ourselves."""

    identity: tuple[int, int] | None = None
    name: str = ""

    def popen_options(self) -> dict[str, Any]:
        """Keyword arguments for subprocess that drop to this user."""
        if self.identity is None:
            return {}
        uid, gid = self.identity
        return {"user": uid, "group": gid, "extra_groups": [], "umask": 0o077}

    def own(self, path: Path) -> None:
        if self.identity is not None:
            os.chown(path, *self.identity)


def choose() -> Account:
    """Ourselves, or as root an existing system user for PostgreSQL, made when there is none."""
    if os.geteuid() != 0:
        return Account()
    for name in KNOWN_USERS:
        with contextlib.suppress(KeyError):
            return _account(name)
    _make_user(MADE_USER)
    return _account(MADE_USER)


def first_closed(path: Path, account: Account) -> Path | None:
    """The first folder on the way to `path` (itself included) that the account may not enter.

    Asked of the system as that user, so that access lists and network shares count too.
    """
    way = [str(folder) for folder in [*reversed(path.parents), path]]
    script = 'for folder; do [ -x "$folder" ] || { printf %s "$folder"; exit 1; }; done'
    answer = run_as(account, ["/bin/sh", "-c", script, "sh", *way])
    return Path(answer.stdout) if answer.returncode else None


def run_as(account: Account, command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        **account.popen_options(),
        **options,
    )


def _account(name: str) -> Account:
    entry = pwd.getpwnam(name)
    return Account(identity=(entry.pw_uid, entry.pw_gid), name=name)


def _make_user(name: str) -> None:
    tool = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if tool is None:
        raise CannotStart(
            "PostgreSQL refuses to run as root, and there is no system user for it and no useradd to make one. "
            "Start Chancai as an ordinary user, or make a system user named postgres."
        )
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    options += ["--shell", "/usr/sbin/nologin", "--comment", "PostgreSQL of Chancai"]
    made = subprocess.run(
        [tool, *options, name],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise CannotStart(
            f"PostgreSQL refuses to run as root, and the system user {name} for it could not be made "
            f"({made.stderr.strip()}). Start Chancai as an ordinary user."
        )
