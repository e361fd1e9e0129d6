"""A taken port is not a stack trace."""

import socket

import pytest

from app.embedded import ports
from app.embedded.errors import CannotStart


def listening(host: str = "127.0.0.1") -> socket.socket:
    server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    server.bind((host, 0))
    server.listen()
    return server


def test_the_preferred_port_is_used_when_it_is_free():
    free = ports.choose(0)

    assert ports.choose(free) == free


def test_the_next_free_port_is_used_when_the_preferred_one_is_taken():
    with listening() as server:
        taken = server.getsockname()[1]

        assert ports.choose(taken) > taken


def test_a_port_taken_for_ipv6_only_counts_as_taken():
    with listening("::1") as server:
        assert not ports.is_free(server.getsockname()[1])


def test_two_parts_are_not_given_the_same_port():
    first = ports.choose(0)

    assert ports.choose(first, taken=[first]) != first


def test_any_port_is_another_one_than_those_already_given():
    given = [ports.choose(0) for _ in range(5)]

    assert ports.choose(0, taken=given) not in given


def test_when_all_are_taken_it_says_so(monkeypatch):
    monkeypatch.setattr(ports, "TRIES", 1)
    with listening() as server, pytest.raises(CannotStart, match="are all taken"):
        ports.choose(server.getsockname()[1])
