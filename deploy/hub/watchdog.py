"""Runs one plain lab, and ends it with everything it started: when told to, and when the hub that started it is gone.

Called as `watchdog.py <command …>`. Needed where no walls stand, which would otherwise fall on their processes.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from types import FrameType

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_END_WELL = 3.0


class Told(Exception):
    """A signal asked us to end the lab."""


def tell(signum: int, frame: FrameType | None) -> None:
    raise Told


def adopt_orphans() -> None:
    """On Linux: what the lab leaves behind becomes our child, and so can be found."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_watchdog() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def watch(lab: subprocess.Popen[bytes], hub: int) -> int:
    """The lab's exit code, unless the hub goes first."""
    while os.getppid() == hub:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return lab.wait(SECONDS_BETWEEN_LOOKS)
        bury_orphans(lab)
    return 1


def bury_orphans(lab: subprocess.Popen[bytes]) -> None:
    """Take note of the end of those we adopted; the lab's own end is for `watch`."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != lab.pid:
            os.waitpid(ended.si_pid, 0)


def end_all(lab: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, then end everything."""
    if lab.poll() is None:
        lab.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            lab.wait(SECONDS_TO_END_WELL)
    deadline = time.monotonic() + SECONDS_TO_END_WELL
    while (left := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=0.2)


def main() -> int:
    hub = os.getppid()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, tell)
    adopt_orphans()
    lab = subprocess.Popen(sys.argv[1:], preexec_fn=die_with_watchdog)  # noqa: S603
    try:
        return watch(lab, hub)
    except Told:
        return 0
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        end_all(lab)


if __name__ == "__main__":
    sys.exit(main())
