"""The outside world of labs: the hub, as the few calls we make and what may go wrong. Knows no tables and no rules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

State = Literal["starting", "running", "stopping", "stopped"]


@dataclass(frozen=True)
class Server:
    """One named server as the hub sees it. `url` is its path under the hub's public address."""

    user: str
    name: str
    ready: bool = False
    pending: Literal["spawn", "stop"] | None = None
    stopped: bool = False
    url: str = ""
    full_url: str = ""
    progress_url: str = ""
    started_at: datetime | None = None
    last_activity_at: datetime | None = None

    @property
    def state(self) -> State:
        if self.pending == "spawn":
            return "starting"
        if self.pending == "stop":
            return "stopping"
        return "running" if self.ready else "stopped"


@dataclass(frozen=True)
class Progress:
    """One step of a start, as the hub tells it. The last one is ready or failed."""

    message: str
    percent: int = 0
    ready: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Evidence:
    """What is known of one server beside the hub's list of names: from its process, or from the scheduler."""

    runs: bool
    ended_at: datetime | None = None  # None: nobody noted when
    why: str = ""
    is_final: bool = False  # starting it once more would end the same way
    code: str = ""  # of a refusal, stable: "cluster-quota"


class HubError(Exception):
    """A call to the hub did not give what was asked. Says which call and why; never carries a token."""

    def __init__(self, call: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{call}: {f'{status} ' if status else ''}{message}")
        self.call = call
        self.message = message
        self.status = status


class HubUnreachable(HubError):
    """No answer, or one of those that mean "later": try again."""


class HubBusy(HubError):
    """The hub asks to slow down."""

    def __init__(self, call: str, message: str, status: int = 429, retry_after: float | None = None) -> None:
        super().__init__(call, message, status)
        self.retry_after = retry_after


class HubRefused(HubError):
    """The hub understood and said no. `code` is stable, and there where its spawner knew why: "cluster-quota"."""

    def __init__(self, call: str, message: str, status: int | None = None, code: str = "") -> None:
        super().__init__(call, message, status)
        self.code = code


class HubFault(HubError):
    """The hub failed inside, or its answer makes no sense."""


class Hub(Protocol):
    """One center's hub. Every call is safe to repeat; every call may raise a HubError."""

    def version(self) -> str: ...

    def ensure_user(self, name: str) -> None:
        """Make the user known to the hub. One who is known already is fine."""

    def start(self, user: str, server: str, options: Mapping[str, str], display_name: str) -> None:
        """Ask for a named server, and come back at once. One that runs or is starting already is fine.

        A start that the hub's hook refuses raises `HubRefused` when the hub is quick, and otherwise ends its progress
        with `failed` and leaves the server stopped.
        """

    def server(self, user: str, server: str) -> Server | None:
        """The server's state now. None: the hub knows no such server."""

    def evidence(self, user: str, server: str) -> Evidence | None:
        """A second source on a server that is not seen: whether it runs still, or has ended, and why.

        None: this center can say no more than `server()` did.
        """

    def progress(self, user: str, server: str) -> Iterator[Progress]:
        """The steps of a start as they happen, until it is ready or has failed."""

    def stop(self, user: str, server: str) -> None:
        """Ask for the server's end, and come back at once. One that is gone already is fine."""

    def remove(self, user: str, server: str) -> None:
        """Stop the server and forget its name. One that the hub does not know is fine."""

    def share(self, user: str, server: str, with_user: str) -> None:
        """Let another user into the server. What they may do there the lab decides: look, and nothing else.

        Doing it again is fine. A server that the hub does not know is `HubRefused`.
        """

    def unshare(self, user: str, server: str, with_user: str) -> None:
        """Take that back. A share, server or user that is not there is fine. The lab heeds it within 15 seconds."""

    def active(self, page: int = 200) -> Iterator[list[Server]]:
        """All servers that run, start or stop, a page of users at a time, one call to the hub for each page.

        The hub counts pages anew for each call: a server that is missing here may only have slipped between two
        pages. Ask `server()` before believing that it is gone.
        """

    def close(self) -> None:
        """Let go of the connections."""
