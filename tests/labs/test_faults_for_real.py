"""Faults done to a whole campus that really runs: what then stands in the ledger, and what still runs.

Here each part that dies is started again alone, as a service manager does it. At every transition of a session, in
every part, `kill -9`; then a hub without its database, a crowd of clicks, and at last everything dies at once.
(`test_every_fault.py` does more of them, before and after each commit, to a hub that is played.)
"""

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any

import httpx
import psutil
import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask

from app.config import Settings
from app.db import db
from app.factory import create_app
from labs import ledger
from labs.models import HoldState, LabSession, SessionState
from labs.queries.drift import drift
from tests import campus as campuses
from tests.campus import Campus, alive, until
from tests.visitor import Student

pytestmark = pytest.mark.campus
REPAIRED_WITHIN = 60.0
PARTS = ("worker", "web", "hub", "proxy", "postgres")
UNPAID_AT_MOST = 30.0  # seconds: a start until it answers, and a stop or an outage until somebody sees it
Row = dict[str, Any]


@pytest.fixture(scope="module")
def place() -> Iterator:
    with campuses.room() as folder:
        yield folder


@pytest.fixture(scope="module")
def own(place) -> Iterator[Campus]:
    """A campus of our own, for we break it."""
    with campuses.kept(place / "var") as campus:
        yield campus


@pytest.fixture(scope="module")
def books(own) -> Iterator["Books"]:
    books = Books(own)
    yield books
    books.close()


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


def settings(campus: Campus) -> dict[str, str]:
    return json.loads((campus.var_dir / "secrets" / "environment.json").read_text())


class Books:
    """Looks into the campus's database, from outside of it."""

    def __init__(self, campus: Campus) -> None:
        self.campus = campus
        self.url = settings(campus)["DATABASE_URL"].replace("postgresql+psycopg://", "postgresql://")
        self.app: Flask = create_app(Settings.from_env(settings(campus)))

    def close(self) -> None:
        with self.app.app_context():
            for engine in db.engines.values():
                engine.dispose()
        for hub in self.app.extensions["hubs"].values():
            hub.close()

    def row(self, session: str) -> Row:
        with psycopg.connect(self.url, row_factory=psycopg.rows.dict_row) as database:
            found = database.execute("SELECT * FROM lab_session WHERE id = %s", (session,)).fetchone()
        assert found is not None
        return found

    def until(self, session: str, holds: Callable[[Row], bool], within: float = 60.0) -> Row:
        """Wait for something in the session's row, looking as often as we can."""
        deadline = time.monotonic() + within
        with psycopg.connect(self.url, row_factory=psycopg.rows.dict_row, autocommit=True) as database:
            while True:
                row = database.execute("SELECT * FROM lab_session WHERE id = %s", (session,)).fetchone()
                if row is not None and holds(row):
                    return row
                assert time.monotonic() < deadline, f"{session} is {row and row['state']}: {row}"
                time.sleep(0.005)

    def let_a_minute_pass(self) -> None:
        """For who starts more labs than a person may start within a minute."""
        with psycopg.connect(self.url) as database:
            database.execute("UPDATE lab_session SET created_at = created_at - interval '1 minute'")

    def wrongs(self) -> list[str]:
        """What is wrong now: drift, an audit that differs, a server that nobody pays for."""
        with self.app.app_context():
            try:
                found = [str(item) for item in drift().items] + [str(line) for line in ledger.audit()]
                paid = {f"lab-{row.id.hex}" for row in db.session.query(LabSession) if _is_paid(row)}
            except sa.exc.DBAPIError as error:
                return [str(error)]
            finally:
                db.session.remove()
        return found + [f"{name} is unpaid" for name in servers(self.campus) if name not in paid]

    def become_right(self) -> None:
        """Nothing is wrong within a minute, and it stays so for a moment."""
        deadline = time.monotonic() + REPAIRED_WITHIN
        while wrongs := self.wrongs():
            assert time.monotonic() < deadline, wrongs
            time.sleep(0.1)


def _is_paid(session: LabSession) -> bool:
    return session.is_live and session.hold is not None and session.hold.state is HoldState.OPEN


def servers(campus: Campus) -> dict[str, list[psutil.Process]]:
    """The lab servers that run because of this campus: by name, what runs of each."""
    found: dict[str, list[psutil.Process]] = {}
    for process in alive(campus.everything()):
        with contextlib.suppress(psutil.Error):
            if "lab/start.py" in " ".join(process.cmdline()):
                name = process.environ().get("JUPYTERHUB_SERVER_NAME", "?")
                found.setdefault(name, []).append(process)
    return {name: of for name, of in found.items() if alive(of)}


