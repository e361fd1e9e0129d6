"""How long a newcomer waits: `make run` on a fresh clone, again, and until everything is stopped."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.table import Measurement

CHECKOUT = Path(__file__).parents[1]
READY = "Chancai is ready"
OURS = ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DATABASE_URL", "VAR_DIR")


def measure() -> list[Measurement]:
    with tempfile.TemporaryDirectory(prefix="chancai-bench-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, PostgreSQL's own user passes through
        clone = folder / "chancai"
        subprocess.run(["git", "clone", "--quiet", CHECKOUT, clone], check=True)
        first, installing, stopping = _run(clone)
        second, _, _ = _run(clone)
    nearby = "packages from an index nearby"
    return [
        Measurement("`make run` on a fresh clone, until everything answers", f"{first:.0f} s", nearby),
        Measurement("… of it making `.venv` and installing", f"{installing:.0f} s"),
        Measurement("`make run` again", f"{second:.1f} s"),
        Measurement("Ctrl-C, until nothing is left running", f"{stopping:.1f} s"),
    ]


def _run(clone: Path) -> tuple[float, float, float]:
    """Seconds until it is ready, of these for installing, and for stopping."""
    env = {name: value for name, value in os.environ.items() if name not in OURS}
    began = time.monotonic()
    installed = began
    command = ["make", "run", "RUN=--port 0 --labs-port 0"]
    with subprocess.Popen(
        command, cwd=clone, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        said = []
        for line in process.stdout or ():
            said.append(line)
            if line.startswith("Chancai starts"):
                installed = time.monotonic()
            if line.startswith(READY):
                break
        else:
            raise RuntimeError("it did not start:\n" + "".join(said[-30:]))
        ready = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does
        process.communicate(timeout=60)
    return ready - began, installed - began, time.monotonic() - ready
