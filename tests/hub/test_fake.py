"""The hub in memory behaves as the real one does, as far as anybody relies on it."""

from collections.abc import Callable

import pytest

from labs.adapters import Hub, HubBusy, HubFault, HubRefused, HubUnreachable
from tests.fakes import FakeHub
from tests.hub.conftest import Campus, eventually, name_of_server, name_of_user


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.hub)])
def any_hub(request: pytest.FixtureRequest) -> tuple[Hub, Callable[[str], None]]:
    """A hub, and how to order a server on it."""
    if request.param == "fake":
        return FakeHub(), lambda server: None
    campus: Campus = request.getfixturevalue("campus")
    return campus.client, campus.platform.order


def test_both_hubs_tell_the_same_story(any_hub: tuple[Hub, Callable[[str], None]]) -> None:
    hub, order = any_hub
    user, server = name_of_user(), name_of_server()
    order(server)

    def state() -> str | None:
        found = hub.server(user, server)
        return found.state if found else None

    def is_active() -> bool:
        return (user, server) in {(found.user, found.name) for page in hub.active(page=1) for found in page}

    assert hub.version().startswith("6.")
    hub.stop(user, server)
    hub.remove(user, server)
    assert state() is None
    with pytest.raises(HubRefused):
        list(hub.progress(user, server))

    hub.ensure_user(user)
    hub.start(user, server, {"session": server.removeprefix("lab-")}, "Lab")
    assert list(hub.progress(user, server))[-1].ready
    hub.start(user, server, {"session": server.removeprefix("lab-")}, "Lab")
    assert state() == "running"
    found = hub.server(user, server)
    assert found
    assert found.url == f"/user/{user}/{server}/"
    assert found.started_at
    assert is_active()

    guest = name_of_user()
    hub.share(user, server, guest)
    hub.share(user, server, guest)
    hub.unshare(user, server, guest)
    hub.unshare(user, server, guest)
    hub.unshare(user, "lab-unknown", guest)
    hub.unshare(user, server, name_of_user())
    with pytest.raises(HubRefused):
        hub.share(user, "lab-unknown", guest)

    hub.stop(user, server)
    eventually(lambda: state() == "stopped")
    assert not is_active()
    hub.stop(user, server)
    hub.remove(user, server)
    eventually(lambda: state() is None)


def test_a_start_takes_until_it_is_made_ready() -> None:
    hub = FakeHub()
    hub.autostart = False

    hub.start("ada", "lab-1", {"session": "1"}, "Lab")

    assert [server.state for server in hub.servers.values()] == ["starting"]
    hub.make_ready("ada", "lab-1")
    assert [server.state for server in hub.servers.values()] == ["running"]
    assert hub.started == [("ada", "lab-1")]


def test_a_failed_start_and_a_slow_stop_can_be_played() -> None:
    hub = FakeHub()
    hub.autostart = hub.autostop = False
    hub.start("ada", "lab-1", {}, "Lab")
    hub.start("ada", "lab-2", {}, "Lab")

    hub.make_failed("ada", "lab-1", "no room")
    hub.make_ready("ada", "lab-2")
    hub.stop("ada", "lab-2")

    assert [step.message for step in hub.progress("ada", "lab-1")] == ["no room"]
    assert hub.servers["ada", "lab-2"].state == "stopping"
    with pytest.raises(HubBusy):
        hub.start("ada", "lab-2", {}, "Lab")
    hub.make_stopped("ada", "lab-2")
    assert [page for page in hub.active() if page] == []


def test_a_server_can_be_lost_or_come_from_nowhere() -> None:
    hub = FakeHub()
    hub.start("ada", "lab-1", {}, "Lab")
    hub.add_stray("eve", "stray")

    hub.kill("ada", "lab-1")

    assert hub.server("ada", "lab-1") is None
    assert [server.name for page in hub.active() for server in page] == ["stray"]


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        ({"down": True}, HubUnreachable),
        ({"slow": True}, HubUnreachable),
        ({"busy": 5.0}, HubBusy),
        ({"faulty": True}, HubFault),
        ({"refusing": "no"}, HubRefused),
    ],
)
def test_every_call_can_be_made_to_fail(trouble: dict[str, object], error: type[Exception]) -> None:
    hub = FakeHub()
    vars(hub).update(trouble)

    for call in (
        hub.version,
        lambda: hub.ensure_user("ada"),
        lambda: hub.start("ada", "lab-1", {}, "Lab"),
        lambda: hub.server("ada", "lab-1"),
        lambda: hub.stop("ada", "lab-1"),
        lambda: hub.remove("ada", "lab-1"),
        lambda: list(hub.active()),
        lambda: list(hub.progress("ada", "lab-1")),
        lambda: hub.share("ada", "lab-1", "eve"),
        lambda: hub.unshare("ada", "lab-1", "eve"),
    ):
        with pytest.raises(error):
            call()

    assert len(hub.calls) == 10
    assert hub.servers == {}
    hub.reset()
    assert hub.version()


def test_one_call_can_be_made_to_fail_once() -> None:
    hub = FakeHub()
    hub.fail_next("start", HubUnreachable("start", "lost"))

    with pytest.raises(HubUnreachable):
        hub.start("ada", "lab-1", {}, "Lab")
    hub.start("ada", "lab-1", {}, "Lab")

    assert hub.servers["ada", "lab-1"].state == "running"
