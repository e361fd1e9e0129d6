"""Ports: the preferred one, else the next that is free."""

import errno
import socket
from collections.abc import Collection

from app.embedded.errors import CannotStart

TRIES = 100
LOOPBACKS = ("127.0.0.1", "::1")  # a browser may take either for `localhost`


def choose(preferred: int, taken: Collection[int] = ()) -> int:
    """The preferred port, or the next one that nobody listens on and that is not in `taken`; 0 means any."""
    if preferred == 0:
        return _any(taken)
    for port in range(preferred, min(preferred + TRIES, 65536)):
        if port not in taken and is_free(port):
            return port
    raise CannotStart(f"Ports {preferred} to {preferred + TRIES - 1} are all taken; name another with --port.")


def is_free(port: int) -> bool:
    return all(_can_bind(host, port) for host in LOOPBACKS)


def _any(taken: Collection[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACKS[0], 0))
            port: int = probe.getsockname()[1]
        if port not in taken and is_free(port):
            return port


def _can_bind(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is fine
            probe.bind((host, port))
    except OSError as problem:
        # A machine without IPv6 has no ::1 to be taken; ports below 1024 are not ours to take.
        return problem.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
    return True
