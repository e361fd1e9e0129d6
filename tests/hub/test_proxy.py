"""The proxy before a server that does what labs do: long uploads, slow answers, websockets of both kinds."""

import asyncio
import contextlib
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websocket
from aiohttp import WSMsgType, web

from tests.hub.conftest import alive, eventually, free_ports

PROXY = Path(__file__).parents[2] / "deploy" / "hub" / "labproxy.py"
MEGABYTE = 1 << 20


class Lab:
    """A server behind the proxy, in a thread of its own."""

    def __init__(self) -> None:
        self.received = 0
        self.gone_away = threading.Event()
        self.go_on = threading.Event()
        self.headers: dict[str, list[str]] = {}
        self.paths: list[str] = []
        self.port = free_ports(1)[0]
        self.loop = asyncio.new_event_loop()
        up = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(up,))
        self.thread.start()
        assert up.wait(10)

    def _run(self, up: threading.Event) -> None:
        self.loop.run_until_complete(self._start())
        self.loop.call_soon(up.set)
        self.loop.run_forever()
        self.loop.run_until_complete(self.runner.cleanup())
        self.loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 40)
        app.router.add_route("*", "/user/ada/upload", self.upload)
        app.router.add_get("/user/ada/slow", self.slow)
        app.router.add_get("/user/ada/broken", self.broken)
        app.router.add_get("/user/ada/echo", self.echo)
        app.router.add_get("/user/ada/refused", self.refused)
        app.router.add_route("*", "/user/ada/{any:.*}", self.look)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    async def upload(self, request: web.Request) -> web.Response:
        async for piece in request.content.iter_any():
            self.received += len(piece)
        return web.Response(text=str(self.received))

    async def slow(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"first\n")
        try:
            while not self.go_on.is_set():
                await asyncio.sleep(0.02)
                await answer.write(b".")
        except ConnectionError:
            self.gone_away.set()
            return answer
        await answer.write(b"last\n")
        return answer

    async def broken(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"only this")
        assert request.transport
        request.transport.close()
        return answer

    async def look(self, request: web.Request) -> web.Response:
        self.paths.append(request.raw_path)
        self.headers = {name: request.headers.getall(name) for name in request.headers}
        answer = web.Response(status=int(request.query.get("status", "200")), text="seen")
        answer.headers.add("Set-Cookie", "a=1")
        answer.headers.add("Set-Cookie", "b=2")
        answer.headers["ETag"] = '"of the lab"'
        return answer

    async def refused(self, request: web.Request) -> web.Response:
        return web.Response(status=403)

    async def echo(self, request: web.Request) -> web.WebSocketResponse:
        channel = web.WebSocketResponse(protocols=["v1.kernel.websocket.jupyter.org"], max_msg_size=0)
        await channel.prepare(request)
        await channel.send_str("welcome")
        async for frame in channel:
            if frame.type == WSMsgType.TEXT and frame.data == "close":
                await channel.close(code=4001)
            elif frame.type == WSMsgType.TEXT:
                await channel.send_str(frame.data)
            else:
                await channel.send_bytes(frame.data)
        self.gone_away.set()
        return channel


@pytest.fixture(scope="module")
def proxy() -> Iterator[tuple[str, str]]:
    """The proxy's public address and its API's, as the hub starts it."""
    port, api_port = free_ports(2)
    token = secrets.token_hex(16)
    process = subprocess.Popen(
        [*command(port, api_port), "--log-level", "WARNING"], env={"CONFIGPROXY_AUTH_TOKEN": token}
    )
    try:
        with httpx.Client(headers={"Authorization": f"token {token}"}) as api:
            eventually(lambda: answers(api, f"http://127.0.0.1:{api_port}/api/routes"))
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{api_port}/api/routes{token}"
    finally:
        process.kill()
        process.wait()


def command(port: int, api_port: int) -> list[str]:
    """As the hub starts it."""
    addresses = ["--ip", "127.0.0.1", "--port", str(port), "--api-ip", "127.0.0.1", "--api-port", str(api_port)]
    return [sys.executable, "-I", str(PROXY), *addresses]


