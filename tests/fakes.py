"""Stand-ins for the outside world. They keep what they were asked, and can be told to fail."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from labs.adapters import Evidence, HubBusy, HubError, HubFault, HubRefused, HubUnreachable, Progress, Server


@dataclass(frozen=True)
class Call:
    """One call that was made, also when it failed."""

    name: str
    user: str = ""
    server: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


class FakeHub:
    """A hub in memory. Servers start when told (`make_ready`), or by themselves with `autostart`.

    `down`, `slow`, `busy`, `faulty` and `refusing` each make every call fail in its way until taken back; `fail_next`
    fails only the next call of a name. A server that is stopped stays known until it is removed, as on the real hub.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.calls: list[Call] = []
        self.users: set[str] = set()
        self.servers: dict[tuple[str, str], Server] = {}
        self.options: dict[tuple[str, str], dict[str, str]] = {}
        self.display_names: dict[tuple[str, str], str] = {}
        self.failures: dict[tuple[str, str], str] = {}
        self.shares: set[tuple[str, str, str]] = set()  # (user, server, with whom)
        self.proofs: dict[tuple[str, str], Evidence] = {}  # what the scheduler says, where it says something
        self.autostart = True
        self.autostop = True
        self.down = False
        self.slow = False
        self.busy: float | None = None
        self.faulty = False
        self.refusing = ""
        self.closed = False
        self._fail_next: dict[str, list[HubError]] = {}

    # What a test arranges

    def make_ready(self, user: str, server: str) -> None:
        """A start comes to its good end."""
        self._set(user, server, ready=True, pending=None, stopped=False, started_at=_now(), last_activity_at=_now())

    def make_failed(self, user: str, server: str, message: str = "Spawn failed") -> None:
        """A start comes to its bad end; the hub still knows the name."""
        self.failures[user, server] = message
        self._set(user, server, ready=False, pending=None, stopped=True)

    def make_stopped(self, user: str, server: str) -> None:
        """A stop comes to its end, or the server ended by itself; the hub still knows the name."""
        self._set(user, server, ready=False, pending=None, stopped=True)

    def kill(self, user: str, server: str) -> None:
        """The server is lost behind our back, name and all."""
        self._forget(user, server)

    def add_stray(self, user: str, server: str, *, ready: bool = True, started_at: datetime | None = None) -> None:
        """A server that we did not order."""
        self.users.add(user)
        self.servers[user, server] = replace(
            _new_server(user, server),
            ready=ready,
            pending=None if ready else "spawn",
            started_at=started_at or _now(),
        )

    def fail_next(self, name: str, error: HubError) -> None:
        """The next call of this name raises the error, once. Several queue up."""
        self._fail_next.setdefault(name, []).append(error)

    def called(self, name: str) -> list[Call]:
        return [call for call in self.calls if call.name == name]

    @property
    def started(self) -> list[tuple[str, str]]:
        """User and server of every start that the hub took."""
        return [(call.user, call.server) for call in self.called("start")]

    # The protocol

    def version(self) -> str:
        self._take("version")
        return "6.1.1"

    def ensure_user(self, name: str) -> None:
        self._take("ensure_user", name)
        self.users.add(name)

    def start(self, user: str, server: str, options: Mapping[str, str], display_name: str) -> None:
        self._take("start", user, server, options=dict(options), display_name=display_name)
        self.users.add(user)
        known = self.servers.get((user, server))
        if known and known.pending == "stop":
            raise HubBusy("start", f"{user}:{server} is pending stop", status=400, retry_after=1.0)
        if known and not known.stopped:
            return
        self.options[user, server] = dict(options)
        self.display_names[user, server] = display_name
        self.failures.pop((user, server), None)
        self.servers[user, server] = replace(_new_server(user, server), pending="spawn", started_at=_now())
        if self.autostart:
            self.make_ready(user, server)

    def server(self, user: str, server: str) -> Server | None:
        self._take("server", user, server)
        return self.servers.get((user, server))

    def evidence(self, user: str, server: str) -> Evidence | None:
        self._take("evidence", user, server)
        if (user, server) in self.proofs:
            return self.proofs[user, server]
        known = self.servers.get((user, server))
        if known is None:
            return None
        return Evidence(runs=not known.stopped, why=self.failures.get((user, server), ""))

    def progress(self, user: str, server: str) -> Iterator[Progress]:
        self._take("progress", user, server)
        known = self.servers.get((user, server))
        if known is None:
            raise HubRefused("progress", "Not Found", 404)
        if known.ready:
            yield Progress(f"Server ready at {known.url}", 100, ready=True)
        elif (user, server) in self.failures:
            yield Progress(self.failures[user, server], 100, failed=True)
        elif known.pending == "spawn":
            yield Progress("Server requested", 0)
            yield Progress("Spawning server...", 50)
            raise HubUnreachable("progress", "the stream ended before the start did")
        else:
            raise HubRefused("progress", f"{user}:{server} is not starting...", 400)

    def stop(self, user: str, server: str) -> None:
        self._take("stop", user, server)
        if (user, server) in self.servers:
            self._end(user, server)

    def remove(self, user: str, server: str) -> None:
        self._take("remove", user, server)
        if (user, server) not in self.servers:
            return
        self._end(user, server)
        if self.autostop:
            self._forget(user, server)

    def share(self, user: str, server: str, with_user: str) -> None:
        self._take("share", user, server, with_user=with_user)
        if (user, server) not in self.servers:
            raise HubRefused("share", f"No such server: {user}/{server}", 404)
        self.users.add(with_user)
        self.shares.add((user, server, with_user))

    def unshare(self, user: str, server: str, with_user: str) -> None:
        self._take("unshare", user, server, with_user=with_user)
        self.shares.discard((user, server, with_user))

    def active(self, page: int = 200) -> Iterator[list[Server]]:
        users = sorted({user for (user, _), server in self.servers.items() if not server.stopped})
        for first in range(0, max(len(users), 1), page):
            self._take("active", page=page)
            shown = users[first : first + page]
            yield [server for server in self.servers.values() if server.user in shown and not server.stopped]

    def close(self) -> None:
        self.closed = True

    # Inside

    def _take(self, name: str, user: str = "", server: str = "", **arguments: Any) -> None:
        self.calls.append(Call(name, user, server, arguments))
        if self._fail_next.get(name):
            raise self._fail_next[name].pop(0)
        if self.down:
            raise HubUnreachable(name, "connection refused")
        if self.slow:
            raise HubUnreachable(name, "no answer in time (ReadTimeout)")
        if self.busy is not None:
            raise HubBusy(name, "too many requests", retry_after=self.busy)
        if self.faulty:
            raise HubFault(name, "Internal Server Error", 500)
        if self.refusing:
            raise HubRefused(name, self.refusing, 403)

    def _forget(self, user: str, server: str) -> None:
        """The server's name is gone, and what was shared of it."""
        del self.servers[user, server]
        self.shares = {share for share in self.shares if share[:2] != (user, server)}

    def _end(self, user: str, server: str) -> None:
        if self.autostop:
            self.make_stopped(user, server)
        elif not self.servers[user, server].stopped:
            self._set(user, server, ready=False, pending="stop")

    def _set(self, user: str, server: str, **changes: Any) -> None:
        self.servers[user, server] = replace(self.servers[user, server], **changes)


def _new_server(user: str, server: str) -> Server:
    return Server(
        user=user,
        name=server,
        url=f"/user/{user}/{server}/",
        full_url=f"http://localhost:8700/user/{user}/{server}/",
        progress_url=f"/hub/api/users/{user}/servers/{server}/progress",
    )


def _now() -> datetime:
    return datetime.now(UTC)
