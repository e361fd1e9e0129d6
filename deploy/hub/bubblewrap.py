"""The walls around a lab on one host: what bubblewrap is asked to build, and whether it can be had here.

A lab sees the system's programs and its Python, read-only, a home of its own, and nothing else: no other process, no
network but two unix sockets (one it serves, one that leads to the hub), no capability, no way to make namespaces.

As root there are two layers. The outer one, built with root's rights, only shows the paths a lab may see (its Python
may lie in root's home, where nobody else can look) and changes to a user of its own; the inner one is the same as an
ordinary user's. So a lab never runs as root, not even as root inside walls.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.hub.lesson_files import Owner

HOME = "/home/lab"
SOCKETS = "/run/lab"
HUB_SOCKET = "/run/hub.sock"
INSIDE_ID = 1000
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = ("/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types")
ETC = {
    "passwd": f"lab:x:{INSIDE_ID}:{INSIDE_ID}:lab:{HOME}:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n",
    "group": f"lab:x:{INSIDE_ID}:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost lab\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
FIRST_UID, UIDS = 61184, 4336  # the range that Linux keeps for services without an account of their own
SECONDS_TO_PROBE = 10


def usable() -> str | None:
    """None when labs can be walled in here; else why not, and what to do about it."""
    if sys.platform != "linux":
        return "bubblewrap exists on Linux only; on this system labs run as plain processes"
    for program in _programs():
        if not shutil.which(program):
            package = "bubblewrap" if program == "bwrap" else "util-linux"
            return f"{program} is not installed (Debian, Ubuntu: apt-get install {package})"
    return _probe()


def owner_of(user: str) -> Owner | None:
    """As root: the uid that this person's labs and home get. Else None: everything is our own."""
    if os.geteuid() != 0:
        return None
    uid = FIRST_UID + zlib.crc32(user.encode()) % UIDS
    return Owner(uid, uid)


def make_etc(folder: Path) -> None:
    """The few files of /etc that labs see."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name, content in ETC.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o644)


def python_paths() -> list[str]:
    """Where the running Python and its packages lie, beside the system's own folders."""
    found = {sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
    return sorted(path for path in found if not any(_within(path, folder) for folder in SYSTEM))


@dataclass(frozen=True)
class Walls:
    """One lab's walls. `sockets` is the only folder beside the home that it may write to, and is on the disk."""

    home: Path
    sockets: Path
    hub_socket: Path
    etc: Path
    memory_mb: int
    read_only: list[str] = field(default_factory=list)
    owner: Owner | None = None

    def around(self, command: list[str]) -> list[str]:
        """The command that runs this one inside."""
        if self.owner:
            seen = replace(self, home=Path(HOME), sockets=Path(SOCKETS), hub_socket=Path(HUB_SOCKET), etc=Path("/etc"))
            return [*self._outer(self.owner), "--", *seen._inner(), "--", *command]
        return [*self._inner(), "--", *command]

    def _outer(self, owner: Owner) -> list[str]:
        """As root: a world in which the paths can be reached by anybody, entered as the owner."""
        return [
            *["bwrap", "--die-with-parent", "--unshare-pid"],  # its first process takes those of other users along
            *["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"],
            *["--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev"],
            *["--dir", "/tmp"],  # noqa: S108  (where the inner bwrap builds its root)
            *self._contents(),
            *["--remount-ro", "/", "--chdir", "/", "--"],
            *["setpriv", f"--reuid={owner.uid}", f"--regid={owner.gid}", "--clear-groups", "--no-new-privs"],
        ]

    def _inner(self) -> list[str]:
        memory = self.memory_mb << 20
        return [
            *["bwrap", "--die-with-parent", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net"],
            *["--unshare-uts", "--unshare-cgroup-try", "--disable-userns", "--cap-drop", "ALL"],
            *["--hostname", "lab", "--uid", str(INSIDE_ID), "--gid", str(INSIDE_ID)],
            *["--proc", "/proc", "--dev", "/dev", "--size", str(memory // 2), "--tmpfs", "/dev/shm"],  # noqa: S108
            *["--remount-ro", "/dev", "--size", str(min(memory // 2, 512 << 20)), "--tmpfs", "/tmp"],  # noqa: S108
            *self._contents(),
            *["--remount-ro", "/", "--chdir", HOME],
        ]

    def _contents(self) -> list[str]:
        """What there is to see, each thing in a folder that anybody may enter."""
        places = ["/etc/passwd", HOME, SOCKETS, *self.read_only]
        parents = {str(parent) for place in places for parent in Path(place).parents} - {"/"}
        return [
            *[word for parent in sorted(parents) for word in ("--perms", "0755", "--dir", parent)],
            *self._system(),
            *[word for name in ETC for word in ("--ro-bind", str(self.etc / name), f"/etc/{name}")],
            *["--bind", str(self.sockets), SOCKETS, "--ro-bind", str(self.hub_socket), HUB_SOCKET],
            *["--bind", str(self.home), HOME],
        ]

    def _system(self) -> list[str]:
        words: list[str] = []
        for folder in SYSTEM:
            if os.path.islink(folder):
                words += ["--symlink", os.readlink(folder), folder]
            elif os.path.isdir(folder):
                words += ["--ro-bind", folder, folder]
        for path in SYSTEM_FILES:
            words += ["--ro-bind-try", path, path]
        for path in self.read_only:
            words += ["--ro-bind", path, path]
        return words


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _programs() -> list[str]:
    return ["bwrap", "setpriv"] if os.geteuid() == 0 else ["bwrap"]


def _probe() -> str | None:
    """Build walls around our own Python and see it start."""
    owner = owner_of("probe")
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        for name in ("home", "sockets"):
            (room / name).mkdir()
            if owner:
                os.chown(room / name, owner.uid, owner.gid)
        (room / "hub.sock").touch()
        make_etc(room / "etc")
        walls = Walls(
            home=room / "home",
            sockets=room / "sockets",
            hub_socket=room / "hub.sock",
            etc=room / "etc",
            memory_mb=256,
            read_only=python_paths(),
            owner=owner,
        )
        return _reason(walls.around([sys.executable, "-I", "-c", "import ssl, sqlite3"]))


def _reason(command: list[str]) -> str | None:
    try:
        run = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=SECONDS_TO_PROBE, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        return f"bubblewrap did not answer within {SECONDS_TO_PROBE} s"
    if run.returncode == 0:
        return None
    said = " ".join(run.stderr.split())[-300:] or f"exit code {run.returncode}"
    return f"bubblewrap is installed but cannot build walls here: {said}. {_remedy(said)}"


def _remedy(said: str) -> str:
    if "disable-userns" in said:
        return "Version 0.8 or newer is needed."
    if "execvp" in said or "No such file" in said:
        return "The Python of this installation cannot be read by other users; build .venv with the system's Python."
    return (
        "User namespaces for ordinary users must be allowed: see sysctl user.max_user_namespaces, "
        "kernel.unprivileged_userns_clone (Debian), kernel.apparmor_restrict_unprivileged_userns (Ubuntu), "
        "or the seccomp profile of the container."
    )
