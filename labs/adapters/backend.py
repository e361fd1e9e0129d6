"""What runs a center's labs, as the platform needs it: one Protocol, whatever stands behind it. Knows no tables.

One host, Slurm and Kubernetes all have a hub in front, which starts and ends labs; what only a scheduler can tell or do
(usage that it measured, nodes that it keeps) it adds. A backend that cannot do something says so, and never pretends.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from labs.adapters import Evidence, Hub, Server

Seen = Literal["absent", "starting", "running", "stopping", "gone"]


@dataclass(frozen=True)
class Status:
    """What is known of one lab. Gone is more than absent: there is evidence that it has ended."""

    seen: Seen
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Used:
    """What a scheduler measured of one lab: a row of its accounting, complete once it has ended."""

    server: str
    job: str
    segment: int  # a job that was put back into the queue has several
    started_at: datetime
    ended_at: datetime | None
    seconds: int
    why: str = ""


@dataclass(frozen=True)
class Reservation:
    """Nodes, or parts of them, that are kept for a class in [starts_at, ends_at)."""

    name: str
    starts_at: datetime
    ends_at: datetime
    users: tuple[str, ...]
    cores: int
    accelerators: int = 0


class CannotReserve(Exception):
    """This backend keeps nothing for anybody; places are kept by the platform alone."""


class Backend(Protocol):
    """Every call is safe to repeat; every call may raise a `HubError`, or its adapter's own error."""

    def prepare(self, user: str) -> None:
        """Make known what a person's first lab needs. Who is known already is fine."""

    def start(self, user: str, server: str, options: Mapping[str, str], display_name: str) -> None:
        """Ask for a lab, and come back at once. One that runs or is starting already is fine: nothing starts twice."""

    def status(self, user: str, server: str, *, is_awaited: bool = False) -> Status:
        """What is seen of a lab now, by a second source where the first has lost it.

        `is_awaited`: it was ordered a moment ago, so that being absent means nothing yet.
        """

    def stop(self, user: str, server: str) -> None:
        """Ask for a lab's end, and come back at once. One that is gone already is fine."""

    def usage(self, since: datetime) -> Iterator[list[Used]]:
        """What was measured of labs that ran after that moment, in pages; overlapping calls give the same rows again.

        Nothing where nobody measures: then the platform's own clock counts.
        """

    def reserve(self, wanted: Reservation) -> None:
        """Keep it, or change what is kept under this name. Raises `CannotReserve`."""

    def release(self, name: str) -> None:
        """Keep it no longer. One that is not there is fine."""


class HubBackend:
    """A hub alone, as on one host or Kubernetes: its word is the only one there is. Satisfies `Backend`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def prepare(self, user: str) -> None:
        self._hub.ensure_user(user)

    def start(self, user: str, server: str, options: Mapping[str, str], display_name: str) -> None:
        self._hub.start(user, server, options, display_name)

    def status(self, user: str, server: str, *, is_awaited: bool = False) -> Status:
        shown = self._hub.server(user, server)
        seen = _seen(shown)
        if seen not in ("absent", "gone") or (seen == "absent" and is_awaited):
            return Status(seen)
        evidence = self._hub.evidence(user, server)
        if evidence is None:
            return Status(seen)
        if evidence.runs:
            return Status("starting" if is_awaited else "running", evidence)
        return Status("gone", evidence)

    def stop(self, user: str, server: str) -> None:
        self._hub.stop(user, server)

    def usage(self, since: datetime) -> Iterator[list[Used]]:
        return iter(())

    def reserve(self, wanted: Reservation) -> None:
        raise CannotReserve

    def release(self, name: str) -> None:
        """There is never any."""


def _seen(shown: Server | None) -> Seen:
    """The hub says of its own process that it has stopped: that is evidence."""
    if shown is None:
        return "absent"
    return "gone" if shown.state == "stopped" else shown.state
