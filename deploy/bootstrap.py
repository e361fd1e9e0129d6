"""Makes .venv and installs the pinned packages; does nothing when they are there already.

Runs on any Python 3.11 or newer with nothing but its standard library. Debian splits off the part that puts pip into a
virtual environment (python3-venv); where it is missing, pip comes from the package index, by hash.
"""

import argparse
import configparser
import contextlib
import hashlib
import html.parser
import importlib.util
import io
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import venv
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PIP = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
PYPI = "https://pypi.org/simple"
PROGRESS_EVERY = 25  # lines without a terminal
LAST_LINES = 30


class CannotInstall(Exception):
    """A sentence for the person at the console."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--venv", type=Path, default=CHECKOUT / ".venv")
    options.add_argument("--dev", action="store_true", help="what tests and checks need, too")
    chosen = options.parse_args()
    try:
        install(chosen.venv.absolute(), dev=chosen.dev)
    except CannotInstall as problem:
        print(f"Cannot install: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; run the same command again to go on.", file=sys.stderr)
        return 130
    return 0


def install(place: Path, *, dev: bool) -> None:
    requirements = CHECKOUT / ("requirements-dev.txt" if dev else "requirements.txt")
    wanted = fingerprint(requirements, place)
    stamp = place / f".installed-{requirements.stem}"
    if runs(place) and stamp.exists() and stamp.read_text() == wanted:
        return

    began = time.monotonic()
    if not runs(place) or made_for(place) != str(place):
        say(f"Making {place.name} with Python {sys.version.split()[0]}")
        make(place)
    install_packages(place, requirements)
    install_ourselves(place)
    stamp.write_text(wanted)
    if dev:  # holds all that is needed to run, too
        runtime = CHECKOUT / "requirements.txt"
        (place / f".installed-{runtime.stem}").write_text(fingerprint(runtime, place))
    say(f"Installed in {time.monotonic() - began:.0f} s")


def fingerprint(requirements: Path, place: Path) -> str:
    """Changes when anything that was installed, or the place it was installed for, has changed."""
    digest = hashlib.sha256(str(place).encode())
    for path in sorted({requirements, CHECKOUT / "requirements.txt", CHECKOUT / "pyproject.toml"}):
        digest.update(path.read_bytes())
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    ours = [name for name in setup.sections() if name == "metadata" or name.startswith("options")]
    digest.update(repr([(name, sorted(setup.items(name, raw=True))) for name in ours]).encode())
    return digest.hexdigest()


def runs(place: Path) -> bool:
    """Whether there is a virtual environment whose Python still works; its base may have been removed."""
    python = place / "bin" / "python"
    if not python.exists():
        return False
    return subprocess.run([python, "-c", "import pip"], capture_output=True, check=False).returncode == 0


def made_for(place: Path) -> str:
    """Where the environment was made; programs in it name that place and fail when it was moved."""
    note = place / ".made-for"
    return note.read_text() if note.exists() else str(place)


def make(place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
    builder = venv.EnvBuilder(with_pip=has_ensurepip(), symlinks=True)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Debian's advice to install what we are about to bring
            builder.create(place)
    except (subprocess.CalledProcessError, SystemExit):  # it is there but does not work; Debian's venv gives up by exit
        shutil.rmtree(place)
        venv.EnvBuilder(with_pip=False, symlinks=True).create(place)
    if not runs(place):
        bring_pip(place)
    (place / ".made-for").write_text(str(place))


def has_ensurepip() -> bool:
    found = importlib.util.find_spec("ensurepip")
    return found is not None and found.origin is not None  # an empty folder of that name is none


def bring_pip(place: Path) -> None:
    say("This Python comes without pip: fetching it")
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder) / PIP
        wheel.write_bytes(fetch_pip(index_url()))
        command = [str(place / "bin" / "python"), f"{wheel}/pip", "install", "--no-index", "--quiet", str(wheel)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotInstall(f"pip could not be put into {place}: {done.stderr.strip()}")


def index_url() -> str:
    """The package index that pip would use: PIP_INDEX_URL, pip's configuration files, else PyPI."""
    return pip_setting("index-url") or PYPI


