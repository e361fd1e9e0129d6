"""What a lab says of itself to its hub, from inside a real one."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.hub.browser import Browser, execute
from tests.hub.conftest import Campus, eventually, name_of_server, name_of_user, need_walls

pytestmark = pytest.mark.hub


@dataclass
class Inside:
    campus: Campus
    user: str
    server: str
    lab: str
    browser: Browser

    def said(self) -> dict[str, Any]:
        """The newest report."""
        return eventually(lambda: self.campus.platform.reports.get(self.server))[-1]

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.browser.ask(method, f"{self.lab}{path}", **more)


@pytest.fixture(params=["walled", "plain"])
def inside(request: pytest.FixtureRequest) -> Iterator[Inside]:
    if request.param == "walled":
        need_walls()
        campus: Campus = request.getfixturevalue("campus")
    else:
        campus = request.getfixturevalue("own_campus")("plain")
    user, server = name_of_user(), name_of_server()
    lab = campus.lab(user, server)
    with campus.browser(user) as browser:
        browser.open(lab)
        yield Inside(campus, user, server, lab, browser)
    campus.client.remove(user, server)


def test_kernels_and_terminals_are_busy_while_they_work_and_idle_afterwards(inside: Inside) -> None:
    kernel = inside.ask("POST", "api/kernels", json={"name": "python3"}).json()["id"]
    channels = inside.browser.channels(inside.lab, kernel)
    assert inside.browser.run_in(inside.lab, kernel, "print(1)") == "1"
    eventually(lambda: (inside.said()["kernels"], inside.said()["busy_kernels"]) == (1, 0))

    channels.send(json.dumps(execute("import time; time.sleep(12)")))
    eventually(lambda: inside.said()["busy_kernels"] == 1)
    eventually(lambda: inside.said()["busy_kernels"] == 0)
    first = inside.said()["last_busy_at"]
    assert first

    terminal = inside.ask("POST", "api/terminals", json={}).json()["name"]
    time.sleep(6)
    assert inside.said()["busy_kernels"] == 0
    socket = inside.browser.channels(inside.lab, kernel, path=f"terminals/websocket/{terminal}")
    socket.send(json.dumps(["stdin", "sleep 12\r"]))
    eventually(lambda: inside.said()["busy_kernels"] == 1)
    eventually(lambda: inside.said()["busy_kernels"] == 0)
    socket.send(json.dumps(["stdin", "nohup sleep 300 > /dev/null 2>&1 &\r"]))
    eventually(lambda: inside.said()["busy_kernels"] == 1)
    assert inside.said()["last_busy_at"] > first
    assert inside.said()["accelerator_percent"] is None
    channels.close()
    socket.close()


def test_a_click_needs_the_pages_token_and_makes_sense(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    lab = campus.lab(user, server)
    with campus.browser(user) as browser:
        browser.open(lab)

        for path in ("keep-alive", "saved", "save"):
            assert browser.post(f"{lab}chancai/{path}", json={"minutes": 5}).status_code == 403
            assert httpx.post(f"{lab}chancai/{path}", json={"minutes": 5}, trust_env=False).status_code == 403
        assert httpx.get(f"{lab}chancai/news?browser=a", trust_env=False).status_code in (302, 403)
        for body in ({"minutes": 0}, {"minutes": 10**6}, {"minutes": "5"}, {"minutes": True}, [], None):
            assert browser.ask("POST", f"{lab}chancai/keep-alive", json=body).status_code == 400
        for query in ("", "?browser=", "?browser=a/b", "?browser=" + "a" * 65):
            assert browser.get(f"{lab}chancai/news{query}").status_code == 400
        assert browser.ask("POST", f"{lab}chancai/keep-alive", json={"minutes": 5}).status_code == 202
    campus.client.remove(user, server)


def test_the_home_is_measured_and_once_more_after_the_end(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    campus.lab(user, server)
    reports = campus.platform.reports
    eventually(lambda: "home_bytes" in reports.get(server, [{}])[-1])
    (campus.homes / user / "big").write_bytes(os.urandom(4 << 20))

    campus.client.remove(user, server)

    eventually(lambda: reports[server][-1]["home_bytes"] >= 4 << 20)
    assert not campus.processes_of(server)


def test_no_file_becomes_larger_than_what_is_left_of_the_quota(campus: Campus) -> None:
    need_walls()
    user, server = name_of_user(), name_of_server()
    lab = campus.lab(user, server, home_left_bytes=20 << 20)
    with campus.browser(user) as browser:
        browser.open(lab)
        wrote = browser.run(lab, "print(open('small', 'wb').write(bytes(19 << 20)))")
        refused = browser.run(lab, "open('large', 'wb').write(bytes(21 << 20))")

    assert wrote == str(19 << 20)
    assert "File too large" in refused
    campus.client.remove(user, server)


def test_a_lab_that_does_not_answer_cannot_hold_up_its_end(campus: Campus) -> None:
    """It says that a browser is there, and then sleeps when it is asked to save."""
    user, server = name_of_user(), name_of_server()
    lab = campus.lab(user, server)
    freeze = """
import datetime, json, os, signal
os.kill(os.getppid(), signal.SIGSTOP)
now = datetime.datetime.now(datetime.timezone.utc).isoformat()
with open(os.environ['CHANCAI_ROOM'] + '/activity.json', 'w') as file:
    json.dump({'at': now, 'browsers': 9}, file)
"""
    with campus.browser(user) as browser:
        browser.open(lab)
        kernel = browser.ask("POST", f"{lab}api/kernels", json={"name": "python3"}).json()["id"]
        channels = browser.channels(lab, kernel)
        channels.send(json.dumps(execute(freeze)))
        time.sleep(3)
        ordered = time.monotonic()

        campus.client.stop(user, server)
        eventually(lambda: f"{user}:{server} did not save before its end" in campus.log)

        assert time.monotonic() - ordered < 5
        eventually(lambda: not campus.processes_of(server))
        channels.close()
