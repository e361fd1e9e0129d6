"""The client against a hub that misbehaves: what it repeats, what it refuses to believe, and what it says."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from labs.adapters import Hub, HubBusy, HubError, HubFault, HubRefused, HubUnreachable, Progress
from labs.adapters.jupyterhub import JupyterHub, Timeout

TOKEN = "5ecret" * 8
Answer = httpx.Response | Exception

SERVER = {
    "name": "lab-1",
    "ready": True,
    "pending": None,
    "stopped": False,
    "url": "/user/ada/lab-1/",
    "full_url": None,
    "progress_url": "/hub/api/users/ada/servers/lab-1/progress",
    "started": "2026-03-02T09:00:00.000000Z",
    "last_activity": "2026-03-02T09:30:00.000000Z",
}


class Script:
    """A hub that gives these answers one after the other, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        self.hub = JupyterHub(
            "http://hub/hub/api", TOKEN, transport=httpx.MockTransport(self._answer), sleep=self.waits.append
        )

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(request.method, request.url.raw_path.decode()) for request in self.requests]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def said(status: int, body: Any = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def message(status: int, text: str, **headers: str) -> httpx.Response:
    return said(status, {"status": status, "message": text}, **headers)


def test_it_is_a_hub() -> None:
    hub: Hub = Script(said(200)).hub

    assert TOKEN not in repr(hub)


def test_a_call_is_made_as_the_hub_wants_it() -> None:
    script = Script(httpx.Response(202))

    script.hub.start("ada", "lab-1", {"session": "1"}, "  Lab\n one ")

    (start,) = script.requests
    assert script.calls == [("POST", "/hub/api/users/ada/servers/lab-1")]
    assert start.headers["Authorization"] == f"token {TOKEN}"
    assert json.loads(start.content) == {"user_options": {"session": "1"}, "display_name": "Lab one"}


def test_whom_the_hub_does_not_know_is_made_known_before_the_first_start() -> None:
    script = Script(message(404, "No such user"), said(201), httpx.Response(202))

    script.hub.start("ada", "lab-1", {}, "Lab")

    start = ("POST", "/hub/api/users/ada/servers/lab-1")
    assert script.calls == [start, ("POST", "/hub/api/users/ada"), start]


def test_whom_the_hub_will_not_know_cannot_start() -> None:
    script = Script(message(404, "No such user"), said(201), message(404, "No such user"))

    with pytest.raises(HubRefused):
        script.hub.start("ada", "lab-1", {}, "Lab")


def test_names_cannot_leave_their_place_in_the_path() -> None:
    script = Script(said(404))

    assert script.hub.server("a/../b", "c?d#e") is None

    assert script.calls == [("GET", "/hub/api/users/a%2F..%2Fb/servers/c%3Fd%23e")]


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_vanish_from_the_path_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        Script(said(200)).hub.remove("ada", name)


# What is repeated, and what is not


LATER = [
    said(502),
    said(503),
    said(504),
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("slow"),
    httpx.RemoteProtocolError("half a body"),
]


@pytest.mark.parametrize("failure", LATER, ids=lambda failure: getattr(failure, "status_code", type(failure).__name__))
@pytest.mark.parametrize(
    "call",
    [
        lambda hub: hub.server("ada", "lab-1"),
        lambda hub: hub.stop("ada", "lab-1"),
        lambda hub: hub.remove("ada", "lab-1"),
        lambda hub: hub.ensure_user("ada"),
    ],
    ids=["server", "stop", "remove", "ensure_user"],
)
def test_what_is_safe_to_repeat_is_tried_three_times(failure: Answer, call: Callable[[Hub], object]) -> None:
    script = Script(failure)

    with pytest.raises(HubUnreachable):
        call(script.hub)

    assert len(script.requests) == 3
    assert script.waits == [0.1, 0.5]


@pytest.mark.parametrize("failure", LATER, ids=lambda failure: getattr(failure, "status_code", type(failure).__name__))
def test_a_start_is_repeated_only_when_it_was_never_sent(failure: Answer) -> None:
    script = Script(failure)

    with pytest.raises(HubUnreachable):
        script.hub.start("ada", "lab-1", {}, "Lab")

    starts = [path for _, path in script.calls if path.endswith("/servers/lab-1")]
    assert len(starts) == (3 if isinstance(failure, httpx.ConnectError) else 1)


def test_a_second_try_may_succeed() -> None:
    script = Script(said(503), httpx.ConnectError("refused"), said(200, SERVER))

    found = script.hub.server("ada", "lab-1")

    assert found
    assert found.state == "running"


@pytest.mark.parametrize("status", [400, 401, 403, 405, 500, 501])
def test_a_clear_no_and_a_fault_are_not_repeated(status: int) -> None:
    script = Script(message(status, "because"))

    with pytest.raises(HubRefused if status < 500 else HubFault, match="because") as error:
        script.hub.stop("ada", "lab-1")

    assert len(script.requests) == 1
    assert error.value.status == status
    assert error.value.call == "stop"


def test_a_busy_hub_is_given_the_time_it_asks_for_if_that_is_short() -> None:
    script = Script(message(429, "slow down", Retry_After="1"), said(200, SERVER))

    assert script.hub.server("ada", "lab-1")

    assert script.waits == [1.0]


@pytest.mark.parametrize(("header", "seconds"), [("30", 30.0), ("soon", None), (None, None)])
def test_a_busy_hub_is_reported_with_the_time_it_asks_for(header: str | None, seconds: float | None) -> None:
    script = Script(message(429, "slow down", **({"Retry_After": header} if header else {})))

    with pytest.raises(HubBusy, match="slow down") as busy:
        script.hub.server("ada", "lab-1")

    assert busy.value.retry_after == seconds
    assert len(script.requests) == (1 if seconds else 3)


def test_a_busy_hub_is_not_asked_again_for_a_start() -> None:
    script = Script(message(429, "Too many users trying to log in right now.", Retry_After="1"))

    with pytest.raises(HubBusy):
        script.hub.start("ada", "lab-1", {}, "Lab")

    assert len(script.requests) == 1


@pytest.mark.parametrize("answer", [said(201), said(202), message(400, "ada:lab-1 is already running")])
def test_a_server_that_runs_already_is_fine(answer: httpx.Response) -> None:
    Script(answer).hub.start("ada", "lab-1", {}, "Lab")


def test_a_server_that_is_stopping_cannot_start_yet() -> None:
    script = Script(message(400, "ada:lab-1 is pending stop"))

    with pytest.raises(HubBusy) as busy:
        script.hub.start("ada", "lab-1", {}, "Lab")

    assert busy.value.retry_after == 1.0


# What is not believed


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in SERVER.items() if name != key}