def pip_setting(name: str) -> str | None:
    from_environment = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    if from_environment:
        return from_environment
    home = Path.home()
    files = [
        Path(os.environ.get("PIP_CONFIG_FILE") or os.devnull),
        home / ".config" / "pip" / "pip.conf",
        home / "Library" / "Application Support" / "pip" / "pip.conf",
        home / ".pip" / "pip.conf",
        Path("/etc/pip.conf"),
    ]
    for path in files:
        settings = configparser.ConfigParser(interpolation=None)
        try:
            settings.read(path)
        except configparser.Error:
            continue
        for section in ("install", "global"):
            if settings.has_option(section, name):
                return settings.get(section, name).strip()
    return None


class Links(html.parser.HTMLParser):
    """The addresses on a page of a package index."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def fetch_pip(index: str) -> bytes:
    page = index.rstrip("/") + "/pip/"
    links = Links()
    links.feed(fetch(page).decode(errors="replace"))
    urls = [urllib.parse.urljoin(page, link) for link in links.found]
    url = next((url for url in urls if urllib.parse.urlsplit(url).path.endswith(PIP)), None)
    if url is None:
        raise CannotInstall(f"{without_password(page)} has no {PIP}. Install pip yourself: apt install python3-venv.")
    wheel = fetch(url)
    if hashlib.sha256(wheel).hexdigest() != PIP_SHA256:
        raise CannotInstall(f"{without_password(url)} is not the file it should be; somebody may have changed it.")
    return wheel


def fetch(url: str) -> bytes:
    certificates = pip_setting("cert")
    context = ssl.create_default_context(cafile=certificates if certificates and Path(certificates).exists() else None)
    request = urllib.request.Request(url, headers={"Accept": "text/html, application/octet-stream, */*"})
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            body: bytes = answer.read()
            return body
    except (urllib.error.URLError, OSError) as problem:
        raise CannotInstall(f"{without_password(url)} cannot be read ({problem}); is there a network?") from None


def without_password(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def install_packages(place: Path, requirements: Path) -> None:
    total = sum(line[:1].isalnum() for file in {requirements, CHECKOUT / "requirements.txt"} for line in file.open())
    say(f"Installing {total} packages; the first time takes a minute or two")
    command = [str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--require-virtualenv", "--prefer-binary", "--progress-bar", "off", "-r", str(requirements)]
    lines = []
    counter = Counter(total)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as pip:
        for raw in pip.stdout or ():
            line = raw.decode(errors="replace").rstrip()
            lines.append(line)
            counter.see(line)
    counter.done()
    if pip.returncode:
        print("\n".join(lines[-LAST_LINES:]), file=sys.stderr)
        raise CannotInstall(
            "pip failed; its last lines above say why. Without a network, set PIP_INDEX_URL or PIP_FIND_LINKS "
            "to where the packages are, then run the same command again."
        )


class Counter:
    """Shows how far pip is: one line on a terminal, a line now and then elsewhere."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.seen = 0
        self.is_terminal = sys.stdout.isatty()

    def see(self, line: str) -> None:
        if line.startswith(("Collecting ", "Processing ", "Requirement already satisfied: ")):
            self.seen += 1
            self.show(f"{min(self.seen, self.total)} of {self.total} found", now=self.seen % PROGRESS_EVERY == 0)
        elif line.startswith("Installing collected packages"):
            self.show("unpacking", now=True)

    def show(self, text: str, *, now: bool) -> None:
        if self.is_terminal:
            print(f"\r\033[2K  {text}", end="", flush=True)
        elif now:
            say(text)

    def done(self) -> None:
        if self.is_terminal:
            print("\r\033[2K", end="", flush=True)


def install_ourselves(place: Path) -> None:
    """Put the command `chancai` into the environment; the code stays where it is."""
    command = [str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--quiet", "--no-deps", "--no-build-isolation", "--config-settings", "editable_mode=compat"]
    command += ["-e", str(CHECKOUT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotInstall(f"the command chancai could not be installed: {(done.stdout + done.stderr)[-2000:]}")


def say(text: str) -> None:
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
