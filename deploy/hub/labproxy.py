"""The proxy in front of hub and labs: configurable-http-proxy in Python, with what a real lab needs of it.

The stock one (0.4.0) holds every request and every answer in memory, gives up after 20 seconds, talks to ten servers
at a time, decodes what was encoded in a path, drops the sub-protocol of websockets (browsers then refuse the first
kernel connection), turns binary frames into text, and leaves a browser waiting on a websocket that the lab has closed.

    ConfigurableHTTPProxy.command = [python, "-I", "labproxy.py"]
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    DummyCookieJar,
    TCPConnector,
    WSMsgType,
    WSServerHandshakeError,
)
from configurable_http_proxy import cli, configproxy
from configurable_http_proxy.handlers import ProxyHandler
from multidict import CIMultiDict
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import PeriodicCallback
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, stream_request_body
from tornado.websocket import WebSocketClosedError, WebSocketHandler
from yarl import URL

LONGEST_BODY = 1 << 40
PIECES_IN_FLIGHT = 8
SECONDS_TO_CONNECT = 10
SECONDS_BETWEEN_PINGS = 30
OF_ONE_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade", "expect"),
    }
)


@stream_request_body
class LabProxyHandler(ProxyHandler):
    """One request, carried both ways piece by piece; or one websocket, frame by frame."""

    def initialize(self, **settings: object) -> None:
        super().initialize(**settings)
        self.body: asyncio.Queue[bytes | None] = asyncio.Queue(PIECES_IN_FLIGHT)
        self.carrying: asyncio.Task[None] | None = None
        self.lab: ClientWebSocketResponse | None = None

    # Requests

    def prepare(self) -> None:
        self.request.connection.set_max_body_size(LONGEST_BODY)
        if not self.is_websocket() and not self.request.path.startswith("/_chp_"):
            self.carrying = asyncio.ensure_future(self.carry())

    async def data_received(self, chunk: bytes) -> None:
        await self.hand_on(chunk)

    async def hand_on(self, piece: bytes | None) -> None:
        """Give a piece of the request to the lab at the lab's pace; drop it when the lab has answered already."""
        if self.carrying is None or self.carrying.done():
            return
        handing = asyncio.ensure_future(self.body.put(piece))
        await asyncio.wait([handing, self.carrying], return_when=asyncio.FIRST_COMPLETED)
        handing.cancel()

    async def get(self, path: str | None = None) -> None:
        if self.is_websocket():
            await self.carry_websocket()
        elif not self.health_check():
            await self.finish_carrying()

    async def finish_carrying(self, path: str | None = None) -> None:
        """The request has come to its end; wait for the answer's."""
        self._auto_finish = False
        await self.hand_on(None)
        if self.carrying:
            await asyncio.wait([self.carrying])
            if not self.carrying.cancelled():  # as it is when the browser went away
                self.carrying.result()

    head = post = delete = patch = put = options = finish_carrying

    async def carry(self) -> None:
        url = await self.where()
        if url is None:
            return
        try:
            async with lab_session().request(
                self.request.method or "GET",
                url,
                headers=headers_for_lab(self.request),
                data=self.pieces() if has_body(self.request) else None,
                allow_redirects=False,
            ) as answer:
                self.clear()
                for name in ("Server", "Content-Type", "Date"):
                    self.clear_header(name)
                self.set_status(answer.status, answer.reason)
                for name, value in answer.headers.items():
                    if name.lower() not in OF_ONE_HOP:
                        self.add_header(name, value)
                await self.flush()
                async for piece in answer.content.iter_any():
                    self.write(piece)
                    await self.flush()
        except StreamClosedError:  # the browser went away
            return
        except (ClientError, OSError, TimeoutError) as error:
            await self.fail(error)
            return
        self.finish()

    async def pieces(self) -> AsyncIterator[bytes]:
        while (piece := await self.body.get()) is not None:
            yield piece

    async def fail(self, error: Exception) -> None:
        """The lab cannot be reached, or went away in the middle of its answer, which then must not look whole."""
        if self._headers_written:
            self.request.connection.close()
        else:
            self.clear()
            await self.handle_proxy_error(503, error)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self.carrying:
            self.carrying.cancel()

    def compute_etag(self) -> None:
        return None

    # Websockets

    def is_websocket(self) -> bool:
        return bool(self.request.headers.get("Upgrade", "").lower() == "websocket")

    async def carry_websocket(self) -> None:
        """Open the lab's end first: only it knows whether it wants to, and which sub-protocol it speaks."""
        url = await self.where()
        if url is None:
            return
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        try:
            self.lab = await lab_session().ws_connect(
                url,
                headers=headers_for_lab(self.request),
                protocols=[word.strip() for word in offered.split(",") if word.strip()],
                max_msg_size=0,
                autoclose=True,
            )
        except WSServerHandshakeError as refusal:
            self.set_status(refusal.status)
            self.finish()
            return
        except (ClientError, OSError, TimeoutError) as error:
            await self.fail(error)
            return
        self.closed = False
        try:
            await WebSocketHandler.get(self)
        finally:
            if self.get_status() != 101:
                await self.lab.close()

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return self.lab.protocol if self.lab else None

    def open(self, *args: str, **kwargs: str) -> None:
        self.carrying = asyncio.ensure_future(self.carry_frames())

    async def carry_frames(self) -> None:
        assert self.lab
        with contextlib.suppress(WebSocketClosedError, StreamClosedError):
            async for frame in self.lab:
                if frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self.note_activity()
                    await self.write_message(frame.data, binary=frame.type == WSMsgType.BINARY)
            self.close(self.lab.close_code)

    async def on_message(self, message: str | bytes) -> None:
        if self.lab is None or self.lab.closed:
            return
        self.note_activity()
        with contextlib.suppress(ClientError, ConnectionError):
            await (self.lab.send_bytes(message) if isinstance(message, bytes) else self.lab.send_str(message))

    def on_close(self) -> None:
        self.closed = True
        if self.lab:
            asyncio.ensure_future(self.lab.close())  # noqa: RUF006  (ends with the connection)

    def check_origin(self, origin: str) -> bool:
        return True  # the lab checks, which is asked first

    # Where to

    async def where(self) -> URL | None:
        """The address behind the request's, letter for letter; None when the error page has been sent instead."""
        uri = self.request.uri or ""
        if not uri.startswith("/"):
            raise HTTPError(400)
        self.target = self.proxy.target_for_req(None, self.request.path)
        if self.target is None:
            await self.handle_proxy_error(404, None)
            return None
        target = urlsplit(self.target["target"])
        scheme = target.scheme.replace("http", "ws") if self.is_websocket() else target.scheme
        return URL(f"{scheme}://{target.netloc}{uri}", encoded=True)

    def note_activity(self) -> None:
        if self.target:
            self.proxy.update_last_activity(self.target["prefix"])


