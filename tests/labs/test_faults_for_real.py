"""Faults done to a whole campus that really runs: what then stands in the ledger, and what still runs."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

import httpx
import psutil
import psycopg
import pytest

from tests import campus as campuses
from tests.campus import Campus, alive, until
from tests.visitor import Student

pytestmark = pytest.mark.campus
REPAIRED_WITHIN = 60.0


@pytest.fixture(scope="module")
def place() -> Iterator:
    with campuses.room() as folder:
        yield folder


@pytest.fixture(scope="module")
def own(place) -> Iterator[Campus]:
    """A campus of our own, for we break it."""
    with campuses.started(place / "var") as campus:
        yield campus


@pytest.fixture(scope="module")
def student(own) -> Iterator[Student]:
    with Student(own) as student:
        yield student


@pytest.fixture(scope="module")
def lab(student) -> tuple[str, str]:
    return student.enroll()


@pytest.fixture(scope="module")
def teacher(own) -> Iterator[Student]:
    with Student(own, "zhang.min") as teacher:
        yield teacher


@pytest.fixture(scope="module")
def for_a_minute(teacher, lab) -> str:
    """A lab with a lease of one minute; it runs out while the other faults are done."""
    return str(teacher.launch(*lab, minutes=1)["id"])


def servers(campus: Campus) -> list[psutil.Process]:
    """The lab servers that run because of this campus."""
    found = []
    for process in campus.everything():
        try:
            if "lab/start.py" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return alive(found)


def settings(campus: Campus) -> dict[str, str]:
    return json.loads((campus.var_dir / "secrets" / "environment.json").read_text())


def audit(campus: Campus) -> None:
    said = subprocess.run(
        [sys.executable, "-P", "-m", "app.cli", "ledger", "audit"],
        env={"VAR_DIR": str(campus.var_dir), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr


def test_a_server_killed_behind_our_back_is_settled(own, student, lab):
    session = student.running(*lab)
    running = servers(own)
    assert running
    for process in running:
        with contextlib.suppress(psutil.NoSuchProcess):  # the first one takes the others along
            process.kill()

    until(lambda: student.state(session) == "settled", REPAIRED_WITHIN)

    found = student.session(session)
    assert found["stop_reason"] == "vanished"
    assert found["charged_micro"] == found["seconds_used"] * found["price_micro"] // 3600
    audit(own)


def test_a_server_that_is_not_ours_is_stopped(own, student, lab):
    """As if somebody had lost the row: the platform says that the session has ended, and the server still runs."""
    session = student.running(*lab)
    assert servers(own)
    url = settings(own)["DATABASE_URL"].replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("UPDATE lab_session SET state = 'settled', forgotten_at = now() WHERE id = %s", (session,))

        until(lambda: not servers(own), REPAIRED_WITHIN)

        database.execute("UPDATE lab_session SET state = 'running', forgotten_at = NULL WHERE id = %s", (session,))
    until(lambda: student.state(session) == "settled", REPAIRED_WITHIN)
    audit(own)


def test_the_hub_starts_nothing_that_was_not_ordered(own, for_a_minute):
    """Even with the platform's own token: the hub asks, and the platform knows of no order."""
    hub = json.loads((own.var_dir / "secrets" / "hubs.json").read_text())[0]
    with httpx.Client(base_url=hub["api_url"], headers={"Authorization": f"token {hub['token']}"}) as api:
        api.post("/users/mallory")
        api.post("/users/mallory/servers/free")

        until(lambda: not api.get("/users/mallory/servers/free").json().get("pending"), 30)

        assert not api.get("/users/mallory/servers/free").json().get("ready")


def test_a_lease_that_ends_stops_the_lab_and_all_of_it_is_paid(own, teacher, for_a_minute):
    until(lambda: teacher.state(for_a_minute) == "settled", 180)

    found = teacher.session(for_a_minute)
    assert found["stop_reason"] == "lease-ended"
    assert 60 <= found["seconds_used"] <= 90
    assert found["charged_micro"] == found["seconds_used"] * found["price_micro"] // 3600
    assert found["charged_micro"] <= found["held_micro"]
    notices = teacher.http.get("/api/v1/me/notices").json()
    assert "lab-lease-ended" in [notice["kind"] for notice in notices]
    audit(own)


def test_a_killed_worker_is_repaired_when_it_returns(own, student, lab, place):
    """Last, for it ends the campus: kill -9, everything stops; the next start settles what ran."""
    session = student.running(*lab)
    left = own.everything()
    psutil.Process(own.parts["worker"]).kill()
    assert own.wait() != 0
    until(lambda: not alive(left))

    with campuses.started(place / "var", log="again") as again, Student(again) as returned:
        until(lambda: returned.state(session) == "settled", REPAIRED_WITHIN)

        found = returned.session(session)
        assert found["charged_micro"] == found["seconds_used"] * found["price_micro"] // 3600
        assert not servers(again)
        audit(again)
