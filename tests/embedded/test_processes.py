"""The supervisor starts, waits and leaves nothing behind, whatever its children do and however it ends."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.campus import until

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
BEGIN = """
import os, sys, time
from app.embedded import guard
from app.embedded.console import Console
from app.embedded.errors import CannotStart
from app.embedded.processes import Stopped, Supervisor

def python(code): return [sys.executable, "-c", code]
def until(holds):
    while not holds(): time.sleep(0.01)

def work():
    console = Console()
    supervisor = Supervisor(console)
    supervisor.listen_for_stop()
    def start(name, code, **options): return supervisor.start(name, python(code), env=os.environ, **options)
    try:
        what(supervisor, start, console)
    except Stopped:
        return 0
    except CannotStart as problem:
        console.fail(str(problem))
        return 1
    finally:
        supervisor.stop_all()
    return 0

def what(supervisor, start, console):
"""
END = """

sys.exit(guard.guarded(work))
"""
# A child that starts another one in a session of its own and notes both process ids.
PARENT_OF_A_RUNAWAY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("family", os.getpid(), child.pid, flush=True)
time.sleep(600)
"""
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"

Script = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def script(tmp_path):
    """Run supervising code as a program of its own; the code is the body of a function."""
    started = []

    def run(body: str) -> "subprocess.Popen[str]":
        path = tmp_path / "program.py"
        path.write_text(BEGIN + textwrap.indent(textwrap.dedent(body), "    ") + END)
        process = subprocess.Popen(
            [sys.executable, path],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            for left in [*psutil.Process(process.pid).children(recursive=True), process]:
                left.kill()
        process.wait()
        process.stdout.close()


def line_with(process: "subprocess.Popen[str]", words: str) -> str:
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"it never said {words!r}")


def family_of_a_runaway(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    pids = line_with(process, "family").split()[-2:]
    below = psutil.Process(process.pid).children(recursive=True)
    return [psutil.Process(process.pid), *below, *(psutil.Process(int(pid)) for pid in pids)]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


WITH_A_RUNAWAY = f"""
    start("part", {PARENT_OF_A_RUNAWAY!r})
    supervisor.watch()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_it_stops_everything_and_says_all_is_well(script: Script, number: int):
    process = script(WITH_A_RUNAWAY)
    family = family_of_a_runaway(process)

    process.send_signal(number)

    assert process.wait(timeout=20) == 0
    assert gone(family)


@LINUX
def test_killed_it_takes_everything_along(script: Script):
    process = script(WITH_A_RUNAWAY)
    family = family_of_a_runaway(process)

    process.kill()

    until(lambda: gone(family))


@LINUX
def test_when_the_working_half_is_killed_the_guard_clears_up(script: Script):
    process = script(WITH_A_RUNAWAY)
    family = family_of_a_runaway(process)

    psutil.Process(process.pid).children()[0].kill()

    assert process.wait(timeout=20) == 128 + signal.SIGKILL
    assert gone(family)


@LINUX
def test_a_part_that_dies_is_noticed_and_what_it_left_is_ended(script: Script):
    process = script(f"""
        start("part", {PARENT_OF_A_RUNAWAY!r})
        dead = supervisor.watch()
        raise CannotStart(f"{{dead.name}} {{dead.ending}}")
    """)
    family = family_of_a_runaway(process)

    family[-2].kill()

    assert "part was killed by SIGKILL" in line_with(process, "killed")
    assert process.wait(timeout=20) == 1
    assert gone(family)


def test_parts_are_stopped_in_reverse_order(script: Script):
    says = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit('{0} ends'));"
    says += "print('up', flush=True); time.sleep(600)"
    process = script(f"""
        first = start("first", {says.format("first")!r}, ready_words=("up",))
        second = start("second", {says.format("second")!r}, ready_words=("up",))
        for part in (first, second): supervisor.wait_for(part, lambda: part.is_ready, 20)
    """)

    said = process.communicate(timeout=20)[0]

    assert said.index("second ends") < said.index("first ends")


def test_a_part_that_does_not_stop_is_killed(script: Script):
    process = script(f"""
        part = start("mule", {STUBBORN!r}, grace=0.3, ready_words=("up",))
        supervisor.wait_for(part, lambda: part.is_ready, 20)
    """)

    assert "mule did not stop within 0 seconds" in process.communicate(timeout=20)[0]
    assert process.returncode == 0


def test_pressing_ctrl_c_twice_does_not_wait(script: Script):
    process = script(f"""
        part = start("mule", {STUBBORN!r}, grace=600, ready_words=("up",))
        supervisor.wait_for(part, lambda: part.is_ready, 20)
        console.say("begun")
        supervisor.watch()
    """)
    line_with(process, "begun")
    process.send_signal(signal.SIGINT)
    mule = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    until(lambda: process.poll() is not None or process.send_signal(signal.SIGINT))

    assert process.returncode == 0
    assert gone(mule)


def test_a_part_that_dies_while_another_starts_ends_the_wait(script: Script):
    process = script("""
        start("early", "raise SystemExit(4)")
        slow = start("slow", "import time; time.sleep(600)")
        supervisor.wait_for(slow, lambda: False, 600)
    """)

    assert "early ended with status 4 while starting" in process.communicate(timeout=20)[0]
    assert process.returncode == 1


def test_a_part_that_is_never_ready_is_given_up(script: Script):
    process = script("""
        slow = start("slow", "import time; time.sleep(600)")
        supervisor.wait_for(slow, lambda: False, 0.3)
    """)

    assert "slow was not ready within 0 seconds" in process.communicate(timeout=20)[0]


def test_a_command_that_fails_says_its_last_line(script: Script):
    process = script("""
        supervisor.run("task", python("print('fine'); raise SystemExit('the reason')"), env=os.environ)
    """)

    said = process.communicate(timeout=20)[0]

    assert "task     | fine" in said
    assert "ended with status 1: the reason" in said
    assert process.returncode == 1


def test_when_nobody_reads_any_more_it_stops(script: Script):
    process = script("""
        start("chatty", "import time\\nwhile True: print('word', flush=True); time.sleep(0.01)")
        supervisor.watch()
    """)
    line_with(process, "word")
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]

    process.stdout.close()

    assert process.wait(timeout=20) == 0
    assert gone(family)


def test_adopted_orphans_that_ended_are_buried(script: Script):
    orphan = "import os, sys\\nif os.fork() == 0: sys.exit()\\n"
    process = script(f"""
        start("part", "{orphan}import time; time.sleep(600)")
        part = start("other", "{orphan}{orphan}", )
        part.ends_by_itself = True
        until(lambda: not part.is_alive)
        supervisor.parts.remove(part)
        import psutil, threading
        threading.Timer(2, lambda: os.kill(os.getpid(), 15)).start()
        try:
            supervisor.watch()
        finally:
            zombies = [p for p in psutil.Process().children() if p.status() == "zombie"]
            console.say(f"{{len(zombies)}} zombies")
    """)

    assert "0 zombies" in process.communicate(timeout=20)[0]
