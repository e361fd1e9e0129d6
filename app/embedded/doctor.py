"""`chancai doctor`: what is missing or wrong here, and how to mend it."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from packaging.requirements import Requirement

from app.embedded import account as accounts
from app.embedded import chromium, database, environment, ports, postgres
from app.embedded.errors import CannotStart
from app.embedded.run import answers
from app.embedded.var import CHECKOUT, NEEDED_AT_FIRST, NEEDED_LATER, Running, Var

OLDEST_PYTHON = (3, 11)
NEWEST_TRIED_PYTHON = (3, 13)
USUAL_PORTS = {8600: "the platform", 8700: "the labs", 8701: "the hub", 8702: "the hub's proxy"}


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and, unless all is well, what to do."""

    what: str
    level: Level
    found: str
    remedy: str = ""


def examine(var: Var) -> list[Finding]:
    """Look at everything; a check that itself fails is a finding too."""
    running = var.running() if var.is_claimed() else None
    checks: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        ("Python", python),
        ("packages", packages),
        ("PostgreSQL", lambda: postgresql(var)),
        ("var folder", lambda: folder(var)),
        ("secrets", lambda: secret_files(var)),
        ("ports", lambda: free_ports(running)),
        ("isolation of labs", isolation),
        ("browser for tests", browser),
        ("Chinese font", fonts),
        ("what runs", lambda: services(running)),
        ("database", lambda: tables(var, running)),
    ]
    return [finding for what, check in checks for finding in _examined(what, check)]


def python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        yield Finding("Python", Level.ERROR, f"{version} is too old", "Install Python 3.11 or newer, then `make run`.")
    elif sys.version_info[:2] > NEWEST_TRIED_PYTHON:
        yield Finding(
            "Python",
            Level.WARNING,
            f"{version} is newer than what the pinned packages were tried with",
            "If something fails, use Python 3.13: `make run PYTHON=python3.13`.",
        )
    else:
        yield Finding("Python", Level.OK, f"{version} at {sys.executable}")


def packages(pins: Path = CHECKOUT / "requirements.txt") -> Iterator[Finding]:
    lines = [line for line in pins.read_text().splitlines() if line and not line.startswith(("#", "-"))]
    wanted = [pin for pin in map(Requirement, lines) if pin.marker is None or pin.marker.evaluate()]
    wrong = [f"{pin.name} ({_installed(pin.name)} instead of {pin.specifier})" for pin in wanted if not _fits(pin)]
    if wrong:
        shown = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        yield Finding("packages", Level.ERROR, f"not as pinned: {shown}", "Run `make install`, which mends it.")
    else:
        yield Finding("packages", Level.OK, f"{len(wanted)} packages as pinned")


def postgresql(var: Var) -> Iterator[Finding]:
    if os.environ.get("DATABASE_URL"):
        yield Finding("PostgreSQL", Level.OK, "DATABASE_URL is set, so the embedded one is not used")
        return
    account = accounts.choose()
    program = postgres.installation() / "bin" / "postgres"
    if accounts.first_closed(program, account) is not None:
        account = accounts.Account()  # a copy of it will run; here it is enough that it can
    asked = accounts.run_as(account, [program, "--version"])
    if asked.returncode:
        yield Finding(
            "PostgreSQL",
            Level.ERROR,
            f"{program} does not run: {(asked.stderr or asked.stdout).strip()}",
            "Start a PostgreSQL 15 or newer yourself and set DATABASE_URL.",
        )
        return
    yield Finding("PostgreSQL", Level.OK, asked.stdout.strip())
    account = accounts.choose()
    nearest = next(folder for folder in [var.path, *var.path.parents] if folder.exists())
    if (closed := accounts.first_closed(nearest, account)) is not None:
        yield Finding(
            "database folder",
            Level.WARNING,
            f"{closed} is closed to the user {account.name}, so the database lies below {postgres.ROOT_HOME}",
            "Nothing needs doing; to have it in var/, keep the checkout outside of that folder.",
        )


def folder(var: Var) -> Iterator[Finding]:
    place = next(folder for folder in [var.path, *var.path.parents] if folder.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=place) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
    except OSError as problem:
        yield Finding(
            "var folder",
            Level.ERROR,
            f"{var.path} cannot be written: {problem.strerror}",
            "Make it writable, or choose another folder with --var-dir or VAR_DIR.",
        )
        return
    free, needed = shutil.disk_usage(place).free, NEEDED_LATER if var.has_data else NEEDED_AT_FIRST
    yield Finding(
        "var folder",
        Level.OK if free >= needed else Level.ERROR,
        f"{var.path} can be written, {free // 2**20} MiB free",
        "" if free >= needed else f"Make room: {needed // 2**20} MiB are needed.",
    )