NONSENSE = [
    httpx.Response(200, content=b"<html>a captive portal</html>"),
    httpx.Response(200, content=b'{"name": "lab-1", "ready": tr'),
    httpx.Response(200, content=b"\xff\xfe\x00"),
    httpx.Response(200, content=b""),
    said(200, []),
    said(200, None),
    said(200, without("name")),
    said(200, without("ready")),
    said(200, without("url")),
    said(200, {**SERVER, "ready": "yes"}),
    said(200, {**SERVER, "pending": "lunch"}),
    said(200, {**SERVER, "pending": ["spawn"]}),
    said(200, {**SERVER, "started": "yesterday"}),
    said(200, {**SERVER, "started": 17}),
    said(301, None, Location="http://elsewhere/"),
]


@pytest.mark.parametrize("answer", NONSENSE)
def test_an_answer_that_makes_no_sense_is_a_fault(answer: httpx.Response) -> None:
    with pytest.raises(HubFault):
        Script(answer).hub.server("ada", "lab-1")


@pytest.mark.parametrize(
    "page",
    [
        [],
        {"items": []},
        {"items": {}, "_pagination": {"next": None}},
        {"items": [1], "_pagination": {"next": None}},
        {"items": [{"name": "ada", "servers": []}], "_pagination": {"next": None}},
        {"items": [{"name": "ada", "servers": {"lab-1": {}}}], "_pagination": {"next": None}},
        {"items": [], "_pagination": {"next": {"offset": 0}}},
        {"items": [], "_pagination": {"next": {"offset": "1"}}},
        {"items": [], "_pagination": {"next": 1}},
    ],
)
def test_a_page_that_makes_no_sense_is_a_fault(page: Any) -> None:
    with pytest.raises(HubFault):
        list(Script(said(200, page)).hub.active())


def test_pages_are_followed_one_call_each() -> None:
    def page(name: str, following: int | None) -> httpx.Response:
        server = {**SERVER, "name": f"lab-{name}"}
        behind = {"offset": following} if following else None
        stopped = {"old": {**SERVER, "ready": False, "stopped": True}}
        user = {"name": name, "servers": {f"lab-{name}": server, **stopped}}
        return said(200, {"items": [user], "_pagination": {"next": behind}})

    script = Script(page("ada", 1), page("bob", 2), page("eve", None))

    found = [[server.name for server in servers] for servers in script.hub.active(page=1)]

    assert found == [["lab-ada"], ["lab-bob"], ["lab-eve"]]
    queries = [dict(request.url.params) for request in script.requests]
    assert [query["offset"] for query in queries] == ["0", "1", "2"]
    assert {query["state"] for query in queries} == {"active"}
    assert {query["limit"] for query in queries} == {"1"}
    assert {request.headers["Accept"] for request in script.requests} == {"application/jupyterhub-pagination+json"}


