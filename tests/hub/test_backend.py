"""The Protocol that every center's backend satisfies, on one host: the hub's word, and what it cannot do."""

from datetime import UTC, datetime

import pytest

from labs.adapters import Evidence, HubUnreachable
from labs.adapters.backend import Backend, CannotReserve, HubBackend, Reservation
from labs.adapters.jupyterhub import JupyterHub
from tests.fakes import FakeHub

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def fake():
    return FakeHub()


@pytest.fixture
def backend(fake) -> Backend:
    return HubBackend(fake)


def test_a_lab_from_its_order_to_its_end(backend, fake):
    fake.autostart = fake.autostop = False
    backend.prepare("u")
    assert backend.status("u", "lab", is_awaited=True).seen == "absent"
    backend.start("u", "lab", {"session": "s"}, "Lab")
    backend.start("u", "lab", {"session": "s"}, "Lab")
    assert backend.status("u", "lab").seen == "starting"
    fake.make_ready("u", "lab")
    assert backend.status("u", "lab").seen == "running"
    backend.stop("u", "lab")
    assert backend.status("u", "lab").seen == "stopping"
    fake.make_stopped("u", "lab")
    assert backend.status("u", "lab").seen == "gone"
    assert fake.users == {"u"}
    backend.stop("u", "nothing")


def test_a_lab_that_the_hub_lost_may_run_still(backend, fake):
    fake.proofs["u", "lab"] = Evidence(runs=True)

    assert backend.status("u", "lab").seen == "running"
    assert backend.status("u", "lab", is_awaited=True).seen == "absent"
    assert [call.name for call in fake.calls] == ["server", "evidence", "server"]


def test_the_second_source_says_when_and_why_it_ended(backend, fake):
    proof = Evidence(runs=False, ended_at=NOW, why="TIMEOUT", is_final=True)
    fake.proofs["u", "lab"] = proof

    status = backend.status("u", "lab")

    assert (status.seen, status.evidence) == ("gone", proof)


def test_silence_is_no_status(backend, fake):
    fake.down = True

    with pytest.raises(HubUnreachable):
        backend.status("u", "lab")


def test_what_it_cannot_do_it_says(backend):
    assert list(backend.usage(NOW)) == []
    with pytest.raises(CannotReserve):
        backend.reserve(Reservation("class", NOW, NOW, ("u",), 8))
    backend.release("class")


def test_the_real_client_fits_too():
    hub = JupyterHub("http://127.0.0.1:1/hub/api", "token")
    backend: Backend = HubBackend(hub)

    with pytest.raises(HubUnreachable):
        backend.stop("u", "lab")
    hub.close()
