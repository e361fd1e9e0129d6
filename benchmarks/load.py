"""A client that costs little: many connections in one thread, each sending one request after another.

What a connection sends next may depend on what it got: a script is a generator that yields requests and is sent
answers. Latencies are in seconds, by the name of the request.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import orjson


@dataclass(frozen=True)
class Sent:
    """One request; `name` says in whose list its latency goes."""

    name: str
    path: str
    body: dict[str, object] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def raw(self) -> bytes:
        body = b"" if self.body is None else orjson.dumps(self.body)
        head = [f"{'GET' if self.body is None else 'POST'} {self.path} HTTP/1.1", "Host: bench"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body is not None:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Got:
    status: int
    body: bytes


Script = Generator[Sent, Got, None]


@dataclass
class Outcome:
    """What a run of many scripts gave."""

    seconds: float
    latencies: dict[str, list[float]]
    refused: int

    @property
    def requests(self) -> int:
        return sum(len(found) for found in self.latencies.values())

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    def percentile(self, share: float) -> float:
        every = sorted(one for found in self.latencies.values() for one in found)
        return every[min(len(every) - 1, int(len(every) * share))]


class _Connection(asyncio.Protocol):
    def __init__(self, script: Script, outcome: Outcome, until: float) -> None:
        self._script, self._outcome, self._until = script, outcome, until
        self.closed = asyncio.get_running_loop().create_future()
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send(next(self._script))

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, split, rest = self._seen.partition(b"\r\n\r\n")
        if not split:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        self._seen = rest[length:]
        now = time.perf_counter()
        self._outcome.latencies[self._sent].append(now - self._at)
        got = Got(int(head[9:12]), rest[:length])
        self._outcome.refused += got.status >= 400
        try:
            wanted = self._script.send(got)
        except StopIteration:
            return self._transport.close()
        if now >= self._until:
            return self._transport.close()
        self._send(wanted)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(error)

    def _send(self, wanted: Sent) -> None:
        self._sent, self._at = wanted.name, time.perf_counter()
        self._transport.write(wanted.raw())


def run(port: int, scripts: list[Script], seconds: float) -> Outcome:
    """Let each script have a connection of its own, until the time is over."""
    outcome = Outcome(0, defaultdict(list), 0)
    began = time.perf_counter()
    asyncio.run(_run(port, scripts, outcome, began + seconds))
    outcome.seconds = time.perf_counter() - began
    return outcome


async def _run(port: int, scripts: list[Script], outcome: Outcome, until: float) -> None:
    loop = asyncio.get_running_loop()
    make: Callable[[Script], Callable[[], _Connection]] = lambda s: lambda: _Connection(s, outcome, until)  # noqa: E731
    opened = [await loop.create_connection(make(script), "127.0.0.1", port) for script in scripts]
    await asyncio.gather(*(connection.closed for _transport, connection in opened))