def answers(client: httpx.Client, url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return client.get(url).status_code == 200
    return False


@pytest.fixture
def lab(proxy: tuple[str, str]) -> Iterator[tuple[Lab, str]]:
    """A lab and its address through the proxy."""
    lab = Lab()
    routes, token = proxy[1][:-32], proxy[1][-32:]
    answer = httpx.post(
        f"{routes}/user/ada",
        json={"target": f"http://127.0.0.1:{lab.port}"},
        headers={"Authorization": f"token {token}"},
    )
    assert answer.status_code == 201
    yield lab, f"{proxy[0]}/user/ada/"
    lab.stop()


def test_routes_need_the_hubs_token(proxy: tuple[str, str]) -> None:
    assert httpx.get(proxy[1][:-32]).status_code == 403


def test_a_big_upload_passes_piece_by_piece(lab: tuple[Lab, str], proxy: tuple[str, str]) -> None:
    _, address = lab
    [process] = [found for found in psutil.Process().children() if "labproxy.py" in " ".join(found.cmdline())]
    before = process.memory_info().rss
    peak = before

    def pieces() -> Iterator[bytes]:
        nonlocal peak
        for _ in range(110):
            yield b"x" * MEGABYTE
            peak = max(peak, process.memory_info().rss)

    answer = httpx.put(f"{address}upload", content=pieces(), timeout=60)

    assert answer.text == str(110 * MEGABYTE)
    assert peak - before < 60 * MEGABYTE


def test_a_big_upload_of_known_length_passes(lab: tuple[Lab, str]) -> None:
    answer = httpx.post(f"{lab[1]}upload", content=b"x" * (105 * MEGABYTE), timeout=60)

    assert answer.text == str(105 * MEGABYTE)


def test_an_answer_comes_while_it_is_made(lab: tuple[Lab, str]) -> None:
    server, address = lab

    with httpx.stream("GET", f"{address}slow") as answer:
        pieces = answer.iter_bytes()
        assert next(pieces).startswith(b"first")
        server.go_on.set()
        assert b"".join(pieces).endswith(b"last\n")


def test_a_lab_hears_that_nobody_listens_any_more(lab: tuple[Lab, str]) -> None:
    server, address = lab

    with httpx.stream("GET", f"{address}slow") as answer:
        next(answer.iter_bytes())

    assert server.gone_away.wait(10)


def test_an_answer_that_breaks_off_does_not_look_whole(lab: tuple[Lab, str]) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{lab[1]}broken")


def test_paths_and_headers_arrive_as_they_were_sent(lab: tuple[Lab, str]) -> None:
    server, address = lab

    answer = httpx.get(f"{address}files/a%2Fb%20%E8%AF%BE%2525?x=%20y&z", headers={"X-Own": "1", "Connection": "close"})

    assert server.paths == ["/user/ada/files/a%2Fb%20%E8%AF%BE%2525?x=%20y&z"]
    assert server.headers["X-Own"] == ["1"]
    assert server.headers["X-Forwarded-For"] == ["127.0.0.1"]
    assert server.headers["X-Forwarded-Proto"] == ["http"]
    assert server.headers["Host"] == [answer.request.url.netloc.decode()]
    assert answer.headers.get_list("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers["ETag"] == '"of the lab"'
    assert answer.text == "seen"


@pytest.mark.parametrize("status", [204, 304, 302, 404, 500])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PATCH", "OPTIONS"])
def test_a_status_passes_unchanged(lab: tuple[Lab, str], method: str, status: int) -> None:
    answer = httpx.request(method, f"{lab[1]}any?status={status}", follow_redirects=False)

    assert answer.status_code == status
    assert answer.text == ("" if method == "HEAD" or status in (204, 304) else "seen")


def test_many_slow_answers_do_not_stop_a_quick_one(lab: tuple[Lab, str]) -> None:
    server, address = lab
    with contextlib.ExitStack() as open_answers:
        for _ in range(30):
            open_answers.enter_context(httpx.stream("GET", f"{address}slow"))

        started = time.monotonic()
        assert httpx.get(f"{address}quick").text == "seen"
        assert time.monotonic() - started < 5
        server.go_on.set()


@contextlib.contextmanager
def connect(address: str, path: str = "echo", **more: Any) -> Iterator[websocket.WebSocket]:
    url = httpx.URL(address.replace("http", "ws", 1) + path)
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        yield websocket.create_connection(str(url), timeout=10, socket=connection, **more)


def test_a_websocket_keeps_its_subprotocol_and_the_kind_of_its_frames(lab: tuple[Lab, str]) -> None:
    protocol = "v1.kernel.websocket.jupyter.org"
    with connect(lab[1], subprotocols=["other", protocol]) as channel:
        assert channel.getsubprotocol() == protocol
        assert channel.recv() == "welcome"
        channel.send("text 文")
        assert channel.recv() == "text 文"
        channel.send_binary(b"\x00\xff")
        assert channel.recv() == b"\x00\xff"
        big = b"x" * (5 * MEGABYTE)
        channel.send_binary(big)
        assert channel.recv() == big


def test_a_websocket_without_a_subprotocol_gets_none(lab: tuple[Lab, str]) -> None:
    with connect(lab[1]) as channel:
        assert channel.getsubprotocol() is None
        assert channel.recv() == "welcome"


def test_a_websocket_that_the_lab_closes_is_closed_with_its_code(lab: tuple[Lab, str]) -> None:
    with connect(lab[1]) as channel:
        channel.recv()
        channel.send("close")
        code, reason = channel.recv_data()
        assert (code, reason[:2]) == (websocket.ABNF.OPCODE_CLOSE, (4001).to_bytes(2, "big"))


def test_a_websocket_that_the_browser_closes_is_closed_for_the_lab(lab: tuple[Lab, str]) -> None:
    server, address = lab
    with connect(address) as channel:
        channel.recv()

        channel.close()

    assert server.gone_away.wait(10)


def test_a_websocket_that_the_lab_refuses_is_refused(lab: tuple[Lab, str]) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal, connect(lab[1], "refused"):
        pass

    assert refusal.value.status_code == 403


def test_a_lab_that_is_gone_is_said_so(proxy: tuple[str, str], lab: tuple[Lab, str]) -> None:
    routes, token = proxy[1][:-32], proxy[1][-32:]
    closed = free_ports(1)[0]
    headers = {"Authorization": f"token {token}"}
    httpx.post(f"{routes}/user/bob", json={"target": f"http://127.0.0.1:{closed}"}, headers=headers)

    assert httpx.get(f"{proxy[0]}/user/bob/lab").status_code == 503
    assert httpx.post(f"{proxy[0]}/user/bob/lab", content=b"x" * MEGABYTE).status_code == 503
    with pytest.raises(websocket.WebSocketBadStatusException), connect(f"{proxy[0]}/user/bob/"):
        pass
    assert httpx.get(f"{proxy[0]}/nowhere").status_code == 404


def test_the_proxy_ends_with_the_hub_that_started_it() -> None:
    port, api_port = free_ports(2)
    starter = (
        "import subprocess, sys, time\n"
        "print(subprocess.Popen(sys.argv[1:], start_new_session=True).pid, flush=True)\n"
        "time.sleep(600)"
    )
    hub = subprocess.Popen([sys.executable, "-c", starter, *command(port, api_port)], stdout=subprocess.PIPE)
    assert hub.stdout
    try:
        proxy = psutil.Process(int(hub.stdout.readline()))
        with httpx.Client() as client:
            eventually(lambda: answers(client, f"http://127.0.0.1:{port}/_chp_healthz"))
    finally:
        hub.kill()
        hub.wait()
        hub.stdout.close()

    eventually(lambda: not alive([proxy]), 5)