def part_of(campus: Campus, part: str) -> list[psutil.Process]:
    """The processes that are this part of the campus. Those that it only started are not."""
    if part == "proxy":
        return [one for one in campus.everything() if "labproxy.py" in _words(one)]
    top = psutil.Process(campus.parts[part])
    if part == "hub":
        return [top]
    return [top, *top.children(recursive=True)] if part == "web" else [top]


def _words(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def kill(campus: Campus, part: str) -> None:
    """kill -9, and wait until whoever keeps it has started it again."""
    killed = part_of(campus, part)
    assert killed, part
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(killed, timeout=10)
    until(lambda: _is_back(campus, part, {process.pid for process in killed}), 60)


def _is_back(campus: Campus, part: str, killed: set[int]) -> bool:
    if part == "proxy":
        return bool(part_of(campus, part)) and _answers(f"{campus.labs_url}/hub/health")
    return campus.parts[part] not in killed and _answers(f"{campus.platform_url}/readyz")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@contextlib.contextmanager
def worker_held(campus: Campus) -> Iterator[None]:
    """The worker stands still, so that a session stays where people have brought it."""
    worker = psutil.Process(campus.parts["worker"])
    worker.suspend()
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.resume()


class Watch(Thread):
    """Notes from when until when each lab server ran, by looking at the processes."""

    def __init__(self, campus: Campus) -> None:
        super().__init__(daemon=True)
        self.campus, self.over = campus, Event()
        self.seen: dict[str, list[tuple[float, float]]] = {}

    def run(self) -> None:
        while not self.over.wait(0.2):
            with contextlib.suppress(psutil.Error):
                now = time.time()
                for name, processes in servers(self.campus).items():
                    began = min(process.create_time() for process in processes)
                    spans = [span for span in self.seen.get(name, []) if abs(span[0] - began) > 1]
                    self.seen[name] = [*spans, (began, now)]

    def seconds(self, session: str) -> float:
        """How long the session's servers were up, all together."""
        spans = self.seen.get(f"lab-{session.replace('-', '')}", [])
        return sum(until - began for began, until in spans)


@pytest.fixture(scope="module")
def watch(own) -> Iterator[Watch]:
    watch = Watch(own)
    watch.start()
    yield watch
    watch.over.set()
    watch.join()


class Life:
    """The labs of one person, one after another."""

    def __init__(self, books: Books, student: Student, lab: tuple[str, str]) -> None:
        self.books, self.student, self.lab = books, student, lab
        self.sessions: list[str] = []

    @property
    def row(self) -> Row:
        return self.books.row(self.sessions[-1])

    def begin(self) -> "Life":
        """End what an earlier test may have left running, for a launch would lead there."""
        for session in self.student.live():
            self.student.stop(session)
        return self

    def launch(self) -> None:
        """The lab that is there, or a new one where that has ended or is about to."""
        if self.sessions and self.row["state"] == "stopping":
            self.wait_for("settled", "voided")
        self.books.let_a_minute_pass()
        session = str(self.student.launch(*self.lab)["id"])
        if session not in self.sessions:
            self.sessions.append(session)

    def wait_for(self, *states: str) -> None:
        self.wait_until(lambda row: row["state"] in states)

    def wait_until(self, holds: Callable[[Row], bool]) -> None:
        self.books.until(self.sessions[-1], holds)

    def ask_to_stop(self) -> None:
        self.student.http.post(f"/api/v1/lab-sessions/{self.sessions[-1]}/stop")

    def end(self) -> None:
        if self.sessions and self.row["state"] not in ENDED:
            self.student.stop(self.sessions[-1])

    @contextlib.contextmanager
    def without_home(self, campus: Campus) -> Iterator[None]:
        """Where the home should be there is a file, so that every start fails at the hub."""
        home = campus.var_dir / "homes" / self.row["person_id"].hex
        home.rename(home.with_suffix(".away"))
        home.write_text("no folder")
        try:
            yield
        finally:
            home.unlink()
            home.with_suffix(".away").rename(home)


class Lives:
    """Brings labs of two people to a transition, for a part to die there; whatever became of the last ones."""

    def __init__(self, campus: Campus, one: Life, other: Life) -> None:
        self.campus, self.one, self.other = campus, one, other

    def at(self, transition: str, strike: Callable[[], None]) -> None:
        getattr(self, f"_{transition}")(strike)

    def _starting(self, strike: Callable[[], None]) -> None:
        """The worker has claimed it and is about to tell the hub, or has just done so."""
        self.one.launch()
        self.one.wait_for("starting")
        strike()

    def _admitted(self, strike: Callable[[], None]) -> None:
        """The hub has come for its order, and brings the server up."""
        self.other.launch()
        self.other.wait_until(lambda row: row["state"] == "starting" and row["admitted_attempt"] > 0)
        strike()

    def _running(self, strike: Callable[[], None]) -> None:
        self.one.launch()
        self.one.wait_for("running")
        strike()

    def _reserved_stop_asked_voided(self, strike: Callable[[], None]) -> None:
        """What people do while the worker stands still: three transitions that it has not seen yet."""
        self.other.end()
        self.one.launch()
        self.one.wait_for("running")
        with worker_held(self.campus):
            self.one.ask_to_stop()
            self.other.launch()
            self.other.ask_to_stop()
            assert self.other.row["state"] == "voided"  # the hub never heard of it
            self.other.launch()
            assert (self.one.row["state"], self.other.row["state"]) == ("stopping", "reserved")
            strike()

    def _stop_told(self, strike: Callable[[], None]) -> None:
        self.other.launch()
        self.other.wait_for("running")
        self.other.ask_to_stop()
        self.other.wait_until(lambda row: row["stop_ordered_at"] is not None)
        strike()

    def _settled(self, strike: Callable[[], None]) -> None:
        """It is over for us, and the hub has hardly forgotten it."""
        self.one.launch()
        self.one.wait_for("running")
        self.one.ask_to_stop()
        self.one.wait_for("settled")
        strike()

    def _failing(self, strike: Callable[[], None]) -> None:
        """The start has failed and is about to be tried again, until it is voided."""
        self.one.end()
        with self.one.without_home(self.campus):
            self.one.launch()
            self.one.wait_until(lambda row: bool(row["failure"]))
            strike()
            self.one.wait_for("voided")


TRANSITIONS = (
    "starting",
    "admitted",
    "running",
    "reserved_stop_asked_voided",
    "stop_told",
    "settled",
    "failing",
)
ENDED = {str(state) for state in SessionState if not state.is_live}


def audit(books: Books) -> None:
    with books.app.app_context():
        assert ledger.audit() == []


def test_a_server_killed_behind_our_back_is_settled(own, books, student, lab, for_a_minute):
    session = student.running(*lab)
    running = servers(own)[f"lab-{session.replace('-', '')}"]
    for process in running:
        with contextlib.suppress(psutil.NoSuchProcess):  # the first one takes the others along
            process.kill()

    until(lambda: student.state(session) == "settled", REPAIRED_WITHIN)

    found = student.session(session)
    assert found["stop_reason"] == "vanished"
    assert found["charged_micro"] == found["seconds_used"] * found["price_micro"] // 3600
    audit(books)


def test_two_hundred_clicks_at_once_are_one_session_and_one_hold(own, books, student, lab):
    run, unit = lab
    books.let_a_minute_pass()
    panel = student.http.get(f"/api/v1/runs/{run}/units/{unit}/launch-panel").json()
    asked = {"flavor_id": panel["offers"][0]["flavor"]["id"], "minutes": 30}

    def click(_n: int) -> httpx.Response:
        return student.http.post(f"/api/v1/runs/{run}/units/{unit}/sessions", json=asked)

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(click, range(200)))

    assert {answer.status_code for answer in answers} == {202}
    (session,) = {answer.json()["id"] for answer in answers}
    with psycopg.connect(books.url) as database:
        found = database.execute(
            "SELECT count(*), (SELECT count(*) FROM hold WHERE state = 'open') FROM lab_session "
            "WHERE state NOT IN ('settled', 'voided') "
            "AND person_id = (SELECT person_id FROM lab_session WHERE id = %s)",
            (session,),
        ).fetchone()
    assert found is not None
    assert found[0] == 1
    student.stop(session)
    audit(books)