def secret_files(var: Var) -> Iterator[Finding]:
    kept = [path for path in var.secrets.glob("*") if path.is_file()] if var.secrets.exists() else []
    for path in kept:
        if path.stat().st_mode & 0o077:
            yield Finding("secrets", Level.ERROR, f"others can read {path}", f"chmod 600 {path}")
    if kept:
        yield Finding("secrets", Level.OK, f"{len(kept)} files in {var.secrets}")


def free_ports(running: Running | None) -> Iterator[Finding]:
    if running is not None:
        yield Finding("ports", Level.OK, f"in use by Chancai itself: {running.platform}, {running.labs}")
        return
    taken = {port: name for port, name in USUAL_PORTS.items() if not ports.is_free(port)}
    for port, name in taken.items():
        yield Finding(
            "ports",
            Level.WARNING,
            f"{port}, the usual one of {name}, is taken",
            "Nothing needs doing: the next free one is used. `ss -ltnp` says who has it.",
        )
    if not taken:
        yield Finding("ports", Level.OK, ", ".join(map(str, USUAL_PORTS)) + " are free")


def isolation() -> Iterator[Finding]:
    from deploy.hub import bubblewrap

    reason = bubblewrap.usable()
    if reason is None:
        yield Finding("isolation of labs", Level.OK, "bubblewrap works: each lab has a sandbox of its own")
    else:
        yield Finding(
            "isolation of labs",
            Level.WARNING,
            "labs run as plain processes that can read each other's files: fit for your own try-out, not for students",
            reason,
        )


def browser() -> Iterator[Finding]:
    found = chromium.find()
    if found is None:
        yield Finding(
            "browser for tests",
            Level.WARNING,
            "no Chromium or Chrome; only tests need it",
            "`make test` installs it where apt and root are at hand; else install it, or set CHROMIUM to its path.",
        )
    else:
        yield Finding("browser for tests", Level.OK, str(found))


def fonts() -> Iterator[Finding]:
    lister = shutil.which("fc-list")
    families = subprocess.check_output([lister, ":lang=zh", "family"], text=True) if lister else ""
    if families.strip():
        yield Finding("Chinese font", Level.OK, families.splitlines()[0].split(",")[0])
    elif sys.platform == "linux":
        yield Finding(
            "Chinese font",
            Level.WARNING,
            "none; only screenshots taken on this machine need it",
            "apt install fonts-noto-cjk",
        )


def services(running: Running | None) -> Iterator[Finding]:
    if running is None:
        yield Finding("what runs", Level.OK, "nothing right now; `make run` starts it")
        return
    for name, url in (("platform", f"{running.platform}/readyz"), ("labs", f"{running.labs}/hub/health")):
        if answers(url):
            yield Finding(name, Level.OK, f"answers at {url}")
        else:
            yield Finding(name, Level.ERROR, f"{url} does not answer", "Read the log of `chancai run`; start it again.")


def tables(var: Var, running: Running | None) -> Iterator[Finding]:
    settings: dict[str, str] = dict(os.environ)
    if running is not None:
        environment.adopt_from(var, settings)
    url = settings.get("DATABASE_URL")
    if not url:
        return  # the embedded one, and it is not running
    version = database.check(url)
    yield Finding("database", Level.OK, f"PostgreSQL {version} answers")
    if database.is_current(url):
        yield Finding("tables", Level.OK, "at the newest migration")
    else:
        yield Finding("tables", Level.ERROR, "not at the newest migration", "Run `chancai db upgrade`.")


def _examined(what: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except CannotStart as problem:
        return [Finding(what, Level.ERROR, str(problem))]
    except Exception as problem:  # a doctor who faints helps nobody
        return [Finding(what, Level.ERROR, f"could not be examined: {type(problem).__name__}: {problem}")]


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "nothing"


def _fits(pin: Requirement) -> bool:
    version = _installed(pin.name)
    return version != "nothing" and pin.specifier.contains(version, prereleases=True)


def as_json(findings: list[Finding]) -> str:
    rows = [{"what": f.what, "level": f.level.value, "found": f.found, "remedy": f.remedy} for f in findings]
    return json.dumps({"healthy": is_healthy(findings), "findings": rows}, indent=2, ensure_ascii=False)


def is_healthy(findings: list[Finding]) -> bool:
    return not any(finding.level is Level.ERROR for finding in findings)