_sessions: list[ClientSession] = []


def lab_session() -> ClientSession:
    """The one client towards hub and labs: as many connections as it takes, no end to an answer, no cookies kept."""
    if not _sessions:
        _sessions.append(
            ClientSession(
                connector=TCPConnector(limit=0),
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None, sock_connect=SECONDS_TO_CONNECT),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                read_bufsize=1 << 18,
                max_line_size=1 << 16,
                max_field_size=1 << 16,
            )
        )
    return _sessions[0]


def has_body(request: HTTPServerRequest) -> bool:
    return request.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in request.headers


def headers_for_lab(request: HTTPServerRequest) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in request.headers.get_all():
        if name.lower() not in OF_ONE_HOP and not name.lower().startswith("sec-websocket-"):
            headers.add(name, value)
    came_from = headers.popall("X-Forwarded-For", [])
    headers["X-Forwarded-For"] = ", ".join([*came_from, request.remote_ip or ""])
    headers.setdefault("X-Forwarded-Proto", request.protocol)
    headers.setdefault("X-Forwarded-Host", request.host)
    headers.setdefault("X-Forwarded-Port", request.host.rpartition(":")[2] if ":" in request.host else "")
    return headers


def proxy_application(routes: list[tuple[str, type, dict[str, object]]]) -> Application:
    """In place of the stock application: the same route, our handler. The API's application stays as it is."""
    return Application(
        [
            (path, LabProxyHandler if handler is ProxyHandler else handler, settings)
            for path, handler, settings in routes
        ],
        websocket_ping_interval=SECONDS_BETWEEN_PINGS,
        websocket_max_message_size=1 << 30,
    )


def end_with_parent() -> PeriodicCallback:
    """A proxy whose hub was killed leads nowhere, and would keep the port from the next one."""
    parent = os.getppid()

    def look() -> None:
        if os.getppid() != parent:
            os._exit(1)

    return PeriodicCallback(look, 500)


def main() -> None:
    configproxy.Application = proxy_application
    watch = end_with_parent()
    asyncio.set_event_loop(loop := asyncio.new_event_loop())
    loop.call_soon(watch.start)
    cli.main()


if __name__ == "__main__":
    main()
