"""Carries bytes between a lab, which has no network, and the hub: one unix socket each way, run in the hub's loop."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

PIECE = 65536
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """A listening end whose connections are carried to wherever `connect` leads."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def listen_on_port(self) -> int:
        """Listen on a free port of this host only, and say which."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def listen_on_socket(self, path: Path) -> None:
        """Listen on a unix socket that anybody may use who can see it."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _short(path.parent) as folder:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            listener.bind(f"{folder}/{path.name}")
        path.chmod(0o666)
        listener.setblocking(False)
        self._server = await asyncio.start_unix_server(self._accept, sock=listener)

    def close(self) -> None:
        if self._server:
            self._server.close()
        for task in self._open:
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                far_reader, far_writer = await self._connect()
            except OSError:
                return
            with contextlib.closing(far_writer):
                await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # either side may go away at any moment
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def connect_to_lab(folder: Path, name: str, uid: int) -> Streams:
    """Connect to the socket that a lab made in its own folder.

    The lab may put anything there, such as a link to a socket of the host that it cannot reach itself. So the file is
    opened without following links, looked at, and connected to by that very handle.
    """
    with _short(folder) as short:
        handle = os.open(f"{short}/{name}", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != uid:
            raise PermissionError(f"{name} is not a socket of the lab's own")
        return await asyncio.open_unix_connection(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A short name for a folder, since the path of a unix socket may have 107 bytes only."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
