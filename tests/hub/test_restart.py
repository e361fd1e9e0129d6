"""A hub that is killed takes its labs with it, and says so when it comes back."""

import sys
from collections.abc import Callable

import httpx
import pytest

from tests.hub.conftest import Campus, alive, eventually, name_of_server, name_of_user, need_walls

pytestmark = pytest.mark.hub

# A child of the kernel that wants to stay: orphaned, in a session of its own, deaf to polite signals.
CLINGING = """
import subprocess, sys
code = '''
import os, signal, time
if os.fork():
    os._exit(0)
os.setsid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("here", flush=True)
time.sleep(600)
'''
child = subprocess.Popen([sys.executable, "-c", code, "clinging-{server}"], stdout=-1)
print(child.stdout.readline().decode())
"""


@pytest.mark.parametrize("spawner", ["bubblewrap", "plain"])
def test_a_hub_that_is_killed_leaves_nothing_running(own_campus: Callable[[str], Campus], spawner: str) -> None:
    if spawner == "bubblewrap":
        need_walls()
    elif sys.platform != "linux":
        pytest.skip("orphans can be found on Linux only")
    campus = own_campus(spawner)
    user, server = name_of_user(), name_of_server()
    lab = campus.lab(user, server)
    with campus.browser(user) as browser:
        browser.open(lab)
        kernel = browser.ask("POST", f"{lab}api/kernels", json={"name": "python3"}).json()["id"]
        assert "here" in browser.run_in(lab, kernel, CLINGING.replace("{server}", server))
    others = campus.processes()
    assert [found for found in campus.processes_of(server) if f"clinging-{server}" in found.cmdline()]

    campus.kill()

    eventually(lambda: not alive(others) and not campus.processes_of(server), 15)
    campus.start()
    found = campus.client.server(user, server)
    assert found
    assert found.state == "stopped"
    assert [page for page in campus.client.active() if page] == []
    assert httpx.get(f"{lab}api", trust_env=False).status_code == 302  # the hub has it, and asks who it is


@pytest.fixture
def plain(own_campus: Callable[[str], Campus]) -> Campus:
    return own_campus("plain")


def test_a_plain_lab_works_says_that_it_is_open_and_ends_with_the_hub(plain: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    lab = plain.lab(user, server)

    with plain.browser(user) as browser:
        browser.open(lab)
        home, secret = browser.run(lab, "import os; print(os.getcwd(), os.environ.get('A_SECRET_OF_THE_HUB'))").split()
        memory = browser.run(lab, "x = bytearray(2 << 30)")

    assert home == str(plain.homes / user)
    assert secret == "None"
    assert memory == "MemoryError:"
    assert "Labs are NOT isolated: HUB_SPAWNER=plain asks for it" in plain.log
    assert plain.processes_of(server)
    plain.stop()
    eventually(lambda: not plain.processes_of(server), 15)


def test_walls_that_are_asked_for_and_cannot_stand_stop_the_hub(
    own_campus: Callable[[str], Campus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(AssertionError, match=r"HUB_SPAWNER=bubblewrap, but (bwrap is not installed|bubblewrap exists)"):
        own_campus("bubblewrap")
