"""Nothing is left behind: one process that does nothing but see to it that everything below it has ended.

`chancai run` forks. The parent is the guard: it passes signals on, waits, and ends whatever is left. The child, in a
session of its own, does the work. On Linux both adopt orphans, so a process that changed its group or session is still
found. If the guard is killed, the child sees it and stops everything; if the child is killed, the guard does.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import NoReturn

import psutil

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_CHILD_SUBREAPER = 36
GENTLE = 5.0  # seconds between asking and killing


def guarded(work: Callable[[], int]) -> int:
    """Do the work in a child process and leave no process behind; its exit status."""
    adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until both sides know what to do with them
    child = os.fork()
    if child == 0:
        _work_and_exit(work)
    for number in PASSED_ON:
        signal.signal(number, lambda received, _: _send(child, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    _, status = os.waitpid(child, 0)
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_IGN)  # we are ending anyway, with the child's status
    end_all(descendants())
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose parent ends (Linux only; elsewhere they go to init)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def bury_orphans(own: Iterable[int] = ()) -> None:
    """Collect the ended processes that we adopted, but none of our `own`, whose exit status somebody awaits."""
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if process.pid not in own and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def descendants(pid: int | None = None) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return found


def end_all(processes: list[psutil.Process], gentle: float = GENTLE) -> None:
    """Ask the processes to end, then kill them and what they have started meanwhile."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + gentle
    while left := [process for process in processes if lives(process)]:
        if time.monotonic() > deadline:
            for process in [*left, *(below for above in left for below in descendants(above.pid))]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(0.02)
        bury_orphans()


def lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _work_and_exit(work: Callable[[], int]) -> NoReturn:
    code = 1
    try:
        os.setsid()
        adopt_orphans()
        code = work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