def test_a_hub_that_still_looks_around_is_asked_later() -> None:
    with pytest.raises(HubUnreachable, match="just started"):
        Script(said(200, {**SERVER, "ready": False, "pending": "check"})).hub.server("ada", "lab-1")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "running"),
        ({"ready": False, "pending": "spawn"}, "starting"),
        ({"ready": False, "pending": "stop"}, "stopping"),
        ({"ready": False, "stopped": True}, "stopped"),
        ({"ready": False, "stopped": True, "pending": "rename"}, "stopped"),
    ],
)
def test_the_state_is_read_from_what_the_hub_says(changes: dict[str, Any], state: str) -> None:
    server = Script(said(200, {**SERVER, **changes})).hub.server("ada", "lab-1")

    assert server
    assert server.state == state


# What is said


def test_no_error_carries_the_token() -> None:
    for answer in (message(403, f"bad token {TOKEN}"), message(500, TOKEN), httpx.ConnectError(f"to {TOKEN}")):
        with pytest.raises(HubError) as error:
            Script(answer).hub.version()
        assert TOKEN not in str(error.value)
        assert TOKEN not in repr(error.value)


def test_a_long_message_is_cut() -> None:
    with pytest.raises(HubRefused) as error:
        Script(httpx.Response(403, content=b"no " * 5000)).hub.version()

    assert 200 < len(str(error.value)) < 400


# Progress


def stream(*events: str) -> httpx.Response:
    return httpx.Response(200, content="\n\n".join(events) + "\n\n", headers={"Content-Type": "text/event-stream"})


def test_progress_ends_with_the_start() -> None:
    script = Script(
        stream(
            'data: {"progress": 0, "message": "Server requested"}',
            "",
            'data: {"progress": 50.5, "message": "Spawning"}',
            'data: {"progress": 100, "ready": true, "message": "Ready"}',
            'data: {"progress": 0, "message": "never read"}',
        )
    )

    assert list(script.hub.progress("ada", "lab-1")) == [
        Progress("Server requested", 0),
        Progress("Spawning", 50),
        Progress("Ready", 100, ready=True),
    ]


@pytest.mark.parametrize("event", ["data: {", "data: 7", 'data: {"progress": "half"}', 'data: {"ready": 1}'])
def test_an_event_that_makes_no_sense_is_a_fault(event: str) -> None:
    with pytest.raises(HubFault):
        list(Script(stream(event)).hub.progress("ada", "lab-1"))


def test_a_stream_that_breaks_off_is_said_so() -> None:
    steps = Script(stream('data: {"progress": 0}')).hub.progress("ada", "lab-1")

    assert next(steps).percent == 0
    with pytest.raises(HubUnreachable, match="ended before"):
        next(steps)


def test_progress_of_what_does_not_start_is_refused() -> None:
    script = Script(message(400, "ada:lab-1 is not starting..."))

    with pytest.raises(HubRefused, match="not starting"):
        list(script.hub.progress("ada", "lab-1"))

    assert script.waits == [0.1, 0.5]


def test_a_hub_that_does_not_know_yet_why_a_start_failed_is_asked_again() -> None:
    failed = stream('data: {"progress": 100, "failed": true, "message": "Spawn failed: no room"}')
    script = Script(message(400, "ada:lab-1 is not starting..."), failed)

    assert [step.message for step in script.hub.progress("ada", "lab-1")] == ["Spawn failed: no room"]


# Over a real socket


@contextmanager
def listener(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Something that listens where a hub should, and treats each connection like this."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def accept() -> None:
            server.settimeout(0.05)
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/hub/api"
        finally:
            done.set()
            thread.join()


def quick(url: str, **timeouts: float) -> JupyterHub:
    return JupyterHub(url, TOKEN, timeout=Timeout(**timeouts), sleep=lambda seconds: None)


def test_half_a_body_is_no_answer() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"version": "6.')

    with listener(serve) as url, pytest.raises(HubUnreachable):
        quick(url).version()


def test_silence_ends_after_the_read_timeout() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        while connection.recv(4096):
            pass

    started = time.monotonic()
    with listener(serve) as url, pytest.raises(HubUnreachable, match="no answer in time"):
        quick(url, read=0.1).version()

    assert time.monotonic() - started < 2


def test_an_answer_that_drips_ends_after_the_call_timeout() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        connection.settimeout(0.02)
        while True:
            try:
                connection.sendall(b" ")
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    started = time.monotonic()
    with listener(serve) as url, pytest.raises(HubUnreachable, match="no whole answer"):
        quick(url, call=0.2).version()

    assert time.monotonic() - started < 3


def test_nobody_there_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(HubUnreachable, match="version"):
        quick(f"http://127.0.0.1:{port}/hub/api").version()