def test_a_server_that_is_not_ours_is_stopped(own, books, student, lab):
    """As if somebody had lost the row: the platform says that the session has ended, and the server still runs."""
    session = student.running(*lab)
    assert servers(own)
    with psycopg.connect(books.url, autocommit=True) as database:
        database.execute("UPDATE lab_session SET state = 'settled', forgotten_at = now() WHERE id = %s", (session,))

        until(lambda: not servers(own), REPAIRED_WITHIN)

        database.execute("UPDATE lab_session SET state = 'running', forgotten_at = NULL WHERE id = %s", (session,))
    until(lambda: student.state(session) == "settled", REPAIRED_WITHIN)
    audit(books)


def test_the_hub_starts_nothing_that_was_not_ordered(own, for_a_minute):
    """Even with the platform's own token: the hub asks, and the platform knows of no order."""
    hub = json.loads((own.var_dir / "secrets" / "hubs.json").read_text())[0]
    with httpx.Client(base_url=hub["api_url"], headers={"Authorization": f"token {hub['token']}"}) as api:
        user, server = secrets.token_hex(16), f"lab-{secrets.token_hex(16)}"
        assert api.post(f"/users/{user}").status_code == 201
        path = f"/users/{user}/servers/{server}"
        assert api.post(path).status_code in (202, 403)

        until(lambda: not api.get(path).json().get("pending"), 30)

        assert not api.get(path).json().get("ready")
        assert server not in servers(own)
        assert f"/{server}" not in own.said or "This server was not ordered on the platform." in own.said


def test_a_lease_that_ends_stops_the_lab_and_all_of_it_is_paid(books, teacher, for_a_minute):
    until(lambda: teacher.state(for_a_minute) == "settled", 180)

    found = teacher.session(for_a_minute)
    assert found["stop_reason"] == "lease-ended"
    assert 60 <= found["seconds_used"] <= 90
    assert found["charged_micro"] == found["seconds_used"] * found["price_micro"] // 3600
    assert found["charged_micro"] <= found["held_micro"]
    notices = teacher.http.get("/api/v1/me/notices").json()
    assert "lab-lease-ended" in [notice["kind"] for notice in notices]
    audit(books)


@pytest.mark.parametrize("part", PARTS)
def test_kill_9_at_every_transition(own, books, student, teacher, lab, watch, part):
    one, other = Life(books, student, lab).begin(), Life(books, teacher, lab).begin()
    lives = Lives(own, one, other)
    for transition in TRANSITIONS:
        lives.at(transition, lambda: kill(own, part))
        books.become_right()
    one.end()
    other.end()
    books.become_right()

    assert servers(own) == {}
    for session in one.sessions + other.sessions:
        row, ran = books.row(session), watch.seconds(session)
        assert row["state"] in ENDED
        assert row["seconds_used"] <= ran + 1, "nothing is charged that did not run"
        assert ran - row["seconds_used"] <= UNPAID_AT_MOST, "nothing runs unpaid"


@pytest.mark.parametrize("found", ["nothing", "what it was before"])
def test_a_hub_that_has_lost_its_database_settles_what_ran(own, books, student, lab, watch, found):
    """Gone, or put back from a copy made before the lab was started."""
    file = own.var_dir / "hub" / "jupyterhub.sqlite"
    before = file.read_bytes()
    session = student.running(*lab)
    wait = own.var_dir / "wait"
    wait.touch()
    hub = part_of(own, "hub")
    try:
        hub[0].kill()
        psutil.wait_procs(hub, timeout=10)
        for path in file.parent.glob("jupyterhub.sqlite*"):
            path.unlink()
        if found != "nothing":
            file.write_bytes(before)
    finally:
        wait.unlink()
    until(lambda: _is_back(own, "hub", {hub[0].pid}), 60)

    until(lambda: student.state(session) == "settled", REPAIRED_WITHIN)

    books.become_right()
    assert servers(own) == {}
    assert books.row(session)["seconds_used"] <= watch.seconds(session) + 1
    again = student.running(*lab)  # and the hub works as before
    student.stop(again)
    books.become_right()


def test_when_everything_dies_at_once_the_next_start_settles_what_ran(own, books, student, lab, place, watch):
    """The power fails. Last, for it ends the campus."""
    session = student.running(*lab)
    everything = own.everything()
    for process in everything:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(everything, timeout=20)
    watch.over.set()

    with campuses.started(place / "var", log="again") as campus, Student(campus) as returned:
        until(lambda: returned.state(session) == "settled", REPAIRED_WITHIN)
        looking = Books(campus)
        looking.become_right()
        assert looking.row(session)["seconds_used"] <= watch.seconds(session) + 1
        assert servers(campus) == {}
        looking.close()
